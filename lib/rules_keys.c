/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <pwd.h>
#include <string.h>

#include "rules_reader.h"

static const char *exposure_word(unsigned i) {
        return exposure_name(i + 1);
}

bool rule_is_pattern(const char *value) {
        return strpbrk(value, "*?[");
}

/*
 * A pattern that cannot match as it was meant: with a bracket that nothing closes, or with nothing
 * behind a backslash.
 */
static int check_pattern(struct reader *r, const struct value *v) {
        const char *open = NULL;
        size_t first = 0;

        for (size_t i = 0; i < v->size; i++) {
                char c = v->text[i];

                if (c == '\\' && ++i == v->size)
                        return reader_fail(
                                r, reader_place(r, v, i - 1),
                                "expected a character behind the backslash of the pattern");
                if (c == '[' && !open) {
                        open = v->text + i;
                        if (v->text[i + 1] == '!' || v->text[i + 1] == '^')
                                i++;
                        first = i + 1;
                } else if (c == ']' && open && i > first)
                        open = NULL;
        }
        if (open)
                return reader_fail(r, reader_place(r, v, (size_t) (open - v->text)),
                                   "expected a bracket that is closed, or a backslash before it");
        return 0;
}

size_t rule_path_size(const char *path) {
        static const char deleted[] = " (deleted)";
        size_t size = strlen(path), end = sizeof(deleted) - 1;

        return size > end && memcmp(path + size - end, deleted, end) == 0 ? size - end : size;
}

/* FNV-1a: short strings, and nothing to be won by making them collide. */
uint32_t rule_hash(unsigned key, const char *string) {
        size_t size = key == RULE_EXECUTABLE ? rule_path_size(string) : strlen(string);
        uint32_t hash = 0x811C9DC5U;

        for (size_t i = 0; i < size; i++)
                hash = (hash ^ (uint8_t) string[i]) * 0x01000193U;
        return hash;
}

bool rule_has_unit_suffix(const char *name) {
        static const char *const suffixes[] = { ".service", ".socket", ".scope",     ".slice",
                                                ".mount",   ".swap",   ".automount", ".device",
                                                ".path",    ".timer",  ".target" };
        size_t size = strlen(name);

        for (unsigned i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
                size_t n = strlen(suffixes[i]);

                if (size > n && strcmp(name + size - n, suffixes[i]) == 0)
                        return true;
        }
        return false;
}

static int read_string(struct reader *r, unsigned key, struct value *v) {
        struct rule_draft *d = r->draft;

        if (rule_is_pattern(v->text)) {
                d->rule.patterns |= (uint16_t) RULE_BIT(key);
                memcpy(d->words[key], v->text, v->size + 1);
                return check_pattern(r, v);
        }
        if (v->size > rule_string_max(key))
                return reader_fail(r, v->begin,
                                   "expected at most %zu bytes, more is not recorded of %s",
                                   rule_string_max(key), rule_key_name(key));
        memcpy(d->words[key], v->text, v->size + 1);
        return 0;
}

static int read_unit(struct reader *r, unsigned key, struct value *v) {
        static const char suffix[] = ".service";
        const char *slash = memchr(v->text, '/', v->size);

        if (slash)
                return reader_fail(r, reader_place(r, v, (size_t) (slash - v->text)),
                                   "expected the name of a unit, not a path");
        if (!rule_is_pattern(v->text) && !rule_has_unit_suffix(v->text)) {
                if (v->size + sizeof(suffix) > sizeof(v->text))
                        return reader_fail(r, v->begin, RULE_TOO_LONG, RULE_TEXT_SIZE - 1);
                memcpy(v->text + v->size, suffix, sizeof(suffix));
                v->size += sizeof(suffix) - 1;
        }
        return read_string(r, key, v);
}

static int read_executable(struct reader *r, unsigned key, struct value *v) {
        if (!strchr("/*?[", v->text[0]))
                return reader_fail(r, v->begin,
                                   "expected a path that begins with a slash, or a pattern");
        return read_string(r, key, v);
}

static int read_user(struct reader *r, unsigned key, struct value *v) {
        char buffer[16384];
        struct passwd entry, *found = NULL;
        uint64_t uid = 0;
        int k;

        memcpy(r->draft->words[key], v->text, v->size + 1);
        if (strspn(v->text, "0123456789") == v->size) {
                if (reader_number(v->text, v->size, UID_UNKNOWN - 1, &uid) == 0)
                        return reader_fail(r, v->begin,
                                           "expected a user's name or number, at most %u",
                                           UID_UNKNOWN - 1);
                r->draft->rule.uid = (uint32_t) uid;
                return 0;
        }
        k = getpwnam_r(v->text, &entry, buffer, sizeof(buffer), &found);
        if (!found)
                return reader_fail(r, v->begin,
                                   k == 0 ? "expected a user that there is, or a number"
                                          : "expected a user that can be looked up, or a number");
        r->draft->rule.uid = entry.pw_uid;
        return 0;
}

static int read_netns(struct reader *r, unsigned key, struct value *v) {
        uint64_t netns = 0;

        (void) key;
        if (reader_number(v->text, v->size, UINT32_MAX, &netns) != v->size || netns == 0)
                return reader_fail(r, v->begin,
                                   "expected the inode number of a network namespace, from 1 to %u",
                                   UINT32_MAX);
        r->draft->rule.netns = (uint32_t) netns;
        return 0;
}

static int read_exposure(struct reader *r, unsigned key, struct value *v) {
        int exposure = exposure_parse(v->text);

        (void) key;
        if (exposure < 0) {
                char words[64];

                reader_list(words, sizeof(words), exposure_word, EXPOSURE_MAX - 1, NULL);
                return reader_fail(r, v->begin, "expected %s", words);
        }
        r->draft->rule.exposure = (uint8_t) exposure;
        return 0;
}

/* Clears what is behind the bits, and says whether there was anything. */
static bool cut_network(struct rule_network *network) {
        unsigned whole = network->bits / 8, rest = network->bits % 8;
        bool was = false;

        for (unsigned i = whole; i < sizeof(network->address); i++) {
                uint8_t keep = i == whole && rest > 0 ? (uint8_t) (0xFF << (8 - rest)) : 0;

                was |= (network->address[i] & ~keep) != 0;
                network->address[i] &= keep;
        }
        return was;
}

/* One network or address, size bytes of a value from offset on. */
static int read_network(struct reader *r, const struct value *v, size_t offset, size_t size,
                        struct rule_network *ret) {
        static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
        const char *text = v->text + offset, *slash = memchr(text, '/', size);
        size_t n = slash ? (size_t) (slash - text) : size;
        struct rule_network network = {};
        char address[INET6_ADDRSTRLEN] = "";
        uint64_t bits, least = 0, most;

        if (n < sizeof(address))
                memcpy(address, text, n);
        if (inet_pton(AF_INET, address, network.address) > 0)
                network.family = FAMILY_IPV4;
        else if (inet_pton(AF_INET6, address, network.address) > 0)
                network.family = FAMILY_IPV6;
        else
                return reader_fail(
                        r, reader_place(r, v, offset),
                        "expected an IPv4 or IPv6 address, or a network such as 10.0.0.0/8");
        bits = most = network.family == FAMILY_IPV4 ? 32 : 128;
        if (network.family == FAMILY_IPV6 && memcmp(network.address, mapped, sizeof(mapped)) == 0)
                least = 96;
        if (slash && (reader_number(slash + 1, size - n - 1, most, &bits) != size - n - 1 ||
                      n + 1 == size || bits < least))
                return reader_fail(r, reader_place(r, v, offset + n + 1),
                                   "expected a number of bits, %u to %u", (unsigned) least,
                                   (unsigned) most);
        if (least > 0) {
                network.family = FAMILY_IPV4;
                bits -= least;
                memmove(network.address, network.address + 12, 4);
                memset(network.address + 4, 0, 12);
        }
        network.bits = (uint8_t) bits;
        if (cut_network(&network)) {
                inet_ntop(network.family == FAMILY_IPV4 ? AF_INET : AF_INET6, network.address,
                          address, sizeof(address));
                return reader_fail(r, reader_place(r, v, offset),
                                   "expected no bits behind the network: %s/%u", address,
                                   network.bits);
        }
        *ret = network;
        return 0;
}

static int read_address(struct reader *r, unsigned key, struct value *v) {
        (void) key;
        return read_network(r, v, 0, v->size, &r->draft->rule.address);
}

static int read_from(struct reader *r, unsigned key, struct value *v) {
        size_t at = 0;

        (void) key;
        for (;;) {
                const char *comma = memchr(v->text + at, ',', v->size - at);
                size_t size = comma ? (size_t) (comma - v->text) - at : v->size - at;
                int k;

                if (r->draft->rule.n_from == RULE_LIST_MAX)
                        return reader_fail(r, reader_place(r, v, at),
                                           "expected at most %u networks", RULE_LIST_MAX);
                k = read_network(r, v, at, size, &r->draft->from[r->draft->rule.n_from]);
                if (k < 0)
                        return k;
                r->draft->rule.n_from++;
                if (!comma)
                        return 0;
                at += size + 1;
        }
}

#define OWNER_STRING(field) (sizeof(((struct owner *) 0)->field) - 1)

static const struct {
        const char *name;
        int (*read)(struct reader *r, unsigned key, struct value *v);
        size_t max;
} keys[RULE_KEY_MAX] = {
        [RULE_UNIT] = { "unit", read_unit, OWNER_STRING(unit) },
        [RULE_CONTAINER] = { "container", read_string, OWNER_STRING(container) },
        [RULE_EXECUTABLE] = { "executable", read_executable, OWNER_STRING(executable) },
        [RULE_NAME] = { "name", read_string, OWNER_STRING(name) },
        [RULE_USER] = { "user", read_user, 0 },
        [RULE_NETNS] = { "netns", read_netns, 0 },
        [RULE_ADDRESS] = { "address", read_address, 0 },
        [RULE_EXPOSURE] = { "exposure", read_exposure, 0 },
        [RULE_FROM] = { "from", read_from, 0 },
};

const char *rule_key_name(unsigned key) {
        return key < RULE_KEY_MAX ? keys[key].name : NULL;
}

size_t rule_string_max(unsigned key) {
        return key < RULE_KEY_MAX ? keys[key].max : 0;
}

int reader_key(struct reader *r) {
        size_t begin = r->at, size = reader_span(r, "=\" \t");
        struct value value;
        unsigned key = 0;
        int k;

        while (key < RULE_KEY_MAX && !reader_word_is(r, size, keys[key].name))
                key++;
        if (key == RULE_KEY_MAX) {
                char names[128];

                reader_list(names, sizeof(names), rule_key_name, RULE_KEY_MAX, NULL);
                return reader_fail(r, begin, "expected a key: %s", names);
        }
        if (r->draft->rule.keys & RULE_BIT(key))
                return reader_fail(r, begin, "expected each key once: %s is there already",
                                   keys[key].name);
        r->at += size;
        if (reader_at_end(r) || r->line[r->at] != '=')
                return reader_fail(r, r->at, "expected = and a value behind %s", keys[key].name);
        r->at++;
        k = reader_value(r, keys[key].name, &value);
        if (k < 0)
                return k;
        r->draft->rule.keys |= (uint16_t) RULE_BIT(key);
        return keys[key].read(r, key, &value);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rule.h"

#define USEC_PER_SEC          1000000U
#define REPLACEMENT_CHARACTER 0xFFFDU

struct writer {
        char text[RULE_TEXT_SIZE];
        size_t size;
        bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...) {
        size_t room = sizeof(w->text) - w->size;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(w->text + w->size, room, format, ap);
        va_end(ap);
        if (n < 0 || (size_t) n >= room)
                w->full = true;
        else
                w->size += (size_t) n;
}

size_t rule_character(const char *s, size_t size, uint32_t *ret_code) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint8_t first = (uint8_t) s[0];
        size_t n = first < 0x80 ? 1 : first < 0xC0 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        uint32_t code = n == 1 ? first : first & (0x7FU >> n);

        if (n == 0 || first >= 0xF8 || n > size)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if (((uint8_t) s[i] & 0xC0) != 0x80)
                        return 0;
                code = code << 6 | ((uint8_t) s[i] & 0x3F);
        }
        if (code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
                return 0;
        if ((code < 0x20 && code != '\t') || (code >= 0x7F && code < 0xA0))
                return 0;
        *ret_code = code;
        return n;
}

/* In quotes only if it cannot be read back without them. */
static void put_value(struct writer *w, const char *value) {
        if (!strpbrk(value, " \"")) {
                put(w, "%s", value);
                return;
        }
        put(w, "\"");
        for (; *value; value++)
                put(w, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
        put(w, "\"");
}

static void put_network(struct writer *w, const struct rule_network *network) {
        bool ipv4 = network->family == FAMILY_IPV4;
        char address[INET6_ADDRSTRLEN] = "";

        inet_ntop(ipv4 ? AF_INET : AF_INET6, network->address, address, sizeof(address));
        put(w, "%s", address);
        if (network->bits < (ipv4 ? 32 : 128))
                put(w, "/%u", network->bits);
}

static void put_networks(struct writer *w, const struct rule_draft *d) {
        for (unsigned i = 0; i < d->rule.n_from; i++) {
                put(w, "%s", i > 0 ? "," : "");
                put_network(w, &d->from[i]);
        }
}

static void put_ports(struct writer *w, const struct rule_draft *d) {
        const char *transport = d->transport > 0 ? transport_name(d->transport) : NULL;

        put(w, "%s/", transport ? transport : "any");
        if (d->ports != RULE_PORTS_LIST)
                put(w, "%s", d->ports == RULE_PORTS_ANY ? "any" : "ephemeral");
        for (unsigned i = 0; i < d->n_ranges; i++) {
                put(w, "%s%u", i > 0 ? "," : "", d->ranges[i].first);
                if (d->ranges[i].last > d->ranges[i].first)
                        put(w, "-%u", d->ranges[i].last);
        }
}

/* The time in the largest unit that has no rest. */
static void put_rate(struct writer *w, const struct rule_rate *rate) {
        static const struct {
                const char *word;
                uint64_t seconds;
        } units[] = { { "h", 3600 }, { "min", 60 }, { "s", 1 } };
        uint64_t seconds = rate->window_usec / USEC_PER_SEC;
        unsigned i = 0;

        while (seconds % units[i].seconds != 0)
                i++;
        put(w, "refused rate=%llu/%llu%s", (unsigned long long) rate->attempts,
            (unsigned long long) (seconds / units[i].seconds), units[i].word);
}

static void put_key(struct writer *w, const struct rule_draft *d, unsigned key) {
        put(w, " %s=", rule_key_name(key));
        if (key < RULE_WORDS)
                put_value(w, d->words[key]);
        else if (key == RULE_NETNS)
                put(w, "%u", d->rule.netns);
        else if (key == RULE_ADDRESS)
                put_network(w, &d->rule.address);
        else if (key == RULE_EXPOSURE)
                put(w, "%s", exposure_name(d->rule.exposure));
        else
                put_networks(w, d);
}

int rule_write(const struct rule_draft *draft, char ret[static RULE_TEXT_SIZE]) {
        struct writer w = {};

        if (draft->ports == RULE_NO_PORTS)
                put_rate(&w, &draft->rate);
        else
                put_ports(&w, draft);
        for (unsigned key = 0; key < RULE_KEY_MAX; key++)
                if (draft->rule.keys & RULE_BIT(key))
                        put_key(&w, draft, key);
        if (w.full)
                return -ENAMETOOLONG;
        memcpy(ret, w.text, w.size + 1);
        return 0;
}

/* ---- Suggestions ---- */

/* Whether a rule can hold the string as it is; if not, it needs a pattern that matches it. */
static bool is_plain(const char *string, size_t size) {
        uint32_t code = 0;
        size_t n;

        for (size_t at = 0; at < size; at += n) {
                n = rule_character(string + at, size - at, &code);
                if (n == 0 || code == '\t' || code == REPLACEMENT_CHARACTER)
                        return false;
        }
        return !rule_is_pattern(string);
}

/*
 * The string, or a pattern that matches it and nothing else. What a file may not hold, and what
 * stands for that after somebody else has replaced it, would match others too: whoever has such a
 * name is not told by it. 0, -EINVAL or -ENAMETOOLONG.
 */
static int put_word(char to[static RULE_TEXT_SIZE], const char *string, size_t size) {
        size_t at = 0, n;
        uint32_t code = 0;

        if (is_plain(string, size)) {
                if (size >= RULE_TEXT_SIZE)
                        return -ENAMETOOLONG;
                memcpy(to, string, size);
                to[size] = 0;
                return 0;
        }
        for (size_t i = 0; i < size; i += n) {
                n = rule_character(string + i, size - i, &code);
                if (at + 5 > RULE_TEXT_SIZE)
                        return -ENAMETOOLONG;
                if (n == 0 || code == '\t' || code == REPLACEMENT_CHARACTER)
                        return -EINVAL;
                if (strchr("*?[\\", string[i]))
                        to[at++] = '\\';
                memcpy(to + at, string + i, n);
                at += n;
        }
        to[at] = 0;
        return 0;
}

static bool ends_with(const char *string, const char *end) {
        size_t size = strlen(string), n = strlen(end);

        return size > n && strcmp(string + size - n, end) == 0;
}

/* Puts what is known of an owner behind a key; false if nothing is that would be of use. */
static bool take_key(struct rule_draft *d, unsigned key, const struct owner *o) {
        const char *const strings[RULE_STRINGS] = {
                [RULE_UNIT] = o->unit,
                [RULE_CONTAINER] = o->container,
                [RULE_EXECUTABLE] = o->executable,
                [RULE_NAME] = o->name,
        };

        d->rule.keys |= (uint16_t) RULE_BIT(key);
        if (key == RULE_USER) {
                snprintf(d->words[key], sizeof(d->words[key]), "%u", o->uid);
                return o->uid != UID_UNKNOWN;
        }
        if (!strings[key][0])
                return false;
        /* Scopes come and go: their names hold numbers. */
        if (key == RULE_UNIT && (strchr(o->unit, '/') || (!ends_with(o->unit, ".service") &&
                                                          !ends_with(o->unit, ".socket"))))
                return false;
        if (key == RULE_EXECUTABLE && o->executable[0] != '/')
                return false;
        return put_word(d->words[key], strings[key],
                        key == RULE_EXECUTABLE ? rule_path_size(o->executable)
                                               : strlen(strings[key])) == 0;
}

static bool take_keys(struct rule_draft *d, unsigned keys, const struct owner *o) {
        d->rule.keys = RULE_BIT(RULE_EXPOSURE);
        for (unsigned key = 0; key < RULE_WORDS; key++)
                if ((keys & RULE_BIT(key)) && (!o || !take_key(d, key, o)))
                        return false;
        return true;
}

int rule_suggest(const struct rule_subject *subject, uint16_t ephemeral_first,
                 uint16_t ephemeral_last, char ret[static RULE_TEXT_SIZE]) {
        static const struct {
                unsigned keys;
                bool opener; /* of who opened it, where that is not who serves it */
        } choices[] = {
                /* Known as soon as it listens; who serves it is not before somebody connects. */
                { RULE_BIT(RULE_UNIT), true },
                { RULE_BIT(RULE_UNIT), false },
                { RULE_BIT(RULE_CONTAINER) | RULE_BIT(RULE_EXECUTABLE), false },
                { RULE_BIT(RULE_EXECUTABLE), false },
                { RULE_BIT(RULE_NAME), false },
                { RULE_BIT(RULE_USER), false },
                { 0, false },
        };
        const struct record *r = subject->record;
        const struct owner *server = subject->holder ? subject->holder : subject->owner;
        struct rule_draft d = {
                .rule.exposure = (uint8_t) record_exposure(r->family, r->local),
                .transport = transport_name(r->transport) ? r->transport : 0,
        };

        if (r->local_port == 0)
                d.ports = RULE_PORTS_ANY;
        else if (rule_has_ports(r->transport) && r->local_port >= ephemeral_first &&
                 r->local_port <= ephemeral_last)
                d.ports = RULE_PORTS_EPHEMERAL;
        else
                d.ranges[d.n_ranges++] = (struct rule_range){ r->local_port, r->local_port };
        for (unsigned i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
                if (take_keys(&d, choices[i].keys, choices[i].opener ? subject->owner : server) &&
                    rule_write(&d, ret) == 0)
                        return 0;
        return -ENAMETOOLONG;
}

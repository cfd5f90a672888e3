/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/answer/query.h"
#include "lib/ports.h"

#define PORTS_WORDS  (65536 / 64)
#define ADDRESS_TEXT 64U /* a prefix is shorter */

/* The rows of the table below. */
enum {
        BY_TRANSPORT,
        BY_FAMILY,
        BY_DIRECTION,
        BY_CATEGORY,
        BY_PORTS,
        BY_PEER,
        BY_PID,
        BY_NAME,
        BY_UID,
        BY_UNIT,
        BY_CONTAINER,
        BY_NETNS,
        BY_EXPECTED,
        BY_FIRST_SEEN,
        BY_KINDS,
        BY_MAX,
};
#define BIT(row)  (1U << (row))
#define BIT_OWNER (BIT(BY_PID) | BIT(BY_NAME) | BIT(BY_UID) | BIT(BY_UNIT) | BIT(BY_CONTAINER))

static uint64_t *ports_new(void) {
        return calloc(PORTS_WORDS, sizeof(uint64_t));
}

static void ports_add(uint64_t *ports, uint16_t port) {
        ports[port / 64] |= 1ULL << port % 64;
}

static bool ports_have(const uint64_t *ports, uint16_t port) {
        return ports[port / 64] >> port % 64 & 1;
}

/* None of an empty list matches. */
static int take_ports(json_object *value, void *field, const char **ret_bad) {
        uint64_t **ports = field;
        size_t n;

        (void) ret_bad;
        if (!json_object_is_type(value, json_type_array))
                return -EINVAL;
        *ports = ports_new();
        if (!*ports)
                return -ENOMEM;
        n = json_object_array_length(value);
        for (size_t i = 0; i < n; i++) {
                json_object *item = json_object_array_get_idx(value, i);
                int64_t port;

                if (!json_object_is_type(item, json_type_int))
                        return -EINVAL;
                port = json_object_get_int64(item);
                if (port < 0 || port > UINT16_MAX)
                        return -EINVAL;
                ports_add(*ports, (uint16_t) port);
        }
        return 0;
}

static int take_kinds(json_object *value, void *field, const char **ret_bad) {
        uint16_t kinds = 0;
        size_t n;

        (void) ret_bad;
        if (!json_object_is_type(value, json_type_array))
                return -EINVAL;
        n = json_object_array_length(value);
        for (size_t i = 0; i < n; i++) {
                json_object *item = json_object_array_get_idx(value, i);
                int kind = -EINVAL;

                if (json_object_is_type(item, json_type_string))
                        kind = record_kind_parse(json_object_get_string(item));
                if (kind < 0)
                        return kind;
                kinds |= (uint16_t) (1U << kind);
        }
        *(uint16_t *) field = kinds;
        return 0;
}

/* The number of bits behind the slash, at most max. */
static int parse_bits(const char *s, unsigned max) {
        unsigned value = 0;

        if (*s == 0 || strlen(s) > 3)
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                value = value * 10 + (unsigned) (*s - '0');
        }
        return value <= max ? (int) value : -EINVAL;
}

static bool is_v4_mapped(const uint8_t address[static 16]) {
        static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };

        return memcmp(address, mapped, sizeof(mapped)) == 0;
}

/* An address or a prefix of one; v4-mapped ones are IPv4 here as in the record. */
static int take_peer(json_object *value, void *field, const char **ret_bad) {
        struct filter *f = (struct filter *) ((uint8_t *) field - offsetof(struct filter, peer));
        char text[ADDRESS_TEXT], *slash;
        unsigned width = 32;
        size_t length;
        int bits;

        (void) ret_bad;
        if (!json_object_is_type(value, json_type_string))
                return -EINVAL;
        length = (size_t) json_object_get_string_len(value);
        if (length >= sizeof(text))
                return -EINVAL;
        memcpy(text, json_object_get_string(value), length + 1);
        slash = strchr(text, '/');
        if (slash)
                *slash++ = 0;

        memset(f->peer, 0, sizeof(f->peer));
        if (inet_pton(AF_INET, text, f->peer) == 1)
                f->peer_family = FAMILY_IPV4;
        else if (inet_pton(AF_INET6, text, f->peer) == 1) {
                f->peer_family = FAMILY_IPV6;
                width = 128;
        } else
                return -EINVAL;
        bits = slash ? parse_bits(slash, width) : (int) width;
        if (bits < 0)
                return bits;
        if (f->peer_family == FAMILY_IPV6 && is_v4_mapped(f->peer) && bits >= 96) {
                memmove(f->peer, f->peer + 12, 4);
                memset(f->peer + 4, 0, 12);
                f->peer_family = FAMILY_IPV4;
                bits -= 96;
        }
        f->peer_bits = (uint8_t) bits;
        return 0;
}

static const struct param filter_table[] = {
#define FIELD(member) .offset = offsetof(struct filter, member)
        [BY_TRANSPORT] = { "transport", PARAM_WORD, FIELD(transport), .parse = transport_parse },
        [BY_FAMILY] = { "family", PARAM_WORD, FIELD(family), .parse = family_parse },
        [BY_DIRECTION] = { "direction", PARAM_WORD, FIELD(direction), .parse = direction_parse },
        [BY_CATEGORY] = { "category", PARAM_WORD, FIELD(category), .parse = category_parse },
        [BY_PORTS] = { "ports", PARAM_OTHER, FIELD(ports), .take = take_ports },
        [BY_PEER] = { "peer", PARAM_OTHER, FIELD(peer), .take = take_peer },
        [BY_PID] = { "pid", PARAM_NUMBER, FIELD(pid), .min = 1, .max = INT32_MAX },
        [BY_NAME] = { "name", PARAM_TEXT, FIELD(name), .max = sizeof(((struct filter *) 0)->name) },
        [BY_UID] = { "uid", PARAM_NUMBER, FIELD(uid), .max = UID_UNKNOWN - 1 },
        [BY_UNIT] = { "unit", PARAM_TEXT, FIELD(unit), .max = sizeof(((struct filter *) 0)->unit) },
        [BY_CONTAINER] = { "container", PARAM_TEXT, FIELD(container),
                           .max = sizeof(((struct filter *) 0)->container) },
        [BY_NETNS] = { "netns", PARAM_NUMBER, FIELD(netns), .max = UINT32_MAX },
        [BY_EXPECTED] = { "expected", PARAM_BOOL, FIELD(expected) },
        [BY_FIRST_SEEN] = { "first_seen_since_usec", PARAM_NUMBER, FIELD(first_seen_since_usec),
                            .max = INT64_MAX },
        [BY_KINDS] = { "kinds", PARAM_OTHER, FIELD(kinds), .take = take_kinds },
#undef FIELD
};
_Static_assert(sizeof(filter_table) / sizeof(filter_table[0]) == BY_MAX, "a row for each member");

int filter_take(json_object *value, void *field, const char **ret_bad) {
        struct filter *f = field;

        if (!json_object_is_type(value, json_type_object))
                return -EINVAL;
        return params_read(value, filter_table, BY_MAX, f, &f->given, ret_bad);
}

void filter_done(struct filter *f) {
        free(f->ports);
        *f = (struct filter){};
}

int filter_add_port(struct filter *f, uint16_t port) {
        f->ports = ports_new();
        if (!f->ports)
                return -ENOMEM;
        ports_add(f->ports, port);
        f->given |= BIT(BY_PORTS);
        return 0;
}

void filter_add_transport(struct filter *f, uint8_t transport) {
        f->transport = transport;
        f->given |= BIT(BY_TRANSPORT);
}

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits) {
        unsigned bytes = bits / 8, rest = bits % 8;

        if (memcmp(a, b, bytes) != 0)
                return false;
        return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

/* Refused attempts were inbound, though the record has no direction for them. */
static unsigned direction_of(const struct record *r) {
        return r->kind == RECORD_REFUSE ? DIRECTION_INBOUND : r->direction;
}

bool filter_matches_record(const struct filter *f, const struct record *r) {
        uint32_t given = f->given;

        if (given == 0)
                return true;
        if (given & BIT(BY_KINDS) && !(f->kinds >> (r->kind & 15) & 1))
                return false;
        if (!record_is_connection(r) && !record_is_listener(r))
                return (given & ~BIT(BY_KINDS)) == 0;
        if (given & BIT(BY_PORTS) && !ports_have(f->ports, record_service_port(r)))
                return false;
        if (given & BIT(BY_TRANSPORT) && f->transport != r->transport)
                return false;
        if (given & BIT(BY_FAMILY) && f->family != r->family)
                return false;
        if (given & BIT(BY_DIRECTION) && f->direction != direction_of(r))
                return false;
        if (given & BIT(BY_CATEGORY) && f->category != category_of(record_service_port(r)))
                return false;
        if (given & BIT(BY_NETNS) && f->netns != r->netns)
                return false;
        if (given & BIT(BY_PEER) && (!record_is_connection(r) || f->peer_family != r->family ||
                                     !same_prefix(f->peer, r->remote, f->peer_bits)))
                return false;
        if (given & BIT(BY_EXPECTED) &&
            (!(r->flags & RECORD_JUDGED) || f->expected != ((r->flags & RECORD_EXPECTED) != 0)))
                return false;
        if (given & BIT(BY_FIRST_SEEN) &&
            (!record_is_listener(r) || record_first_seen(r) < f->first_seen_since_usec))
                return false;
        return true;
}
_Static_assert(RECORD_KIND_MAX <= 16, "kinds has a bit for each");

/* "foo" is also "foo.service", as systemctl has it. */
static bool same_unit(const char *wanted, const char *unit) {
        size_t n = strlen(wanted);

        return strncmp(unit, wanted, n) == 0 && (unit[n] == 0 || strcmp(unit + n, ".service") == 0);
}

bool filter_matches_owner(const struct filter *f, const struct owner *o) {
        uint32_t given = f->given;

        if (!(given & BIT_OWNER))
                return true;
        if (given & BIT(BY_PID) && (o->pid == 0 || f->pid != o->pid))
                return false;
        if (given & BIT(BY_UID) && (o->uid == UID_UNKNOWN || f->uid != o->uid))
                return false;
        if (given & BIT(BY_NAME) && strcmp(f->name, o->name) != 0)
                return false;
        if (given & BIT(BY_UNIT) && !same_unit(f->unit, o->unit))
                return false;
        if (given & BIT(BY_CONTAINER) && strcmp(f->container, o->container) != 0)
                return false;
        return true;
}

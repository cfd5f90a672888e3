/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

#include "rules.h"

/* One rule and how a set keeps it. Private to rules.c, rules_parse.c, rules_match.c, rules_text.c.
 */

#define RULE_LIST_MAX 16U   /* ports and ranges of a rule, networks of its from= */
#define RULE_LINE_MAX 1024U /* bytes of a line without its end */

/* In the order in which they are written; the first RULE_STRINGS are compared as strings. */
enum rule_key {
        RULE_UNIT,
        RULE_CONTAINER,
        RULE_EXECUTABLE,
        RULE_NAME,
        RULE_USER,
        RULE_NETNS,
        RULE_ADDRESS,
        RULE_EXPOSURE,
        RULE_FROM,
        RULE_KEY_MAX,
};

#define RULE_STRINGS  4U
#define RULE_WORDS    5U /* user is kept as it was written, too */
#define RULE_BIT(key) (1U << (key))

enum rule_ports {
        RULE_PORTS_LIST,
        RULE_PORTS_ANY,
        RULE_PORTS_EPHEMERAL,
        RULE_NO_PORTS, /* no listener is meant: a rate */
};

struct rule_range {
        uint16_t first, last;
};

/* The first bits of an address; an IPv4 one stands in the first four bytes, as in a record. */
struct rule_network {
        uint8_t address[16];
        uint8_t family;
        uint8_t bits;
};

/* What is asked of a rule once its transport and port fit. */
struct rule {
        uint16_t keys;     /* RULE_BIT() of those given */
        uint16_t patterns; /* those of them whose string is a pattern of fnmatch(3) */
        uint8_t exposure;
        uint8_t n_from;
        struct rule_network address;
        uint32_t uid;
        uint32_t netns;
        uint32_t line;
        uint8_t plain[RULE_STRINGS]; /* bytes of a pattern before what makes it one */
        const char *strings[RULE_STRINGS];
        const struct rule_network *from;
        const char *text;
        const char *origin;
};

/* A rule while it is read or made up: rule gets its pointers when it is added to a set. */
struct rule_draft {
        struct rule rule;
        unsigned transport; /* 0: any */
        enum rule_ports ports;
        unsigned n_ranges;
        struct rule_range ranges[RULE_LIST_MAX];
        struct rule_network from[RULE_LIST_MAX];
        char words[RULE_WORDS][RULE_TEXT_SIZE];
        struct rule_rate rate;
        char text[RULE_TEXT_SIZE];
};

/*
 * A range of ports of a rule. Those of one transport lie side by side, sorted by their first port,
 * and are a balanced tree without pointers: the middle one is the root, what is on its left and
 * right are its subtrees. highest and lowest are of the whole subtree.
 */
struct rule_span {
        uint16_t first, last;
        uint16_t highest; /* port */
        uint16_t transport;
        uint32_t number; /* of the rule, from 1 */
        uint32_t lowest; /* number */
        uint32_t key;    /* of the rule's that is equal to a string, or RULE_STRINGS */
        uint32_t hash;   /* rule_hash() of that string */
};

struct rules {
        struct rule *all;
        unsigned n, room;
        struct rule_span *spans;
        unsigned n_spans, spans_room;
        unsigned tree[TRANSPORT_MAX + 1]; /* where the spans of a transport begin; 0 is any */
        char **origins;                   /* of each text that had rules */
        unsigned n_origins, origins_room;
        struct rule_rate rate;
        struct rule_range ephemeral;
};

/* Whether the numbers of a transport are ports; those of the others are of protocols. */
static inline bool rule_has_ports(unsigned transport) {
        return transport != TRANSPORT_RAW && transport != TRANSPORT_PACKET &&
               transport != TRANSPORT_VSOCK;
}

const char *rule_key_name(unsigned key);

/* Of a plain string of a key: how much of it an owner holds; 0 when there is no such bound. */
size_t rule_string_max(unsigned key);

/* Whether a value of one of the string keys is a pattern rather than a plain string. */
bool rule_is_pattern(const char *value);

/* The length of the path of an executable without what the kernel adds when the file is gone. */
size_t rule_path_size(const char *path);

/* A number for a string of a key: the same for strings that fit each other. */
uint32_t rule_hash(unsigned key, const char *string);

/* Whether a name ends with one of the kinds of units, such as .service. */
bool rule_has_unit_suffix(const char *name);

/*
 * The length, from 1 to 4, of the character that begins at s: well-formed UTF-8 (RFC 3629) and not
 * a control character (a tab is one); 0 when there is none within size bytes.
 */
size_t rule_character(const char *s, size_t size, uint32_t *ret_code);

/*
 * Reads one line without its end. 1: a rule; 0: none on it; -EINVAL with all but the line in
 * *ret_error.
 */
int rule_read(const char *line, size_t size, struct rule_draft *ret, struct rule_error *ret_error);

/* Writes the draft's text in normal form: 0, or -ENAMETOOLONG. */
int rule_write(const struct rule_draft *draft, char ret[static RULE_TEXT_SIZE]);

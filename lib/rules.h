/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "record.h"

/*
 * Rules: what is expected to listen here, and from where it may be reached. One rule a line, see
 * portwatch.rules(5). Shared by the recorder, which judges by them, and portctl, which checks and
 * edits them. Pure but for user names, which are looked up with getpwnam_r(3) as they are read.
 */

#define RULES_MAX       16384U     /* in one set */
#define RULE_TEXT_SIZE  248U       /* of a rule's canonical text with its NUL */
#define RULES_FILE_SIZE (1U << 20) /* bytes of a file, at most */

struct rules;

/* Where a text is wrong, counted from 1 (columns in bytes), and a sentence: what was expected. */
struct rule_error {
        unsigned line;
        unsigned column;
        char message[200];
};

/* What is judged. owner and holder may be NULL. */
struct rule_subject {
        const struct record *record;
        const struct owner *owner;
        const struct owner *holder; /* matches in place of owner, too: a rule names either */
};

/* A number of attempts in a time: what one source may be refused before it is told. */
struct rule_rate {
        uint64_t attempts;
        uint64_t window_usec;
};

/* An empty set. 0 or -ENOMEM; rules_free() frees it, accepts NULL and returns NULL. */
int rules_new(struct rules **ret);
struct rules *rules_free(struct rules *rules);

/*
 * Adds the rules of a text, size bytes that need not end with a NUL; origin is the name of the
 * file, copied. 0; -EINVAL and *ret_error when the text is wrong anywhere: then nothing was added;
 * -E2BIG (with *ret_error) for more than RULES_MAX; -ENOMEM.
 */
int rules_parse(struct rules *rules, const char *text, size_t size, const char *origin,
                struct rule_error *ret_error);

unsigned rules_count(const struct rules *rules);

/* Rule number n, from 1 to rules_count(), as it would be written; and where it stands. */
const char *rules_text(const struct rules *rules, unsigned n);
const char *rules_origin(const struct rules *rules, unsigned n, unsigned *ret_line);

/*
 * The first rule, in the order they were added, that expects this listener; 0 for none. Takes time
 * for the rules that are for its port, not for all of them, and allocates nothing.
 */
unsigned rules_match(const struct rules *rules, const struct rule_subject *subject);

/*
 * May this inbound connection come from where it does? Rules with from= for its port, whose other
 * keys match as well, are asked. The number of the one that allows it; 0 when no rule has anything
 * to say; -EPERM when there are such rules and none allows it.
 */
int rules_match_inbound(const struct rules *rules, const struct rule_subject *subject);

/* The rate of the rule "refused rate=N/TIME"; {} when there is none. The last one counts. */
struct rule_rate rules_refused_rate(const struct rules *rules);

/*
 * Writes the rule that would expect this listener and those like it: a stable key (unit before
 * executable before name, never a pid), its exposure, and "ephemeral" for a port out of the range
 * from ephemeral_first to ephemeral_last. 0, or -ENAMETOOLONG.
 */
int rule_suggest(const struct rule_subject *subject, uint16_t ephemeral_first,
                 uint16_t ephemeral_last, char ret[static RULE_TEXT_SIZE]);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "rule.h"

/* A line read from left to right: what rules_parse.c and rules_keys.c share. */

#define RULE_TOO_LONG "the rule is too long: expected at most %u bytes"

/* A line, and how far it is read. */
struct reader {
        const char *line;
        size_t size, at;
        struct rule_draft *draft;
        struct rule_error *error;
};

/* A value of a key without its quotes and escapes. */
struct value {
        char text[RULE_TEXT_SIZE];
        size_t size;
        size_t begin; /* where its first byte stands in the line */
        bool quoted;
};

/*
 * Writes the sentence and where it is about into *r->error; returns -EINVAL. column counts from 0,
 * as all positions in here do.
 */
__attribute__((format(printf, 3, 4))) int reader_fail(struct reader *r, size_t column,
                                                      const char *format, ...);

/*
 * Writes "a, b or c" of the words for 0 to n - 1, with one more at the end if last is given.
 */
void reader_list(char *to, size_t size, const char *(*word)(unsigned), unsigned n,
                 const char *last);

/* Whether a word ends here. */
bool reader_at_end(const struct reader *r);

/* Goes to the next word; false when there is none, or a comment. */
bool reader_next_word(struct reader *r);

/* How many bytes from here on are none of those. */
size_t reader_span(const struct reader *r, const char *stops);

/* Whether the bytes from here on, so many, are that word. */
bool reader_word_is(const struct reader *r, size_t size, const char *word);

/*
 * A decimal number as people write one, digits alone: how many bytes it takes; 0 if none is here,
 * or one above max.
 */
size_t reader_number(const char *s, size_t size, uint64_t max, uint64_t *ret);

/* Reads the value of a key, which is named if there is none. 0, or -EINVAL. */
int reader_value(struct reader *r, const char *key, struct value *ret);

/* Where the byte number n of a value stands in the line: an escape takes two. */
size_t reader_place(const struct reader *r, const struct value *v, size_t n);

/* Reads one key with its value into the draft. 0, or -EINVAL. */
int reader_key(struct reader *r);

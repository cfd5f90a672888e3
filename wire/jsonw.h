/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Appends JSON to memory that grows. The caller brings the brackets and keys in the right order;
 * the writer sets commas, escapes, and makes UTF-8 of whatever the kernel calls a name. Running out
 * of memory or past max sets failed and drops what is put from then on, so that the caller looks
 * once, at the end. Start with max set and the rest zeroed.
 */
struct jsonw {
        char *data;
        size_t size;
        size_t allocated;
        size_t max; /* bytes */
        bool failed;
};

/* Frees what was written and keeps max; accepts NULL. */
void jsonw_done(struct jsonw *w);

/* Room for n more bytes; false if there is none. */
bool jsonw_grow(struct jsonw *w, size_t n);

static inline bool jsonw_reserve(struct jsonw *w, size_t n) {
        return w->allocated - w->size >= n || jsonw_grow(w, n);
}

/* Bytes as they are, without a comma before them. */
static inline void jsonw_raw(struct jsonw *w, const char *bytes, size_t n) {
        if (!jsonw_reserve(w, n))
                return;
        memcpy(w->data + w->size, bytes, n);
        w->size += n;
}

/* The same for a string literal. */
#define jsonw_literal(w, literal) jsonw_raw((w), "" literal "", sizeof(literal) - 1)

/* What a value or a key needs in front: a comma, unless it is the first one or follows its key. */
static inline void jsonw_separate(struct jsonw *w) {
        char last = w->size > 0 ? w->data[w->size - 1] : '[';

        if (last != '[' && last != '{' && last != ':')
                jsonw_literal(w, ",");
}

/* name is a string literal that needs no escapes. */
#define jsonw_key(w, name)                                                                         \
        do {                                                                                       \
                jsonw_separate(w);                                                                 \
                jsonw_literal((w), "\"" name "\":");                                               \
        } while (0)

/* c is one of { [ } ]. */
static inline void jsonw_open(struct jsonw *w, char c) {
        jsonw_separate(w);
        jsonw_raw(w, &c, 1);
}

static inline void jsonw_close(struct jsonw *w, char c) {
        jsonw_raw(w, &c, 1);
}

void jsonw_uint(struct jsonw *w, uint64_t value);
void jsonw_bool(struct jsonw *w, bool value);
void jsonw_null(struct jsonw *w);

/*
 * A string of n bytes. Bytes that are not UTF-8, and NUL, become U+FFFD: one of them in a reply
 * would make clients drop the whole of it.
 */
void jsonw_bytes(struct jsonw *w, const char *bytes, size_t n);
/* A NUL-terminated string. */
void jsonw_string(struct jsonw *w, const char *s);
/* The same, null when it is NULL or empty. */
void jsonw_string_or_null(struct jsonw *w, const char *s);

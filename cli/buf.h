/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Bytes that grow. Running out of memory or past BUF_MAX sets failed and drops what is put from
 * then on, so that a writer checks once, at the end. Start with a zeroed one.
 */
struct buf {
        char *data;
        size_t size;
        size_t allocated;
        bool failed;
};

#define BUF_MAX ((size_t) 256 * 1024 * 1024)

/* Frees the bytes and makes it empty; accepts NULL. */
void buf_done(struct buf *b);
/* Makes it larger by n bytes or more; for buf_reserve() alone. */
bool buf_grow(struct buf *b, size_t n);

/* Room for n more bytes at the end; false if there is none. */
static inline bool buf_reserve(struct buf *b, size_t n) {
        if (b->allocated - b->size >= n && !b->failed)
                return true;
        return buf_grow(b, n);
}

static inline void buf_put(struct buf *b, const void *data, size_t n) {
        if (n == 0 || !buf_reserve(b, n))
                return;
        memcpy(b->data + b->size, data, n);
        b->size += n;
}

static inline void buf_text(struct buf *b, const char *s) {
        buf_put(b, s, strlen(s));
}

static inline void buf_char(struct buf *b, char c) {
        if (buf_reserve(b, 1))
                b->data[b->size++] = c;
}

void buf_number(struct buf *b, int64_t n);
/* A number in decimal, with zeros in front up to so many digits. */
void buf_digits(struct buf *b, uint64_t n, unsigned digits);
/* A JSON string with its quotes. s is UTF-8 or, where it is not, its bytes become U+FFFD. */
void buf_json_string(struct buf *b, const char *s);

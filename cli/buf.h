/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
/* Room for n more bytes at the end; false if there is none. */
bool buf_reserve(struct buf *b, size_t n);

void buf_put(struct buf *b, const void *data, size_t n);
void buf_text(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_number(struct buf *b, int64_t n);
/* A number in decimal, with zeros in front up to so many digits. */
void buf_digits(struct buf *b, uint64_t n, unsigned digits);
/* A JSON string with its quotes. s is UTF-8 or, where it is not, its bytes become U+FFFD. */
void buf_json_string(struct buf *b, const char *s);

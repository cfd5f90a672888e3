/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "wire/jsonw.h"
#include "wire/utf8.h"

#define ROOM_FIRST     4096U
#define DIGITS_MAX     20U /* of 2^64 - 1 */
#define ESCAPE_MAX     6U  /* bytes that stand for one */
#define REPLACEMENT    "\xef\xbf\xbd"
#define EACH_BYTE(b)   (0x0101010101010101ULL * (b))
#define HAS_ZERO(word) (((word) -EACH_BYTE(0x01)) & ~(word) &EACH_BYTE(0x80))

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

void jsonw_done(struct jsonw *w) {
        if (!w)
                return;
        free(w->data);
        *w = (struct jsonw){ .max = w->max };
}

bool jsonw_grow(struct jsonw *w, size_t n) {
        size_t allocated = w->allocated ? w->allocated : ROOM_FIRST;
        char *larger;

        if (w->failed || w->max - w->size < n) {
                w->failed = true;
                return false;
        }
        while (allocated - w->size < n)
                allocated *= 2;
        if (allocated > w->max)
                allocated = w->max;
        larger = realloc(w->data, allocated);
        if (!larger) {
                w->failed = true;
                return false;
        }
        w->data = larger;
        w->allocated = allocated;
        return true;
}

/* The last eight digits of value. */
static void put_eight_digits(char *to, uint32_t value) {
        uint32_t high = value / 10000, low = value % 10000;

        memcpy(to, pairs + high / 100 * 2, 2);
        memcpy(to + 2, pairs + high % 100 * 2, 2);
        memcpy(to + 4, pairs + low / 100 * 2, 2);
        memcpy(to + 6, pairs + low % 100 * 2, 2);
}

static unsigned count_digits(uint64_t value) {
        for (unsigned n = 1;; n += 4) {
                if (value < 10)
                        return n;
                if (value < 100)
                        return n + 1;
                if (value < 1000)
                        return n + 2;
                if (value < 10000)
                        return n + 3;
                value /= 10000;
        }
}

void jsonw_uint(struct jsonw *w, uint64_t value) {
        uint32_t rest;
        char *to;

        jsonw_separate(w);
        if (!jsonw_reserve(w, DIGITS_MAX))
                return;
        w->size += count_digits(value);
        to = w->data + w->size;
        while (value >= 100000000) {
                to -= 8;
                put_eight_digits(to, (uint32_t) (value % 100000000));
                value /= 100000000;
        }
        for (rest = (uint32_t) value; rest >= 100; rest /= 100) {
                to -= 2;
                memcpy(to, pairs + rest % 100 * 2, 2);
        }
        if (rest >= 10)
                memcpy(to - 2, pairs + rest * 2, 2);
        else
                to[-1] = (char) ('0' + rest);
}

void jsonw_bool(struct jsonw *w, bool value) {
        jsonw_separate(w);
        if (value)
                jsonw_literal(w, "true");
        else
                jsonw_literal(w, "false");
}

void jsonw_null(struct jsonw *w) {
        jsonw_separate(w);
        jsonw_literal(w, "null");
}

/* Eight bytes that stand for themselves: printable ASCII but the quote and the backslash. */
static bool is_plain(uint64_t word) {
        uint64_t control = (word - EACH_BYTE(0x20)) & ~word & EACH_BYTE(0x80);

        return !(control | (word & EACH_BYTE(0x80)) | HAS_ZERO(word ^ EACH_BYTE('"')) |
                 HAS_ZERO(word ^ EACH_BYTE('\\')));
}

/* Writes the character at s as JSON has it in a string; returns how many bytes of s it took. */
static size_t put_character(char **to, const char *s, size_t size) {
        static const char hex[] = "0123456789abcdef";
        /* What follows the backslash; controls without an entry are written as \u00XX. */
        static const char escapes[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                        ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };
        uint8_t c = (uint8_t) *s;
        size_t length;

        if (c < sizeof(escapes) && escapes[c]) {
                (*to)[0] = '\\';
                (*to)[1] = escapes[c];
                *to += 2;
                return 1;
        }
        if (c > 0 && c < 0x20) {
                memcpy(*to, "\\u00", 4);
                (*to)[4] = hex[c >> 4];
                (*to)[5] = hex[c & 15];
                *to += 6;
                return 1;
        }
        length = c == 0 ? 0 : utf8_length(s, size);
        if (length == 0) {
                memcpy(*to, REPLACEMENT, sizeof(REPLACEMENT) - 1);
                *to += sizeof(REPLACEMENT) - 1;
                return 1;
        }
        memcpy(*to, s, length);
        *to += length;
        return length;
}

static uint64_t load(const char *bytes, size_t n) {
        uint64_t word = 0;

        memcpy(&word, bytes, n);
        return word;
}

/*
 * Fewer than eight bytes as a word, filled up with spaces, which are plain. In one piece, or in two
 * that overlap: a copy of n bytes would be a call, and reading back what it wrote would wait for
 * it.
 */
static uint64_t load_rest(const char *bytes, size_t n) {
        uint64_t word;

        if (n >= 4)
                word = load(bytes, 4) | load(bytes + n - 4, 4) << (n - 4) * 8;
        else
                word = load(bytes, 1) | load(bytes + n / 2, 1) << n / 2 * 8 |
                       load(bytes + n - 1, 1) << (n - 1) * 8;
        return word | EACH_BYTE(' ') << n * 8;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");

void jsonw_bytes(struct jsonw *w, const char *bytes, size_t n) {
        const char *end = bytes + n;
        char *to;

        jsonw_separate(w);
        /* Words are written whole: the last one needs room behind it. */
        if (n > w->max / ESCAPE_MAX || !jsonw_reserve(w, n * ESCAPE_MAX + 2 + sizeof(uint64_t))) {
                w->failed = true;
                return;
        }
        to = w->data + w->size;
        *to++ = '"';
        while (bytes < end) {
                size_t left = (size_t) (end - bytes);
                size_t step = left < sizeof(uint64_t) ? left : sizeof(uint64_t);
                uint64_t word =
                        step < sizeof(word) ? load_rest(bytes, step) : load(bytes, sizeof(word));

                if (is_plain(word)) {
                        memcpy(to, &word, sizeof(word));
                        to += step;
                        bytes += step;
                } else
                        bytes += put_character(&to, bytes, left);
        }
        *to++ = '"';
        w->size = (size_t) (to - w->data);
}

void jsonw_string(struct jsonw *w, const char *s) {
        jsonw_bytes(w, s, strlen(s));
}

void jsonw_string_or_null(struct jsonw *w, const char *s) {
        if (s && *s)
                jsonw_string(w, s);
        else
                jsonw_null(w);
}

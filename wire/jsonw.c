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

void jsonw_uint(struct jsonw *w, uint64_t value) {
        static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                    "25262728293031323334353637383940414243444546474849"
                                    "50515253545556575859606162636465666768697071727374"
                                    "75767778798081828384858687888990919293949596979899";
        char digits[DIGITS_MAX];
        size_t at = sizeof(digits);

        while (value >= 100) {
                at -= 2;
                memcpy(digits + at, pairs + value % 100 * 2, 2);
                value /= 100;
        }
        if (value >= 10) {
                at -= 2;
                memcpy(digits + at, pairs + value * 2, 2);
        } else
                digits[--at] = (char) ('0' + value);
        jsonw_separate(w);
        jsonw_raw(w, digits + at, sizeof(digits) - at);
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

void jsonw_bytes(struct jsonw *w, const char *bytes, size_t n) {
        const char *end = bytes + n;
        char *to;

        jsonw_separate(w);
        if (n > w->max / ESCAPE_MAX || !jsonw_reserve(w, n * ESCAPE_MAX + 2)) {
                w->failed = true;
                return;
        }
        to = w->data + w->size;
        *to++ = '"';
        while (bytes < end) {
                uint64_t word;

                if (end - bytes >= (ptrdiff_t) sizeof(word)) {
                        memcpy(&word, bytes, sizeof(word));
                        if (is_plain(word)) {
                                memcpy(to, &word, sizeof(word));
                                to += sizeof(word);
                                bytes += sizeof(word);
                                continue;
                        }
                }
                bytes += put_character(&to, bytes, (size_t) (end - bytes));
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

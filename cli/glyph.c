/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <wchar.h>

#include "cli/glyph.h"
#include "wire/utf8.h"

size_t glyph_read(const char *s, size_t size, uint32_t *ret_code) {
        static const unsigned char lead[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
        size_t n = utf8_length(s, size);
        uint32_t code;

        if (n == 0)
                return 0;
        code = (unsigned char) s[0] & lead[n];
        for (size_t i = 1; i < n; i++)
                code = code << 6 | ((unsigned char) s[i] & 0x3f);
        *ret_code = code;
        return n;
}

bool glyph_unsafe(uint32_t code) {
        return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e ||
               code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
               (code >= 0x2066 && code <= 0x2069);
}

/* How many of the n bytes at s there are before one outside of ASCII, by eight at a time. */
static size_t ascii_length(const char *s, size_t n) {
        size_t length = 0;

        for (; n - length >= 8; length += 8) {
                uint64_t v;

                memcpy(&v, s + length, sizeof(v));
                if (v & UINT64_C(0x8080808080808080))
                        break;
        }
        while (length < n && (unsigned char) s[length] < 0x80)
                length++;
        return length;
}

/* The character that begins the n bytes at s: its bytes, at least one, and its columns. */
static size_t next_glyph(const char *s, size_t n, size_t *ret_columns) {
        uint32_t code;
        size_t bytes;
        int columns;

        *ret_columns = 1;
        bytes = glyph_read(s, n, &code);
        if (bytes == 0)
                return 1;
        /* wchar_t holds the code point (__STDC_ISO_10646__). */
        columns = wcwidth((wchar_t) code);
        if (columns >= 0)
                *ret_columns = (size_t) columns;
        return bytes;
}

size_t glyph_width(const char *s, size_t n) {
        size_t at = ascii_length(s, n), width = at;

        while (at < n) {
                size_t columns;

                at += next_glyph(s + at, n - at, &columns);
                width += columns;
        }
        return width;
}

size_t glyph_fit(const char *s, size_t n, size_t columns) {
        size_t at = 0;

        while (at < n) {
                size_t taken, bytes = next_glyph(s + at, n - at, &taken);

                if (taken > columns)
                        break;
                columns -= taken;
                at += bytes;
        }
        return at;
}

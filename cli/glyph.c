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

size_t glyph_width(const char *s, size_t n) {
        size_t width = ascii_length(s, n);

        s += width;
        n -= width;
        while (n > 0) {
                uint32_t code;
                size_t bytes = 1;
                int columns = 1;

                if ((unsigned char) *s >= 0x80) {
                        bytes = glyph_read(s, n, &code);
                        /* wchar_t holds the code point (__STDC_ISO_10646__). */
                        if (bytes > 0)
                                columns = wcwidth((wchar_t) code);
                        else
                                bytes = 1;
                        if (columns < 0)
                                columns = 1;
                }
                width += (size_t) columns;
                s += bytes;
                n -= bytes;
        }
        return width;
}

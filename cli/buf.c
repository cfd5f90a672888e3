/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "cli/buf.h"
#include "wire/utf8.h"

void buf_done(struct buf *b) {
        if (!b)
                return;
        free(b->data);
        *b = (struct buf){ 0 };
}

bool buf_grow(struct buf *b, size_t n) {
        size_t wanted;
        char *data;

        if (b->failed)
                return false;
        if (n > BUF_MAX || b->size + n > BUF_MAX) {
                b->failed = true;
                return false;
        }
        wanted = b->allocated ? b->allocated : 256;
        while (wanted < b->size + n)
                wanted *= 2;
        data = realloc(b->data, wanted);
        if (!data) {
                b->failed = true;
                return false;
        }
        b->data = data;
        b->allocated = wanted;
        return true;
}

void buf_digits(struct buf *b, uint64_t n, unsigned digits) {
        char text[24], *p = text + sizeof(text);

        do {
                *--p = (char) ('0' + n % 10);
                n /= 10;
                if (digits > 0)
                        digits--;
        } while ((n > 0 || digits > 0) && p > text);
        buf_put(b, p, (size_t) (text + sizeof(text) - p));
}

void buf_number(struct buf *b, int64_t n) {
        if (n < 0)
                buf_char(b, '-');
        buf_digits(b, n < 0 ? 0 - (uint64_t) n : (uint64_t) n, 1);
}

void buf_json_string(struct buf *b, const char *s) {
        static const char hex[] = "0123456789abcdef";
        size_t left = strlen(s);

        buf_char(b, '"');
        while (left > 0) {
                unsigned char c = (unsigned char) *s;
                size_t n;

                if (c >= 0x80) {
                        n = utf8_length(s, left);
                        if (n > 0)
                                buf_put(b, s, n);
                        else {
                                buf_text(b, "\xef\xbf\xbd");
                                n = 1;
                        }
                } else {
                        n = 1;
                        if (c == '"' || c == '\\') {
                                buf_char(b, '\\');
                                buf_char(b, (char) c);
                        } else if (c < 0x20 || c == 0x7f) {
                                buf_text(b, "\\u00");
                                buf_char(b, hex[c >> 4]);
                                buf_char(b, hex[c & 15]);
                        } else
                                buf_char(b, (char) c);
                }
                s += n;
                left -= n;
        }
        buf_char(b, '"');
}

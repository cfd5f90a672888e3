/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cli/glyph.h"
#include "cli/json_print.h"
#include "wire/utf8.h"

static void new_line(struct buf *b, unsigned depth) {
        buf_char(b, '\n');
        for (unsigned i = 0; i < depth; i++)
                buf_text(b, "  ");
}

/* A string that was checked, from its quote on; returns the byte behind it. */
static const char *print_string(struct buf *b, const char *p) {
        static const char hex[] = "0123456789abcdef";
        const char *from = p;

        p++;
        for (;;) {
                uint32_t code = (unsigned char) *p;
                size_t n = 1;

                if (*p == '"')
                        break;
                if (*p == '\\') {
                        p += 2;
                        continue;
                }
                if (code >= 0x80) {
                        n = glyph_read(p, 4, &code);
                        if (n == 0)
                                n = 1;
                }
                if (code >= 0x7f && glyph_unsafe(code)) {
                        buf_put(b, from, (size_t) (p - from));
                        buf_text(b, "\\u");
                        for (int shift = 12; shift >= 0; shift -= 4)
                                buf_char(b, hex[code >> shift & 15]);
                        from = p + n;
                }
                p += n;
        }
        p++;
        buf_put(b, from, (size_t) (p - from));
        return p;
}

void json_print(struct buf *b, const char *text, size_t n, bool pretty) {
        const char *p = text, *end = text + n;
        unsigned depth = 0;

        while (p < end) {
                switch (*p) {
                case ' ':
                case '\t':
                case '\n':
                case '\r':
                        p++;
                        continue;
                case '"':
                        p = print_string(b, p);
                        continue;
                case '{':
                case '[':
                        buf_char(b, *p);
                        depth++;
                        for (p++; *p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'; p++)
                                ;
                        if (*p == '}' || *p == ']') {
                                buf_char(b, *p++);
                                depth--;
                        } else if (pretty)
                                new_line(b, depth);
                        continue;
                case '}':
                case ']':
                        depth--;
                        if (pretty)
                                new_line(b, depth);
                        break;
                case ',':
                        buf_char(b, ',');
                        if (pretty)
                                new_line(b, depth);
                        p++;
                        continue;
                case ':':
                        buf_text(b, pretty ? ": " : ":");
                        p++;
                        continue;
                default:
                        break;
                }
                buf_char(b, *p++);
        }
}

static void show_byte(struct buf *b, unsigned char byte) {
        static const char hex[] = "0123456789abcdef";

        buf_text(b, "\\x");
        buf_char(b, hex[byte >> 4]);
        buf_char(b, hex[byte & 15]);
}

void json_show(struct buf *b, const struct json_string *s, bool ascii, bool no_blanks) {
        const char *p = s->data, *end = s->data + s->size;

        if (s->plain && (!no_blanks || !memchr(p, ' ', s->size))) {
                buf_put(b, p, s->size);
                return;
        }
        while (p < end) {
                char bytes[4];
                uint32_t code = 0;
                size_t n;

                n = *p == '\\' ? json_escape(p, &code) : glyph_read(p, (size_t) (end - p), &code);
                p += n ? n : 1;
                n = utf8_put(bytes, code);
                if (glyph_unsafe(code) || (ascii && code >= 0x80) || (no_blanks && code == ' '))
                        for (size_t i = 0; i < n; i++)
                                show_byte(b, (unsigned char) bytes[i]);
                else
                        buf_put(b, bytes, n);
        }
}

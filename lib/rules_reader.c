/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rules_reader.h"

int reader_fail(struct reader *r, size_t column, const char *format, ...) {
        va_list ap;

        r->error->column = (unsigned) column + 1;
        va_start(ap, format);
        vsnprintf(r->error->message, sizeof(r->error->message), format, ap);
        va_end(ap);
        return -EINVAL;
}

void reader_list(char *to, size_t size, const char *(*word)(unsigned), unsigned n,
                 const char *last) {
        size_t at = 0;

        to[0] = 0;
        for (unsigned i = 0; i < n + (last ? 1 : 0) && at < size; i++) {
                bool final = i == n - (last ? 0 : 1);
                int k = snprintf(to + at, size - at, "%s%s",
                                 i == 0  ? ""
                                 : final ? " or "
                                         : ", ",
                                 i < n ? word(i) : last);

                at += (size_t) k;
        }
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

bool reader_at_end(const struct reader *r) {
        return r->at == r->size || is_blank(r->line[r->at]);
}

bool reader_next_word(struct reader *r) {
        while (r->at < r->size && is_blank(r->line[r->at]))
                r->at++;
        return r->at < r->size && r->line[r->at] != '#';
}

size_t reader_span(const struct reader *r, const char *stops) {
        size_t n = 0;

        while (r->at + n < r->size && !strchr(stops, r->line[r->at + n]))
                n++;
        return n;
}

bool reader_word_is(const struct reader *r, size_t size, const char *word) {
        return strlen(word) == size && memcmp(r->line + r->at, word, size) == 0;
}

size_t reader_number(const char *s, size_t size, uint64_t max, uint64_t *ret) {
        uint64_t value = 0;
        size_t n = 0;

        for (; n < size && s[n] >= '0' && s[n] <= '9'; n++) {
                value = value * 10 + (uint64_t) (s[n] - '0');
                if (value > max)
                        return 0;
        }
        if (n > 1 && s[0] == '0')
                return 0;
        *ret = value;
        return n;
}

size_t reader_place(const struct reader *r, const struct value *v, size_t n) {
        size_t at = v->begin;

        while (n-- > 0)
                at += v->quoted && r->line[at] == '\\' ? 2 : 1;
        return at;
}

static int put_byte(struct reader *r, struct value *v, char c) {
        if (v->size == sizeof(v->text) - 1)
                return reader_fail(r, v->begin, RULE_TOO_LONG, RULE_TEXT_SIZE - 1);
        v->text[v->size++] = c;
        return 0;
}

static int read_quoted(struct reader *r, struct value *v) {
        int k = 0;

        v->quoted = true;
        v->begin = ++r->at;
        while (r->at < r->size && r->line[r->at] != '"' && k == 0) {
                if (r->line[r->at] == '\\') {
                        r->at++;
                        if (r->at == r->size || (r->line[r->at] != '"' && r->line[r->at] != '\\'))
                                return reader_fail(
                                        r, r->at,
                                        "expected a quote or a backslash behind the backslash");
                }
                if (r->line[r->at] == '\t')
                        return reader_fail(r, r->at, "expected no tab within quotes");
                k = put_byte(r, v, r->line[r->at++]);
        }
        if (k < 0)
                return k;
        if (r->at == r->size)
                return reader_fail(r, r->at, "expected a quote at the end of the value");
        r->at++;
        return reader_at_end(r) ? 0 : reader_fail(r, r->at, "expected a blank behind the quote");
}

int reader_value(struct reader *r, const char *key, struct value *ret) {
        int k = 0;

        *ret = (struct value){ .begin = r->at };
        if (!reader_at_end(r) && r->line[r->at] == '"')
                k = read_quoted(r, ret);
        else
                while (!reader_at_end(r) && k == 0) {
                        if (r->line[r->at] == '"')
                                return reader_fail(
                                        r, r->at,
                                        "expected quotes around the whole value, or none");
                        k = put_byte(r, ret, r->line[r->at++]);
                }
        if (k == 0 && ret->size == 0)
                k = reader_fail(r, ret->begin, "expected a value of %s", key);
        return k;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "wire/utf8.h"
#include "wire/validate.h"

/* A member's name as it stands in the text, between its quotes. */
struct name {
        const char *start;
        size_t size;
        uint32_t hash; /* of what it spells */
};

struct scan {
        const char *text;
        const char *at;
        const char *end;
        struct validation *result;
        const struct name *member; /* the one whose value is being read, or NULL */
        unsigned depth;
};

static bool fail(struct scan *s, const char *problem) {
        s->result->problem = problem;
        s->result->offset = (size_t) (s->at - s->text);
        return false;
}

static void skip_space(struct scan *s) {
        while (s->at < s->end &&
               (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
                s->at++;
}

static bool peek_is(const struct scan *s, char c) {
        return s->at < s->end && *s->at == c;
}

static bool peek_is_digit(const struct scan *s) {
        return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* The four digits of \uXXXX, at least four bytes of them; -1 if they are none. */
static int32_t hex4(const char *s) {
        int32_t value = 0;

        for (unsigned i = 0; i < 4; i++) {
                int digit = hex_digit(s[i]);

                if (digit < 0)
                        return -1;
                value = value << 4 | digit;
        }
        return value;
}

/* What follows the backslash of a single-letter escape, or 0. */
static char unescape(char c) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *p = c ? strchr(from, c) : NULL;

        return p ? to[p - from] : 0;
}

/*
 * Reads the character at *p of a string that was found well-formed, writes the bytes it stands for
 * and moves *p behind it; returns how many bytes.
 */
static size_t next_character(const char **p, char ret[static 4]) {
        const char *s = *p;
        uint32_t code;

        if (*s != '\\') {
                size_t length = utf8_length(s, 4);

                memcpy(ret, s, length);
                *p = s + length;
                return length;
        }
        if (s[1] != 'u') {
                ret[0] = unescape(s[1]);
                *p = s + 2;
                return 1;
        }
        code = (uint32_t) hex4(s + 2);
        s += 6;
        if (code >= 0xD800 && code <= 0xDBFF) {
                code = 0x10000 + ((code - 0xD800) << 10) + ((uint32_t) hex4(s + 2) - 0xDC00);
                s += 6;
        }
        *p = s;
        return utf8_put(ret, code);
}

/* What a name spells, cut between characters to fit size with a NUL. */
static void spell(const struct name *n, char *ret, size_t size) {
        const char *p = n->start, *end = n->start + n->size;
        size_t used = 0;

        while (p < end) {
                char c[4];
                size_t length = next_character(&p, c);

                if (used + length >= size)
                        break;
                memcpy(ret + used, c, length);
                used += length;
        }
        ret[used] = 0;
}

static uint32_t hash_name(const struct name *n) {
        const char *p = n->start, *end = n->start + n->size;
        uint32_t hash = 2166136261U;

        while (p < end) {
                char c[4];
                size_t length = next_character(&p, c);

                for (size_t i = 0; i < length; i++)
                        hash = (hash ^ (uint8_t) c[i]) * 16777619U;
        }
        return hash;
}

/* Do they spell the same? "a" and "\u0061" do. */
static bool same_name(const struct name *a, const struct name *b) {
        const char *p = a->start, *p_end = a->start + a->size;
        const char *q = b->start, *q_end = b->start + b->size;

        if (a->hash != b->hash)
                return false;
        while (p < p_end && q < q_end) {
                char c[4], d[4];
                size_t n = next_character(&p, c), m = next_character(&q, d);

                if (n != m || memcmp(c, d, n) != 0)
                        return false;
        }
        return p == p_end && q == q_end;
}

/* Such a member is for whoever reads the parameters to refuse; the first one is kept. */
static void note_member(struct scan *s, const struct name *n) {
        if (s->result->name[0] == 0)
                spell(n, s->result->name, sizeof(s->result->name));
}

static bool scan_escape(struct scan *s) {
        int32_t code, low;

        if (s->end - s->at >= 2 && unescape(s->at[1])) {
                s->at += 2;
                return true;
        }
        code = s->end - s->at >= 6 && s->at[1] == 'u' ? hex4(s->at + 2) : -1;
        if (code < 0)
                return fail(s, "no such escape");
        if (code == 0)
                return fail(s, "the character U+0000");
        if (code >= 0xDC00 && code <= 0xDFFF)
                return fail(s, "a lone surrogate");
        if (code >= 0xD800 && code <= 0xDBFF) {
                low = s->end - s->at >= 12 && s->at[6] == '\\' && s->at[7] == 'u' ? hex4(s->at + 8)
                                                                                  : -1;
                if (low < 0xDC00 || low > 0xDFFF)
                        return fail(s, "a lone surrogate");
                s->at += 6;
        }
        s->at += 6;
        return true;
}

static bool scan_string(struct scan *s, struct name *ret) {
        if (!peek_is(s, '"'))
                return fail(s, "a string was expected");
        s->at++;
        ret->start = s->at;
        while (s->at < s->end && *s->at != '"') {
                size_t length;

                if (*s->at == '\\') {
                        if (!scan_escape(s))
                                return false;
                        continue;
                }
                if ((uint8_t) *s->at < 0x20)
                        return fail(s, "a control character in a string");
                length = utf8_length(s->at, (size_t) (s->end - s->at));
                if (length == 0)
                        return fail(s, "bytes that are not UTF-8");
                s->at += length;
        }
        if (s->at == s->end)
                return fail(s, "a string without its end");
        ret->size = (size_t) (s->at - ret->start);
        s->at++;
        return true;
}

static bool scan_digits(struct scan *s) {
        if (!peek_is_digit(s))
                return fail(s, "a digit was expected");
        while (peek_is_digit(s))
                s->at++;
        return true;
}

static bool fits_int64(const char *digits, size_t n, bool negative) {
        uint64_t value = 0, max = (uint64_t) INT64_MAX + negative;

        for (size_t i = 0; i < n; i++) {
                unsigned digit = (unsigned) (digits[i] - '0');

                if (value > (max - digit) / 10)
                        return false;
                value = value * 10 + digit;
        }
        return true;
}

static bool scan_number(struct scan *s) {
        bool negative = peek_is(s, '-'), whole = true;
        const char *digits;
        size_t n;

        s->at += negative;
        digits = s->at;
        if (peek_is(s, '0'))
                s->at++;
        else if (!scan_digits(s))
                return false;
        n = (size_t) (s->at - digits);
        if (peek_is(s, '.')) {
                whole = false;
                s->at++;
                if (!scan_digits(s))
                        return false;
        }
        if (peek_is(s, 'e') || peek_is(s, 'E')) {
                whole = false;
                s->at++;
                if (peek_is(s, '+') || peek_is(s, '-'))
                        s->at++;
                if (!scan_digits(s))
                        return false;
        }
        if (whole && !fits_int64(digits, n, negative)) {
                if (!s->member)
                        return fail(s, "a number beyond 64 bits");
                note_member(s, s->member);
        }
        return true;
}

static bool scan_word(struct scan *s, const char *word) {
        size_t n = strlen(word);

        if ((size_t) (s->end - s->at) < n || memcmp(s->at, word, n) != 0)
                return fail(s, "a value was expected");
        s->at += n;
        return true;
}

static bool scan_value(struct scan *s);

/* One member; names holds the n before it. */
static bool scan_member(struct scan *s, struct name *names, size_t n) {
        const struct name *outer = s->member;
        bool ok;

        if (n == VALIDATE_KEYS_MAX)
                return fail(s, "too many members in an object");
        if (!scan_string(s, &names[n]))
                return false;
        names[n].hash = hash_name(&names[n]);
        for (size_t i = 0; i < n; i++) {
                if (!same_name(&names[i], &names[n]))
                        continue;
                if (s->depth == 1)
                        return fail(s, "a member that stands twice");
                note_member(s, &names[n]);
                break;
        }
        skip_space(s);
        if (!peek_is(s, ':'))
                return fail(s, "':' was expected");
        s->at++;
        s->member = &names[n];
        ok = scan_value(s);
        s->member = outer;
        return ok;
}

static bool scan_object(struct scan *s) {
        struct name names[VALIDATE_KEYS_MAX];

        s->at++;
        skip_space(s);
        if (peek_is(s, '}')) {
                s->at++;
                return true;
        }
        for (size_t n = 0;; n++) {
                skip_space(s);
                if (!scan_member(s, names, n))
                        return false;
                if (peek_is(s, '}')) {
                        s->at++;
                        return true;
                }
                if (!peek_is(s, ','))
                        return fail(s, "',' or '}' was expected");
                s->at++;
        }
}

static bool scan_array(struct scan *s) {
        s->at++;
        skip_space(s);
        if (peek_is(s, ']')) {
                s->at++;
                return true;
        }
        for (;;) {
                if (!scan_value(s))
                        return false;
                if (peek_is(s, ']')) {
                        s->at++;
                        return true;
                }
                if (!peek_is(s, ','))
                        return fail(s, "',' or ']' was expected");
                s->at++;
        }
}

/* A value and the white space on both sides. Recursion ends at VALIDATE_DEPTH_MAX. */
static bool scan_value(struct scan *s) {
        struct name ignored;
        bool ok;

        skip_space(s);
        if (s->at == s->end)
                return fail(s, "a value was expected");
        switch (*s->at) {
        case '{':
        case '[':
                if (s->depth == VALIDATE_DEPTH_MAX)
                        return fail(s, "nested too deep");
                s->depth++;
                ok = *s->at == '{' ? scan_object(s) : scan_array(s);
                s->depth--;
                break;
        case '"':
                ok = scan_string(s, &ignored);
                break;
        case 't':
                ok = scan_word(s, "true");
                break;
        case 'f':
                ok = scan_word(s, "false");
                break;
        case 'n':
                ok = scan_word(s, "null");
                break;
        case '-':
        case '0' ... '9':
                ok = scan_number(s);
                break;
        default:
                return fail(s, "a value was expected");
        }
        if (ok)
                skip_space(s);
        return ok;
}

int validate(const char *text, size_t size, struct validation *ret) {
        struct scan s = { .text = text, .at = text, .end = text + size, .result = ret };

        *ret = (struct validation){};
        if (!scan_value(&s))
                return -EBADMSG;
        if (s.at != s.end) {
                fail(&s, "more than one value");
                return -EBADMSG;
        }
        return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "cli/json.h"
#include "cli/glyph.h"

static int bad(struct json *j, int error, const char *what) {
        if (!j->error)
                j->error = what;
        return error;
}

static int expected(struct json *j, const char *what) {
        /* The NUL behind the text is no byte of it: what was begun has not been ended. */
        if (*j->p == '\0')
                return bad(j, -EBADMSG, "it ends too early");
        return bad(j, -EPROTO, what);
}

static inline void skip_space(struct json *j) {
        if ((unsigned char) *j->p > ' ')
                return;
        while (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r') {
                j->p++;
                j->rewrite = true;
        }
}

void json_start(struct json *j, const char *text) {
        *j = (struct json){ .p = text, .start = text };
}

static int open_bracket(struct json *j, char bracket, const char *what) {
        skip_space(j);
        if (*j->p != bracket)
                return expected(j, what);
        if (j->depth >= JSON_DEPTH_MAX)
                return bad(j, -EBADMSG, "it is nested too deep");
        j->p++;
        j->depth++;
        return 0;
}

int json_open_object(struct json *j) {
        return open_bracket(j, '{', "an object was expected");
}

int json_open_array(struct json *j) {
        return open_bracket(j, '[', "an array was expected");
}

/* Between two members: 1 another one follows, 0 the bracket that closes was taken. */
static int next_member(struct json *j, bool *first, char close) {
        skip_space(j);
        if (*j->p == close) {
                j->p++;
                j->depth--;
                return 0;
        }
        if (*first) {
                *first = false;
                return 1;
        }
        if (*j->p != ',')
                return bad(j, -EBADMSG, *j->p ? "a comma was expected" : "it ends too early");
        j->p++;
        skip_space(j);
        if (*j->p == close)
                return bad(j, -EBADMSG, "nothing stands behind a comma");
        return 1;
}

int json_element(struct json *j, bool *first) {
        return next_member(j, first, ']');
}

int json_key(struct json *j, bool *first, struct json_string *ret) {
        int r;

        r = next_member(j, first, '}');
        if (r <= 0)
                return r;
        if (*j->p != '"')
                return bad(j, -EBADMSG, *j->p ? "a key was expected" : "it ends too early");
        r = json_string(j, ret);
        if (r < 0)
                return r;
        skip_space(j);
        if (*j->p != ':')
                return bad(j, -EBADMSG, *j->p ? "a colon was expected" : "it ends too early");
        j->p++;
        return 1;
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* The four digits behind \u; -1 if they are none. */
static int32_t hex_four(const char *p) {
        int32_t code = 0;

        for (int i = 0; i < 4; i++) {
                int digit = hex_value(p[i]);

                if (digit < 0)
                        return -1;
                code = code << 4 | digit;
        }
        return code;
}

/*
 * The escape that begins at p, on its backslash: how many bytes it takes, 0 if it is none. A pair
 * of surrogates is one escape.
 */
size_t json_escape(const char *p, uint32_t *ret) {
        static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
        const char *name;
        int32_t high, low;

        if (p[1] == '\0')
                return 0;
        name = strchr(names, p[1]);
        if (name) {
                *ret = (uint32_t) values[name - names];
                return 2;
        }
        if (p[1] != 'u')
                return 0;
        high = hex_four(p + 2);
        if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
                return 0;
        *ret = (uint32_t) high;
        if (high < 0xd800 || high > 0xdbff)
                return 6;
        if (p[6] != '\\' || p[7] != 'u')
                return 0;
        low = hex_four(p + 8);
        if (low < 0xdc00 || low > 0xdfff)
                return 0;
        *ret = 0x10000 + ((uint32_t) (high - 0xd800) << 10) + (uint32_t) (low - 0xdc00);
        return 12;
}

int json_string_slow(struct json *j, struct json_string *ret) {
        const char *p, *start;
        bool plain = true;
        uint32_t code;
        size_t n;

        skip_space(j);
        if (*j->p != '"')
                return expected(j, "a string was expected");
        p = start = j->p + 1;
        for (;;) {
                p = json_pass_plain(p);
                if (*p == '"') {
                        if ((size_t) (p - start) > UINT32_MAX)
                                return bad(j, -EBADMSG, "a string is too long");
                        *ret = (struct json_string){ start, (uint32_t) (p - start), plain };
                        j->p = p + 1;
                        return 0;
                }
                plain = false;
                if (*p == '\\') {
                        n = json_escape(p, &code);
                        if (n == 0)
                                return bad(j, -EBADMSG, "a string has an escape that is none");
                        p += n;
                        continue;
                }
                if ((unsigned char) *p < 0x20)
                        return bad(j, -EBADMSG,
                                   *p ? "a string has a raw control character"
                                      : "it ends too early");
                /* The NUL behind the text ends a sequence that is cut off. */
                n = glyph_read(p, 4, &code);
                if (n == 0)
                        return bad(j, -EBADMSG, "a string is not UTF-8");
                if (glyph_unsafe(code))
                        j->rewrite = true;
                p += n;
        }
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Passes over a number; *ret_integer says whether it is written without fraction and exponent. */
static int scan_number(struct json *j, bool *ret_integer) {
        const char *p = j->p;

        *ret_integer = true;
        if (*p == '-')
                p++;
        if (!is_digit(*p))
                return bad(j, -EBADMSG, "a value was expected");
        if (*p == '0')
                p++;
        else
                while (is_digit(*p))
                        p++;
        if (*p == '.') {
                *ret_integer = false;
                p++;
                if (!is_digit(*p))
                        return bad(j, -EBADMSG, "a number is not written as one");
                while (is_digit(*p))
                        p++;
        }
        if (*p == 'e' || *p == 'E') {
                *ret_integer = false;
                p++;
                if (*p == '+' || *p == '-')
                        p++;
                if (!is_digit(*p))
                        return bad(j, -EBADMSG, "a number is not written as one");
                while (is_digit(*p))
                        p++;
        }
        if (is_digit(*p))
                return bad(j, -EBADMSG, "a number has a zero in front");
        j->p = p;
        return 0;
}

/* With all the care that json_integer() spares, and a word on what is wrong. */
static int integer_slow(struct json *j, int64_t *ret) {
        uint64_t value = 0, limit = INT64_MAX;
        const char *start, *p;
        bool integer;
        int r;

        start = j->p;
        if (*start != '-' && !is_digit(*start))
                return expected(j, "a number was expected");
        r = scan_number(j, &integer);
        if (r < 0)
                return r;
        if (!integer)
                return bad(j, -EPROTO, "a whole number was expected");
        limit += *start == '-';
        for (p = start + (*start == '-'); p < j->p; p++) {
                unsigned digit = (unsigned) (*p - '0');

                if (value > (limit - digit) / 10)
                        return bad(j, -EPROTO, "a number is out of range");
                value = value * 10 + digit;
        }
        *ret = *start == '-' ? (int64_t) (0 - value) : (int64_t) value;
        return 0;
}

/* How many of the eight bytes, from the lowest on, are digits. */
static inline unsigned count_digits(uint64_t v) {
        uint64_t other = v ^ JSON_EACH('0');

        /* The high bit of each byte over 9; a carry only reaches bytes above one that has it. */
        other = (other | (other + JSON_EACH(0x76))) & JSON_EACH(0x80);
        return other ? (unsigned) __builtin_ctzll(other) >> 3 : 8;
}

/* The value of eight digits, the first of them in the lowest byte: neighbours are added up. */
static inline uint64_t eight_digits(uint64_t v) {
        v = (v & JSON_EACH(0x0f)) * 2561 >> 8;
        v = (v & UINT64_C(0x00ff00ff00ff00ff)) * 6553601 >> 16;
        return (v & UINT64_C(0x0000ffff0000ffff)) * UINT64_C(42949672960001) >> 32;
}

int json_integer(struct json *j, int64_t *ret) {
        static const uint32_t powers[] = { 1,      10,      100,      1000,     10000,
                                           100000, 1000000, 10000000, 100000000 };
        const char *p, *start;
        uint64_t value = 0, v;
        unsigned n;

        skip_space(j);
        p = start = j->p;
        do {
                memcpy(&v, p, sizeof(v));
                n = count_digits(v);
                if (n > 0)
                        value = value * powers[n] + eight_digits(v << (64 - 8 * n));
                p += n;
        } while (n == 8 && p - start <= 16);
        /* Eighteen digits always fit. */
        if (p == start || p - start > 18 || (*start == '0' && p - start > 1) || *p == '.' ||
            *p == 'e' || *p == 'E')
                return integer_slow(j, ret);
        *ret = (int64_t) value;
        j->p = p;
        return 0;
}

/* A letter behind the word would begin something else. */
static bool take_word(struct json *j, const char *word, size_t n) {
        if (strncmp(j->p, word, n) != 0)
                return false;
        j->p += n;
        return true;
}

int json_bool(struct json *j, bool *ret) {
        skip_space(j);
        if (take_word(j, "true", 4))
                *ret = true;
        else if (take_word(j, "false", 5))
                *ret = false;
        else
                return expected(j, "true or false was expected");
        return 0;
}

int json_null(struct json *j) {
        skip_space(j);
        return *j->p == 'n' && take_word(j, "null", 4);
}

int json_skip(struct json *j) {
        char closes[JSON_DEPTH_MAX];
        unsigned depth = 0;
        bool first = true;

        for (;;) {
                struct json_string string;
                bool integer, truth;
                int r;

                /* A value. */
                skip_space(j);
                switch (*j->p) {
                case '{':
                case '[':
                        string.data = j->p;
                        r = open_bracket(j, *j->p, "");
                        if (r < 0)
                                return r;
                        closes[depth++] = *string.data == '{' ? '}' : ']';
                        first = true;
                        break;
                case '"':
                        r = json_string(j, &string);
                        break;
                case 't':
                case 'f':
                        r = json_bool(j, &truth);
                        break;
                case 'n':
                        r = json_null(j) ? 0 : bad(j, -EBADMSG, "a value was expected");
                        break;
                case '\0':
                        r = bad(j, -EBADMSG, "it ends too early");
                        break;
                default:
                        r = scan_number(j, &integer);
                        break;
                }
                if (r < 0)
                        return -EBADMSG;

                /* What is around it: go on to the next value, or out by the brackets that close. */
                for (;;) {
                        if (depth == 0)
                                return 0;
                        r = closes[depth - 1] == '}' ? json_key(j, &first, &string)
                                                     : json_element(j, &first);
                        if (r < 0)
                                return r;
                        if (r > 0)
                                break;
                        depth--;
                        first = false;
                }
        }
}

int json_finish(struct json *j) {
        skip_space(j);
        if (*j->p != '\0')
                return bad(j, -EBADMSG, "something stands behind it");
        return 0;
}

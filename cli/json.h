/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * JSON (RFC 8259) as it comes from a server that need not be friendly, read in place and once:
 * values are taken in the order in which they stand, strings stay where they are. Strict: what is
 * no JSON (NaN, raw control characters, invalid UTF-8, lone surrogates, commas too many) is an
 * error, and so is a depth over JSON_DEPTH_MAX. A tree of objects, as json-c builds it, costs ten
 * times as much.
 *
 * The text must hold no NUL byte, be shorter than 4 GiB, and be followed by JSON_PADDING bytes that
 * are no part of it, the first of them NUL: it is read by eight bytes at a time.
 */

#define JSON_DEPTH_MAX 16
#define JSON_PADDING   8

/* The characters between the quotes, escapes as they stand. data is NULL for null. */
struct json_string {
        const char *data;
        uint32_t size;
        bool plain; /* no escapes and nothing outside of printable ASCII */
};

struct json {
        const char *p;
        const char *start;
        unsigned depth;
        bool rewrite; /* met since it was last reset: white space, or bytes a terminal may take for
                         a command */
        const char *error; /* static: what is wrong; NULL while nothing is */
        const char *field; /* static: where, if known */
};

void json_start(struct json *j, const char *text);

/* Each returns negative errno: -EBADMSG it is no JSON, -EPROTO it is not what was asked for. */

/* Takes the bracket that opens an object or an array. */
int json_open_object(struct json *j);
int json_open_array(struct json *j);
/* The next key and its colon: 1; the end of the object: 0. *first starts as true. */
int json_key(struct json *j, bool *first, struct json_string *ret);
/*
 * A key with its quotes and colon, `"name":`, to be compared by eight bytes at a time: n of them,
 * and zeros behind.
 */
#define JSON_TOKEN_MAX 24
struct json_token {
        char text[JSON_TOKEN_MAX];
        size_t n;
};

/*
 * Takes the next key and its colon if they stand there just as in the token; else nothing, and
 * json_key() is to find out what does. *first as there.
 */
static inline bool json_key_is(struct json *j, bool *first, const struct json_token *token) {
        const char *p = j->p;

        if (!*first && *p++ != ',')
                return false;
        for (size_t at = 0; at < token->n; at += 8) {
                uint64_t is, wanted;

                /* Text that ends before the token does differs from it by its NUL: no look beyond.
                 */
                memcpy(&is, p + at, sizeof(is));
                memcpy(&wanted, token->text + at, sizeof(wanted));
                is ^= wanted;
                if (token->n - at < 8)
                        is <<= 8 * (8 - (token->n - at));
                if (is)
                        return false;
        }
        *first = false;
        j->p = p + token->n;
        return true;
}

/* Goes to the next element: 1; the end of the array: 0. *first starts as true. */
int json_element(struct json *j, bool *first);

#define JSON_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first of eight bytes is the lowest");

/*
 * The first byte from p on that is a quote, a backslash, or outside of printable ASCII. Each
 * subtraction sets the high bit of the bytes that it looks for, and perhaps of others above one.
 */
static inline const char *json_pass_plain(const char *p) {
        for (;; p += 8) {
                uint64_t v, special;

                memcpy(&v, p, sizeof(v));
                /* Below 0x20, or 0x22, the quote, which the XOR puts at 0x20; or the backslash. */
                special = ((v ^ JSON_EACH(0x02)) - JSON_EACH(0x21)) |
                          ((v ^ JSON_EACH('\\')) - JSON_EACH(0x01));
                special = ((special & ~v) | v | (v + JSON_EACH(0x01))) & JSON_EACH(0x80);
                if (special)
                        return p + (__builtin_ctzll(special) >> 3);
        }
}

/* What json_string() does not take at once: for it alone. */
int json_string_slow(struct json *j, struct json_string *ret);

/* Scalars. null takes none of them; ask json_null() before. */
static inline int json_string(struct json *j, struct json_string *ret) {
        const char *p = j->p;

        if (*p == '"') {
                const char *end = json_pass_plain(p + 1);

                if (*end == '"') {
                        *ret = (struct json_string){ p + 1, (uint32_t) (end - p - 1), true };
                        j->p = end + 1;
                        return 0;
                }
        }
        return json_string_slow(j, ret);
}
int json_integer(struct json *j, int64_t *ret);
int json_bool(struct json *j, bool *ret);
/* Takes a null if there is one: 1 it was, 0 it is something else. */
int json_null(struct json *j);

/* Any value, checked and passed over. */
int json_skip(struct json *j);
/* Nothing but white space may be left. */
int json_finish(struct json *j);

/*
 * The escape that begins at p, on its backslash, with its code point: how many bytes it takes, 0 if
 * it is none. A pair of surrogates is one escape.
 */
size_t json_escape(const char *p, uint32_t *ret);

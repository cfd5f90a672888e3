/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <string.h>

#include "cli/buf.h"

/*
 * JSON (RFC 8259) as it comes from a server that need not be friendly, read in place and once:
 * values are taken in the order in which they stand, strings stay where they are. Strict: what is
 * no JSON (NaN, raw control characters, invalid UTF-8, lone surrogates, commas too many) is an
 * error, and so is a depth over JSON_DEPTH_MAX. A tree of objects, as json-c builds it, costs ten
 * times as much.
 *
 * The text must hold no NUL byte and be followed by JSON_PADDING bytes that are no part of it, the
 * first of them NUL: it is read by eight bytes at a time.
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
 * Takes the next key and its colon if they stand there just as in token, `"name":` of n bytes; else
 * nothing, and json_key() is to find out what does. *first as there.
 */
static inline bool json_key_is(struct json *j, bool *first, const char *token, size_t n) {
        const char *p = j->p;

        if (!*first && *p++ != ',')
                return false;
        if (strncmp(p, token, n) != 0)
                return false;
        *first = false;
        j->p = p + n;
        return true;
}
/* Goes to the next element: 1; the end of the array: 0. *first starts as true. */
int json_element(struct json *j, bool *first);

/* Scalars. null takes none of them; ask json_null() before. */
int json_string(struct json *j, struct json_string *ret);
int json_integer(struct json *j, int64_t *ret);
int json_bool(struct json *j, bool *ret);
/* Takes a null if there is one: 1 it was, 0 it is something else. */
int json_null(struct json *j);

/* Any value, checked and passed over. */
int json_skip(struct json *j);
/* Nothing but white space may be left. */
int json_finish(struct json *j);

/*
 * Prints a value that was read without error: on one line, or indented by two blanks a level; bytes
 * that a terminal might take for a command become escapes.
 */
void json_print(struct buf *b, const char *text, size_t n, bool pretty);

/*
 * The text of a string for a table: escapes undone, then whatever must not reach a terminal as
 * \xHH, byte by byte; with ascii everything outside of ASCII too, with no_blanks blanks too.
 */
void json_show(struct buf *b, const struct json_string *s, bool ascii, bool no_blanks);

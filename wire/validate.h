/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

#define VALIDATE_DEPTH_MAX 16U
#define VALIDATE_KEYS_MAX  64U

/*
 * Members that a JSON text may have and no parameter can: one that stands twice in its object, or a
 * whole number that does not fit 64 bits. Names longer than this are cut.
 */
#define VALIDATE_NAME_MAX 64U

struct validation {
        const char *problem;          /* -EBADMSG: a few words, static */
        size_t offset;                /* -EBADMSG: of the byte where it showed */
        char name[VALIDATE_NAME_MAX]; /* of the first such member below the top level; empty: none
                                       */
};

/*
 * Is text exactly one JSON value as RFC 8259 has it, with white space around it? Stricter than the
 * parser that comes after: well-formed UTF-8 (RFC 3629) without U+0000 and lone surrogates, nested
 * at most VALIDATE_DEPTH_MAX deep, at most VALIDATE_KEYS_MAX members in an object, and no member
 * twice in the outermost one. Returns 0 or -EBADMSG; *ret is written either way.
 */
int validate(const char *text, size_t size, struct validation *ret);

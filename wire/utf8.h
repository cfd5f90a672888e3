/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The length, 1 to 4, of the well-formed UTF-8 sequence that begins at s, or 0 if none does within
 * size bytes. Well-formed is what RFC 3629, section 4, says: no overlong forms, no surrogates,
 * nothing above U+10FFFF.
 */
size_t utf8_length(const char *s, size_t size);

/* Writes a code point, at most 0x10FFFF and no surrogate; returns how many bytes. */
size_t utf8_put(char ret[static 4], uint32_t code);

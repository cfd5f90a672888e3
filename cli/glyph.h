/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters as a terminal sees them. */

/*
 * The length of the UTF-8 sequence that begins the size bytes at s, with its code point, or 0 if
 * none does. Does not read past a byte that ends the sequence early, a NUL for instance.
 */
size_t glyph_read(const char *s, size_t size, uint32_t *ret_code);

/*
 * Must not reach a terminal as it is: C0, DEL and C1 controls, and the marks that reorder the text
 * around them (UAX #9, explicit formatting characters).
 */
bool glyph_unsafe(uint32_t code);

/*
 * Columns that n bytes of UTF-8 take on a terminal: by wcwidth() where the locale can tell, else
 * one a character.
 */
size_t glyph_width(const char *s, size_t n);

/* How many of the n bytes of UTF-8 at s fit into so many columns, in whole characters. */
size_t glyph_fit(const char *s, size_t n, size_t columns);

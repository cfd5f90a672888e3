/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Standard output: written in big pieces, through a pager when it is a terminal. One of it in a
 * process, so it keeps its state to itself.
 */

/*
 * Looks at what standard output is. On a terminal the locale's character set is taken over, and,
 * with pager, PORTWATCH_PAGER, PAGER or less is started; an empty one or "cat" is none.
 */
void out_setup(bool pager);

bool out_terminal(void); /* directly or through the pager */
bool out_colour(void);   /* on a terminal that has colours, unless NO_COLOR is set */
bool out_ascii(void);    /* a terminal whose character set is not UTF-8 */
size_t out_width(void);  /* of the terminal, in columns; SIZE_MAX if it is none */

void out_write(const char *data, size_t n);
void out_text(const char *s);
/* At the most 1 KiB a call; what is longer is cut. */
__attribute__((format(printf, 1, 2))) void out_format(const char *format, ...);

/* Hands on what was written; false when nobody reads any more or it failed. */
bool out_flush(void);
/* Nobody reads any more, or writing failed: no use to go on. */
bool out_gone(void);

/*
 * Flushes and waits for the pager. 0, or negative errno if something could not be written; a reader
 * that went away is no error.
 */
int out_finish(void);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/buf.h"
#include "cli/json.h"

/* JSON that was read without error, on its way to somebody who reads it. */

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

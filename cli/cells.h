/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/columns.h"

/* What stands in a cell, from the parts of rows; used by the table of columns and by port and
 * status. */

void cell_string(struct buf *b, const struct style *style, const struct json_string *s);
void cell_number(struct buf *b, int64_t n);
/* "*" is one of several, or one that is not known. */
void cell_port(struct buf *b, int64_t port);
/* "192.0.2.1:80", "[2001:db8::1]:80". */
void cell_endpoint(struct buf *b, const struct style *style, const struct endpoint *e);
void cell_time(struct buf *b, const struct style *style, int64_t usec);
/* "312", "1.2K", "35M": powers of 1024. */
void cell_size(struct buf *b, int64_t bytes);
/* How long a connection lasted, or has lasted so far. */
void cell_duration(struct buf *b, const struct style *style, const struct reply_socket *s);
/* The user's name where the machine knows one. */
void cell_user(struct buf *b, int64_t uid);
/* What an event was about, in a few words. */
void cell_detail(struct buf *b, const struct style *style, const struct row *row);

bool string_is(const struct json_string *s, const char *word);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/args.h"
#include "cli/ask.h"
#include "cli/table.h"

/* Rows from the server to standard output: as a table or as JSON, chosen, in order, the last N. */

struct list {
        const struct args *args;
        struct table table; /* of JSON too, whose lines it then keeps */
        struct buf json;
        bool direct; /* JSON whose order does not matter goes out at once */
        uint64_t shown;
};

/*
 * Gets ready to print rows of a set: chooses the columns, and looks at standard output, with a
 * pager unless streaming. direct as in struct list. An exit status.
 */
int list_init(struct list *l, const struct args *args, unsigned set, const char *columns,
              bool pager, bool direct);
/* Frees all; accepts NULL. */
void list_done(struct list *l);

/* Answers --columns=help: true if that was asked, with the exit status. */
bool list_help(const struct args *args, unsigned set, int *ret_status);

/* Has a socket been opened in the time that the command line names? */
bool list_in_time(const struct args *args, const struct reply_socket *socket);

/*
 * Adds a row (a struct count in SET_COUNTS) that the server wrote as text, with its place in the
 * order. 0 or negative errno; -ECANCELED when nobody reads any more.
 */
int list_add(struct list *l, uint64_t key, uint64_t id, const void *item, const char *text,
             size_t size, bool rewrite);

/* Prints what there is and forgets it, with more to come. -ECANCELED when nobody reads any more. */
int list_flush(struct list *l);

/*
 * Puts all in order, prints it and, on a terminal, how many there are of what one and many name
 * (NULL: do not say). An exit status.
 */
int list_finish(struct list *l, const char *one, const char *many);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/columns.h"
#include "cli/lines.h"

/*
 * Rows on their way to standard output. Lists are printed once all rows are there: on a terminal by
 * libsmartcols, which fits them to its width; elsewhere, where nothing is cut and every cell is as
 * wide as the widest one, by the few lines it takes (libsmartcols needs 2.6 ms for 400 rows of 10
 * cells, more than all the rest of the program). Events are printed as they come, in columns that
 * only ever get wider.
 */

struct table {
        struct columns columns;
        unsigned set;
        struct style style;
        bool legend;
        bool headed; /* the header has been printed */
        size_t widths[COLUMNS_MAX];
        struct lines lines;
        struct buf scratch;
};

/* legend: print a header. The columns are copied. */
void table_init(struct table *t, const struct columns *columns, unsigned set, bool legend);
/* Frees all; accepts NULL. */
void table_done(struct table *t);

/* Puts another column, which must last as long as the table, in the place of number i. */
void table_set_column(struct table *t, size_t i, const struct column *c);

/* Adds a row (a struct count in SET_COUNTS), with its place in the order. As lines_add(). */
int table_add(struct table *t, uint64_t key, uint64_t id, const void *item);

/* Prints the rows, as a list. 0 or -ENOMEM. */
int table_print(struct table *t);
/* Prints the rows there are, with more to come, and forgets them. */
void table_flush(struct table *t);

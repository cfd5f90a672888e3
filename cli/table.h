/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <string.h>

#include "cli/columns.h"
#include "cli/lines.h"

/*
 * Rows on their way to standard output. Lists are printed once all rows are there: on a terminal by
 * libsmartcols, see smart.h; elsewhere, where nothing is cut and every cell is as wide as the
 * widest one, by the few lines that this takes. Events are printed as they come, in columns that
 * only ever get wider.
 */

/* A row is kept as its tint, a byte, and its cells, each behind such a head. */
struct cell {
        unsigned size : 14;
        unsigned width : 14; /* columns on the terminal */
        unsigned tint : 4;
};
_Static_assert(sizeof(struct cell) == 4, "a head is small next to its cell");

/* What a header is written in where there are colours: underlined. */
#define CELL_HEADER_CODE "\x1b[4m"

/* Takes the cell at p off a row, with its text; returns where the next one is. */
static inline const char *cell_next(const char *p, struct cell *ret, const char **ret_text) {
        memcpy(ret, p, sizeof(*ret));
        *ret_text = p + sizeof(*ret);
        return *ret_text + ret->size;
}

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

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "cli/glyph.h"
#include "cli/out.h"
#include "cli/smart.h"

#define CUT_MIN 12 /* no column is cut to less */

/* The functions of libsmartcols that are used, each as X(name). */
#define FUNCTIONS(X)                                                                               \
        X(scols_cell_set_color)                                                                    \
        X(scols_column_get_header)                                                                 \
        X(scols_line_get_cell)                                                                     \
        X(scols_line_refer_data)                                                                   \
        X(scols_line_set_color)                                                                    \
        X(scols_new_table)                                                                         \
        X(scols_print_table_to_string)                                                             \
        X(scols_table_enable_colors)                                                               \
        X(scols_table_enable_noencoding)                                                           \
        X(scols_table_enable_noheadings)                                                           \
        X(scols_table_new_column)                                                                  \
        X(scols_table_new_line)                                                                    \
        X(scols_table_set_termforce)                                                               \
        X(scols_table_set_termwidth)                                                               \
        X(scols_unref_table)

#define MEMBER(name) __typeof__ (&(name))(name);
static struct { FUNCTIONS(MEMBER) } smart;

#define SYMBOL(name) { #name, &smart.name },
static const struct {
        const char *name;
        void *function; /* the pointer to it */
} symbols[] = { FUNCTIONS(SYMBOL) };

static const char *const tint_names[] = {
        [TINT_NONE] = NULL,
        [TINT_NOTICE] = "yellow",
        [TINT_ALERT] = "red",
};

/* The library stays until the end. */
static bool load(void) {
        void *library = dlopen("libsmartcols.so.1", RTLD_NOW | RTLD_LOCAL);

        if (!library)
                return false;
        for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
                void *function = dlsym(library, symbols[i].name);

                if (!function)
                        return false;
                memcpy(symbols[i].function, &function, sizeof(function));
        }
        return true;
}

/*
 * Makes the columns that may be cut narrower, the widest first, until all fit on the terminal or
 * none can give any more. libsmartcols would cut without a mark that something is missing.
 */
static void fit_widths(const struct table *t, size_t fitted[static COLUMNS_MAX]) {
        size_t total = t->columns.n - 1;

        for (size_t i = 0; i < t->columns.n; i++)
                total += fitted[i] = t->widths[i];
        while (total > out_width()) {
                size_t widest = SIZE_MAX;

                for (size_t i = 0; i < t->columns.n; i++)
                        if ((t->columns.list[i]->flags & COLUMN_TRUNC) && fitted[i] > CUT_MIN &&
                            (widest == SIZE_MAX || fitted[i] > fitted[widest]))
                                widest = i;
                if (widest == SIZE_MAX)
                        return;
                fitted[widest]--;
                total--;
        }
}

/* A cell's text, cut to a width with a mark at the end if it is wider. NULL: no memory. */
static char *fit_text(const char *text, const struct cell *cell, size_t width) {
        const char *mark = out_ascii() ? "~" : "\xe2\x80\xa6";
        size_t n = cell->size, mark_size = strlen(mark);
        char *copy;

        if (cell->width <= width)
                return strndup(text, n);
        n = glyph_fit(text, n, width - 1);
        copy = malloc(n + mark_size + 1);
        if (!copy)
                return NULL;
        memcpy(copy, text, n);
        memcpy(copy + n, mark, mark_size + 1);
        return copy;
}

/* One row for libsmartcols, which takes the strings over. */
static int add_smart_line(const struct table *t, struct libscols_table *table,
                          const struct line *line, const size_t *fitted) {
        struct libscols_line *l = smart.scols_table_new_line(table, NULL);
        enum tint row_tint = (enum tint) line->data[0];
        const char *p = line->data + 1;

        if (!l)
                return -ENOMEM;
        if (row_tint != TINT_NONE && out_colour() &&
            smart.scols_line_set_color(l, tint_names[row_tint]) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < t->columns.n; i++) {
                struct cell cell;
                const char *text;
                char *copy;

                p = cell_next(p, &cell, &text);
                copy = fit_text(text, &cell, fitted[i]);
                if (!copy)
                        return -ENOMEM;
                if (smart.scols_line_refer_data(l, i, copy) < 0) {
                        free(copy);
                        return -ENOMEM;
                }
                if (row_tint == TINT_NONE && cell.tint != TINT_NONE && out_colour() &&
                    smart.scols_cell_set_color(smart.scols_line_get_cell(l, i),
                                               tint_names[cell.tint]) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int fill_smart_table(const struct table *t, struct libscols_table *table) {
        size_t fitted[COLUMNS_MAX];
        int r = 0;

        fit_widths(t, fitted);
        /* The cells have been made safe for a terminal already, and show it in their own way. */
        if (smart.scols_table_enable_noencoding(table, 1) < 0 ||
            smart.scols_table_enable_colors(table, out_colour()) < 0 ||
            smart.scols_table_enable_noheadings(table, !t->legend) < 0 ||
            smart.scols_table_set_termforce(table, SCOLS_TERMFORCE_ALWAYS) < 0 ||
            smart.scols_table_set_termwidth(table, out_width()) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < t->columns.n; i++) {
                const struct column *c = t->columns.list[i];
                int flags = c->flags & COLUMN_RIGHT ? SCOLS_FL_RIGHT : 0;

                struct libscols_column *column =
                        smart.scols_table_new_column(table, c->name, 0, flags);

                if (!column || (out_colour() &&
                                smart.scols_cell_set_color(smart.scols_column_get_header(column),
                                                           CELL_HEADER_CODE) < 0))
                        return -ENOMEM;
        }
        for (size_t i = 0; i < t->lines.n && r >= 0; i++)
                r = add_smart_line(t, table, &t->lines.list[i], fitted);
        return r;
}

/* Printed into memory first: standard output has its own buffer and may be a pager. */
int smart_print(const struct table *t) {
        struct libscols_table *table;
        char *text = NULL;
        int r;

        if (!load())
                return -ENOPKG;
        table = smart.scols_new_table();
        if (!table)
                return -ENOMEM;
        r = fill_smart_table(t, table);
        if (r >= 0)
                r = smart.scols_print_table_to_string(table, &text);
        if (r >= 0 && text) {
                out_text(text);
                /* It leaves out the last one. */
                out_text("\n");
        }
        free(text);
        smart.scols_unref_table(table);
        return r;
}

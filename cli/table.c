/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "cli/glyph.h"
#include "cli/out.h"
#include "cli/table.h"
#include "cli/when.h"

/* Nobody reads more than this as one table, and libsmartcols takes 700 bytes a cell. */
#define TABLE_SMARTCOLS_MAX 5000

/* A row is kept as its tint and its cells, each behind such a head. */
struct cell {
        unsigned size : 14;
        unsigned width : 14; /* columns on the terminal */
        unsigned tint : 4;
};
_Static_assert(sizeof(struct cell) == 4, "a head is small next to its cell");

/* Longer cells are cut; the names of the system are all shorter. */
#define CELL_MAX 16383

static const char *const tint_names[] = {
        [TINT_NONE] = NULL,
        [TINT_NOTICE] = "yellow",
        [TINT_ALERT] = "red",
};
static const char *const tint_codes[] = {
        [TINT_NONE] = "",
        [TINT_NOTICE] = "\x1b[33m",
        [TINT_ALERT] = "\x1b[31m",
};
#define HEADER_CODE "\x1b[4m" /* underlined */
#define COLOUR_END  "\x1b[0m"
#define COLOUR_MAX  5  /* bytes of any of these */
#define HEADER_MAX  16 /* bytes of a column's name */
#define CUT_MIN     12 /* no column is cut to less */

void table_init(struct table *t, const struct columns *columns, unsigned set, bool legend) {
        *t = (struct table){
                .columns = *columns,
                .set = set,
                .style = { .now_usec = when_now(),
                           .ascii = out_ascii(),
                           .machine = !out_terminal() },
                .legend = legend,
        };
        for (size_t i = 0; i < columns->n; i++)
                table_set_column(t, i, columns->list[i]);
}

void table_set_column(struct table *t, size_t i, const struct column *c) {
        t->columns.list[i] = c;
        /* Without a legend too, so that rows look the same. */
        t->widths[i] = strlen(c->name);
}

void table_done(struct table *t) {
        if (!t)
                return;
        lines_done(&t->lines);
        buf_done(&t->scratch);
}

/* Where to cut so many bytes of UTF-8 that nothing is left of the last character. */
static size_t cut(const char *text, size_t size) {
        if (size <= CELL_MAX)
                return size;
        size = CELL_MAX;
        while (size > 0 && ((unsigned char) text[size] & 0xc0) == 0x80)
                size--;
        return size;
}

int table_add(struct table *t, uint64_t key, uint64_t id, const void *item) {
        struct buf *b = &t->scratch;

        b->size = 0;
        buf_char(b, t->set == SET_COUNTS ? TINT_NONE : (char) columns_row_tint(item));
        for (size_t i = 0; i < t->columns.n; i++) {
                const struct column *c = t->columns.list[i];
                size_t at = b->size, size, width;
                struct cell cell;

                if (!buf_reserve(b, sizeof(cell)))
                        return -ENOMEM;
                b->size += sizeof(cell);
                column_put(c, b, &t->style, item);
                if (b->failed)
                        return -ENOMEM;
                size = cut(b->data + at + sizeof(cell), b->size - at - sizeof(cell));
                b->size = at + sizeof(cell) + size;
                width = column_is_plain(c, item) ? size
                                                 : glyph_width(b->data + at + sizeof(cell), size);
                if (width > CELL_MAX)
                        width = CELL_MAX;
                cell = (struct cell){
                        .size = size & CELL_MAX,
                        .width = width & CELL_MAX,
                        .tint = c->tint ? c->tint(item) & 15U : TINT_NONE,
                };
                memcpy(b->data + at, &cell, sizeof(cell));
                if (width > t->widths[i])
                        t->widths[i] = width;
        }
        return lines_add(&t->lines, key, id, b->data, b->size);
}

/* Puts a cell into its column, with the blank behind it; the caller has made room. */
static char *put_cell(char *p, const struct table *t, size_t i, const char *text, size_t size,
                      size_t width, const char *colour) {
        size_t blanks = t->widths[i] > width ? t->widths[i] - width : 0;
        bool right = t->columns.list[i]->flags & COLUMN_RIGHT, last = i + 1 == t->columns.n;

        if (right) {
                memset(p, ' ', blanks);
                p += blanks;
        }
        if (*colour)
                p = stpcpy(p, colour);
        memcpy(p, text, size);
        p += size;
        if (*colour)
                p = stpcpy(p, COLOUR_END);
        if (last)
                *p++ = '\n';
        else {
                blanks = right ? 1 : blanks + 1;
                memset(p, ' ', blanks);
                p += blanks;
        }
        return p;
}

/* What a line has at the most besides the text of its cells. */
static size_t line_extra(const struct table *t) {
        size_t extra = 0;

        for (size_t i = 0; i < t->columns.n; i++)
                extra += t->widths[i] + 1 + 2 * COLOUR_MAX;
        return extra;
}

/* Room for a line of so many bytes; NULL if there is none. */
static char *line_room(struct table *t, size_t size) {
        t->scratch.size = 0;
        return buf_reserve(&t->scratch, size) ? t->scratch.data : NULL;
}

static void print_header(struct table *t) {
        const char *colour = out_colour() ? HEADER_CODE : "";
        char *p;

        if (!t->legend || t->headed)
                return;
        t->headed = true;
        p = line_room(t, line_extra(t) + t->columns.n * HEADER_MAX);
        for (size_t i = 0; p && i < t->columns.n; i++) {
                const char *name = t->columns.list[i]->name;

                p = put_cell(p, t, i, name, strlen(name), strlen(name), colour);
        }
        if (p)
                out_write(t->scratch.data, (size_t) (p - t->scratch.data));
}

/* Takes a row apart: the next cell and its text. */
static const char *next_cell(const char *p, struct cell *ret, const char **ret_text) {
        memcpy(ret, p, sizeof(*ret));
        *ret_text = p + sizeof(*ret);
        return *ret_text + ret->size;
}

static void print_line(struct table *t, const struct line *line, size_t extra) {
        enum tint row_tint = (enum tint) line->data[0];
        const char *p = line->data + 1;
        char *to = line_room(t, line->size + extra);

        for (size_t i = 0; to && i < t->columns.n; i++) {
                struct cell cell;
                const char *text;
                enum tint tint;

                p = next_cell(p, &cell, &text);
                tint = row_tint != TINT_NONE ? row_tint : (enum tint) cell.tint;
                to = put_cell(to, t, i, text, cell.size, cell.width,
                              out_colour() ? tint_codes[tint] : "");
        }
        if (to)
                out_write(t->scratch.data, (size_t) (to - t->scratch.data));
}

static void print_plain(struct table *t) {
        size_t extra = line_extra(t);

        print_header(t);
        for (size_t i = 0; i < t->lines.n && !out_gone(); i++)
                print_line(t, &t->lines.list[i], extra);
}

void table_flush(struct table *t) {
        for (size_t i = 0; i < t->columns.n; i++)
                if (t->columns.list[i]->width > t->widths[i])
                        t->widths[i] = t->columns.list[i]->width;
        if (t->lines.n > 0)
                print_plain(t);
        lines_clear(&t->lines);
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
        struct libscols_line *l = scols_table_new_line(table, NULL);
        enum tint row_tint = (enum tint) line->data[0];
        const char *p = line->data + 1;

        if (!l)
                return -ENOMEM;
        if (row_tint != TINT_NONE && out_colour() &&
            scols_line_set_color(l, tint_names[row_tint]) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < t->columns.n; i++) {
                struct cell cell;
                const char *text;
                char *copy;

                p = next_cell(p, &cell, &text);
                copy = fit_text(text, &cell, fitted[i]);
                if (!copy)
                        return -ENOMEM;
                if (scols_line_refer_data(l, i, copy) < 0) {
                        free(copy);
                        return -ENOMEM;
                }
                if (row_tint == TINT_NONE && cell.tint != TINT_NONE && out_colour() &&
                    scols_cell_set_color(scols_line_get_cell(l, i), tint_names[cell.tint]) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int fill_smart_table(const struct table *t, struct libscols_table *table) {
        size_t fitted[COLUMNS_MAX];
        int r = 0;

        fit_widths(t, fitted);
        /* The cells have been made safe for a terminal already, and show it in their own way. */
        if (scols_table_enable_noencoding(table, 1) < 0 ||
            scols_table_enable_colors(table, out_colour()) < 0 ||
            scols_table_enable_noheadings(table, !t->legend) < 0 ||
            scols_table_set_termforce(table, SCOLS_TERMFORCE_ALWAYS) < 0 ||
            scols_table_set_termwidth(table, out_width()) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < t->columns.n; i++) {
                const struct column *c = t->columns.list[i];
                int flags = c->flags & COLUMN_RIGHT ? SCOLS_FL_RIGHT : 0;

                struct libscols_column *column = scols_table_new_column(table, c->name, 0, flags);

                if (!column ||
                    (out_colour() &&
                     scols_cell_set_color(scols_column_get_header(column), HEADER_CODE) < 0))
                        return -ENOMEM;
        }
        for (size_t i = 0; i < t->lines.n && r >= 0; i++)
                r = add_smart_line(t, table, &t->lines.list[i], fitted);
        return r;
}

/* Printed into memory first: standard output has its own buffer and may be a pager. */
static int print_smart(struct table *t) {
        struct libscols_table *table = scols_new_table();
        char *text = NULL;
        int r;

        if (!table)
                return -ENOMEM;
        r = fill_smart_table(t, table);
        if (r >= 0)
                r = scols_print_table_to_string(table, &text);
        if (r >= 0 && text) {
                out_text(text);
                /* It leaves out the last one. */
                out_text("\n");
        }
        free(text);
        scols_unref_table(table);
        return r;
}

int table_print(struct table *t) {
        if (t->lines.n == 0 && !t->legend)
                return 0;
        if (out_terminal() && t->lines.n <= TABLE_SMARTCOLS_MAX)
                return print_smart(t);
        print_plain(t);
        return 0;
}

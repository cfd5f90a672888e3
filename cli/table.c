/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "cli/glyph.h"
#include "cli/out.h"
#include "cli/smart.h"
#include "cli/table.h"
#include "cli/when.h"

/* Longer cells are cut; the names of the system are all shorter. */
#define CELL_MAX 16383

static const char *const tint_codes[] = {
        [TINT_NONE] = "",
        [TINT_NOTICE] = "\x1b[33m",
        [TINT_ALERT] = "\x1b[31m",
};
#define COLOUR_END "\x1b[0m"
#define COLOUR_MAX 5  /* bytes of any of these */
#define HEADER_MAX 16 /* bytes of a column's name */

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
        const char *colour = out_colour() ? CELL_HEADER_CODE : "";
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

static void print_line(struct table *t, const struct line *line, size_t extra) {
        enum tint row_tint = (enum tint) line->data[0];
        const char *p = line->data + 1;
        char *to = line_room(t, line->size + extra);

        for (size_t i = 0; to && i < t->columns.n; i++) {
                struct cell cell;
                const char *text;
                enum tint tint;

                p = cell_next(p, &cell, &text);
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

int table_print(struct table *t) {
        if (t->lines.n == 0 && !t->legend)
                return 0;
        if (out_terminal() && t->lines.n <= SMART_MAX) {
                int r = smart_print(t);

                if (r != -ENOPKG)
                        return r;
        }
        print_plain(t);
        return 0;
}

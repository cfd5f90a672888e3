/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/buf.h"
#include "cli/reply.h"

/*
 * The columns of the tables: one array says name, width, flags and help of each, and drives
 * --columns, its help, and the output. What --json prints is what the server said, so columns have
 * no JSON type.
 */

enum column_set {
        SET_LISTENERS = 1 << 0,
        SET_CONNECTIONS = 1 << 1,
        SET_EVENTS = 1 << 2,
        SET_COUNTS = 1 << 3,
};

enum tint {
        TINT_NONE,
        TINT_NOTICE, /* worth a look: reachable by everybody */
        TINT_ALERT,  /* not as it should be */
};

/* How the cells of one table are written. */
struct style {
        uint64_t now_usec;
        bool ascii;   /* nothing outside of ASCII */
        bool machine; /* for a pipe: no blanks inside of cells, times in ISO 8601 */
};

enum cell_type {
        CELL_STRING, /* a struct json_string at the offset, and so on */
        CELL_NUMBER,
        CELL_TIME,
        CELL_SIZE,
        CELL_ENDPOINT,
        CELL_OTHER, /* put() knows */
};

enum column_flags {
        COLUMN_RIGHT = 1 << 0, /* a number: flush right */
        COLUMN_TRUNC = 1 << 1, /* may be cut where the terminal is too narrow */
        COLUMN_LAST = 1 << 2,  /* a sentence: stands last, as wide as it likes */
};

struct column {
        const char *name;
        unsigned sets;        /* enum column_set */
        unsigned short width; /* at least, where rows are printed before all are known */
        unsigned short flags; /* enum column_flags */
        enum cell_type type;
        size_t offset; /* in struct row, or in struct count in SET_COUNTS */
        const char *help;
        void (*put)(struct buf *b, const struct style *style, const struct row *row);
        enum tint (*tint)(const struct row *row); /* may be NULL */
};

#define COLUMNS_MAX 48

/* What tables of listeners show unless told otherwise. */
#define COLUMNS_LISTENERS "PROTO,LOCAL,SERVICE,PROCESS,PID,USER,UNIT,EXPOSURE,OPENED"

struct columns {
        const struct column *list[COLUMNS_MAX];
        size_t n;
};

/*
 * The columns that spec asks for out of a set: "A,B,C", or "+D,E" for those in addition to the ones
 * in defaults, a list of the same kind. NULL means the defaults. 0, or -EINVAL with what is wrong
 * in why.
 */
int columns_choose(struct columns *ret, unsigned set, const char *defaults, const char *spec,
                   char why[static 256]);

/* Prints name and help of each column in a set. */
void columns_help(unsigned set);

/* Appends the cell of a row or, in SET_COUNTS, of a count; "-" is what is unknown. */
void column_put(const struct column *c, struct buf *b, const struct style *style, const void *item);

/* Is what column_put() appends sure to be ASCII, a column a byte? */
bool column_is_plain(const struct column *c, const void *item);

/* The tint of a whole row. */
enum tint columns_row_tint(const struct row *row);

extern const struct column columns_all[];
extern const size_t columns_n;

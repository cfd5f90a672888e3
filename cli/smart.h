/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/table.h"

/*
 * A table on a terminal, by libsmartcols, fitted to its width. The library is loaded when it is
 * first needed: to have it linked costs 70 us at each start, a twentieth of what portctl takes in a
 * pipe, and it takes 2.6 ms to print 400 rows of 10 cells, which only people wait for.
 */

/* Nobody reads more rows than this as one table, and libsmartcols takes 700 bytes for a cell. */
#define SMART_MAX 5000

/* Prints the rows of a table. 0, -ENOMEM, or -ENOPKG where there is no such library. */
int smart_print(const struct table *t);

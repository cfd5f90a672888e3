/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TALLY_KEYS_MAX 4096U
#define TALLY_KEY_SIZE 128U /* with its NUL; longer keys are cut */

/* One line of the answer to Counts. */
struct tally_row {
        uint64_t listeners;
        uint64_t unexpected;
        uint64_t open;
        uint64_t inbound;
        uint64_t outbound;
        uint64_t refused;
        uint64_t bytes_received;
        uint64_t bytes_sent;
        uint32_t hash;
        char key[TALLY_KEY_SIZE];
};

/* Rows by key. What comes after TALLY_KEYS_MAX keys is summed in one row more, "other". */
struct tally;

struct tally *tally_new(void);
/* Accepts NULL, returns NULL. */
struct tally *tally_free(struct tally *t);

/* The row of a key, made if there is none; good until the next call. NULL: no memory. */
struct tally_row *tally_row(struct tally *t, const char *key);

/* All rows, the busiest first and "other" last; the tally's, and tally_row() must not be called
 * again. */
const struct tally_row *tally_sorted(struct tally *t, size_t *ret_n);

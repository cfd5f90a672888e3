/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/answer/tally.h"

#define INDEX_SIZE (4U * TALLY_KEYS_MAX) /* a power of two; never more than a quarter full */
#define ROWS_FIRST 16U
#define OTHER      "other"

struct tally {
        struct tally_row *rows;
        size_t n;
        size_t allocated;
        bool has_other;             /* the last row is the one for what is beyond the limit */
        uint16_t index[INDEX_SIZE]; /* number of a row, from 1; 0: free */
};

struct tally *tally_new(void) {
        return calloc(1, sizeof(struct tally));
}

struct tally *tally_free(struct tally *t) {
        if (!t)
                return NULL;
        free(t->rows);
        free(t);
        return NULL;
}

static uint32_t hash_key(const char *key, size_t size) {
        uint32_t hash = 2166136261U;

        for (size_t i = 0; i < size; i++)
                hash = (hash ^ (uint8_t) key[i]) * 16777619U;
        return hash ^ hash >> 16;
}

static struct tally_row *add_row(struct tally *t, const char *key, size_t size, uint32_t hash) {
        struct tally_row *row;

        if (t->n == t->allocated) {
                size_t allocated = t->allocated ? 2 * t->allocated : ROWS_FIRST;
                struct tally_row *larger = realloc(t->rows, allocated * sizeof(*larger));

                if (!larger)
                        return NULL;
                t->rows = larger;
                t->allocated = allocated;
        }
        row = &t->rows[t->n++];
        *row = (struct tally_row){ .hash = hash };
        memcpy(row->key, key, size);
        return row;
}

struct tally_row *tally_row(struct tally *t, const char *key) {
        size_t size = strnlen(key, TALLY_KEY_SIZE - 1);
        uint32_t hash = hash_key(key, size);
        struct tally_row *row;
        uint32_t at;

        for (at = hash % INDEX_SIZE; t->index[at] != 0; at = (at + 1) % INDEX_SIZE) {
                row = &t->rows[t->index[at] - 1];
                if (row->hash == hash && memcmp(row->key, key, size) == 0 && row->key[size] == 0)
                        return row;
        }
        if (t->has_other)
                return &t->rows[t->n - 1];
        if (t->n == TALLY_KEYS_MAX) {
                row = add_row(t, OTHER, sizeof(OTHER) - 1, 0);
                t->has_other = row != NULL;
                return row;
        }
        row = add_row(t, key, size, hash);
        if (row)
                t->index[at] = (uint16_t) t->n;
        return row;
}

static uint64_t activity(const struct tally_row *r) {
        return r->listeners + r->open + r->inbound + r->outbound + r->refused;
}

static int compare_rows(const void *a, const void *b) {
        const struct tally_row *x = a, *y = b;

        if (activity(x) != activity(y))
                return activity(x) > activity(y) ? -1 : 1;
        return strcmp(x->key, y->key);
}

const struct tally_row *tally_sorted(struct tally *t, size_t *ret_n) {
        if (t->n > 0)
                qsort(t->rows, t->n - t->has_other, sizeof(*t->rows), compare_rows);
        *ret_n = t->n;
        return t->rows;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lines that are kept until all are there and can be put in order. Each costs its text and 32
 * bytes. Start with a zeroed one.
 */

#define LINES_MAX       ((size_t) 8 * 1000 * 1000)
#define LINES_BYTES_MAX ((size_t) 2 * 1024 * 1024 * 1024)

struct line {
        uint64_t key; /* the order: by key, then by id */
        uint64_t id;
        const char *data;
        size_t size;
};

struct lines {
        struct line *list;
        size_t n;
        size_t allocated;
        struct lines_chunk *chunks;
        size_t bytes;
};

/* Adds a copy. 0, -ENOMEM, or -E2BIG when one of the bounds above is reached. */
int lines_add(struct lines *l, uint64_t key, uint64_t id, const void *data, size_t size);
void lines_sort(struct lines *l);
void lines_reverse(struct lines *l);
/* Keeps the last n. */
void lines_keep_last(struct lines *l, size_t n);
/* Forgets all lines and keeps the storage for the next ones. */
void lines_clear(struct lines *l);
/* Frees all; accepts NULL. */
void lines_done(struct lines *l);

/* Numbers met so far. Start with a zeroed one. */
struct idset {
        uint64_t *slots; /* number + 1; 0: free */
        size_t n;
        size_t size; /* a power of two */
};

/* 1 it is new, 0 it was there, or -ENOMEM. UINT64_MAX is none of them: -EINVAL. */
int idset_add(struct idset *s, uint64_t id);
bool idset_has(const struct idset *s, uint64_t id);
void idset_done(struct idset *s);

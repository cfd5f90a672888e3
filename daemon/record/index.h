/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From a socket's cookie to a number: open addressing, linear probing, no tombstones. The room for
 * the most entries is reserved once and touched only as the table grows.
 */
struct index {
        struct index_entry *entries;
        size_t mapped;
        uint64_t mask;
        uint64_t count;
        uint64_t max;
};

#define INDEX_NONE UINT32_MAX

/* For at most max entries. 0 or -ENOMEM; index_done() gives the room back. */
int index_init(struct index *ix, uint64_t max);
void index_done(struct index *ix);

uint32_t index_get(const struct index *ix, uint64_t cookie); /* INDEX_NONE: not there */
/* Adds or replaces. -ENOSPC: max entries are there. cookie is not 0. */
int index_put(struct index *ix, uint64_t cookie, uint32_t value);
void index_remove(struct index *ix, uint64_t cookie);

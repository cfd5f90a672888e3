/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "index.h"

#define MIN_SIZE 1024U

struct index_entry {
        uint64_t cookie; /* 0: free */
        uint32_t value;
        uint32_t reserved;
};

static uint64_t place_of(const struct index *ix, uint64_t cookie) {
        return (cookie * 0x9E3779B97F4A7C15ULL >> 32) & ix->mask;
}

int index_init(struct index *ix, uint64_t max) {
        uint64_t size = MIN_SIZE;
        void *map;

        while (size < max * 2)
                size *= 2;
        map = mmap(NULL, size * sizeof(struct index_entry), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
                return -ENOMEM;
        *ix = (struct index){ .entries = map,
                              .mapped = size * sizeof(struct index_entry),
                              .mask = MIN_SIZE - 1,
                              .max = max };
        return 0;
}

void index_done(struct index *ix) {
        if (ix->entries)
                munmap(ix->entries, ix->mapped);
        *ix = (struct index){};
}

static struct index_entry *find(const struct index *ix, uint64_t cookie) {
        uint64_t i = place_of(ix, cookie);

        while (ix->entries[i].cookie != 0 && ix->entries[i].cookie != cookie)
                i = (i + 1) & ix->mask;
        return &ix->entries[i];
}

uint32_t index_get(const struct index *ix, uint64_t cookie) {
        const struct index_entry *e = find(ix, cookie);

        return e->cookie == 0 ? INDEX_NONE : e->value;
}

/* Doubles: a copy of the entries is put again, one by one. */
static int grow(struct index *ix) {
        uint64_t old_size = ix->mask + 1;
        struct index_entry *copy;

        copy = malloc(old_size * sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        memcpy(copy, ix->entries, old_size * sizeof(*copy));
        memset(ix->entries, 0, old_size * sizeof(*copy));
        ix->mask = old_size * 2 - 1;
        for (uint64_t i = 0; i < old_size; i++)
                if (copy[i].cookie != 0)
                        *find(ix, copy[i].cookie) = copy[i];
        free(copy);
        return 0;
}

int index_put(struct index *ix, uint64_t cookie, uint32_t value) {
        struct index_entry *e = find(ix, cookie);

        if (e->cookie == 0) {
                if (ix->count >= ix->max)
                        return -ENOSPC;
                if (ix->count * 2 > ix->mask) {
                        int r = grow(ix);

                        if (r < 0)
                                return r;
                        e = find(ix, cookie);
                }
                ix->count++;
        }
        *e = (struct index_entry){ .cookie = cookie, .value = value };
        return 0;
}

void index_remove(struct index *ix, uint64_t cookie) {
        struct index_entry *e = find(ix, cookie);
        uint64_t hole, i;

        if (e->cookie == 0)
                return;
        /* Close the gap: whatever was pushed past it by a collision moves back. */
        hole = i = (uint64_t) (e - ix->entries);
        for (;;) {
                uint64_t home;

                i = (i + 1) & ix->mask;
                if (ix->entries[i].cookie == 0)
                        break;
                home = place_of(ix, ix->entries[i].cookie);
                if (((i - home) & ix->mask) >= ((i - hole) & ix->mask)) {
                        ix->entries[hole] = ix->entries[i];
                        hole = i;
                }
        }
        ix->entries[hole] = (struct index_entry){};
        ix->count--;
}

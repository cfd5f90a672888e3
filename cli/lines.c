/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lines.h"

#define CHUNK_SIZE ((size_t) 64 * 1024)

struct lines_chunk {
        struct lines_chunk *next;
        size_t used;
        size_t size;
        char data[];
};

/* Room for so many bytes in the first chunk. */
static int lines_reserve(struct lines *l, size_t size) {
        size_t wanted = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        struct lines_chunk *chunk = l->chunks;

        if (chunk && chunk->size - chunk->used >= size)
                return 0;
        chunk = malloc(sizeof(*chunk) + wanted);
        if (!chunk)
                return -ENOMEM;
        chunk->size = wanted;
        chunk->used = 0;
        chunk->next = l->chunks;
        l->chunks = chunk;
        return 0;
}

int lines_add(struct lines *l, uint64_t key, uint64_t id, const void *data, size_t size) {
        char *copy;
        int r;

        if (l->n >= LINES_MAX || size > LINES_BYTES_MAX - l->bytes)
                return -E2BIG;
        if (l->n == l->allocated) {
                size_t wanted = l->allocated ? l->allocated * 2 : 512;
                struct line *list = reallocarray(l->list, wanted, sizeof(*list));

                if (!list)
                        return -ENOMEM;
                l->list = list;
                l->allocated = wanted;
        }
        r = lines_reserve(l, size);
        if (r < 0)
                return r;
        copy = l->chunks->data + l->chunks->used;
        memcpy(copy, data, size);
        l->chunks->used += size;
        l->bytes += size;
        l->list[l->n++] = (struct line){ key, id, copy, size };
        return 0;
}

static int compare_lines(const void *a, const void *b) {
        const struct line *x = a, *y = b;

        if (x->key != y->key)
                return x->key < y->key ? -1 : 1;
        return x->id < y->id ? -1 : x->id > y->id;
}

/* Lines often come in order already, or just the other way round. */
void lines_sort(struct lines *l) {
        bool up = true, down = true;

        for (size_t i = 1; i < l->n && (up || down); i++) {
                int c = compare_lines(&l->list[i - 1], &l->list[i]);

                up = up && c <= 0;
                down = down && c >= 0;
        }
        if (up)
                return;
        if (down)
                lines_reverse(l);
        else
                qsort(l->list, l->n, sizeof(*l->list), compare_lines);
}

void lines_reverse(struct lines *l) {
        for (size_t i = 0, j = l->n; i + 1 < j; i++) {
                struct line line = l->list[i];

                l->list[i] = l->list[--j];
                l->list[j] = line;
        }
}

void lines_keep_last(struct lines *l, size_t n) {
        if (l->n <= n)
                return;
        memmove(l->list, l->list + (l->n - n), n * sizeof(*l->list));
        l->n = n;
}

void lines_clear(struct lines *l) {
        while (l->chunks && l->chunks->next) {
                struct lines_chunk *chunk = l->chunks;

                l->chunks = chunk->next;
                free(chunk);
        }
        if (l->chunks)
                l->chunks->used = 0;
        l->n = 0;
        l->bytes = 0;
}

void lines_done(struct lines *l) {
        if (!l)
                return;
        lines_clear(l);
        free(l->chunks);
        free(l->list);
        *l = (struct lines){ 0 };
}

/* Where a number is, or the free slot where it belongs. */
static size_t idset_slot(const struct idset *s, uint64_t id) {
        size_t at = (size_t) (id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (s->size - 1);

        while (s->slots[at] != 0 && s->slots[at] != id + 1)
                at = (at + 1) & (s->size - 1);
        return at;
}

static int idset_grow(struct idset *s) {
        struct idset larger = { .size = s->size ? s->size * 2 : 1024 };

        larger.slots = calloc(larger.size, sizeof(*larger.slots));
        if (!larger.slots)
                return -ENOMEM;
        for (size_t i = 0; i < s->size; i++)
                if (s->slots[i] != 0)
                        larger.slots[idset_slot(&larger, s->slots[i] - 1)] = s->slots[i];
        larger.n = s->n;
        free(s->slots);
        *s = larger;
        return 0;
}

int idset_add(struct idset *s, uint64_t id) {
        size_t at;
        int r;

        if (id == UINT64_MAX)
                return -EINVAL;
        if (s->n >= s->size / 2) {
                r = idset_grow(s);
                if (r < 0)
                        return r;
        }
        at = idset_slot(s, id);
        if (s->slots[at] != 0)
                return 0;
        s->slots[at] = id + 1;
        s->n++;
        return 1;
}

bool idset_has(const struct idset *s, uint64_t id) {
        return s->size > 0 && id != UINT64_MAX && s->slots[idset_slot(s, id)] != 0;
}

void idset_done(struct idset *s) {
        if (!s)
                return;
        free(s->slots);
        *s = (struct idset){ 0 };
}

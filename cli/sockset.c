/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sockset.h"
#include "lib/record.h"

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool is_mapped(const uint8_t address[static 16]) {
        return memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static void unmap(uint8_t address[static 16]) {
        memmove(address, address + 12, 4);
        memset(address + 4, 0, 12);
}

int sockset_add(struct sockset *s, const struct sockid *id) {
        struct sockid *new;

        if (s->n >= SOCKSET_MAX)
                return -E2BIG;
        if (s->n == s->allocated) {
                size_t wanted = s->allocated ? s->allocated * 2 : 256;
                struct sockid *list = reallocarray(s->list, wanted, sizeof(*list));

                if (!list)
                        return -ENOMEM;
                s->list = list;
                s->allocated = wanted;
        }
        new = &s->list[s->n++];
        *new = *id;
        if (new->family == FAMILY_IPV6 && is_mapped(new->local)) {
                new->family = FAMILY_IPV4;
                unmap(new->local);
                if (new->remote_port)
                        unmap(new->remote);
                else
                        memset(new->remote, 0, sizeof(new->remote));
        }
        return 0;
}

void sockset_clear(struct sockset *s) {
        s->n = 0;
}

void sockset_done(struct sockset *s) {
        if (!s)
                return;
        free(s->list);
        *s = (struct sockset){ .n = 0 };
}

static int compare(const struct sockid *a, const struct sockid *b) {
        return memcmp(a, b, offsetof(struct sockid, loose));
}

static int compare_for_sort(const void *a, const void *b) {
        const struct sockid *x = a, *y = b;
        int r = compare(x, y);

        /* Of its like, the loose ones come last. */
        return r ? r : x->loose - y->loose;
}

void sockset_sort(struct sockset *s) {
        if (s->n > 0)
                qsort(s->list, s->n, sizeof(*s->list), compare_for_sort);
}

/* How many from place i on are the same socket. */
static size_t run(const struct sockset *s, size_t i) {
        size_t n = 1;

        while (i + n < s->n && compare(&s->list[i], &s->list[i + n]) == 0)
                n++;
        return n;
}

int sockset_subtract(struct sockset *ret, const struct sockset *a, const struct sockset *b) {
        size_t k = 0;
        int r = 0;

        for (size_t i = 0, n; i < a->n && r >= 0; i += n) {
                size_t has = 0;

                n = run(a, i);
                while (k < b->n && compare(&b->list[k], &a->list[i]) < 0)
                        k++;
                if (k < b->n && compare(&b->list[k], &a->list[i]) == 0)
                        has = run(b, k);
                for (size_t m = has; m < n && r >= 0; m++)
                        if (!a->list[i + m].loose)
                                r = sockset_add(ret, &a->list[i]);
        }
        return r;
}

void sockset_intersect(struct sockset *a, const struct sockset *b) {
        size_t kept = 0, k = 0;

        for (size_t i = 0; i < a->n; i++) {
                while (k < b->n && compare(&b->list[k], &a->list[i]) < 0)
                        k++;
                if (k < b->n && compare(&b->list[k], &a->list[i]) == 0) {
                        a->list[kept++] = a->list[i];
                        k++;
                }
        }
        a->n = kept;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "daemon/answer/known.h"

#define FIRST_ROOM 16U

static int by_last_usec(const void *a, const void *b) {
        uint64_t of_a = ((const struct biography *) a)->last_usec;
        uint64_t of_b = ((const struct biography *) b)->last_usec;

        return (of_a < of_b) - (of_a > of_b);
}

/* One of this port; asked of the place itself it may be wrong, and saves the copy. */
static bool matches(const struct biography *b, uint16_t port, uint8_t transport) {
        return b->port == port && (transport == 0 || b->transport == transport);
}

static int append(struct known_list *l, unsigned *room, const struct biography *b) {
        if (l->n == *room) {
                unsigned larger = *room ? *room * 2 : FIRST_ROOM;
                struct biography *grown = realloc(l->biographies, larger * sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                l->biographies = grown;
                *room = larger;
        }
        memcpy(&l->biographies[l->n++], b, sizeof(*b));
        return 0;
}

int known_list_find(struct known_list *ret, const struct known_reader *r, uint16_t port,
                    uint8_t transport) {
        struct known_list l = {};
        unsigned room = 0;

        for (uint32_t i = 0; i < r->capacity; i++) {
                struct biography b;

                if (!matches(&r->biographies[i], port, transport) ||
                    known_reader_get(r, i, &b) <= 0 || !matches(&b, port, transport))
                        continue;
                if (append(&l, &room, &b) < 0) {
                        known_list_done(&l);
                        return -ENOMEM;
                }
        }
        if (l.n > 1)
                qsort(l.biographies, l.n, sizeof(*l.biographies), by_last_usec);
        if (l.n > KNOWN_LIST_MAX)
                l.n = KNOWN_LIST_MAX;
        *ret = l;
        return 0;
}

void known_list_done(struct known_list *l) {
        free(l->biographies);
        *l = (struct known_list){};
}

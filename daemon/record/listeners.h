/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "lib/live.h"

/* Finds the listener that stands behind an inbound connection, by namespace, transport and port. */
struct listeners {
        uint32_t *buckets; /* first slot of a chain */
        uint32_t *next;    /* of each slot */
        uint64_t seed;
        struct record *closed; /* the last ones that have closed; time_usec is when */
        unsigned next_closed;
};

/* So many, for so long: what is told of a connection may come after its listener's end. */
#define LISTENERS_CLOSED      64U
#define LISTENERS_CLOSED_USEC 2000000U

#define LISTENERS_NONE UINT32_MAX

int listeners_init(struct listeners *l, uint64_t capacity); /* 0 or -ENOMEM */
void listeners_done(struct listeners *l);
void listeners_add(struct listeners *l, const struct live *live, uint32_t slot);
/* Must be called while the slot still holds the record it was added with. */
void listeners_remove(struct listeners *l, const struct live *live, uint32_t slot);

/*
 * The slot of the listener that a connection with this local end came in by: one on its very
 * address before one on any address, one of its family before a dual-stack one, one bound to its
 * device before one bound to none; LISTENERS_NONE.
 */
uint32_t listeners_match(const struct listeners *l, const struct live *live,
                         const struct record *connection);

/*
 * The slot of the one listener of a connection's namespace and transport whose port is not known
 * yet; LISTENERS_NONE: there is none, or more than one.
 */
uint32_t listeners_pending(const struct listeners *l, const struct live *live,
                           const struct record *connection);

/*
 * Remembers a listener that has closed at r->time_usec. Returns the owner of the one that is
 * forgotten for it, OWNER_NONE if there is none: the reference to r->owner is kept until then.
 */
uint32_t listeners_bury(struct listeners *l, const struct record *r);
/* As listeners_match(), of those that have closed a short while before time_usec; or NULL. */
const struct record *listeners_closed(const struct listeners *l, const struct record *connection,
                                      uint64_t time_usec);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "listeners.h"

#define BUCKETS 4096U

/*
 * By the address as well, from a seed: there are as many loopback addresses as anybody wants to
 * listen on. Those whose port is not known yet are together, whatever their address.
 */
static uint32_t bucket_of(const struct listeners *l, const struct record *r) {
        uint64_t h = l->seed ^
                     ((uint64_t) r->netns << 32 | (uint64_t) r->transport << 16 | r->local_port);
        uint64_t address[2] = {};

        if (r->local_port != 0)
                memcpy(address, r->local, sizeof(address));
        for (unsigned i = 0; i < 2; i++) {
                h = (h ^ address[i]) * 0x9E3779B97F4A7C15ULL;
                h ^= h >> 32;
        }
        return (uint32_t) (h * 0x9E3779B97F4A7C15ULL >> 52);
}
_Static_assert(BUCKETS == 1U << (64 - 52), "the hash above fills the table");

int listeners_init(struct listeners *l, uint64_t capacity) {
        l->buckets = malloc(BUCKETS * sizeof(uint32_t));
        l->next = malloc(capacity * sizeof(uint32_t));
        l->closed = calloc(LISTENERS_CLOSED, sizeof(*l->closed));
        l->next_closed = 0;
        if (!l->buckets || !l->next || !l->closed) {
                listeners_done(l);
                return -ENOMEM;
        }
        memset(l->buckets, 0xFF, BUCKETS * sizeof(uint32_t));
        /* A seed of 0 is no worse than none. */
        l->seed = 0;
        (void) !getrandom(&l->seed, sizeof(l->seed), GRND_NONBLOCK);
        return 0;
}

void listeners_done(struct listeners *l) {
        free(l->buckets);
        free(l->next);
        free(l->closed);
        *l = (struct listeners){};
}

void listeners_add(struct listeners *l, const struct live *live, uint32_t slot) {
        uint32_t bucket = bucket_of(l, &live->slots[LIVE_LISTENERS][slot]);

        l->next[slot] = l->buckets[bucket];
        l->buckets[bucket] = slot;
}

void listeners_remove(struct listeners *l, const struct live *live, uint32_t slot) {
        uint32_t *link = &l->buckets[bucket_of(l, &live->slots[LIVE_LISTENERS][slot])];

        while (*link != LISTENERS_NONE && *link != slot)
                link = &l->next[*link];
        if (*link == slot)
                *link = l->next[slot];
}

/*
 * How well a listener fits a connection's local end, 0: not at all. As in the kernel's lookup
 * (compute_score() in net/ipv4/inet_hashtables.c): its very address, then its own family before a
 * dual-stack one, then the device that it is bound to.
 */
static unsigned fit(const struct record *listener, const struct record *connection) {
        bool same_family = listener->family == connection->family;
        unsigned device = listener->ifindex != 0 && listener->ifindex == connection->ifindex;

        if (listener->netns != connection->netns || listener->transport != connection->transport ||
            listener->local_port != connection->local_port)
                return 0;
        if (same_family && memcmp(listener->local, connection->local, sizeof(listener->local)) == 0)
                return 6 + device;
        if (listener->exposure != EXPOSURE_ANY)
                return 0;
        if (same_family)
                return 4 + device;
        return listener->flags & RECORD_DUAL_STACK ? 2 + device : 0;
}

/* The best of those on address; none can fit better than best_possible. */
static uint32_t best_on(const struct listeners *l, const struct live *live,
                        const struct record *connection, const uint8_t address[static 16],
                        unsigned best_possible) {
        struct record key = *connection;
        uint32_t best = LISTENERS_NONE;
        unsigned best_fit = 0;

        memcpy(key.local, address, sizeof(key.local));
        for (uint32_t slot = l->buckets[bucket_of(l, &key)];
             slot != LISTENERS_NONE && best_fit < best_possible; slot = l->next[slot]) {
                unsigned f = fit(&live->slots[LIVE_LISTENERS][slot], connection);

                if (f > best_fit) {
                        best_fit = f;
                        best = slot;
                }
        }
        return best;
}

uint32_t listeners_match(const struct listeners *l, const struct live *live,
                         const struct record *connection) {
        static const uint8_t any[16];
        unsigned device = connection->ifindex != 0;
        uint32_t slot = best_on(l, live, connection, connection->local, 6 + device);

        return slot != LISTENERS_NONE ? slot : best_on(l, live, connection, any, 4 + device);
}

uint32_t listeners_pending(const struct listeners *l, const struct live *live,
                           const struct record *connection) {
        struct record unknown = { .netns = connection->netns, .transport = connection->transport };
        uint32_t found = LISTENERS_NONE;

        for (uint32_t slot = l->buckets[bucket_of(l, &unknown)]; slot != LISTENERS_NONE;
             slot = l->next[slot]) {
                const struct record *r = &live->slots[LIVE_LISTENERS][slot];

                if (r->netns != unknown.netns || r->transport != unknown.transport ||
                    r->local_port != 0)
                        continue;
                if (found != LISTENERS_NONE)
                        return LISTENERS_NONE;
                found = slot;
        }
        return found;
}

uint32_t listeners_bury(struct listeners *l, const struct record *r) {
        struct record *place = &l->closed[l->next_closed];
        uint32_t displaced = place->kind != RECORD_NONE ? place->owner : OWNER_NONE;

        *place = *r;
        l->next_closed = (l->next_closed + 1) % LISTENERS_CLOSED;
        return displaced;
}

const struct record *listeners_closed(const struct listeners *l, const struct record *connection,
                                      uint64_t time_usec) {
        const struct record *best = NULL;
        unsigned best_fit = 0;

        /* Of those that fit as well the last one: a port may have gone from one to another. */
        for (unsigned i = 0; i < LISTENERS_CLOSED; i++) {
                const struct record *r = &l->closed[i];
                unsigned f = r->kind != RECORD_NONE ? fit(r, connection) : 0;

                if (f == 0 || r->time_usec + LISTENERS_CLOSED_USEC < time_usec)
                        continue;
                if (f > best_fit || (f == best_fit && r->time_usec >= best->time_usec)) {
                        best = r;
                        best_fit = f;
                }
        }
        return best;
}

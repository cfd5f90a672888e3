/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "lib/history.h"
#include "lib/known_reader.h"
#include "lib/live.h"
#include "lib/ports.h"

/* All that answers are made of: the recorder's tables, mapped read-only, and the names of ports. */
struct store {
        struct live live;
        struct history_reader history;
        struct known_reader known;
        struct services *services;
        uint16_t ephemeral_first; /* first above last: not known */
        uint16_t ephemeral_last;
};

/*
 * Maps the tables and reads the rest; the descriptors may be closed afterwards. known_fd -1: there
 * are no biographies. Without the
 * registry at services_path no port has a name: *ret_services_error says why (0: it was read).
 * Negative errno when a table cannot be used. store_close() accepts a zeroed one.
 */
int store_open(struct store *ret, int live_fd, int history_fd, int known_fd,
               const char *services_path, int *ret_services_error);
void store_close(struct store *s);

/* The network namespace of the host. */
static inline uint32_t store_netns(const struct store *s) {
        return atomic_load_explicit(&s->live.header->netns, memory_order_relaxed);
}

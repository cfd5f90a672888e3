/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

#include "lib/record.h"

/*
 * The biographies of listeners: when each was first seen, last seen, how often it opened. A
 * listener is (transport, port, exposure, service unit or executable or name, container). Outlives
 * the history.
 */
struct known;

/*
 * Opens or makes the file name in dir_fd; one that does not validate is set aside as
 * NAME.damaged (*ret_set_aside), single biographies that are damaged are dropped. dir_fd -1: in
 * memory alone. 0 or negative errno. known_close() accepts NULL and returns NULL.
 */
int known_open(struct known **ret, int dir_fd, const char *name, bool *ret_set_aside);
struct known *known_close(struct known *k);

/*
 * Notes that the listener of r and o (NULL: nobody known) was seen at r->time_usec; opened: it just
 * opened. Returns when it was first seen, microseconds since the epoch; if never before, that is
 * r->first_seen_usec, or now when that is 0. The
 * one that was not seen for longest makes room in a full table: *ret_evicted (may be NULL).
 */
uint64_t known_seen(struct known *k, const struct record *r, const struct owner *o, bool opened,
                    bool *ret_evicted);

/* A read-only descriptor of the file for the answerer, -1 if in memory; stays known's. */
int known_reader_fd(const struct known *k);
/* The descriptor to fdatasync(), -1 if in memory; stays known's. */
int known_sync_fd(const struct known *k);

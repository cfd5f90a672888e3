/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdio.h>

#include "daemon/record/tracker.h"

/*
 * A tracker with all that it asks for: a live table in memory, a list for a history, and owners
 * that are counted. Each step can be followed by a check of all that must hold whatever the events
 * were. For the unit tests and for the fuzzer, so it knows neither.
 */

#define DESK_PIDS 64U

struct desk {
        struct live live;
        struct tracker *tracker;
        struct record *records; /* what was appended, oldest first */
        size_t n_records;
        size_t n_allocated;
        uint32_t slots[DESK_PIDS]; /* of the owner table, by pid; pid 0: nobody */
        uint64_t *refs;            /* of each slot of the owner table */
        uint64_t n_forgotten; /* records of a time before this desk: ids up to here are known */
        bool no_owners;       /* as if the table of owners were full */
        const char *wrong;    /* the first thing that the tracker did that it must not do */
};

/* Sizes as of live_create(), rounded up to 256. 0 or negative errno; desk_done() frees. */
int desk_init(struct desk *d, uint64_t listeners, uint64_t connections);
/*
 * Ends the tracker, which gives back what it kept for a while, and frees all of it. NULL, or what
 * desk_check() finds then: now each reference that is left must be that of a socket.
 */
const char *desk_done(struct desk *d);

/* The owner that an event names, with a reference for the caller, as the tracker gets it. */
uint32_t desk_owner(struct desk *d, const struct event *ev);

/* The pid that owns slot, 0: OWNER_NONE. */
uint32_t desk_pid(const struct desk *d, uint32_t slot);

/*
 * What must hold between any two events: no reference to an owner lost or left over, counts right,
 * no socket twice, nothing half done. NULL, or what does not; looks at every slot.
 */
const char *desk_check(const struct desk *d);

/* The number of sockets in a table: shown ones, or those that are pending. */
uint64_t desk_count(const struct desk *d, enum live_extent extent, bool pending);

/* One line for a record, as the files in data/tracker have it; ret takes 512 bytes. */
void desk_print(const struct desk *d, const struct record *r, char ret[static 512]);

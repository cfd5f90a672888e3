/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "bpf/event.h"
#include "lib/live.h"

/*
 * The tracker turns source events into records: it decides direction, outcome, closes and owner
 * upgrades, and keeps the live table. It makes no system call and knows no clock; all that it needs
 * from outside it asks through its operations, so that tests replay recorded events into it.
 */

struct tracker_ops {
        /* Appends to the history and returns the sequence number. owner: slot or OWNER_NONE. */
        uint64_t (*append)(const struct record *r, uint32_t owner, void *userdata);
        /* The owner that an event names, with a reference for the caller; OWNER_NONE: none. */
        uint32_t (*owner_of)(const struct event *ev, void *userdata);
        void (*owner_ref)(uint32_t owner, void *userdata);
        void (*owner_unref)(uint32_t owner, void *userdata);
        /*
         * Called before a listener's record is appended when it opens, with r->kind RECORD_LISTEN,
         * and when it closes, with RECORD_UNLISTEN; and when more is known of who it is. Fills in
         * first_seen_usec, the judgement and rule.
         */
        void (*listener)(struct record *r, uint32_t owner, void *userdata);
        /*
         * Called before an inbound connection's record is appended, and when the rules have
         * changed: fills in the judgement. r->holder is that of its listener.
         */
        void (*inbound)(struct record *r, uint32_t owner, void *userdata);
};

struct tracker_config {
        struct live *live;
        const struct tracker_ops *ops;
        void *userdata;
        uint16_t ephemeral_first; /* the kernel's range of local ports, both included */
        uint16_t ephemeral_last;
};

struct tracker;

/* Returns 0 or -ENOMEM. tracker_free() accepts NULL, returns NULL, and leaves the live table alone.
 */
int tracker_new(struct tracker **ret, const struct tracker_config *config);
struct tracker *tracker_free(struct tracker *t);

/* What to add to an event's time (CLOCK_BOOTTIME, ns) to get the time of day, ns. */
void tracker_set_offset(struct tracker *t, int64_t realtime_minus_boottime_ns);

/* Any event of event.h but those that name processes and control groups. */
void tracker_handle(struct tracker *t, const struct event *ev);

/*
 * Takes over a socket from the table of an earlier recorder of this boot, id and times included.
 * owner and holder are slots with a reference that the tracker takes, or OWNER_NONE. The next
 * snapshot ends it if it is not there any more.
 */
void tracker_restore(struct tracker *t, enum live_extent extent, const struct record *r,
                     uint32_t owner, uint32_t holder);

/*
 * Listeners whose port is not known yet (listen() without bind()): a dump of the listeners of their
 * namespace tells. Reading the number resets it; *ret_netns is the namespace of one of them.
 */
unsigned tracker_wants_listeners(struct tracker *t, uint32_t *ret_netns);

/* Calls the operations listener and inbound for all that is open, after the rules have changed. */
void tracker_judge_again(struct tracker *t);

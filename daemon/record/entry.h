/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

#include "index.h"
#include "listeners.h"
#include "tracker.h"

/*
 * What the tracker keeps: sockets, each a slot of the live table, and what its records are made of.
 * Of the tracker alone (tracker.c, life.c, tcp.c, found.c).
 */

/* What only the tracker needs of a socket lies beside its slot. A reference packs extent and slot:
 * the index gives it for a cookie. */
#define ENTRY_LISTENER 0x80000000U

#define TRACKER_ENDED 4096U

struct tracker {
        struct tracker_config config;
        struct live *live;
        struct index index;
        struct listeners listeners;
        bool was_full;                 /* since then sockets may be told that are not tracked */
        uint64_t ended[TRACKER_ENDED]; /* cookies, see life_is_ended() */
        uint32_t *epochs[2]; /* of each slot: the last snapshot that it was seen in or after */
        uint32_t epoch;
        int64_t offset_ns;
        unsigned wants_listeners;
        uint32_t wants_netns;
};

struct entry {
        enum live_extent extent;
        uint32_t slot;
        struct record *record; /* the slot itself: read it, write through entry_write() */
};

struct entry entry_at(const struct tracker *t, uint32_t ref);
/* The socket of a cookie, which was seen just now; false if it is not tracked. */
bool entry_find(struct tracker *t, uint64_t cookie, struct entry *ret);
/* Puts *r under its cookie; false when a table is full, which is counted. */
bool entry_add(struct tracker *t, enum live_extent extent, const struct record *r);
void entry_write(struct tracker *t, const struct entry *e, const struct record *r);
/* Gives back a reference to an owner, or to OWNER_NONE. */
void entry_unref(struct tracker *t, uint32_t owner);
/* Forgets the socket and gives back the reference to owner, which it had last. */
void entry_drop(struct tracker *t, const struct entry *e, uint32_t owner);

/* Time of day of an event, usec. */
uint64_t entry_usec(const struct tracker *t, const struct event *ev);
/* The end of what began at opened: a dump or a step of the clock can make it look earlier. */
uint64_t entry_usec_of_end(const struct tracker *t, const struct event *ev, uint64_t opened);
void entry_set_addresses(struct record *r, const struct event *ev);
/* Has its transport states? The others listen as soon as they are bound, or made. */
bool entry_has_states(const struct event *ev);
/* A record of what the event is about, without an owner. */
void entry_begin(const struct tracker *t, struct record *ret, const struct event *ev,
                 enum record_kind kind);

/* Sets the owner an event names, if it does and is more certain than what is known. */
void entry_take_owner(struct tracker *t, struct record *r, const struct event *ev,
                      enum attribution attribution);
/* The same for the process whose own call the event is; nobody else. */
void entry_take_owner_of_call(struct tracker *t, struct record *r, const struct event *ev);
/*
 * Was the listener of this owner opened for somebody else? systemd does that for the services of
 * its socket units (systemd.socket(5)), in the control group of the socket unit.
 */
bool entry_opened_for_others(const struct tracker *t, uint32_t owner);
/* Sets who serves a listener that was opened for others. */
void entry_set_holder(struct tracker *t, uint32_t slot, uint32_t holder);
/* Appends to the history; a record that has no id yet gets that of its event. */
void entry_append(struct tracker *t, struct record *r);

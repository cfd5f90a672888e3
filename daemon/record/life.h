/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "entry.h"

/* Listeners and connections from their beginning to their end, whatever transport and source. */

/* Judges it and tells that it is open, or that its port has become known. */
void listener_announce(struct tracker *t, struct record *r);
/* The record of a listener that opens. */
void listener_begin(struct tracker *t, struct record *r, const struct event *ev);
/* Tells and tracks it; one whose port is not chosen yet waits for that. */
void listener_open(struct tracker *t, struct record *r);
/* Tells the end; flags of enum record_flags come on top. */
void listener_close(struct tracker *t, const struct entry *e, const struct event *ev,
                    uint8_t flags);

/* The listener that a connection came in by: one that is there, or was a moment ago; or NULL. */
const struct record *connection_listener(const struct tracker *t, const struct record *r);
/* Who opened a connection whose start was missed: from its counts, the listeners or the ports. */
enum direction connection_guess_direction(const struct tracker *t, const struct record *r,
                                          const struct event *ev, const struct record *listener);
/* The owner of the listener (NULL: nobody) stands in for whoever accepts. */
void connection_take_listeners_owner(struct tracker *t, struct record *r,
                                     const struct record *listener);
void connection_announce(struct tracker *t, struct record *r);
void connection_add(struct tracker *t, struct record *r);
/* An established connection that is not tracked yet. DIRECTION_NONE: to be guessed. */
void connection_appear(struct tracker *t, const struct event *ev, enum direction direction,
                       uint8_t flags);
void connection_establish(struct tracker *t, const struct entry *e, const struct event *ev);
/* How a TCP connection ended. */
enum outcome connection_outcome(const struct event *ev);
/* Appends the end of *r, which may be an attempt that came to nothing. */
void connection_end(struct tracker *t, struct record *r, const struct event *ev,
                    enum outcome outcome, uint8_t flags);
void connection_close(struct tracker *t, const struct entry *e, const struct event *ev,
                      enum outcome outcome, uint8_t flags);
/* A connection that is not tracked has ended; opening: tells together with it that it opened. */
void connection_tell_late(struct tracker *t, const struct event *ev, enum outcome outcome,
                          bool opening);
/*
 * A socket that a dump has ended and no event has: its own may come much later (a reset one leaves
 * the dumps long before its destroy message), and must not tell it again. Of so many
 * (TRACKER_ENDED) it is remembered.
 */
void life_remember_ended(struct tracker *t, uint64_t cookie);
bool life_is_ended(const struct tracker *t, uint64_t cookie);

/*
 * Tells what a dump has shown, if there is room to track it: what is not tracked every dump would
 * tell again.
 */
void life_found(struct tracker *t, enum live_extent extent, struct record *r);
/* Ends what is still tracked under a cookie that begins anew: its end was missed. */
void life_end_stale(struct tracker *t, const struct event *ev);
/* Did this happen before the dump that has shown the socket? Then the dump knew what came of it. */
bool life_precedes_find(const struct tracker *t, const struct entry *e, const struct event *ev);
/*
 * The beginning of a socket that a dump was quicker to tell: what is left for its event to say is
 * who did it.
 */
bool life_was_found(struct tracker *t, const struct event *ev, enum live_extent extent);

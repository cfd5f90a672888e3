/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "life.h"

/* ---- Listeners ---- */

void listener_announce(struct tracker *t, struct record *r) {
        r->kind = RECORD_LISTEN;
        r->flags &= (uint8_t) ~RECORD_PENDING;
        t->config.ops->listener(r, r->owner, t->config.userdata);
        entry_append(t, r);
}

void listener_begin(struct tracker *t, struct record *r, const struct event *ev) {
        entry_begin(t, r, ev, RECORD_LISTEN);
        r->exposure = (uint8_t) record_exposure(r->family, r->local);
        if (ev->family == AF_INET6 && r->family == FAMILY_IPV6 && !(ev->flags & EVENT_V6ONLY) &&
            r->exposure == EXPOSURE_ANY)
                r->flags |= RECORD_DUAL_STACK;
}

void listener_open(struct tracker *t, struct record *r) {
        /* listen() without bind(): the port is not chosen yet. It is looked up or learnt at the
         * end. */
        if (r->local_port == 0) {
                r->flags |= RECORD_PENDING;
                t->wants_listeners++;
                t->wants_netns = r->netns;
        } else
                listener_announce(t, r);
        if (!entry_add(t, LIVE_LISTENERS, r))
                entry_unref(t, r->owner);
}

void listener_close(struct tracker *t, const struct entry *e, const struct event *ev,
                    uint8_t flags) {
        struct record r = *e->record;

        if (r.flags & RECORD_PENDING) {
                if (ev->local_port == 0) {
                        entry_drop(t, e, r.owner);
                        return;
                }
                r.local_port = ev->local_port;
                listener_announce(t, &r);
        }
        r.kind = RECORD_UNLISTEN;
        r.time_usec = entry_usec_of_end(t, ev, r.opened_usec);
        r.flags |= flags;
        t->config.ops->listener(&r, r.owner, t->config.userdata);
        entry_append(t, &r);
        /* The reference to its owner goes on with the memory of it. */
        entry_drop(t, e, listeners_bury(&t->listeners, &r));
}

/* ---- Connections ---- */

const struct record *connection_listener(const struct tracker *t, const struct record *r) {
        uint32_t slot = listeners_match(&t->listeners, t->live, r);

        return slot != LISTENERS_NONE ? &t->live->slots[LIVE_LISTENERS][slot]
                                      : listeners_closed(&t->listeners, r, r->time_usec);
}

enum direction connection_guess_direction(const struct tracker *t, const struct record *r,
                                          const struct event *ev, const struct record *listener) {
        bool local_ephemeral = r->local_port >= t->config.ephemeral_first &&
                               r->local_port <= t->config.ephemeral_last;
        bool remote_ephemeral = r->remote_port >= t->config.ephemeral_first &&
                                r->remote_port <= t->config.ephemeral_last;

        if (ev->opener != OPENER_UNKNOWN)
                return ev->opener == OPENER_SELF ? DIRECTION_OUTBOUND : DIRECTION_INBOUND;
        if (listener)
                return DIRECTION_INBOUND;
        /* A port of 0 was wiped, and tells nothing. */
        return (remote_ephemeral || r->remote_port == 0) && !local_ephemeral ? DIRECTION_INBOUND
                                                                             : DIRECTION_OUTBOUND;
}

void connection_take_listeners_owner(struct tracker *t, struct record *r,
                                     const struct record *listener) {
        uint32_t owner;

        if (!listener || r->attribution >= ATTRIBUTION_LISTENER)
                return;
        owner = listener->owner;
        if (owner == OWNER_NONE)
                return;
        t->config.ops->owner_ref(owner, t->config.userdata);
        entry_unref(t, r->owner);
        r->owner = owner;
        r->attribution = ATTRIBUTION_LISTENER;
}

void connection_announce(struct tracker *t, struct record *r) {
        r->kind = RECORD_OPEN;
        r->outcome = OUTCOME_OPEN;
        r->flags &= (uint8_t) ~RECORD_PENDING;
        if (r->direction == DIRECTION_INBOUND)
                t->config.ops->inbound(r, r->owner, t->config.userdata);
        entry_append(t, r);
}

void connection_add(struct tracker *t, struct record *r) {
        if (!entry_add(t, LIVE_CONNECTIONS, r))
                entry_unref(t, r->owner);
}

void life_found(struct tracker *t, enum live_extent extent, struct record *r) {
        struct record silent = *r;
        struct entry e;

        silent.flags |= RECORD_PENDING;
        if (!entry_add(t, extent, &silent) || !entry_find(t, r->cookie, &e)) {
                entry_unref(t, r->owner);
                return;
        }
        if (extent == LIVE_LISTENERS)
                listener_announce(t, r);
        else
                connection_announce(t, r);
        entry_write(t, &e, r);
}

/*
 * How a TCP connection ended. A close by both sides passes through other states; what falls from
 * ESTABLISHED or CLOSE_WAIT straight to CLOSE was cut by an RST: sent (no error here) or received.
 */
enum outcome connection_outcome(const struct event *ev) {
        switch (ev->error) {
        case ECONNREFUSED:
                return OUTCOME_REFUSED;
        case ETIMEDOUT:
                return OUTCOME_TIMED_OUT;
        case ECONNRESET:
        case EPIPE:
        case ECONNABORTED:
                return ev->old_state == TCP_SYN_SENT ? OUTCOME_FAILED : OUTCOME_RESET;
        case 0:
                if (ev->old_state == TCP_SYN_SENT)
                        return OUTCOME_FAILED;
                return ev->old_state == TCP_ESTABLISHED || ev->old_state == TCP_CLOSE_WAIT
                               ? OUTCOME_RESET
                               : OUTCOME_CLOSED;
        default:
                return ev->old_state == TCP_SYN_SENT ? OUTCOME_FAILED : OUTCOME_RESET;
        }
}

/* An attempt began without a port of its own; where it ends, the event knows the one it had. */
static void take_local(struct record *r, const struct event *ev) {
        struct record end = {};

        entry_set_addresses(&end, ev);
        r->local_port = end.local_port;
        if (end.family == r->family && record_exposure(end.family, end.local) != EXPOSURE_ANY)
                memcpy(r->local, end.local, sizeof(r->local));
}

void connection_end(struct tracker *t, struct record *r, const struct event *ev,
                    enum outcome outcome, uint8_t flags) {
        r->kind = r->flags & RECORD_PENDING ? RECORD_FAIL : RECORD_CLOSE;
        /* An attempt is neither closed nor reset (half of a simultaneous open can be). */
        if (r->kind == RECORD_FAIL && (outcome == OUTCOME_CLOSED || outcome == OUTCOME_RESET))
                outcome = OUTCOME_FAILED;
        if (r->kind == RECORD_CLOSE && (outcome == OUTCOME_REFUSED || outcome == OUTCOME_FAILED))
                outcome = OUTCOME_RESET;
        if (r->kind == RECORD_FAIL && r->local_port == 0)
                take_local(r, ev);
        r->flags = (uint8_t) ((r->flags & ~RECORD_PENDING) | flags);
        r->outcome = (uint8_t) outcome;
        r->time_usec = entry_usec_of_end(t, ev, r->opened_usec);
        if (ev->flags & EVENT_BYTES) {
                r->bytes_received = ev->bytes_received;
                r->bytes_sent = ev->bytes_sent;
                r->flags |= RECORD_BYTES_KNOWN;
        }
        entry_append(t, r);
}

void connection_close(struct tracker *t, const struct entry *e, const struct event *ev,
                      enum outcome outcome, uint8_t flags) {
        struct record r = *e->record;

        entry_take_owner_of_call(t, &r, ev);
        connection_end(t, &r, ev, outcome, flags);
        entry_drop(t, e, r.owner);
}

void connection_tell_late(struct tracker *t, const struct event *ev, enum outcome outcome,
                          bool opening) {
        const struct record *listener;
        struct record r;

        entry_begin(t, &r, ev, RECORD_OPEN);
        r.flags = RECORD_FOUND;
        if (ev->old_state == TCP_SYN_SENT) {
                r.direction = DIRECTION_OUTBOUND;
                r.flags |= RECORD_PENDING;
                outcome = connection_outcome(ev);
        } else {
                listener = connection_listener(t, &r);
                r.direction = (uint8_t) connection_guess_direction(t, &r, ev, listener);
                if (r.direction == DIRECTION_INBOUND)
                        connection_take_listeners_owner(t, &r, listener);
        }
        entry_take_owner_of_call(t, &r, ev);
        if (opening && !(r.flags & RECORD_PENDING))
                connection_announce(t, &r);
        connection_end(t, &r, ev, outcome, 0);
        entry_unref(t, r.owner);
}

void life_remember_ended(struct tracker *t, uint64_t cookie) {
        t->ended[cookie % TRACKER_ENDED] = cookie;
}

bool life_is_ended(const struct tracker *t, uint64_t cookie) {
        return t->ended[cookie % TRACKER_ENDED] == cookie;
}

void life_end_stale(struct tracker *t, const struct event *ev) {
        /* Of the event only the time counts: its ends are those of the new life. */
        struct event end = { .type = EVENT_NONE, .time_ns = ev->time_ns };
        struct entry e;

        if (!entry_find(t, ev->cookie, &e))
                return;
        if (e.extent == LIVE_LISTENERS)
                listener_close(t, &e, &end, RECORD_END_GUESSED);
        else
                connection_close(t, &e, &end, OUTCOME_CLOSED, RECORD_END_GUESSED);
        live_count(t->live, LIVE_REPAIRS, 1);
}

bool life_precedes_find(const struct tracker *t, const struct entry *e, const struct event *ev) {
        return e->record->flags & RECORD_FOUND && entry_usec(t, ev) <= e->record->opened_usec;
}

/*
 * The beginning of a socket that a dump was quicker to tell: what is left for its event to say is
 * who did it. One of another kind was an earlier life of the socket, which nobody heard of.
 */
bool life_was_found(struct tracker *t, const struct event *ev, enum live_extent extent) {
        struct record r;
        struct entry e;

        if (!entry_find(t, ev->cookie, &e) || !life_precedes_find(t, &e, ev))
                return false;
        if (e.extent != extent)
                return true;
        r = *e.record;
        entry_take_owner_of_call(t, &r, ev);
        if (extent == LIVE_CONNECTIONS)
                r.direction = DIRECTION_OUTBOUND;
        else if (!(r.flags & RECORD_PENDING))
                t->config.ops->listener(&r, r.owner, t->config.userdata);
        entry_write(t, &e, &r);
        return true;
}

/*
 * An inbound connection to a port without a listener: if just one listener of the namespace has not
 * told its port yet (listen() without bind()), this is it.
 */
static const struct record *adopt_port(struct tracker *t, const struct record *connection) {
        uint32_t slot = listeners_pending(&t->listeners, t->live, connection);
        struct entry e;
        struct record r;

        if (slot == LISTENERS_NONE || connection->local_port == 0)
                return NULL;
        e = entry_at(t, slot | ENTRY_LISTENER);
        r = *e.record;
        r.local_port = connection->local_port;
        listener_announce(t, &r);
        entry_write(t, &e, &r);
        return e.record;
}

void connection_appear(struct tracker *t, const struct event *ev, enum direction direction,
                       uint8_t flags) {
        const struct record *listener;
        struct record r;

        entry_begin(t, &r, ev, RECORD_OPEN);
        listener = connection_listener(t, &r);
        if (!listener && direction == DIRECTION_INBOUND)
                listener = adopt_port(t, &r);
        r.direction =
                (uint8_t) (direction ? direction : connection_guess_direction(t, &r, ev, listener));
        r.flags = flags;
        if (ev->type == EVENT_FOUND)
                entry_take_owner(t, &r, ev, ATTRIBUTION_LOOKUP);
        if (r.direction == DIRECTION_INBOUND)
                connection_take_listeners_owner(t, &r, listener);
        if (flags & RECORD_FOUND) {
                life_found(t, LIVE_CONNECTIONS, &r);
                return;
        }
        /* Lent for the judgement: the connection itself has none. */
        r.holder = listener && r.direction == DIRECTION_INBOUND ? listener->holder : OWNER_NONE;
        connection_announce(t, &r);
        r.holder = OWNER_NONE;
        connection_add(t, &r);
}

void connection_establish(struct tracker *t, const struct entry *e, const struct event *ev) {
        struct record r = *e->record;

        if (ev->remote_port != 0)
                entry_set_addresses(&r, ev);
        r.time_usec = r.opened_usec = entry_usec(t, ev);
        connection_announce(t, &r);
        entry_write(t, e, &r);
}

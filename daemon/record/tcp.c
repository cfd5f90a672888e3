/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "life.h"
#include "tcp.h"

static void tcp_listen(struct tracker *t, const struct event *ev) {
        struct record r;

        if (life_was_found(t, ev, LIVE_LISTENERS))
                return;
        life_end_stale(t, ev);
        listener_begin(t, &r, ev);
        entry_take_owner_of_call(t, &r, ev);
        listener_open(t, &r);
}

static void tcp_unlisten(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;

        if (entry_find(t, ev->cookie, &e)) {
                if (e.extent == LIVE_LISTENERS) {
                        listener_close(t, &e, ev, 0);
                        return;
                }
                if (life_precedes_find(t, &e, ev))
                        return;
                life_end_stale(t, ev);
        }
        if (ev->local_port == 0 || life_is_ended(t, ev->cookie))
                return;
        /* Its beginning was missed; its end was not. */
        listener_begin(t, &r, ev);
        entry_take_owner_of_call(t, &r, ev);
        r.kind = RECORD_UNLISTEN;
        t->config.ops->listener(&r, r.owner, t->config.userdata);
        entry_append(t, &r);
        entry_unref(t, r.owner);
}

static void tcp_connect(struct tracker *t, const struct event *ev) {
        struct record r;

        if (life_was_found(t, ev, LIVE_CONNECTIONS))
                return;
        life_end_stale(t, ev);
        entry_begin(t, &r, ev, RECORD_OPEN);
        r.direction = DIRECTION_OUTBOUND;
        r.flags = RECORD_PENDING;
        entry_take_owner_of_call(t, &r, ev);
        connection_add(t, &r);
}

static void tcp_established(struct tracker *t, const struct event *ev) {
        struct entry e;

        if (!entry_find(t, ev->cookie, &e))
                /* From SYN_SENT: its connect() was missed, but not that there was one. */
                connection_appear(
                        t, ev,
                        ev->old_state == TCP_SYN_SENT ? DIRECTION_OUTBOUND : DIRECTION_INBOUND, 0);
        else if (e.extent == LIVE_CONNECTIONS && e.record->flags & RECORD_PENDING)
                connection_establish(t, &e, ev);
}

/* The first step of a close, in the closer's own call: for an accepted socket its best owner. */
static void tcp_closing(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;

        if (!entry_find(t, ev->cookie, &e) || e.record->attribution == ATTRIBUTION_EXACT)
                return;
        r = *e.record;
        entry_take_owner_of_call(t, &r, ev);
        entry_write(t, &e, &r);
}

/* Only a SYN leads from these states, and a simultaneous open through the second. */
static bool was_established(const struct event *ev) {
        return ev->old_state != TCP_SYN_SENT && ev->old_state != TCP_SYN_RECV;
}

static void tcp_close(struct tracker *t, const struct event *ev) {
        struct entry e;

        if (entry_find(t, ev->cookie, &e)) {
                if (e.extent == LIVE_CONNECTIONS) {
                        /* It was missed that it was established, but not that it has been. */
                        if (e.record->flags & RECORD_PENDING && was_established(ev))
                                connection_establish(t, &e, ev);
                        connection_close(t, &e, ev, connection_outcome(ev), 0);
                        return;
                }
                if (ev->old_state == TCP_SYN_RECV || life_precedes_find(t, &e, ev))
                        return;
                life_end_stale(t, ev);
        }
        /* A child that was never established is nobody's connection. */
        if (ev->old_state == TCP_SYN_RECV || ev->remote_port == 0 || life_is_ended(t, ev->cookie))
                return;
        /* For want of room it may have been told to open without being tracked. */
        connection_tell_late(t, ev, connection_outcome(ev), !t->was_full);
}

void tcp_state(struct tracker *t, const struct event *ev) {
        switch (ev->new_state) {
        case TCP_LISTEN:
                tcp_listen(t, ev);
                break;
        case TCP_SYN_SENT:
                tcp_connect(t, ev);
                break;
        case TCP_ESTABLISHED:
                tcp_established(t, ev);
                break;
        case TCP_FIN_WAIT1:
        case TCP_LAST_ACK:
                tcp_closing(t, ev);
                break;
        case TCP_CLOSE:
                if (ev->old_state == TCP_LISTEN)
                        tcp_unlisten(t, ev);
                else
                        tcp_close(t, ev);
                break;
        }
}

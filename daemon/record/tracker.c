/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "found.h"
#include "life.h"
#include "tcp.h"
#include "tracker.h"

/* ---- UDP ---- */

static void udp_bind(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;

        if (life_was_found(t, ev, LIVE_LISTENERS) || entry_find(t, ev->cookie, &e))
                return;
        listener_begin(t, &r, ev);
        entry_take_owner_of_call(t, &r, ev);
        listener_open(t, &r);
}

/* A socket with a peer serves nobody else: it stops listening and becomes a connection. */
static void udp_connect(struct tracker *t, const struct event *ev) {
        struct event local = *ev;
        struct record r;
        struct entry e;

        if (life_was_found(t, ev, LIVE_CONNECTIONS))
                return;
        if (entry_find(t, ev->cookie, &e)) {
                struct event plain = *ev;

                /* The end of what it was is not this call's remote end. */
                local.local_port = plain.local_port = e.record->local_port;
                entry_begin(t, &r, &local, RECORD_OPEN);
                if (r.family == e.record->family)
                        memcpy(r.local, e.record->local, sizeof(r.local));
                if (e.extent == LIVE_LISTENERS)
                        listener_close(t, &e, &plain, 0);
                else
                        connection_close(t, &e, &plain, OUTCOME_CLOSED, 0);
        } else
                entry_begin(t, &r, ev, RECORD_OPEN);
        r.direction = DIRECTION_OUTBOUND;
        entry_take_owner_of_call(t, &r, ev);
        connection_announce(t, &r);
        connection_add(t, &r);
}

/*
 * A peer of a socket that serves many: an inbound connection of a kind, with neither an end nor
 * bytes that anybody could tell. One record, at once, for all that it sends in a window.
 */
static void udp_peer(struct tracker *t, const struct event *ev) {
        struct record r;

        entry_begin(t, &r, ev, RECORD_CLOSE);
        r.direction = DIRECTION_INBOUND;
        r.outcome = OUTCOME_CLOSED;
        r.flags = RECORD_END_GUESSED;
        entry_take_owner_of_call(t, &r, ev);
        entry_append(t, &r);
        entry_unref(t, r.owner);
}

static void handle_release(struct tracker *t, const struct event *ev) {
        struct entry e;

        if (entry_has_states(ev) || !entry_find(t, ev->cookie, &e))
                return;
        if (e.extent == LIVE_LISTENERS)
                listener_close(t, &e, ev, 0);
        else
                connection_close(t, &e, ev, OUTCOME_CLOSED, 0);
}

/* Attempts to reach a port where nobody listens; ports are 0 where the record stands for several.
 */
static void handle_refused(struct tracker *t, const struct event *ev) {
        struct record r;

        entry_begin(t, &r, ev, RECORD_REFUSE);
        r.direction = DIRECTION_INBOUND;
        r.outcome = OUTCOME_REFUSED;
        r.attempts = ev->count;
        entry_append(t, &r);
}

static void handle_lost(struct tracker *t, const struct event *ev) {
        struct record r = {
                .time_usec = entry_usec(t, ev),
                .kind = RECORD_LOST,
                .owner = OWNER_NONE,
                .holder = OWNER_NONE,
                .lost = ev->count,
                .flags = RECORD_COUNT_KNOWN,
        };

        r.opened_usec = r.time_usec;
        entry_append(t, &r);
}

void tracker_handle(struct tracker *t, const struct event *ev) {
        live_count(t->live, LIVE_EVENTS, 1);
        switch (ev->type) {
        case EVENT_STATE:
                tcp_state(t, ev);
                break;
        case EVENT_BIND:
                udp_bind(t, ev);
                break;
        case EVENT_CONNECT:
                udp_connect(t, ev);
                break;
        case EVENT_PEER:
                udp_peer(t, ev);
                break;
        case EVENT_RELEASE:
                handle_release(t, ev);
                break;
        case EVENT_OWNER:
                found_owner(t, ev);
                break;
        case EVENT_FOUND:
                found_socket(t, ev);
                break;
        case EVENT_DESTROYED:
                found_destroyed(t, ev);
                break;
        case EVENT_REFUSED:
                handle_refused(t, ev);
                break;
        case EVENT_LOST:
                handle_lost(t, ev);
                break;
        case EVENT_SNAPSHOT_BEGIN:
                t->epoch++;
                break;
        case EVENT_SNAPSHOT_END:
                found_sweep(t, ev);
                break;
        }
}

void tracker_restore(struct tracker *t, enum live_extent extent, const struct record *r,
                     uint32_t owner, uint32_t holder) {
        struct record copy = *r;
        struct entry e;

        copy.owner = owner;
        copy.holder = holder;
        /* Without its owner, for whom there was no room, it is open to be found again. */
        if (owner == OWNER_NONE)
                copy.attribution = ATTRIBUTION_UNKNOWN;
        copy.rule = 0;
        if (entry_find(t, r->cookie, &e) || !entry_add(t, extent, &copy)) {
                entry_unref(t, owner);
                entry_unref(t, holder);
                return;
        }
        /* Not seen yet: the first snapshot ends it if it is gone. */
        if (entry_find(t, r->cookie, &e))
                t->epochs[e.extent][e.slot] = t->epoch - 1;
}

void tracker_judge_again(struct tracker *t) {
        for (unsigned extent = LIVE_LISTENERS; extent <= LIVE_CONNECTIONS; extent++) {
                uint64_t used = live_used(t->live, extent);

                for (uint32_t slot = 0; slot < used; slot++) {
                        struct entry e =
                                entry_at(t, slot | (extent == LIVE_LISTENERS ? ENTRY_LISTENER : 0));
                        struct record r = *e.record;

                        if (r.kind == RECORD_NONE || r.flags & RECORD_PENDING)
                                continue;
                        if (extent == LIVE_LISTENERS)
                                t->config.ops->listener(&r, r.owner, t->config.userdata);
                        else if (r.direction == DIRECTION_INBOUND)
                                t->config.ops->inbound(&r, r.owner, t->config.userdata);
                        else
                                continue;
                        entry_write(t, &e, &r);
                }
        }
}

unsigned tracker_wants_listeners(struct tracker *t, uint32_t *ret_netns) {
        unsigned n = t->wants_listeners;

        t->wants_listeners = 0;
        *ret_netns = t->wants_netns;
        return n;
}

void tracker_set_offset(struct tracker *t, int64_t realtime_minus_boottime_ns) {
        t->offset_ns = realtime_minus_boottime_ns;
}

int tracker_new(struct tracker **ret, const struct tracker_config *config) {
        const struct live_header *h = config->live->header;
        struct tracker *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->config = *config;
        t->live = config->live;
        t->epoch = 1;
        for (unsigned i = 0; i < 2; i++)
                t->epochs[i] = calloc(h->capacity[i], sizeof(uint32_t));
        if (!t->epochs[0] || !t->epochs[1] ||
            index_init(&t->index, h->capacity[0] + h->capacity[1]) < 0 ||
            listeners_init(&t->listeners, h->capacity[LIVE_LISTENERS]) < 0) {
                tracker_free(t);
                return -ENOMEM;
        }
        *ret = t;
        return 0;
}

struct tracker *tracker_free(struct tracker *t) {
        if (!t)
                return NULL;
        for (unsigned i = 0; i < 2; i++)
                free(t->epochs[i]);
        for (unsigned i = 0; t->listeners.closed && i < LISTENERS_CLOSED; i++)
                entry_unref(t, t->listeners.closed[i].kind != RECORD_NONE
                                       ? t->listeners.closed[i].owner
                                       : OWNER_NONE);
        index_done(&t->index);
        listeners_done(&t->listeners);
        free(t);
        return NULL;
}

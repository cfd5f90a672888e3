/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "found.h"
#include "life.h"

static bool found_is_listener(const struct event *ev) {
        if (!entry_has_states(ev))
                return !(ev->flags & EVENT_CONNECTED);
        return ev->new_state == TCP_LISTEN;
}

/*
 * A look that knows the process is worth more than one that knew the user and unit alone. Of
 * several processes that hold the socket the first one found stays.
 */
static bool take_owner_of_look(struct tracker *t, struct record *r, const struct event *ev) {
        uint8_t attribution = r->attribution;

        if (r->attribution == ATTRIBUTION_LOOKUP && r->owner != OWNER_NONE) {
                if (ev->pid == 0 || t->live->owners[r->owner].owner.pid != 0)
                        return false;
                r->attribution = ATTRIBUTION_UNKNOWN;
        }
        if (r->attribution >= ATTRIBUTION_LOOKUP)
                return false;
        entry_take_owner(t, r, ev, ATTRIBUTION_LOOKUP);
        /* Nobody to be had: what was known stays. */
        if (r->attribution == ATTRIBUTION_UNKNOWN)
                r->attribution = attribution;
        if (r->kind == RECORD_LISTEN && !(r->flags & RECORD_PENDING))
                t->config.ops->listener(r, r->owner, t->config.userdata);
        return true;
}

void found_owner(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;

        if (!entry_find(t, ev->cookie, &e))
                return;
        r = *e.record;
        /* systemd, which keeps it open as well, serves nobody. */
        if (e.extent == LIVE_LISTENERS && !(ev->flags & EVENT_IN_PROCESS) &&
            entry_opened_for_others(t, r.owner) && ev->pid > 1 &&
            ev->pid != t->live->owners[r.owner].owner.pid) {
                uint32_t holder = t->config.ops->owner_of(ev, t->config.userdata);

                if (holder != OWNER_NONE)
                        entry_set_holder(t, e.slot, holder);
                entry_unref(t, holder);
                return;
        }
        if (ev->flags & EVENT_IN_PROCESS && r.attribution != ATTRIBUTION_EXACT)
                entry_take_owner_of_call(t, &r, ev); /* it was just accepted */
        else if (!take_owner_of_look(t, &r, ev))
                return;
        entry_write(t, &e, &r);
}

/* A socket that was disconnected and connected anew keeps its cookie (connect(2), AF_UNSPEC). */
static bool connected_elsewhere(const struct record *r, const struct event *ev) {
        struct record found = {};

        if (r->flags & RECORD_PENDING || ev->remote_port == 0)
                return false;
        entry_set_addresses(&found, ev);
        return found.family != r->family || found.remote_port != r->remote_port ||
               memcmp(found.remote, r->remote, sizeof(r->remote)) != 0;
}

/* What a dump knows better about a socket that is tracked. */
static void found_again(struct tracker *t, const struct entry *e, const struct event *ev) {
        struct record r = *e->record;

        if (e->extent == LIVE_LISTENERS) {
                bool owned = take_owner_of_look(t, &r, ev);

                if (!(r.flags & RECORD_PENDING) || ev->local_port == 0) {
                        if (owned)
                                entry_write(t, e, &r);
                        return;
                }
                r.local_port = ev->local_port;
                r.exposure = (uint8_t) record_exposure(r.family, r.local);
                listener_announce(t, &r);
        } else if (r.flags & RECORD_PENDING) {
                if (!entry_has_states(ev) || ev->new_state == TCP_SYN_SENT)
                        return;
                connection_establish(t, e, ev);
                return;
        } else if (r.local_port == 0 && ev->local_port != 0) {
                /* An autobound UDP socket: no hook tells its port, a dump does. */
                entry_set_addresses(&r, ev);
        } else if (!take_owner_of_look(t, &r, ev))
                return;
        entry_write(t, e, &r);
}

void found_socket(struct tracker *t, const struct event *ev) {
        bool listener = found_is_listener(ev);
        struct record r;
        struct entry e;

        if (entry_find(t, ev->cookie, &e)) {
                if ((e.extent == LIVE_LISTENERS) == listener &&
                    (listener || !connected_elsewhere(e.record, ev))) {
                        found_again(t, &e, ev);
                        return;
                }
                life_end_stale(t, ev);
        }
        if (listener) {
                if (ev->local_port == 0 || ev->flags & EVENT_AUTOBOUND)
                        return;
                listener_begin(t, &r, ev);
                r.flags |= RECORD_FOUND;
                entry_take_owner(t, &r, ev, ATTRIBUTION_LOOKUP);
                life_found(t, LIVE_LISTENERS, &r);
        } else if (ev->transport == IPPROTO_TCP && ev->new_state == TCP_SYN_SENT) {
                entry_begin(t, &r, ev, RECORD_OPEN);
                r.direction = DIRECTION_OUTBOUND;
                r.flags = RECORD_PENDING | RECORD_FOUND;
                entry_take_owner(t, &r, ev, ATTRIBUTION_LOOKUP);
                connection_add(t, &r);
        } else if (ev->transport != IPPROTO_SCTP)
                /* What else there is of SCTP belongs to associations, which are not recorded. */
                connection_appear(t, ev, DIRECTION_NONE, RECORD_FOUND);
}

/*
 * Of these the look at the open files does not see all (a descriptor may be on its way in a
 * message, or belong to io_uring), but both their beginning and their end are told.
 */
static bool is_told(const struct record *r) {
        return (r->transport == TRANSPORT_RAW || r->transport == TRANSPORT_UDPLITE) &&
               !(r->flags & RECORD_FOUND);
}

/*
 * connect() tells that it begins before the socket is where a dump finds it: one that was told just
 * before the dump has the next one, too, to show up in.
 */
static bool is_young(const struct tracker *t, const struct entry *e) {
        return (e->record->flags & (RECORD_PENDING | RECORD_FOUND)) == RECORD_PENDING &&
               e->extent == LIVE_CONNECTIONS && t->epochs[e->extent][e->slot] + 1 == t->epoch;
}

/* Sockets of the dumped namespaces that neither the dump nor an event since its start has shown. */
void found_sweep(struct tracker *t, const struct event *ev) {
        unsigned n = ev->flags & EVENT_LISTENERS_ONLY ? 1 : 2;

        for (unsigned extent = 0; extent < n; extent++) {
                uint64_t used = live_used(t->live, extent);

                for (uint32_t slot = 0; slot < used; slot++) {
                        struct entry e = { extent, slot, &t->live->slots[extent][slot] };
                        struct event end = { .type = EVENT_NONE, .time_ns = ev->time_ns };

                        /* First what lies close together: this is done for each namespace. */
                        if (t->epochs[extent][slot] == t->epoch)
                                continue;
                        if (e.record->kind == RECORD_NONE) {
                                t->epochs[extent][slot] = t->epoch;
                                continue;
                        }
                        if (ev->netns != 0 && e.record->netns != ev->netns)
                                continue;
                        if (is_young(t, &e) || is_told(e.record))
                                continue;
                        life_remember_ended(t, e.record->cookie);
                        if (extent == LIVE_LISTENERS)
                                listener_close(t, &e, &end, RECORD_END_GUESSED);
                        else if (e.record->flags & RECORD_PENDING)
                                connection_close(t, &e, &end, OUTCOME_FAILED, RECORD_END_GUESSED);
                        else
                                connection_close(t, &e, &end, OUTCOME_CLOSED, RECORD_END_GUESSED);
                        live_count(t->live, LIVE_REPAIRS, 1);
                }
        }
}

/*
 * A socket that is gone, by sock_diag. One that no dump had shown lived between two of them: its
 * beginning and end are told together, if its tuple was not wiped.
 */
void found_destroyed(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;

        if (entry_find(t, ev->cookie, &e)) {
                if (e.extent == LIVE_LISTENERS) {
                        listener_close(t, &e, ev, 0);
                        return;
                }
                /* A dump saw it ask; what came of it lay between that and the next one. */
                if (e.record->flags & RECORD_PENDING && ev->old_state == TCP_ESTABLISHED)
                        connection_establish(t, &e, ev);
                connection_close(t, &e, ev,
                                 ev->error                          ? connection_outcome(ev)
                                 : e.record->flags & RECORD_PENDING ? OUTCOME_FAILED
                                                                    : OUTCOME_CLOSED,
                                 0);
                return;
        }
        if (life_is_ended(t, ev->cookie))
                return;
        /* A socket without a peer was nobody's connection. One that was disconnected has no port.
         */
        entry_begin(t, &r, ev, RECORD_OPEN);
        if ((ev->local_port == 0 && ev->remote_port == 0) ||
            (!entry_has_states(ev) && !(ev->flags & EVENT_CONNECTED)) ||
            (ev->remote_port == 0 && record_exposure(r.family, r.remote) == EXPOSURE_ANY))
                return;
        connection_tell_late(t, ev, ev->error ? connection_outcome(ev) : OUTCOME_CLOSED, true);
}

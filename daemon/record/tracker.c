/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tracker.h"
#include "index.h"
#include "listeners.h"

/*
 * A tracked socket is a slot of the live table; what only the tracker needs lies beside it. Its
 * reference packs extent and slot: the index gives it for a cookie.
 */
#define REF_LISTENER 0x80000000U

#define ENDED 4096U

struct tracker {
        struct tracker_config config;
        struct live *live;
        struct index index;
        struct listeners listeners;
        uint64_t ended[ENDED]; /* cookies, see ended_at() */
        uint32_t *epochs[2];   /* of each slot: the last snapshot that it was seen in or after */
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

/* ---- Entries ---- */

static struct entry entry_at(const struct tracker *t, uint32_t ref) {
        struct entry e = {
                .extent = ref & REF_LISTENER ? LIVE_LISTENERS : LIVE_CONNECTIONS,
                .slot = ref & ~REF_LISTENER,
        };

        e.record = &t->live->slots[e.extent][e.slot];
        return e;
}

static bool entry_find(struct tracker *t, uint64_t cookie, struct entry *ret) {
        uint32_t ref = index_get(&t->index, cookie);

        if (ref == INDEX_NONE)
                return false;
        *ret = entry_at(t, ref);
        t->epochs[ret->extent][ret->slot] = t->epoch;
        return true;
}

/* Puts *r under its cookie; false when a table is full, which is counted. */
static bool entry_add(struct tracker *t, enum live_extent extent, const struct record *r) {
        uint32_t slot;

        if (r->cookie == 0 || live_take(t->live, extent, &slot) < 0)
                goto full;
        if (index_put(&t->index, r->cookie, slot | (extent == LIVE_LISTENERS ? REF_LISTENER : 0)) <
            0) {
                live_release(t->live, extent, slot);
                goto full;
        }
        t->epochs[extent][slot] = t->epoch;
        live_write(t->live, extent, slot, r);
        if (extent == LIVE_LISTENERS)
                listeners_add(&t->listeners, t->live, slot);
        return true;
full:
        live_count(t->live, LIVE_LOST_TRACKER, 1);
        return false;
}

static void entry_write(struct tracker *t, const struct entry *e, const struct record *r) {
        if (e->extent == LIVE_LISTENERS && e->record->local_port != r->local_port) {
                listeners_remove(&t->listeners, t->live, e->slot);
                live_write(t->live, e->extent, e->slot, r);
                listeners_add(&t->listeners, t->live, e->slot);
        } else
                live_write(t->live, e->extent, e->slot, r);
}

static void owner_unref(struct tracker *t, uint32_t owner) {
        if (owner != OWNER_NONE)
                t->config.ops->owner_unref(owner, t->config.userdata);
}

/* Forgets the socket and gives back the reference to owner, which it had last. */
static void entry_drop(struct tracker *t, const struct entry *e, uint32_t owner) {
        if (e->extent == LIVE_LISTENERS)
                listeners_remove(&t->listeners, t->live, e->slot);
        index_remove(&t->index, e->record->cookie);
        owner_unref(t, e->record->holder);
        live_release(t->live, e->extent, e->slot);
        owner_unref(t, owner);
}

/* ---- Records ---- */

static uint64_t usec_of(const struct tracker *t, const struct event *ev) {
        return (ev->time_ns + (uint64_t) t->offset_ns) / 1000;
}

/* The end of what began at opened: a dump or a step of the clock can make it look earlier. */
static uint64_t usec_of_end(const struct tracker *t, const struct event *ev, uint64_t opened) {
        uint64_t usec = usec_of(t, ev);

        return usec > opened ? usec : opened;
}

static bool is_v4_mapped(const uint8_t address[16]) {
        static const uint8_t prefix[12] = { [10] = 0xFF, [11] = 0xFF };

        return memcmp(address, prefix, sizeof(prefix)) == 0;
}

/* RFC 4291, section 2.5.5.2: a v4-mapped address stands for the IPv4 one, and is recorded as such.
 */
static void set_addresses(struct record *r, const struct event *ev) {
        bool mapped =
                ev->family == AF_INET6 && (is_v4_mapped(ev->local) || is_v4_mapped(ev->remote));

        memset(r->local, 0, sizeof(r->local));
        memset(r->remote, 0, sizeof(r->remote));
        if (ev->family == AF_INET) {
                memcpy(r->local, ev->local, 4);
                memcpy(r->remote, ev->remote, 4);
        } else if (mapped) {
                memcpy(r->local, ev->local + 12, 4);
                memcpy(r->remote, ev->remote + 12, 4);
        } else {
                memcpy(r->local, ev->local, 16);
                memcpy(r->remote, ev->remote, 16);
        }
        r->family = ev->family == AF_PACKET           ? FAMILY_PACKET
                    : ev->family == AF_INET || mapped ? FAMILY_IPV4
                                                      : FAMILY_IPV6;
        r->local_port = ev->local_port;
        r->remote_port = ev->remote_port;
        r->ifindex = ev->ifindex;
}

static uint8_t transport_of(const struct event *ev) {
        switch (ev->transport) {
        case IPPROTO_UDP:
                return TRANSPORT_UDP;
        case IPPROTO_UDPLITE:
                return TRANSPORT_UDPLITE;
        case IPPROTO_SCTP:
                return TRANSPORT_SCTP;
        case IPPROTO_RAW:
                return TRANSPORT_RAW;
        case EVENT_TRANSPORT_PACKET:
                return TRANSPORT_PACKET;
        default:
                return TRANSPORT_TCP;
        }
}

/* Has it states? The others listen as soon as they are bound, or made. */
static bool has_states(const struct event *ev) {
        return ev->transport == IPPROTO_TCP || ev->transport == IPPROTO_SCTP;
}

static void record_begin(const struct tracker *t, struct record *ret, const struct event *ev,
                         enum record_kind kind) {
        *ret = (struct record){
                .time_usec = usec_of(t, ev),
                .opened_usec = usec_of(t, ev),
                .netns = ev->netns,
                .owner = OWNER_NONE,
                .holder = OWNER_NONE,
                .kind = (uint8_t) kind,
                .transport = transport_of(ev),
                .cookie = ev->cookie,
        };
        set_addresses(ret, ev);
}

/* Sets the owner an event names, if it does and is more certain than what is known. */
static void take_owner(struct tracker *t, struct record *r, const struct event *ev,
                       enum attribution attribution) {
        uint32_t owner;

        if (r->attribution >= attribution)
                return;
        owner = t->config.ops->owner_of(ev, t->config.userdata);
        if (owner == OWNER_NONE)
                return;
        owner_unref(t, r->owner);
        r->owner = owner;
        r->attribution = (uint8_t) attribution;
}

/*
 * Was the listener opened for somebody else? systemd does that for the services of its socket units
 * (systemd.socket(5)), in the control group of the socket unit.
 */
static bool opened_for_others(const struct tracker *t, uint32_t owner) {
        static const char suffix[] = ".socket";
        const struct owner *o;
        size_t n;

        if (owner == OWNER_NONE)
                return false;
        o = &t->live->owners[owner].owner;
        n = strnlen(o->unit, sizeof(o->unit));
        return n >= sizeof(suffix) && strcmp(o->unit + n - (sizeof(suffix) - 1), suffix) == 0;
}

/* Sets who serves a listener that was opened for others. */
static void set_holder(struct tracker *t, uint32_t slot, uint32_t holder) {
        struct entry e = entry_at(t, slot | REF_LISTENER);
        struct record r = *e.record;

        if (r.holder == holder || r.owner == holder)
                return;
        t->config.ops->owner_ref(holder, t->config.userdata);
        owner_unref(t, r.holder);
        r.holder = holder;
        if (!(r.flags & RECORD_PENDING))
                t->config.ops->listener(&r, r.owner, t->config.userdata);
        entry_write(t, &e, &r);
}

static void take_owner_of_call(struct tracker *t, struct record *r, const struct event *ev) {
        uint8_t before = r->attribution;
        uint32_t stand_in = r->owner, slot;
        bool for_others;

        if (!(ev->flags & EVENT_IN_PROCESS))
                return;
        for_others = before == ATTRIBUTION_LISTENER && opened_for_others(t, stand_in);
        take_owner(t, r, ev, ATTRIBUTION_EXACT);
        if (!for_others || r->attribution == before)
                return;
        slot = listeners_match(&t->listeners, t->live, r);
        if (slot != LISTENERS_NONE)
                set_holder(t, slot, r->owner);
}

static void append(struct tracker *t, struct record *r) {
        uint64_t seq = t->config.ops->append(r, r->owner, t->config.userdata);

        if (r->id == 0)
                r->id = seq;
}

/* ---- Listeners ---- */

static void listener_announce(struct tracker *t, struct record *r) {
        r->kind = RECORD_LISTEN;
        r->flags &= (uint8_t) ~RECORD_PENDING;
        t->config.ops->listener(r, r->owner, t->config.userdata);
        append(t, r);
}

static void listener_begin(struct tracker *t, struct record *r, const struct event *ev) {
        record_begin(t, r, ev, RECORD_LISTEN);
        r->exposure = (uint8_t) record_exposure(r->family, r->local);
        if (ev->family == AF_INET6 && r->family == FAMILY_IPV6 && !(ev->flags & EVENT_V6ONLY) &&
            r->exposure == EXPOSURE_ANY)
                r->flags |= RECORD_DUAL_STACK;
}

static void listener_open(struct tracker *t, struct record *r) {
        /* listen() without bind(): the port is not chosen yet. It is looked up or learnt at the
         * end. */
        if (r->local_port == 0) {
                r->flags |= RECORD_PENDING;
                t->wants_listeners++;
                t->wants_netns = r->netns;
        } else
                listener_announce(t, r);
        if (!entry_add(t, LIVE_LISTENERS, r))
                owner_unref(t, r->owner);
}

static void listener_close(struct tracker *t, const struct entry *e, const struct event *ev,
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
        r.time_usec = usec_of_end(t, ev, r.opened_usec);
        r.flags |= flags;
        t->config.ops->listener(&r, r.owner, t->config.userdata);
        append(t, &r);
        /* The reference to its owner goes on with the memory of it. */
        entry_drop(t, e, listeners_bury(&t->listeners, &r));
}

/* ---- Connections ---- */

/* The listener that a connection came in by: one that is there, or was a moment ago; or NULL. */
static const struct record *listener_of(const struct tracker *t, const struct record *r) {
        uint32_t slot = listeners_match(&t->listeners, t->live, r);

        return slot != LISTENERS_NONE ? &t->live->slots[LIVE_LISTENERS][slot]
                                      : listeners_closed(&t->listeners, r, r->time_usec);
}

/* Who opened a connection whose start was missed: from its counts, the listeners or the ports. */
static enum direction guess_direction(const struct tracker *t, const struct record *r,
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

static void take_owner_of_listener(struct tracker *t, struct record *r,
                                   const struct record *listener) {
        uint32_t owner;

        if (!listener || r->attribution >= ATTRIBUTION_LISTENER)
                return;
        owner = listener->owner;
        if (owner == OWNER_NONE)
                return;
        t->config.ops->owner_ref(owner, t->config.userdata);
        owner_unref(t, r->owner);
        r->owner = owner;
        r->attribution = ATTRIBUTION_LISTENER;
}

static void connection_announce(struct tracker *t, struct record *r) {
        r->kind = RECORD_OPEN;
        r->outcome = OUTCOME_OPEN;
        r->flags &= (uint8_t) ~RECORD_PENDING;
        if (r->direction == DIRECTION_INBOUND)
                t->config.ops->inbound(r, r->owner, t->config.userdata);
        append(t, r);
}

static void connection_add(struct tracker *t, struct record *r) {
        if (!entry_add(t, LIVE_CONNECTIONS, r))
                owner_unref(t, r->owner);
}

/*
 * Tells what a dump has shown, if there is room to track it: what is not tracked every dump would
 * tell again.
 */
static void found_open(struct tracker *t, enum live_extent extent, struct record *r) {
        struct record silent = *r;
        struct entry e;

        silent.flags |= RECORD_PENDING;
        if (!entry_add(t, extent, &silent) || !entry_find(t, r->cookie, &e)) {
                owner_unref(t, r->owner);
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
static enum outcome tcp_outcome(const struct event *ev) {
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

        set_addresses(&end, ev);
        r->local_port = end.local_port;
        if (end.family == r->family && record_exposure(end.family, end.local) != EXPOSURE_ANY)
                memcpy(r->local, end.local, sizeof(r->local));
}

static void connection_end(struct tracker *t, struct record *r, const struct event *ev,
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
        r->time_usec = usec_of_end(t, ev, r->opened_usec);
        if (ev->flags & EVENT_BYTES) {
                r->bytes_received = ev->bytes_received;
                r->bytes_sent = ev->bytes_sent;
                r->flags |= RECORD_BYTES_KNOWN;
        }
        append(t, r);
}

static void connection_close(struct tracker *t, const struct entry *e, const struct event *ev,
                             enum outcome outcome, uint8_t flags) {
        struct record r = *e->record;

        take_owner_of_call(t, &r, ev);
        connection_end(t, &r, ev, outcome, flags);
        entry_drop(t, e, r.owner);
}

/* Ends what is still tracked under a cookie that begins anew: its end was missed. */
static void end_stale(struct tracker *t, const struct event *ev) {
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

/* Did this happen before the dump that has shown the socket? Then the dump knew what came of it. */
static bool precedes_find(const struct tracker *t, const struct entry *e, const struct event *ev) {
        return e->record->flags & RECORD_FOUND && usec_of(t, ev) <= e->record->opened_usec;
}

/*
 * The beginning of a socket that a dump was quicker to tell: what is left for its event to say is
 * who did it. One of another kind was an earlier life of the socket, which nobody heard of.
 */
static bool was_found(struct tracker *t, const struct event *ev, enum live_extent extent) {
        struct record r;
        struct entry e;

        if (!entry_find(t, ev->cookie, &e) || !precedes_find(t, &e, ev))
                return false;
        if (e.extent != extent)
                return true;
        r = *e.record;
        take_owner_of_call(t, &r, ev);
        if (extent == LIVE_CONNECTIONS)
                r.direction = DIRECTION_OUTBOUND;
        else if (!(r.flags & RECORD_PENDING))
                t->config.ops->listener(&r, r.owner, t->config.userdata);
        entry_write(t, &e, &r);
        return true;
}

/* ---- TCP ---- */

static void tcp_listen(struct tracker *t, const struct event *ev) {
        struct record r;

        if (was_found(t, ev, LIVE_LISTENERS))
                return;
        end_stale(t, ev);
        listener_begin(t, &r, ev);
        take_owner_of_call(t, &r, ev);
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
                if (precedes_find(t, &e, ev))
                        return;
                end_stale(t, ev);
        }
        if (ev->local_port == 0)
                return;
        /* Its beginning was missed; its end was not. */
        listener_begin(t, &r, ev);
        take_owner_of_call(t, &r, ev);
        r.kind = RECORD_UNLISTEN;
        t->config.ops->listener(&r, r.owner, t->config.userdata);
        append(t, &r);
        owner_unref(t, r.owner);
}

static void tcp_connect(struct tracker *t, const struct event *ev) {
        struct record r;

        if (was_found(t, ev, LIVE_CONNECTIONS))
                return;
        end_stale(t, ev);
        record_begin(t, &r, ev, RECORD_OPEN);
        r.direction = DIRECTION_OUTBOUND;
        r.flags = RECORD_PENDING;
        take_owner_of_call(t, &r, ev);
        connection_add(t, &r);
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
        e = entry_at(t, slot | REF_LISTENER);
        r = *e.record;
        r.local_port = connection->local_port;
        listener_announce(t, &r);
        entry_write(t, &e, &r);
        return e.record;
}

/* An established connection that is not tracked yet. DIRECTION_NONE: to be guessed. */
static void connection_appear(struct tracker *t, const struct event *ev, enum direction direction,
                              uint8_t flags) {
        const struct record *listener;
        struct record r;

        record_begin(t, &r, ev, RECORD_OPEN);
        listener = listener_of(t, &r);
        if (!listener && direction == DIRECTION_INBOUND)
                listener = adopt_port(t, &r);
        r.direction = (uint8_t) (direction ? direction : guess_direction(t, &r, ev, listener));
        r.flags = flags;
        if (ev->type == EVENT_FOUND)
                take_owner(t, &r, ev, ATTRIBUTION_LOOKUP);
        if (r.direction == DIRECTION_INBOUND)
                take_owner_of_listener(t, &r, listener);
        if (flags & RECORD_FOUND) {
                found_open(t, LIVE_CONNECTIONS, &r);
                return;
        }
        connection_announce(t, &r);
        connection_add(t, &r);
}

static void connection_establish(struct tracker *t, const struct entry *e, const struct event *ev) {
        struct record r = *e->record;

        if (ev->remote_port != 0)
                set_addresses(&r, ev);
        r.time_usec = r.opened_usec = usec_of(t, ev);
        connection_announce(t, &r);
        entry_write(t, e, &r);
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
        take_owner_of_call(t, &r, ev);
        entry_write(t, &e, &r);
}

static void tcp_close(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;

        if (entry_find(t, ev->cookie, &e)) {
                if (e.extent == LIVE_CONNECTIONS) {
                        connection_close(t, &e, ev, tcp_outcome(ev), 0);
                        return;
                }
                if (ev->old_state == TCP_SYN_RECV || precedes_find(t, &e, ev))
                        return;
                end_stale(t, ev);
        }
        /* A child that was never established is nobody's connection. */
        if (ev->old_state == TCP_SYN_RECV || ev->remote_port == 0)
                return;
        record_begin(t, &r, ev, RECORD_CLOSE);
        if (ev->old_state == TCP_SYN_SENT) {
                r.direction = DIRECTION_OUTBOUND;
                r.flags = RECORD_PENDING;
        } else
                r.direction = (uint8_t) guess_direction(t, &r, ev, listener_of(t, &r));
        take_owner_of_call(t, &r, ev);
        connection_end(t, &r, ev, tcp_outcome(ev), RECORD_FOUND);
        owner_unref(t, r.owner);
}

static void handle_state(struct tracker *t, const struct event *ev) {
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

/* ---- UDP ---- */

static void udp_bind(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;

        if (was_found(t, ev, LIVE_LISTENERS) || entry_find(t, ev->cookie, &e))
                return;
        listener_begin(t, &r, ev);
        take_owner_of_call(t, &r, ev);
        listener_open(t, &r);
}

/* A socket with a peer serves nobody else: it stops listening and becomes a connection. */
static void udp_connect(struct tracker *t, const struct event *ev) {
        struct event local = *ev;
        struct record r;
        struct entry e;

        if (was_found(t, ev, LIVE_CONNECTIONS))
                return;
        if (entry_find(t, ev->cookie, &e)) {
                struct event plain = *ev;

                /* The end of what it was is not this call's remote end. */
                local.local_port = plain.local_port = e.record->local_port;
                record_begin(t, &r, &local, RECORD_OPEN);
                if (r.family == e.record->family)
                        memcpy(r.local, e.record->local, sizeof(r.local));
                if (e.extent == LIVE_LISTENERS)
                        listener_close(t, &e, &plain, 0);
                else
                        connection_close(t, &e, &plain, OUTCOME_CLOSED, 0);
        } else
                record_begin(t, &r, ev, RECORD_OPEN);
        r.direction = DIRECTION_OUTBOUND;
        take_owner_of_call(t, &r, ev);
        connection_announce(t, &r);
        connection_add(t, &r);
}

/*
 * A peer of a socket that serves many: an inbound connection of a kind, with neither an end nor
 * bytes that anybody could tell. One record, at once, for all that it sends in a window.
 */
static void udp_peer(struct tracker *t, const struct event *ev) {
        struct record r;

        record_begin(t, &r, ev, RECORD_CLOSE);
        r.direction = DIRECTION_INBOUND;
        r.outcome = OUTCOME_CLOSED;
        r.flags = RECORD_END_GUESSED;
        take_owner_of_call(t, &r, ev);
        append(t, &r);
        owner_unref(t, r.owner);
}

static void handle_release(struct tracker *t, const struct event *ev) {
        struct entry e;

        if (has_states(ev) || !entry_find(t, ev->cookie, &e))
                return;
        if (e.extent == LIVE_LISTENERS)
                listener_close(t, &e, ev, 0);
        else
                connection_close(t, &e, ev, OUTCOME_CLOSED, 0);
}

/* ---- Looks: snapshots and later finds ---- */

static bool found_is_listener(const struct event *ev) {
        if (!has_states(ev))
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
        take_owner(t, r, ev, ATTRIBUTION_LOOKUP);
        /* Nobody to be had: what was known stays. */
        if (r->attribution == ATTRIBUTION_UNKNOWN)
                r->attribution = attribution;
        if (r->kind == RECORD_LISTEN && !(r->flags & RECORD_PENDING))
                t->config.ops->listener(r, r->owner, t->config.userdata);
        return true;
}

static void handle_owner(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;

        if (!entry_find(t, ev->cookie, &e))
                return;
        r = *e.record;
        /* systemd, which keeps it open as well, serves nobody. */
        if (e.extent == LIVE_LISTENERS && !(ev->flags & EVENT_IN_PROCESS) &&
            opened_for_others(t, r.owner) && ev->pid > 1 &&
            ev->pid != t->live->owners[r.owner].owner.pid) {
                uint32_t holder = t->config.ops->owner_of(ev, t->config.userdata);

                if (holder != OWNER_NONE)
                        set_holder(t, e.slot, holder);
                owner_unref(t, holder);
                return;
        }
        if (ev->flags & EVENT_IN_PROCESS && r.attribution != ATTRIBUTION_EXACT)
                take_owner_of_call(t, &r, ev); /* it was just accepted */
        else if (!take_owner_of_look(t, &r, ev))
                return;
        entry_write(t, &e, &r);
}

/* A socket that was disconnected and connected anew keeps its cookie (connect(2), AF_UNSPEC). */
static bool connected_elsewhere(const struct record *r, const struct event *ev) {
        struct record found = {};

        if (r->flags & RECORD_PENDING || ev->remote_port == 0)
                return false;
        set_addresses(&found, ev);
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
                if (!has_states(ev) || ev->new_state == TCP_SYN_SENT)
                        return;
                connection_establish(t, e, ev);
                return;
        } else if (r.local_port == 0 && ev->local_port != 0) {
                /* An autobound UDP socket: no hook tells its port, a dump does. */
                set_addresses(&r, ev);
        } else if (!take_owner_of_look(t, &r, ev))
                return;
        entry_write(t, e, &r);
}

static void handle_found(struct tracker *t, const struct event *ev) {
        bool listener = found_is_listener(ev);
        struct record r;
        struct entry e;

        if (entry_find(t, ev->cookie, &e)) {
                if ((e.extent == LIVE_LISTENERS) == listener &&
                    (listener || !connected_elsewhere(e.record, ev))) {
                        found_again(t, &e, ev);
                        return;
                }
                end_stale(t, ev);
        }
        if (listener) {
                if (ev->local_port == 0 || ev->flags & EVENT_AUTOBOUND)
                        return;
                listener_begin(t, &r, ev);
                r.flags |= RECORD_FOUND;
                take_owner(t, &r, ev, ATTRIBUTION_LOOKUP);
                found_open(t, LIVE_LISTENERS, &r);
        } else if (ev->transport == IPPROTO_TCP && ev->new_state == TCP_SYN_SENT) {
                record_begin(t, &r, ev, RECORD_OPEN);
                r.direction = DIRECTION_OUTBOUND;
                r.flags = RECORD_PENDING | RECORD_FOUND;
                take_owner(t, &r, ev, ATTRIBUTION_LOOKUP);
                connection_add(t, &r);
        } else
                connection_appear(t, ev, DIRECTION_NONE, RECORD_FOUND);
}

/*
 * Where the end of a socket is remembered that no event has told yet: a reset one may leave the
 * dumps long before its destroy message comes, which must not tell it again.
 */
static uint64_t *ended_at(struct tracker *t, uint64_t cookie) {
        return &t->ended[cookie % ENDED];
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
static void sweep(struct tracker *t, const struct event *ev) {
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
                        if (is_young(t, &e))
                                continue;
                        *ended_at(t, e.record->cookie) = e.record->cookie;
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
static void handle_destroyed(struct tracker *t, const struct event *ev) {
        struct record r;
        struct entry e;
        const struct record *listener;
        enum outcome outcome;

        if (entry_find(t, ev->cookie, &e)) {
                if (e.extent == LIVE_LISTENERS) {
                        listener_close(t, &e, ev, 0);
                        return;
                }
                /* A dump saw it ask; what came of it lay between that and the next one. */
                if (e.record->flags & RECORD_PENDING && ev->old_state == TCP_ESTABLISHED)
                        connection_establish(t, &e, ev);
                connection_close(t, &e, ev,
                                 ev->error                          ? tcp_outcome(ev)
                                 : e.record->flags & RECORD_PENDING ? OUTCOME_FAILED
                                                                    : OUTCOME_CLOSED,
                                 0);
                return;
        }
        if (*ended_at(t, ev->cookie) == ev->cookie)
                return;
        /* A socket without a peer was nobody's connection. One that was disconnected has no port.
         */
        record_begin(t, &r, ev, RECORD_OPEN);
        if ((ev->local_port == 0 && ev->remote_port == 0) ||
            (!has_states(ev) && !(ev->flags & EVENT_CONNECTED)) ||
            (ev->remote_port == 0 && record_exposure(r.family, r.remote) == EXPOSURE_ANY))
                return;
        r.flags = RECORD_FOUND;
        if (ev->old_state == TCP_SYN_SENT) {
                r.direction = DIRECTION_OUTBOUND;
                r.flags |= RECORD_PENDING;
                connection_end(t, &r, ev, tcp_outcome(ev), 0);
                return;
        }
        listener = listener_of(t, &r);
        r.direction = (uint8_t) guess_direction(t, &r, ev, listener);
        if (r.direction == DIRECTION_INBOUND)
                take_owner_of_listener(t, &r, listener);
        outcome = ev->error ? tcp_outcome(ev) : OUTCOME_CLOSED;
        connection_announce(t, &r);
        connection_end(t, &r, ev, outcome, 0);
        owner_unref(t, r.owner);
}

/* Attempts to reach a port where nobody listens; ports are 0 where the record stands for several.
 */
static void handle_refused(struct tracker *t, const struct event *ev) {
        struct record r;

        record_begin(t, &r, ev, RECORD_REFUSE);
        r.direction = DIRECTION_INBOUND;
        r.outcome = OUTCOME_REFUSED;
        r.attempts = ev->count;
        append(t, &r);
}

static void handle_lost(struct tracker *t, const struct event *ev) {
        struct record r = {
                .time_usec = usec_of(t, ev),
                .kind = RECORD_LOST,
                .owner = OWNER_NONE,
                .holder = OWNER_NONE,
                .lost = ev->count,
                .flags = RECORD_COUNT_KNOWN,
        };

        r.opened_usec = r.time_usec;
        append(t, &r);
}

void tracker_handle(struct tracker *t, const struct event *ev) {
        live_count(t->live, LIVE_EVENTS, 1);
        switch (ev->type) {
        case EVENT_STATE:
                handle_state(t, ev);
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
                handle_owner(t, ev);
                break;
        case EVENT_FOUND:
                handle_found(t, ev);
                break;
        case EVENT_DESTROYED:
                handle_destroyed(t, ev);
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
                sweep(t, ev);
                break;
        }
}

void tracker_restore(struct tracker *t, enum live_extent extent, const struct record *r,
                     uint32_t owner) {
        struct record copy = *r;
        struct entry e;

        copy.owner = owner;
        copy.holder = OWNER_NONE;
        /* Without its owner, for whom there was no room, it is open to be found again. */
        if (owner == OWNER_NONE)
                copy.attribution = ATTRIBUTION_UNKNOWN;
        copy.rule = 0;
        if (entry_find(t, r->cookie, &e) || !entry_add(t, extent, &copy)) {
                owner_unref(t, owner);
                return;
        }
        /* Not seen yet: the first snapshot ends it if it is gone. */
        if (entry_find(t, r->cookie, &e))
                t->epochs[e.extent][e.slot] = t->epoch - 1;
}

void tracker_judge_again(struct tracker *t) {
        uint64_t used = live_used(t->live, LIVE_LISTENERS);

        for (uint32_t slot = 0; slot < used; slot++) {
                struct entry e = entry_at(t, slot | REF_LISTENER);
                struct record r = *e.record;

                if (r.kind == RECORD_NONE || r.flags & RECORD_PENDING)
                        continue;
                t->config.ops->listener(&r, r.owner, t->config.userdata);
                entry_write(t, &e, &r);
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
                owner_unref(t, t->listeners.closed[i].kind != RECORD_NONE
                                       ? t->listeners.closed[i].owner
                                       : OWNER_NONE);
        index_done(&t->index);
        listeners_done(&t->listeners);
        free(t);
        return NULL;
}

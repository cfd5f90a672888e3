/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "entry.h"

struct entry entry_at(const struct tracker *t, uint32_t ref) {
        struct entry e = {
                .extent = ref & ENTRY_LISTENER ? LIVE_LISTENERS : LIVE_CONNECTIONS,
                .slot = ref & ~ENTRY_LISTENER,
        };

        e.record = &t->live->slots[e.extent][e.slot];
        return e;
}

bool entry_find(struct tracker *t, uint64_t cookie, struct entry *ret) {
        uint32_t ref = index_get(&t->index, cookie);

        if (ref == INDEX_NONE)
                return false;
        *ret = entry_at(t, ref);
        t->epochs[ret->extent][ret->slot] = t->epoch;
        return true;
}

bool entry_add(struct tracker *t, enum live_extent extent, const struct record *r) {
        uint32_t slot;

        if (r->cookie == 0 || live_take(t->live, extent, &slot) < 0)
                goto full;
        if (index_put(&t->index, r->cookie,
                      slot | (extent == LIVE_LISTENERS ? ENTRY_LISTENER : 0)) < 0) {
                live_release(t->live, extent, slot);
                goto full;
        }
        t->epochs[extent][slot] = t->epoch;
        live_write(t->live, extent, slot, r);
        if (extent == LIVE_LISTENERS)
                listeners_add(&t->listeners, t->live, slot);
        return true;
full:
        t->was_full = true;
        live_count(t->live, LIVE_LOST_TRACKER, 1);
        return false;
}

void entry_write(struct tracker *t, const struct entry *e, const struct record *r) {
        if (e->extent == LIVE_LISTENERS && e->record->local_port != r->local_port) {
                listeners_remove(&t->listeners, t->live, e->slot);
                live_write(t->live, e->extent, e->slot, r);
                listeners_add(&t->listeners, t->live, e->slot);
        } else
                live_write(t->live, e->extent, e->slot, r);
}

void entry_unref(struct tracker *t, uint32_t owner) {
        if (owner != OWNER_NONE)
                t->config.ops->owner_unref(owner, t->config.userdata);
}

void entry_drop(struct tracker *t, const struct entry *e, uint32_t owner) {
        if (e->extent == LIVE_LISTENERS)
                listeners_remove(&t->listeners, t->live, e->slot);
        index_remove(&t->index, e->record->cookie);
        entry_unref(t, e->record->holder);
        live_release(t->live, e->extent, e->slot);
        entry_unref(t, owner);
}

/* ---- Records ---- */

uint64_t entry_usec(const struct tracker *t, const struct event *ev) {
        return (ev->time_ns + (uint64_t) t->offset_ns) / 1000;
}

uint64_t entry_usec_of_end(const struct tracker *t, const struct event *ev, uint64_t opened) {
        uint64_t usec = entry_usec(t, ev);

        return usec > opened ? usec : opened;
}

static bool is_v4_mapped(const uint8_t address[16]) {
        static const uint8_t prefix[12] = { [10] = 0xFF, [11] = 0xFF };

        return memcmp(address, prefix, sizeof(prefix)) == 0;
}

/* RFC 4291, section 2.5.5.2: a v4-mapped address stands for the IPv4 one, and is recorded as such.
 */
void entry_set_addresses(struct record *r, const struct event *ev) {
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
        switch (ev->family) {
        case AF_PACKET:
                r->family = FAMILY_PACKET;
                break;
        case AF_VSOCK:
                r->family = FAMILY_VSOCK;
                break;
        default:
                r->family = ev->family == AF_INET || mapped ? FAMILY_IPV4 : FAMILY_IPV6;
                break;
        }
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
        case EVENT_TRANSPORT_VSOCK:
                return TRANSPORT_VSOCK;
        default:
                return TRANSPORT_TCP;
        }
}

bool entry_has_states(const struct event *ev) {
        return ev->transport == IPPROTO_TCP || ev->transport == IPPROTO_SCTP ||
               ev->transport == EVENT_TRANSPORT_VSOCK;
}

void entry_begin(const struct tracker *t, struct record *ret, const struct event *ev,
                 enum record_kind kind) {
        *ret = (struct record){
                .time_usec = entry_usec(t, ev),
                .opened_usec = entry_usec(t, ev),
                .netns = ev->netns,
                .owner = OWNER_NONE,
                .holder = OWNER_NONE,
                .kind = (uint8_t) kind,
                .transport = transport_of(ev),
                .cookie = ev->cookie,
        };
        entry_set_addresses(ret, ev);
}

void entry_take_owner(struct tracker *t, struct record *r, const struct event *ev,
                      enum attribution attribution) {
        uint32_t owner;

        if (r->attribution >= attribution)
                return;
        owner = t->config.ops->owner_of(ev, t->config.userdata);
        if (owner == OWNER_NONE)
                return;
        entry_unref(t, r->owner);
        r->owner = owner;
        r->attribution = (uint8_t) attribution;
}

bool entry_opened_for_others(const struct tracker *t, uint32_t owner) {
        return owner != OWNER_NONE && owner_is_socket_unit(&t->live->owners[owner].owner);
}

void entry_set_holder(struct tracker *t, uint32_t slot, uint32_t holder) {
        struct entry e = entry_at(t, slot | ENTRY_LISTENER);
        struct record r = *e.record;

        if (r.holder == holder || r.owner == holder)
                return;
        t->config.ops->owner_ref(holder, t->config.userdata);
        entry_unref(t, r.holder);
        r.holder = holder;
        if (!(r.flags & RECORD_PENDING))
                t->config.ops->listener(&r, r.owner, t->config.userdata);
        entry_write(t, &e, &r);
}

/*
 * Who closed a socket that somebody else may have accepted was found holding it; but the process
 * that listens is no stranger.
 */
static enum attribution attribution_of_call(const struct tracker *t, const struct record *r,
                                            const struct event *ev) {
        const struct owner *known;

        if (!(ev->flags & EVENT_HELD))
                return ATTRIBUTION_EXACT;
        if (r->owner == OWNER_NONE)
                return ATTRIBUTION_LOOKUP;
        known = &t->live->owners[r->owner].owner;
        return known->pid == ev->pid && known->start_ns == ev->start_ns ? ATTRIBUTION_EXACT
                                                                        : ATTRIBUTION_LOOKUP;
}

void entry_take_owner_of_call(struct tracker *t, struct record *r, const struct event *ev) {
        uint8_t before = r->attribution;
        uint32_t stand_in = r->owner, slot;
        bool for_others;

        if (!(ev->flags & EVENT_IN_PROCESS))
                return;
        for_others = before == ATTRIBUTION_LISTENER && entry_opened_for_others(t, stand_in);
        entry_take_owner(t, r, ev, attribution_of_call(t, r, ev));
        if (!for_others || r->attribution == before)
                return;
        slot = listeners_match(&t->listeners, t->live, r);
        if (slot != LISTENERS_NONE)
                entry_set_holder(t, slot, r->owner);
}

void entry_append(struct tracker *t, struct record *r) {
        uint64_t seq = t->config.ops->append(r, r->owner, t->config.userdata);

        if (r->id == 0)
                r->id = seq;
}

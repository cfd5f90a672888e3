/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Where events are put for the recorder. */

/* Read by the recorder at each drain. */
__u64 lost_events = 0;

/*
 * Each processor writes to a ring of its own, which stays in its cache and has no lock that others
 * wait for. What does not fit there goes to the one ring that has room for a long pause of the
 * recorder. It makes the small rings and sets the sizes before loading.
 */
struct ring {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, 1 << 16);
};

struct {
        __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
        __uint(max_entries, 1);
        __type(key, __u32);
        __array(values, struct ring);
} rings SEC(".maps");

struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, 1 << 24);
} overflow SEC(".maps");

/*
 * Room for an event of this size, which begins with a struct event; NULL: there is none. Stamped
 * before the room is taken, so that in a ring nothing lies behind what it has led to elsewhere
 * (daemon/record/rings.h).
 */
static __always_inline void *ring_take(__u64 size) {
        __u64 now = bpf_ktime_get_boot_ns();
        __u32 processor = bpf_get_smp_processor_id();
        void *ring = bpf_map_lookup_elem(&rings, &processor);
        struct event *ev = ring ? bpf_ringbuf_reserve(ring, size, 0) : NULL;

        if (!ev)
                ev = bpf_ringbuf_reserve(&overflow, size, 0);
        if (!ev) {
                __sync_fetch_and_add(&lost_events, 1);
                return NULL;
        }
        ev->time_ns = now;
        return ev;
}

/* The same, with nothing in it but the stamp. */
static __always_inline struct event *ring_take_empty(void) {
        struct event *ev = ring_take(sizeof(*ev));

        if (ev)
                __builtin_memset(&ev->cookie, 0, sizeof(*ev) - sizeof(ev->time_ns));
        return ev;
}

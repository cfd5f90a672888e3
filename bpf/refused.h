/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ring.h"
#include "socket.h"

/* Attempts on ports where nobody listens. */

/* Who was refused, and how often. One that is pushed out by others loses its count, not the sum. */
struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, REFUSED_SOURCES);
        __type(key, struct refused_source);
        __type(value, struct refused_count);
} refused SEC(".maps");

/* Of all sources together. Updated without a lock: a few more or less do not matter. */
__u64 refused_window_ns = 0;
__u64 refused_told = 0;
/* All that were not told one by one. */
__u64 refused_untold = 0;

struct ip4_header {
        __u8 version_and_size;
        __u8 tos;
        __u16 total;
        __u16 id;
        __u16 fragment;
        __u8 ttl;
        __u8 protocol;
        __u16 checksum;
        __u32 source;
        __u32 target;
};

struct ip6_header {
        __u32 version_and_flow;
        __u16 payload;
        __u8 next;
        __u8 hops;
        __u8 source[16];
        __u8 target[16];
};

struct ports {
        __u16 source;
        __u16 target;
        __u32 sequence;
        __u32 acknowledged;
        __u8 offset;
        __u8 flags;
};

#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_ACK 0x10
#define ETH_P_IP     0x0800
#define ETH_P_IPV6   0x86DD

/* What a packet says of where it came from and where it went. */
struct attempt {
        struct refused_source source;
        __u8 target[16];
        __u16 source_port;
        __u16 target_port;
        __u32 transport;
};

/* False for what is no attempt to reach a port: a TCP segment that does not open a connection. */
static __always_inline bool attempt_read(struct sk_buff *skb, struct attempt *a) {
        unsigned char *head = skb->head;
        void *network = head + skb->network_header;
        void *transport = head + skb->transport_header;
        struct ports ports;

        if (skb->protocol == bpf_htons(ETH_P_IP)) {
                struct ip4_header ip;

                if (bpf_probe_read_kernel(&ip, sizeof(ip), network) < 0)
                        return false;
                a->source.family = AF_INET;
                a->transport = ip.protocol;
                *(__u32 *) a->source.address = ip.source;
                *(__u32 *) a->target = ip.target;
        } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
                struct ip6_header ip;

                if (bpf_probe_read_kernel(&ip, sizeof(ip), network) < 0)
                        return false;
                a->source.family = AF_INET6;
                a->transport = ip.next;
                __builtin_memcpy(a->source.address, ip.source, sizeof(ip.source));
                __builtin_memcpy(a->target, ip.target, sizeof(ip.target));
        } else
                return false;
        if (a->transport != IPPROTO_TCP && a->transport != IPPROTO_UDP)
                return false;
        if (bpf_probe_read_kernel(&ports, a->transport == IPPROTO_TCP ? sizeof(ports) : 4,
                                  transport) < 0)
                return false;
        if (a->transport == IPPROTO_TCP &&
            (ports.flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) != TCP_FLAG_SYN)
                return false;
        a->source_port = bpf_ntohs(ports.source);
        a->target_port = bpf_ntohs(ports.target);
        a->source.netns = skb->dev->nd_net.net->ns.inum;
        return true;
}

/* May this one be told by itself? If not, it is counted. */
static __always_inline bool attempt_allowed(const struct attempt *a, __u64 now) {
        struct refused_count *c = bpf_map_lookup_elem(&refused, &a->source);

        if (!c) {
                struct refused_count fresh = { .window_ns = now };

                bpf_map_update_elem(&refused, &a->source, &fresh, BPF_NOEXIST);
                c = bpf_map_lookup_elem(&refused, &a->source);
        }
        if (now - refused_window_ns > REFUSED_WINDOW_NS) {
                refused_window_ns = now;
                refused_told = 0;
        }
        if (c && refused_told < REFUSED_PER_WINDOW) {
                if (now - c->window_ns > REFUSED_WINDOW_NS) {
                        c->window_ns = now;
                        c->told = 0;
                }
                if (c->told < REFUSED_PER_SOURCE) {
                        __sync_fetch_and_add(&c->told, 1);
                        __sync_fetch_and_add(&refused_told, 1);
                        return true;
                }
        }
        if (c) {
                if (c->untold == 0)
                        c->first_ns = now;
                c->transport = a->transport;
                __builtin_memcpy(c->local, a->target, sizeof(c->local));
                __sync_fetch_and_add(&c->untold, 1);
        }
        __sync_fetch_and_add(&refused_untold, 1);
        return false;
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(packet_dropped, struct sk_buff *skb, void *location, int reason) {
        struct attempt a = {};
        struct event *ev;
        __u64 now;

        if (reason != (int) bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NO_SOCKET))
                return 0;
        if (!attempt_read(skb, &a))
                return 0;
        now = bpf_ktime_get_boot_ns();
        if (!attempt_allowed(&a, now))
                return 0;
        ev = ring_take_empty();
        if (!ev)
                return 0;
        ev->type = EVENT_REFUSED;
        ev->count = 1;
        ev->transport = (__u8) a.transport;
        ev->family = (__u8) a.source.family;
        ev->netns = a.source.netns;
        ev->ifindex = (__u32) skb->dev->ifindex;
        ev->local_port = a.target_port;
        ev->remote_port = a.source_port;
        __builtin_memcpy(ev->local, a.target, sizeof(ev->local));
        __builtin_memcpy(ev->remote, a.source.address, sizeof(ev->remote));
        bpf_ringbuf_submit(ev, 0);
        return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a socket is. */

#define AF_INET   2
#define AF_INET6  10
#define AF_PACKET 17
#define AF_VSOCK  40

#define SOCK_RAW 3

#define IPPROTO_TCP     6
#define IPPROTO_UDP     17
#define IPPROTO_SCTP    132
#define IPPROTO_UDPLITE 136
#define IPPROTO_RAW     255

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT    2
#define TCP_SYN_RECV    3
#define TCP_FIN_WAIT1   4
#define TCP_CLOSE       7
#define TCP_CLOSE_WAIT  8
#define TCP_LAST_ACK    9
#define TCP_LISTEN      10

static __always_inline bool is_udp(__u32 protocol) {
        return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

static __always_inline void fill_tuple(struct event *ev, struct sock *sk) {
        ev->family = (__u8) sk->__sk_common.skc_family;
        __builtin_memset(ev->local, 0, sizeof(ev->local) + sizeof(ev->remote));
        if (ev->family == AF_INET) {
                *(__u32 *) ev->local = sk->__sk_common.skc_rcv_saddr;
                *(__u32 *) ev->remote = sk->__sk_common.skc_daddr;
        } else {
                bpf_core_read(ev->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
                bpf_core_read(ev->remote, 16, &sk->__sk_common.skc_v6_daddr);
        }
        ev->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
        ev->netns = sk->__sk_common.skc_net.net->ns.inum;
        ev->ifindex = (__u32) sk->__sk_common.skc_bound_dev_if;
        if (BPF_CORE_READ_BITFIELD(sk, __sk_common.skc_ipv6only))
                ev->flags |= EVENT_V6ONLY;
}

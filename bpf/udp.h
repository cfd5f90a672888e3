/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "process.h"
#include "socket.h"

/*
 * UDP has no states: what counts is bind(), connect() and the last close. All in the caller's
 * own call, at the root of the control groups, so in every namespace. The helpers that take typed
 * pointers are not for these programs; current is read with probes.
 */

/*
 * These programs are told a socket's network namespace by its cookie alone; whoever makes the call
 * may be in another one by now (setns(2), SCM_RIGHTS). What stands for what the recorder writes
 * here as it looks at the namespaces, and whoever is in one as he makes a call.
 */
struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, NAMESPACES_MAX);
        __type(key, __u64);   /* cookie, getsockopt(SO_NETNS_COOKIE) */
        __type(value, __u32); /* inode */
} namespaces SEC(".maps");

static __always_inline __u32 namespace_of(struct task_struct *task, __u64 cookie) {
        struct net *net = BPF_CORE_READ(task, nsproxy, net_ns);
        __u32 inode = BPF_CORE_READ(net, ns.inum), *known;

        known = bpf_map_lookup_elem(&namespaces, &cookie);
        if (known)
                return *known;
        if (BPF_CORE_READ(net, net_cookie) == cookie)
                bpf_map_update_elem(&namespaces, &cookie, &inode, BPF_ANY);
        return inode;
}

static __always_inline struct event *call_event(__u8 type, __u32 transport, __u32 family,
                                                __u64 cookie, __u64 net_cookie) {
        struct task_struct *task = (void *) bpf_get_current_task();
        struct task_struct *leader = BPF_CORE_READ(task, group_leader);
        struct event *ev;

        tell_process(leader, false);
        ev = ring_take_empty();
        if (!ev)
                return NULL;
        ev->type = type;
        ev->transport = (__u8) transport;
        ev->family = (__u8) family;
        ev->flags = EVENT_IN_PROCESS | EVENT_HAS_SOCKET;
        ev->cookie = cookie;
        ev->netns = namespace_of(task, net_cookie);
        fill_process(ev, leader, false);
        return ev;
}

SEC("cgroup/post_bind4")
int udp_bind4(struct bpf_sock *ctx) {
        struct event *ev;

        if (!is_udp(ctx->protocol))
                return 1;
        ev = call_event(EVENT_BIND, ctx->protocol, AF_INET, bpf_get_socket_cookie(ctx),
                        bpf_get_netns_cookie(ctx));
        if (ev) {
                *(__u32 *) ev->local = ctx->src_ip4;
                ev->local_port = (__u16) ctx->src_port;
                bpf_ringbuf_submit(ev, 0);
        }
        return 1;
}

SEC("cgroup/post_bind6")
int udp_bind6(struct bpf_sock *ctx) {
        struct event *ev;

        if (!is_udp(ctx->protocol))
                return 1;
        ev = call_event(EVENT_BIND, ctx->protocol, AF_INET6, bpf_get_socket_cookie(ctx),
                        bpf_get_netns_cookie(ctx));
        if (ev) {
                __u32 *local = (__u32 *) ev->local;

                local[0] = ctx->src_ip6[0];
                local[1] = ctx->src_ip6[1];
                local[2] = ctx->src_ip6[2];
                local[3] = ctx->src_ip6[3];
                ev->local_port = (__u16) ctx->src_port;
                bpf_ringbuf_submit(ev, 0);
        }
        return 1;
}

SEC("cgroup/connect4")
int udp_connect4(struct bpf_sock_addr *ctx) {
        struct event *ev;

        if (!is_udp(ctx->protocol))
                return 1;
        ev = call_event(EVENT_CONNECT, ctx->protocol, AF_INET, bpf_get_socket_cookie(ctx),
                        bpf_get_netns_cookie(ctx));
        if (ev) {
                *(__u32 *) ev->remote = ctx->user_ip4;
                ev->remote_port = bpf_ntohs((__u16) ctx->user_port);
                bpf_ringbuf_submit(ev, 0);
        }
        return 1;
}

SEC("cgroup/connect6")
int udp_connect6(struct bpf_sock_addr *ctx) {
        struct event *ev;

        if (!is_udp(ctx->protocol))
                return 1;
        ev = call_event(EVENT_CONNECT, ctx->protocol, AF_INET6, bpf_get_socket_cookie(ctx),
                        bpf_get_netns_cookie(ctx));
        if (ev) {
                __u32 *remote = (__u32 *) ev->remote;

                remote[0] = ctx->user_ip6[0];
                remote[1] = ctx->user_ip6[1];
                remote[2] = ctx->user_ip6[2];
                remote[3] = ctx->user_ip6[3];
                ev->remote_port = bpf_ntohs((__u16) ctx->user_port);
                bpf_ringbuf_submit(ev, 0);
        }
        return 1;
}

/* A raw socket receives from its first moment on. */
SEC("cgroup/sock_create")
int raw_made(struct bpf_sock *ctx) {
        struct event *ev;

        if (ctx->type != SOCK_RAW)
                return 1;
        ev = call_event(EVENT_BIND, IPPROTO_RAW, ctx->family, bpf_get_socket_cookie(ctx),
                        bpf_get_netns_cookie(ctx));
        if (ev) {
                ev->local_port = (__u16) ctx->protocol;
                bpf_ringbuf_submit(ev, 0);
        }
        return 1;
}

SEC("cgroup/sock_release")
int udp_release(struct bpf_sock *ctx) {
        __u32 transport = ctx->type == SOCK_RAW ? IPPROTO_RAW : ctx->protocol;
        struct event *ev;

        if (transport != IPPROTO_RAW && !is_udp(transport))
                return 1;
        ev = call_event(EVENT_RELEASE, transport, ctx->family, bpf_get_socket_cookie(ctx),
                        bpf_get_netns_cookie(ctx));
        if (ev)
                bpf_ringbuf_submit(ev, 0);
        return 1;
}

/* ---- Peers of UDP sockets, if they are asked for ---- */

struct peer {
        __u64 cookie;
        __u8 address[16];
        __u32 port;
        __u32 reserved;
};

struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, PEERS_MAX);
        __type(key, struct peer);
        __type(value, __u64); /* when it was heard last, CLOCK_BOOTTIME */
} peers SEC(".maps");

/* Was this peer heard of lately? It is from now on. */
static __always_inline bool peer_known(const struct peer *peer) {
        __u64 now = bpf_ktime_get_boot_ns();
        __u64 *last = bpf_map_lookup_elem(&peers, peer);
        bool known = last && now - *last < PEER_WINDOW_NS;

        if (last)
                *last = now;
        else
                bpf_map_update_elem(&peers, peer, &now, BPF_ANY);
        return known;
}

SEC("cgroup/recvmsg4")
int udp_peer4(struct bpf_sock_addr *ctx) {
        struct peer peer = { .cookie = bpf_get_socket_cookie(ctx), .port = ctx->user_port };
        struct bpf_sock *sk = ctx->sk;
        struct event *ev;

        *(__u32 *) peer.address = ctx->user_ip4;
        if (!sk || peer_known(&peer))
                return 1;
        ev = call_event(EVENT_PEER, ctx->protocol, AF_INET, peer.cookie, bpf_get_netns_cookie(ctx));
        if (ev) {
                __builtin_memcpy(ev->remote, peer.address, sizeof(ev->remote));
                ev->remote_port = bpf_ntohs((__u16) peer.port);
                *(__u32 *) ev->local = sk->src_ip4;
                ev->local_port = (__u16) sk->src_port;
                bpf_ringbuf_submit(ev, 0);
        }
        return 1;
}

SEC("cgroup/recvmsg6")
int udp_peer6(struct bpf_sock_addr *ctx) {
        struct peer peer = { .cookie = bpf_get_socket_cookie(ctx), .port = ctx->user_port };
        __u32 *address = (__u32 *) peer.address;
        struct bpf_sock *sk = ctx->sk;
        struct event *ev;

        address[0] = ctx->user_ip6[0];
        address[1] = ctx->user_ip6[1];
        address[2] = ctx->user_ip6[2];
        address[3] = ctx->user_ip6[3];
        if (!sk || peer_known(&peer))
                return 1;
        ev = call_event(EVENT_PEER, ctx->protocol, AF_INET6, peer.cookie,
                        bpf_get_netns_cookie(ctx));
        if (ev) {
                __u32 *local = (__u32 *) ev->local;

                __builtin_memcpy(ev->remote, peer.address, sizeof(ev->remote));
                ev->remote_port = bpf_ntohs((__u16) peer.port);
                local[0] = sk->src_ip6[0];
                local[1] = sk->src_ip6[1];
                local[2] = sk->src_ip6[2];
                local[3] = sk->src_ip6[3];
                ev->local_port = (__u16) sk->src_port;
                bpf_ringbuf_submit(ev, 0);
        }
        return 1;
}

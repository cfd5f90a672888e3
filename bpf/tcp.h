/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "closing.h"

/* TCP, and the listeners of SCTP: by their changes of state. */

#define SHUTDOWN_BOTH 3

/* Is this change one that the tracker wants, and is it made in the call of the socket's owner? */
enum interest { SKIP, WANTED, IN_CALL };

static __always_inline enum interest state_interest(struct sock *sk, int old_state, int new_state) {
        switch (new_state) {
        case TCP_LISTEN:
        case TCP_SYN_SENT:
                return IN_CALL;
        case TCP_ESTABLISHED:
                return WANTED;
        case TCP_FIN_WAIT1:
        case TCP_LAST_ACK:
                /* Who connected is known; this is to tell who accepted. */
                return !has_connected(bpf_skc_to_tcp_sock(sk)) && is_own_close(sk) ? IN_CALL : SKIP;
        case TCP_CLOSE:
                if (old_state == TCP_CLOSE)
                        return SKIP;
                if (old_state == TCP_LISTEN)
                        return is_own_close(sk) ? IN_CALL : WANTED;
                if (sk->sk_shutdown == SHUTDOWN_BOTH && is_own_close(sk) &&
                    (old_state == TCP_ESTABLISHED || old_state == TCP_CLOSE_WAIT ||
                     old_state == TCP_SYN_SENT))
                        return IN_CALL;
                return WANTED;
        default:
                return SKIP;
        }
}

/*
 * Its listening state is TCP's, include/net/sctp/constants.h; associations are no sockets. close()
 * leads by SCTP_SS_CLOSING, which is TCP_CLOSE_WAIT; a listener listens no more from there on.
 */
static __always_inline bool is_sctp_listener(struct sock *sk, int old_state, int new_state) {
        return sk->sk_protocol == IPPROTO_SCTP &&
               (new_state == TCP_LISTEN ||
                (old_state == TCP_LISTEN &&
                 (new_state == TCP_CLOSE || new_state == TCP_CLOSE_WAIT)));
}

static __always_inline int state_changed(struct sock *sk, __u64 cookie, int old_state,
                                         int new_state) {
        enum interest interest;
        struct tcp_sock *tcp;
        struct event *ev;

        /* An MPTCP connection shows its subflows as TCP as well: those are taken, it is not. */
        if (sk->sk_protocol != IPPROTO_TCP && !is_sctp_listener(sk, old_state, new_state))
                return 0;
        if (old_state == TCP_LISTEN && new_state == TCP_CLOSE_WAIT)
                new_state = TCP_CLOSE;
        interest = state_interest(sk, old_state, new_state);
        if (interest == SKIP)
                return 0;
        if (interest == IN_CALL)
                tell_process(bpf_get_current_task_btf()->group_leader, true);

        ev = ring_take(sizeof(*ev));
        if (!ev)
                return 0;
        ev->type = EVENT_STATE;
        ev->inode = ev->opener = 0;
        ev->transport = (__u8) sk->sk_protocol;
        ev->old_state = (__u8) old_state;
        ev->new_state = (__u8) new_state;
        ev->flags = sk->sk_socket ? EVENT_HAS_SOCKET : 0;
        ev->error = (__u16) sk->sk_err;
        ev->cookie = cookie;
        ev->bytes_received = 0;
        ev->bytes_sent = 0;
        fill_tuple(ev, sk);
        /* skc_num is 0 at the end of accepted and autobound ones; inet_sport stays. */
        ev->local_port = sk->__sk_common.skc_num;
        tcp = bpf_skc_to_tcp_sock(sk);
        if (tcp) {
                if (ev->local_port == 0)
                        ev->local_port = bpf_ntohs(tcp->inet_conn.icsk_inet.inet_sport);
                if (new_state == TCP_CLOSE && old_state != TCP_LISTEN) {
                        /* The peer's FIN counts as a received byte. */
                        __u64 fin = sk->__sk_common.skc_flags >>
                                            bpf_core_enum_value(enum sock_flags, SOCK_DONE) &
                                    1;

                        ev->bytes_received = tcp->bytes_received;
                        if (ev->bytes_received >= fin)
                                ev->bytes_received -= fin;
                        ev->bytes_sent = tcp->bytes_sent - tcp->bytes_retrans;
                        ev->flags |= EVENT_BYTES;
                        if (has_connected(tcp))
                                ev->opener = OPENER_SELF;
                }
        }
        if (interest == IN_CALL) {
                ev->flags |= EVENT_IN_PROCESS;
                if (old_state != TCP_LISTEN && new_state != TCP_LISTEN &&
                    new_state != TCP_SYN_SENT && !has_accepted(sk, bpf_get_current_task_btf()))
                        ev->flags |= EVENT_HELD;
                fill_process(ev, bpf_get_current_task_btf()->group_leader, true);
        } else {
                fill_no_process(ev);
                ev->uid = sk->sk_uid.val;
        }
        bpf_ringbuf_submit(ev, 0);
        return 0;
}

/*
 * The kernel does not call a program that is at work on this CPU already. A packet may come in
 * while a system call is in sock_state (as soon as the ring's lock opens the interrupts again), and
 * what it does to other sockets, often a close, would be missed. So there are two programs: the
 * first one writes down what it was called for, and the second one, called right after it, takes
 * what is not written down. Packets do not interrupt packets, so two are enough: whoever interrupts
 * the first is seen by the second, and the other way round.
 *
 * One line for each of the two levels that can be under way on a CPU at once. Whoever owns the
 * socket is in a system call, which packets may interrupt; without an owner it is a packet, or a
 * call that keeps packets out (sock_owned_by_user() in include/net/sock.h). Written down is the
 * cookie: the address of a socket is soon another one's. A packet that interrupts the second
 * program leaves its line behind, for the next one to write over.
 */
struct call {
        __u64 cookie;
        __u64 state;
};

struct calls {
        struct call lines[2];
};

struct {
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, struct calls);
} calls SEC(".maps");

/* Read by the recorder: what the first program was not called for and the second one was. */
__u64 rescued_events = 0;

static __always_inline struct call *line_of(struct sock *sk) {
        __u32 zero = 0;
        struct calls *c = bpf_map_lookup_elem(&calls, &zero);

        if (!c)
                return NULL;
        return sk->sk_lock.owned ? &c->lines[0] : &c->lines[1];
}

/* Never 0. Most sockets have one already: a load is less than a call. */
static __always_inline __u64 cookie_of(struct sock *sk) {
        __u64 cookie = (__u64) sk->__sk_common.skc_cookie.counter;

        return cookie ? cookie : bpf_get_socket_cookie(sk);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(sock_state, struct sock *sk, int old_state, int new_state) {
        struct call *line = line_of(sk);
        __u64 cookie;

        if (!line)
                return 0;
        cookie = cookie_of(sk);
        line->cookie = cookie;
        line->state = (__u64) new_state;
        return state_changed(sk, cookie, old_state, new_state);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(sock_state_missed, struct sock *sk, int old_state, int new_state) {
        struct call *line = line_of(sk);
        __u64 cookie;

        if (!line)
                return 0;
        cookie = cookie_of(sk);
        if (line->cookie == cookie && line->state == (__u64) new_state) {
                line->cookie = 0;
                return 0;
        }
        __sync_fetch_and_add(&rescued_events, 1);
        return state_changed(sk, cookie, old_state, new_state);
}

/*
 * Who accepted, in its own call: where the kernel lets programs hang on functions. The number of
 * arguments differs between kernels, so the result is asked for rather than taken from them.
 */
SEC("fexit/inet_csk_accept")
int accepted(void *ctx) {
        struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
        struct sock *sk;
        struct event *ev;
        __u64 result = 0;

        if (bpf_get_func_ret(ctx, &result) < 0 || result == 0)
                return 0;
        sk = (struct sock *) result;
        if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
                return 0;
        tell_process(leader, true);
        ev = ring_take_empty();
        if (!ev)
                return 0;
        ev->type = EVENT_OWNER;
        ev->transport = IPPROTO_TCP;
        ev->flags = EVENT_IN_PROCESS | EVENT_HAS_SOCKET;
        /* Given to it when it was established. */
        ev->cookie = (__u64) BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
        fill_process(ev, leader, true);
        bpf_ringbuf_submit(ev, 0);
        return 0;
}

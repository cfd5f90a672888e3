/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#include "types.h"
#include "event.h"

/* Set by the recorder before loading. */
const volatile __u32 own_pid_namespace = 0; /* inode, or 0: the initial one, no translation */

/* Read by the recorder at each drain. */
__u64 lost_events = 0;

char licence_of_programs[] SEC("license") = "GPL";

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

#define SHUTDOWN_BOTH  3
#define PF_EXITING     0x00000004 /* include/linux/sched.h */
#define PF_KTHREAD     0x00200000
#define PATH_DEPTH     24
#define PATH_COMPONENT 256 /* NAME_MAX and its NUL */
#define PID_LEVELS     8

/* The recorder sets its size before loading. */
struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, 1 << 24);
} ring SEC(".maps");

/* Processes whose executable was told. One that was forgotten is told again: no harm but a line. */
struct told {
        __u64 start_ns;
        __u64 exec_id;
};
struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, 16384);
        __type(key, __u32);
        __type(value, struct told);
} processes SEC(".maps");

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

static __always_inline void *ring_take(__u64 size) {
        void *p = bpf_ringbuf_reserve(&ring, size, 0);

        if (!p)
                __sync_fetch_and_add(&lost_events, 1);
        return p;
}

/*
 * A thread group's id in the recorder's own pid namespace; 0 when it is outside of it. Walks the
 * levels because the recorder cannot learn its own.
 */
static __always_inline __u32 pid_translate(struct task_struct *leader) {
        struct pid *pid = BPF_CORE_READ(leader, thread_pid);
        unsigned int level = BPF_CORE_READ(pid, level);
        unsigned long size = bpf_core_type_size(struct upid);
        void *numbers = (void *) pid + bpf_core_field_offset(struct pid, numbers);

        for (unsigned int i = 1; i < PID_LEVELS; i++) {
                struct upid *upid = numbers + i * size;

                if (i > level)
                        break;
                if (BPF_CORE_READ(upid, ns, ns.inum) == own_pid_namespace)
                        return BPF_CORE_READ(upid, nr);
        }
        return 0;
}

/*
 * Programs of tracepoints have typed pointers, which they follow by plain loads; those of control
 * groups may only probe, by a call for each field. typed is a constant: one of the two is left.
 */
#define TASK_READ(typed, task, field) ((typed) ? (task)->field : BPF_CORE_READ(task, field))

static __always_inline void fill_name(struct event *ev, struct task_struct *leader, bool typed) {
        __u64 *name = (__u64 *) ev->name;

        if (typed) {
                name[0] = *(__u64 *) &leader->comm[0];
                name[1] = *(__u64 *) &leader->comm[8];
        } else
                BPF_CORE_READ_INTO(&ev->name, leader, comm);
        ev->name[EVENT_NAME_SIZE - 1] = 0;
}

/* Who makes this call. Fields are set one by one: the event lies in the ring and is not zeroed. */
static __always_inline void fill_process(struct event *ev, struct task_struct *leader, bool typed) {
        ev->cgroup_id = bpf_get_current_cgroup_id();
        ev->start_ns = TASK_READ(typed, leader, start_boottime);
        ev->exec_id = (__u32) TASK_READ(typed, leader, self_exec_id);
        ev->uid = typed ? leader->cred->euid.val : BPF_CORE_READ(leader, cred, euid.val);
        fill_name(ev, leader, typed);
        if (own_pid_namespace == 0)
                ev->pid = (__u32) (bpf_get_current_pid_tgid() >> 32);
        else {
                ev->pid = pid_translate(leader);
                if (ev->pid == 0)
                        ev->flags |= EVENT_FOREIGN_PID;
        }
}

static __always_inline void fill_no_process(struct event *ev) {
        ev->cgroup_id = 0;
        ev->start_ns = 0;
        ev->exec_id = 0;
        ev->pid = 0;
        ev->name[0] = 0;
}

/*
 * The path of the executable, leaf first, across mount points up to the root of the process's
 * mount namespace: what readlink on /proc/PID/exe gives, taken while the process is surely there.
 * One step is one component or one mount point; bpf_loop() so that the verifier looks at it once.
 */
struct walk {
        struct event_process *ev;
        struct dentry *dentry;
        struct mount *mount;
        __u32 used;
        __u32 n;
        __u32 whole;
};

static long walk_step(__u32 i, struct walk *w) {
        struct mount *mount = w->mount;
        struct dentry *dentry = w->dentry;
        struct dentry *root = BPF_CORE_READ(mount, mnt.mnt_root);
        struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
        const unsigned char *name;
        __u32 used = w->used;
        long size;

        (void) i;
        if (dentry == root || dentry == parent) {
                struct mount *above = BPF_CORE_READ(mount, mnt_parent);

                if (above == mount || dentry != root) {
                        w->whole = 1;
                        return 1;
                }
                w->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
                w->mount = above;
                return 0;
        }
        if (used > EVENT_PATH_SIZE - PATH_COMPONENT)
                return 1;
        name = BPF_CORE_READ(dentry, d_name.name);
        size = bpf_probe_read_kernel_str(&w->ev->path[used], PATH_COMPONENT, name);
        /* A component that fills its room may have been cut. */
        if (size <= 0 || size >= PATH_COMPONENT)
                return 1;
        w->used = used + (__u32) size;
        w->n++;
        w->dentry = parent;
        return 0;
}

static __always_inline void fill_path(struct event_process *ev, struct task_struct *leader) {
        struct file *file = BPF_CORE_READ(leader, mm, exe_file);
        void *vfsmount = BPF_CORE_READ(file, f_path.mnt);
        struct walk w = {
                .ev = ev,
                .dentry = BPF_CORE_READ(file, f_path.dentry),
                .mount = vfsmount - bpf_core_field_offset(struct mount, mnt),
        };

        bpf_loop(PATH_DEPTH, walk_step, &w, 0);
        ev->n_components = w.n;
        ev->truncated = !w.whole;
}

/* Tells the executable of the calling process once, before the first event that names it. */
static __always_inline void tell_process(struct task_struct *leader, bool typed) {
        __u32 key = (__u32) (bpf_get_current_pid_tgid() >> 32);
        struct told now = {
                .start_ns = TASK_READ(typed, leader, start_boottime),
                .exec_id = TASK_READ(typed, leader, self_exec_id),
        };
        struct told *told = bpf_map_lookup_elem(&processes, &key);
        struct event_process *ev;

        if (told && told->start_ns == now.start_ns && told->exec_id == now.exec_id)
                return;
        ev = ring_take(sizeof(*ev));
        if (!ev)
                return;
        ev->head.type = EVENT_PROCESS;
        ev->head.flags = EVENT_IN_PROCESS;
        ev->head.time_ns = bpf_ktime_get_boot_ns();
        fill_process(&ev->head, leader, typed);
        fill_path(ev, leader);
        bpf_ringbuf_submit(ev, 0);
        bpf_map_update_elem(&processes, &key, &now, BPF_ANY);
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

/* Is this change one that the tracker wants, and is it made in the call of the socket's owner? */
enum interest { SKIP, WANTED, IN_CALL };

/*
 * System calls whose caller drops its own reference to a socket. In any other one the last
 * reference may be borrowed: whoever looks at /proc/PID/fd holds a file for a moment, and when its
 * owner closes it just then, it is the looker that ends it. execve() closes, too, but the process
 * is another program by then.
 */
#if defined(__TARGET_ARCH_x86)
#define SYSCALL(regs) ((int) (regs)->orig_ax)
#define TS_COMPAT                                                                                  \
        0x0002 /* arch/x86/include/asm/thread_info.h: a 32-bit call, numbered otherwise            \
                */
#define FOREIGN(task) ((task)->thread_info.status & TS_COMPAT)
#define NR_CLOSE      3
#define NR_DUP2       33
#define NR_SHUTDOWN   48
#define NR_EXIT       60
#define NR_EXIT_GROUP 231
#define NR_DUP3       292
#elif defined(__TARGET_ARCH_arm64)
#define SYSCALL(regs) ((regs)->syscallno)
#define FOREIGN(task) 0
#define NR_CLOSE      57
#define NR_DUP2       NR_DUP3 /* there is none */
#define NR_SHUTDOWN   210
#define NR_EXIT       93
#define NR_EXIT_GROUP 94
#define NR_DUP3       24
#endif
#define NR_IO_URING_ENTER 426
#define NR_CLOSE_RANGE    436

static __always_inline bool in_closing_call(struct task_struct *task) {
        if (task->flags & PF_EXITING)
                return true;
#ifdef SYSCALL
        if (FOREIGN(task))
                return false;
        switch (SYSCALL((struct pt_regs *) bpf_task_pt_regs(task))) {
        case NR_CLOSE:
#if NR_DUP2 != NR_DUP3
        case NR_DUP2:
#endif
        case NR_DUP3:
        case NR_SHUTDOWN:
        case NR_EXIT:
        case NR_EXIT_GROUP:
        case NR_IO_URING_ENTER:
        case NR_CLOSE_RANGE:
                return true;
        default:
                return false;
        }
#else
        return false;
#endif
}

/*
 * A close in a process's own call. The last reference to a socket can also be dropped for somebody
 * else, by a thread of the kernel: when it lay in a message that nobody took (unix(7), SCM_RIGHTS).
 */
static __always_inline bool is_own_close(struct sock *sk) {
        struct task_struct *task = bpf_get_current_task_btf();

        return sk->sk_socket && sk->sk_lock.owned && !(task->flags & PF_KTHREAD) &&
               in_closing_call(task);
}

/*
 * Did this side connect? Its SYN counts as a byte that was acknowledged (tcp_finish_connect()), an
 * accepted socket's SYN-ACK does not. When sent bytes are still under way this cannot be told.
 */
static __always_inline bool has_connected(struct sock *sk) {
        struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

        return tcp && tcp->bytes_acked > tcp->bytes_sent;
}

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
                return !has_connected(sk) && is_own_close(sk) ? IN_CALL : SKIP;
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

/* Its listening state is TCP's, include/net/sctp/constants.h; associations are no sockets. */
static __always_inline bool is_sctp_listener(struct sock *sk, int old_state, int new_state) {
        return sk->sk_protocol == IPPROTO_SCTP &&
               (new_state == TCP_LISTEN || (old_state == TCP_LISTEN && new_state == TCP_CLOSE));
}

static __always_inline int state_changed(struct sock *sk, __u64 cookie, int old_state,
                                         int new_state) {
        enum interest interest;
        struct tcp_sock *tcp;
        struct event *ev;

        /* An MPTCP connection shows its subflows as TCP as well: those are taken, it is not. */
        if (sk->sk_protocol != IPPROTO_TCP && !is_sctp_listener(sk, old_state, new_state))
                return 0;
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
        ev->time_ns = bpf_ktime_get_boot_ns();
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
                        if (has_connected(sk))
                                ev->opener = OPENER_SELF;
                }
        }
        if (interest == IN_CALL) {
                ev->flags |= EVENT_IN_PROCESS;
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

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(sock_state, struct sock *sk, int old_state, int new_state) {
        struct call *line = line_of(sk);
        __u64 cookie;

        if (!line)
                return 0;
        cookie = bpf_get_socket_cookie(sk);
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
        cookie = bpf_get_socket_cookie(sk);
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
        ev = ring_take(sizeof(*ev));
        if (!ev)
                return 0;
        __builtin_memset(ev, 0, sizeof(*ev));
        ev->type = EVENT_OWNER;
        ev->transport = IPPROTO_TCP;
        ev->flags = EVENT_IN_PROCESS | EVENT_HAS_SOCKET;
        ev->time_ns = bpf_ktime_get_boot_ns();
        /* Given to it when it was established. */
        ev->cookie = (__u64) BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
        fill_process(ev, leader, true);
        bpf_ringbuf_submit(ev, 0);
        return 0;
}

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
        ev = ring_take(sizeof(*ev));
        if (!ev)
                return NULL;
        __builtin_memset(ev, 0, sizeof(*ev));
        ev->type = type;
        ev->transport = (__u8) transport;
        ev->family = (__u8) family;
        ev->flags = EVENT_IN_PROCESS | EVENT_HAS_SOCKET;
        ev->time_ns = bpf_ktime_get_boot_ns();
        ev->cookie = cookie;
        ev->netns = namespace_of(task, net_cookie);
        fill_process(ev, leader, false);
        return ev;
}

static __always_inline bool is_udp(__u32 protocol) {
        return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
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

/*
 * A child of a server may have its first call on a socket as it ends, when nobody can tell any more
 * what it ran: it is told as it begins to. Other processes are told at their first call.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_ran, struct task_struct *task) {
        __u32 parent = (__u32) task->real_parent->tgid, self = (__u32) task->tgid;

        if (bpf_map_lookup_elem(&processes, &parent) || bpf_map_lookup_elem(&processes, &self))
                tell_process(bpf_get_current_task_btf()->group_leader, true);
        return 0;
}

/* Control groups come and go faster than anybody could look: their paths are told as they are made.
 */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_made, struct cgroup *cgroup, const char *path) {
        struct event_cgroup *ev = ring_take(sizeof(*ev));

        if (!ev)
                return 0;
        ev->head.type = EVENT_CGROUP;
        ev->head.flags = 0;
        ev->head.time_ns = bpf_ktime_get_boot_ns();
        ev->head.cgroup_id = cgroup->kn->id;
        bpf_probe_read_kernel_str(ev->path, sizeof(ev->path), path);
        bpf_ringbuf_submit(ev, 0);
        return 0;
}

/* ---- Refused attempts ---- */

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
        ev = ring_take(sizeof(*ev));
        if (!ev)
                return 0;
        __builtin_memset(ev, 0, sizeof(*ev));
        ev->type = EVENT_REFUSED;
        ev->time_ns = now;
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

/*
 * Which process holds which socket, for those that were open before anybody looked. Read through
 * an iterator's descriptor, it yields one struct event for each socket and process.
 */
SEC("iter/task_file")
int socket_owners(struct bpf_iter__task_file *ctx) {
        struct task_struct *task = ctx->task;
        struct file *file = ctx->file;
        struct socket *socket;
        struct event ev = {};
        struct sock *sk;
        __u16 family;

        if (!task || !file)
                return 0;
        /* A thread may have open files of its own (unshare(2), CLONE_FILES). */
        if (task->tgid != task->pid && task->files == task->group_leader->files)
                return 0;
        socket = bpf_sock_from_file(file);
        if (!socket || !socket->sk)
                return 0;
        sk = socket->sk;
        family = sk->__sk_common.skc_family;
        if (family == AF_PACKET && bpf_core_type_exists(struct packet_sock)) {
                struct packet_sock *packet = (struct packet_sock *) sk;

                ev.transport = EVENT_TRANSPORT_PACKET;
                ev.local_port = bpf_ntohs(BPF_CORE_READ(packet, num));
                ev.ifindex = (__u32) BPF_CORE_READ(packet, ifindex);
        } else if (family == AF_VSOCK && bpf_core_type_exists(struct vsock_sock) &&
                   sk->__sk_common.skc_state == TCP_LISTEN) {
                struct vsock_sock *vsock = (struct vsock_sock *) sk;
                __u32 *local = (__u32 *) ev.local;

                local[0] = BPF_CORE_READ(vsock, local_addr.svm_cid);
                local[1] = BPF_CORE_READ(vsock, local_addr.svm_port);
                ev.transport = EVENT_TRANSPORT_VSOCK;
                ev.new_state = TCP_LISTEN;
                ev.local_port = local[1] > 0xFFFF ? 0xFFFF : (__u16) local[1];
        } else if (family == AF_INET || family == AF_INET6) {
                ev.transport = (__u8) sk->sk_protocol;
                if (sk->sk_type == SOCK_RAW)
                        ev.transport = IPPROTO_RAW;
                if (ev.transport != IPPROTO_TCP && ev.transport != IPPROTO_UDP) {
                        fill_tuple(&ev, sk);
                        ev.local_port = ev.transport == IPPROTO_RAW ? sk->sk_protocol
                                                                    : sk->__sk_common.skc_num;
                        ev.new_state = sk->__sk_common.skc_state;
                        if (is_udp(ev.transport) && ev.new_state == TCP_ESTABLISHED)
                                ev.flags |= EVENT_CONNECTED;
                }
        } else
                return 0;
        ev.family = (__u8) family;
        ev.netns = sk->__sk_common.skc_net.net->ns.inum;
        ev.cookie = bpf_get_socket_cookie(sk);
        ev.type = EVENT_OWNER;
        ev.time_ns = bpf_ktime_get_boot_ns();
        ev.start_ns = task->group_leader->start_boottime;
        ev.exec_id = (__u32) task->group_leader->self_exec_id;
        ev.uid = task->cred->euid.val;
        ev.cgroup_id = task->cgroups->dfl_cgrp->kn->id;
        if (own_pid_namespace == 0)
                ev.pid = (__u32) task->tgid;
        else {
                ev.pid = pid_translate(task->group_leader);
                if (ev.pid == 0)
                        ev.flags |= EVENT_FOREIGN_PID;
        }
        BPF_CORE_READ_STR_INTO(&ev.name, task, group_leader, comm);
        bpf_seq_write(ctx->meta->seq, &ev, sizeof(ev));
        return 0;
}

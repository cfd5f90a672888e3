/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "process.h"
#include "socket.h"

/* Whose call a close is. */

#define ANCESTORS 6

/*
 * System calls whose caller drops its own reference to a socket. In any other one the last
 * reference may be borrowed: whoever looks at /proc/PID/fd holds a file for a moment, and when its
 * owner closes it just then, it is the looker that ends it. execve() closes, too, but the process
 * is another program by then.
 */
#if defined(__TARGET_ARCH_x86)
#define SYSCALL(regs) ((int) (regs)->orig_ax)
/* arch/x86/include/asm/thread_info.h: a 32-bit call, numbered otherwise */
#define TS_COMPAT     0x0002
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
 * Did this process, or one that it descends from, accept the socket? A descriptor bears the
 * credentials of who made it, the very object that no process shares with another one. They say
 * nothing where they have changed since, or where the descriptor came by unix(7) or pidfd_getfd(2):
 * who looks at the sockets of others that way may be the last to close one, too.
 */
static __always_inline bool has_accepted(struct sock *sk, struct task_struct *task) {
        struct file *file = sk->sk_socket->file;
        const struct cred *cred;

        if (!file)
                return false;
        cred = file->f_cred;
        for (unsigned int i = 0; i < ANCESTORS; i++) {
                if (task->cred == cred)
                        return true;
                if (task->tgid <= 1)
                        break;
                task = task->real_parent;
        }
        return false;
}

/*
 * Did this side connect? Its SYN counts as a byte that was acknowledged (tcp_finish_connect()), an
 * accepted socket's SYN-ACK does not. When sent bytes are still under way this cannot be told.
 */
static __always_inline bool has_connected(const struct tcp_sock *tcp) {
        return tcp && tcp->bytes_acked > tcp->bytes_sent;
}

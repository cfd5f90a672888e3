/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "process.h"
#include "socket.h"

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

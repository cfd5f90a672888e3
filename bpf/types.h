/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The few kernel types the programs look into, with only the fields that they read. libbpf
 * relocates each access against the running kernel's BTF, so these need not match its layout; names
 * must.
 */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
        unsigned int inum;
};

struct net {
        struct ns_common ns;
        __u64 net_cookie;
};

typedef struct {
        struct net *net;
} possible_net_t;

struct in6_addr {
        unsigned char in6_u[16];
};

typedef struct {
        __s64 counter;
} atomic64_t;

struct sock_common {
        __u32 skc_daddr;
        __u32 skc_rcv_saddr;
        __u16 skc_dport;
        __u16 skc_num;
        unsigned short skc_family;
        unsigned char skc_state;
        unsigned char skc_ipv6only : 1;
        int skc_bound_dev_if;
        unsigned long skc_flags;
        possible_net_t skc_net;
        struct in6_addr skc_v6_daddr;
        struct in6_addr skc_v6_rcv_saddr;
        atomic64_t skc_cookie;
};

typedef struct {
        int owned;
} socket_lock_t;

typedef struct {
        __u32 val;
} kuid_t;

struct sock;

struct file;

struct socket {
        struct file *file;
        struct sock *sk;
};

struct sock {
        struct sock_common __sk_common;
        socket_lock_t sk_lock;
        struct socket *sk_socket;
        unsigned short sk_protocol;
        unsigned short sk_type;
        unsigned char sk_shutdown;
        int sk_err;
        kuid_t sk_uid;
};

struct packet_sock {
        struct sock sk;
        int ifindex;
        __u16 num;
};

struct sockaddr_vm {
        unsigned int svm_port;
        unsigned int svm_cid;
};

struct vsock_sock {
        struct sock sk;
        struct sockaddr_vm local_addr;
};

struct inet_sock {
        struct sock sk;
        __u16 inet_sport;
};

struct inet_connection_sock {
        struct inet_sock icsk_inet;
};

struct tcp_sock {
        struct inet_connection_sock inet_conn;
        __u64 bytes_received;
        __u64 bytes_sent;
        __u64 bytes_retrans;
        __u64 bytes_acked;
};

struct net_device {
        possible_net_t nd_net;
        int ifindex;
};

struct sk_buff {
        struct net_device *dev;
        __u16 protocol;
        __u16 network_header;
        __u16 transport_header;
        unsigned char *head;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
        unsigned long orig_ax;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
        int syscallno;
};
#endif

struct nsproxy {
        struct net *net_ns;
};

struct pid_namespace {
        struct ns_common ns;
};

struct upid {
        int nr;
        struct pid_namespace *ns;
};

struct pid {
        unsigned int level;
        struct upid numbers[1];
};

struct qstr {
        const unsigned char *name;
};

struct dentry {
        struct dentry *d_parent;
        struct qstr d_name;
};

struct vfsmount {
        struct dentry *mnt_root;
};

struct mount {
        struct mount *mnt_parent;
        struct dentry *mnt_mountpoint;
        struct vfsmount mnt;
};

struct path {
        struct vfsmount *mnt;
        struct dentry *dentry;
};

struct file {
        struct path f_path;
        const struct cred *f_cred;
};

struct mm_struct {
        struct file *exe_file;
};

/* What an iterator over the open files of all tasks is called with. */
struct bpf_iter_meta {
        struct seq_file *seq;
};

struct bpf_iter__task_file {
        struct bpf_iter_meta *meta;
        struct task_struct *task;
        __u32 fd;
        struct file *file;
};

struct kernfs_node {
        __u64 id;
};

struct cgroup {
        struct kernfs_node *kn;
};

struct css_set {
        struct cgroup *dfl_cgrp;
};

struct cred {
        kuid_t euid;
};

struct files_struct;

struct thread_info {
        __u32 status; /* x86 */
};

struct task_struct {
        struct thread_info thread_info;
        struct task_struct *real_parent;
        struct mm_struct *mm;
        struct task_struct *group_leader;
        struct pid *thread_pid;
        struct nsproxy *nsproxy;
        unsigned int flags;
        int tgid;
        int pid;
        struct css_set *cgroups;
        struct files_struct *files;
        const struct cred *cred;
        __u64 start_boottime;
        __u64 self_exec_id;
        char comm[16];
};

enum skb_drop_reason {
        SKB_DROP_REASON_NO_SOCKET = 3, /* as above */
};

enum sock_flags {
        SOCK_DONE = 1, /* only its name counts: the value is the running kernel's */
};

#pragma clang attribute pop

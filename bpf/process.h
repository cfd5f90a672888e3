/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ring.h"

/* Who makes a call, and what it runs. */

#define PF_EXITING     0x00000004 /* include/linux/sched.h */
#define PF_KTHREAD     0x00200000
#define PATH_DEPTH     24
#define PATH_COMPONENT 256 /* NAME_MAX and its NUL */
#define PID_LEVELS     8

/* Set by the recorder before loading. */
const volatile __u32 own_pid_namespace = 0; /* inode, or 0: the initial one, no translation */

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
        fill_process(&ev->head, leader, typed);
        fill_path(ev, leader);
        bpf_ringbuf_submit(ev, 0);
        bpf_map_update_elem(&processes, &key, &now, BPF_ANY);
}

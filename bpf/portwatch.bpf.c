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
#include "owners.h"
#include "process.h"
#include "refused.h"
#include "ring.h"
#include "tcp.h"
#include "udp.h"

char licence_of_programs[] SEC("license") = "GPL";

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
        ev->head.cgroup_id = cgroup->kn->id;
        bpf_probe_read_kernel_str(ev->path, sizeof(ev->path), path);
        bpf_ringbuf_submit(ev, 0);
        return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "../../bpf/event.h"

/*
 * A source emits events into the tracker, which cannot tell which one fed it. All of it runs in the
 * recorder's event loop; nothing here blocks for longer than a dump takes.
 */

/* size is that of the whole event: struct event, event_process or event_cgroup by ev->type. */
typedef void (*source_emit_fn)(const struct event *ev, size_t size, void *userdata);

struct source_args {
        sd_event *event;
        source_emit_fn emit;
        /* Called after each batch of events, so that followers are told once a batch. */
        void (*batch_done)(void *userdata);
        /* Called when the source cannot go on; the recorder stops with error (negative errno). */
        void (*broken)(int error, void *userdata);
        void *userdata;
        size_t ring_bytes;  /* ebpf: size of the ring buffer; netlink: of the receive buffer */
        bool udp_peers;     /* ebpf: tell new peers of UDP sockets */
        uint64_t poll_usec; /* netlink: how often listeners are looked at */
};

struct source;

struct source_ops {
        const char *name;
        /*
         * Can it run here? 0, or negative errno with a sentence for people in *ret_why (static or
         * in the caller's buffer of 256 bytes).
         */
        int (*probe)(char ret_why[static 256]);
        /*
         * Attaches, takes the snapshot (BEGIN, FOUND..., everything that came meanwhile, END) and
         * goes on in the event loop. On failure nothing is left behind.
         */
        int (*start)(struct source **ret, const struct source_args *args);
        /* Takes what has arrived and has not been emitted yet, now. */
        void (*drain)(struct source *s);
        /* Takes a snapshot now (after a loss, or to verify). 0 or negative errno. */
        int (*resync)(struct source *s);
        /* Accepts NULL, returns NULL. */
        struct source *(*stop)(struct source *s);
        /* What this source cannot see on this machine, for `portctl status`; a sentence or "". */
        const char *(*limits)(struct source *s);
};

extern const struct source_ops source_ebpf; /* only with HAVE_EBPF */
extern const struct source_ops source_netlink;

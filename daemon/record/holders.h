/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

/* Which process holds which socket, as one look at all processes has found it. */

/* What a socket is known by: the kernel's iterator tells cookies, /proc tells inodes. */
enum holders_key {
        HOLDERS_BY_COOKIE,
        HOLDERS_BY_INODE,
};

struct holders {
        enum holders_key key;
        struct event *events; /* EVENT_OWNER; sorted by key and, of several processes, by pid */
        size_t n;
        size_t room;
};

/* Of one look: whoever dup()s a socket often must not take all memory. */
#define HOLDERS_MAX 524288U

/* Adds one, in any order. 0, -ENOBUFS beyond HOLDERS_MAX, or -ENOMEM. */
int holders_add(struct holders *h, const struct event *ev);
/* To be called after the last holders_add() and before the first holders_fill(). */
void holders_sort(struct holders *h);
/* Puts the first holder of ev's socket into ev. Returns whether there is one. */
int holders_fill(const struct holders *h, struct event *ev);
/*
 * The holder after the first one, as an EVENT_OWNER of ev's socket: who serves what systemd, the
 * first one, has opened. Returns whether there is one.
 */
int holders_next(const struct holders *h, const struct event *ev, struct event *ret);
/* Forgets all, and gives the room back. */
void holders_clear(struct holders *h);

/*
 * Adds the holders of every socket from /proc/PID/fd, by inode. Needs CAP_SYS_PTRACE and
 * CAP_DAC_READ_SEARCH for the processes of others; those it may not look into are left out and
 * counted in *ret_denied. The cost grows with all open files of the host. 0 or negative errno.
 */
int holders_walk(struct holders *h, unsigned *ret_denied);

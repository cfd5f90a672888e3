/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/* The network namespaces of the host: the recorder's own and those found under /proc/PID/ns/net. */

struct netns_entry {
        uint32_t inode;
        int diag_fd;    /* dumps, see diag.h */
        int destroy_fd; /* netlink source only; else -1 */
        int seen;       /* private to netns_scan() */
};

struct netns_set {
        struct netns_entry *entries;
        unsigned n_entries;
        unsigned n_skipped; /* could not be entered: no permission, gone, or above the bound */
};

#define NETNS_MAX 4096

/*
 * Looks through /proc for namespaces, opens the sockets of new ones (with the destroy groups joined
 * when destroy is nonzero, with a receive buffer of rcvbuf bytes) and closes those of namespaces that
 * no process is in any more. The recorder's own is always entry 0. 0 or negative errno.
 */
int netns_scan(struct netns_set *set, int destroy, int rcvbuf);
void netns_done(struct netns_set *set);
/* The inode of the caller's own network namespace, 0 if it cannot be told. */
uint32_t netns_own(void);

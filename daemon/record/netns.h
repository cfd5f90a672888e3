/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/* The network namespaces of the host: the recorder's own and those found under /proc/PID/ns/net. */

struct netns_entry {
        uint32_t inode;
        int diag_fd;    /* dumps, see diag.h */
        int destroy_fd; /* netlink source only; else -1 */
        int seen;       /* private to netns_scan() */
        /* ip_local_port_range when the namespace was entered (of the own one: at the last scan) */
        uint16_t ephemeral_first;
        uint16_t ephemeral_last;
        void *userdata; /* of whoever owns the set */
};

struct netns_set {
        struct netns_entry *entries;
        unsigned n_entries;
        unsigned n_skipped; /* could not be entered: no permission, gone, or above the bound */
        unsigned n_hidden;  /* processes whose namespace could not be told: no permission */
        /* If set, called before the sockets of a namespace are closed. */
        void (*closing)(struct netns_entry *entry, void *userdata);
        void *userdata;
};

#define NETNS_MAX 4096

/*
 * Looks through /proc and the folders of named namespaces (/run/netns), opens the sockets of new
 * ones (with the destroy groups joined when destroy is nonzero, with a receive buffer of rcvbuf
 * bytes) and closes those of namespaces that were neither found by this look nor by the one before:
 * what their last processes did is still to be read in between. The recorder's own is always entry
 * 0. An open socket keeps its namespace alive, so no two entries ever share an inode. 0 or negative
 * errno.
 */
int netns_scan(struct netns_set *set, int destroy, int rcvbuf);
void netns_done(struct netns_set *set);

/* The inode of the caller's own network namespace, 0 if it cannot be told. */
uint32_t netns_own(void);

/*
 * Takes the calling thread into the namespace of ns_fd, and back. Enter gives a descriptor for the
 * way back, which leave closes, or negative errno. A way back that is barred ends the process:
 * going on in a stranger's namespace would be worse.
 */
int netns_enter(int ns_fd);
void netns_leave(int own_fd);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "source.h"

/* sock_diag: dumps of the sockets of one network namespace (sock_diag(7), inet_diag.h). */

enum diag_what {
        DIAG_LISTENERS = 1 << 0,   /* TCP in LISTEN, UDP bound and unconnected */
        DIAG_CONNECTIONS = 1 << 1, /* TCP in every other state with a descriptor or a peer, except TIME_WAIT and NEW_SYN_RECV; connected UDP */
};

/*
 * Opens a socket for dumps in the network namespace that ns_fd refers to (-1: the caller's own),
 * leaving the caller in its own. Needs CAP_SYS_ADMIN for another one. Descriptor or negative errno.
 */
int diag_open(int ns_fd);

/*
 * Dumps TCP and UDP, IPv4 and IPv6, listeners before connections, and emits each socket as
 * EVENT_FOUND with netns as given. cookie, tuple, uid, cgroup id, ifindex, bytes (tcp_info) and
 * EVENT_V6ONLY are filled in; pid is 0. Returns 0 or negative errno (-EINTR after NLM_F_DUMP_INTR was
 * seen on every one of a few tries; what was found is emitted all the same).
 */
int diag_dump(int diag_fd, uint32_t netns, unsigned what, source_emit_fn emit, void *userdata);

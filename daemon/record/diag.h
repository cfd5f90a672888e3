/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <linux/netlink.h>

#include "source.h"

/* sock_diag: dumps of the sockets of one network namespace (sock_diag(7), inet_diag.h). */

enum diag_what {
        DIAG_LISTENERS = 1 << 0,   /* TCP in LISTEN, UDP bound and unconnected */
        DIAG_CONNECTIONS = 1 << 1, /* TCP in every other state with a descriptor or a peer, except
                                      TIME_WAIT and NEW_SYN_RECV; connected UDP */
};

/*
 * Opens a socket for dumps in the network namespace that ns_fd refers to (-1: the caller's own),
 * leaving the caller in its own. Needs CAP_SYS_ADMIN for another one. Descriptor or negative errno.
 */
int diag_open(int ns_fd);

/*
 * Dumps TCP and UDP, IPv4 and IPv6, listeners before connections, and emits each socket as
 * EVENT_FOUND with netns as given. cookie, tuple, uid, cgroup id, ifindex, bytes (tcp_info) and
 * EVENT_V6ONLY are filled in; pid is 0. Returns 0 or negative errno: -EINTR after NLM_F_DUMP_INTR
 * was seen on every one of a few tries, -ENOENT when the kernel lacks tcp_diag, -EPROTONOSUPPORT
 * when it lacks udp_diag. What was found is emitted all the same. Neither waits nor needs a bound:
 * the kernel has each part ready and ends at the end of its table.
 */
int diag_dump(int diag_fd, uint32_t netns, unsigned what, source_emit_fn emit, void *userdata);

/*
 * Fills an event from one message of sock_diag, of a dump or of a destroy group: cookie, tuple,
 * new_state, ifindex, uid, cgroup id, bytes and flags. transport is for messages that do not say
 * theirs (dumps). type and time_ns are left to the caller. Returns 1, 0 for a socket that is not
 * wanted (what is left of one in TIME_WAIT, another protocol or family), or -EBADMSG.
 *
 * A message of a destroy group has neither uid (UID_UNKNOWN then) nor cgroup id. old_state tells
 * there what is certain of a TCP socket's life: 2 (SYN_SENT) it was never established, 1 it was, 0
 * neither. error is set when it is certain that it was refused (ECONNREFUSED) or reset by either
 * side (ECONNRESET). A socket that was disconnected (reset by this side; failed blocking connect())
 * has remote_port 0, but the remote address still.
 *
 * Bytes are of payload, each counted once. bytes_received of a message of a destroy group may be
 * one too few or too many: a FIN counts as a byte there, and the message does not tell whether one
 * came.
 */
int diag_event(const struct nlmsghdr *nlh, uint32_t netns, uint8_t transport, struct event *ret);

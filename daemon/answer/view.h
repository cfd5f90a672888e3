/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/record.h"

#define VIEW_NO_GROUP ((gid_t) -1)

/*
 * What a client may see. The full view is for uid 0 and the members of one group. The limited one
 * shows what ss and ps would show: the sockets that are open in the host's network namespace,
 * without pids and executables of other users' processes, and the history of the caller's own uid.
 */
struct view {
        bool full;
        uint32_t uid;
};

/*
 * The view of the process at the other end of a connected Unix socket, and its uid, by the
 * credentials it had when it connected (unix(7), SO_PEERCRED, SO_PEERGROUPS). group: whose members
 * see all, or VIEW_NO_GROUP. Negative errno.
 */
int view_of_peer(struct view *ret, int fd, gid_t group);

/* May an open socket be shown? What may not be is taken out of *o. netns: the host's. */
bool view_shows_open(const struct view *v, uint32_t netns, const struct record *r, struct owner *o);
/* Takes out of the owner of an open socket that is shown, or its holder, what may not be. */
void view_redact(const struct view *v, struct owner *o);
/* May a record of the history be shown? Marks (start, stop, lost) may: they say what is missing. */
bool view_shows_past(const struct view *v, const struct record *r, const struct owner *o);

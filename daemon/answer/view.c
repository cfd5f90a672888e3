/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/answer/view.h"

/* The kernel's NGROUPS_MAX. */
#define GROUPS_MAX   65536U
#define GROUPS_FIRST 64U

/* 1: the peer has the group among its supplementary ones, 0: it has not. */
static int peer_has_group(int fd, gid_t group) {
        gid_t first[GROUPS_FIRST], *groups = first, *larger = NULL;
        socklen_t size = sizeof(first);
        int r = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0) {
                if (errno != ERANGE || size > GROUPS_MAX * sizeof(gid_t))
                        return -errno;
                groups = larger = malloc(size);
                if (!larger)
                        return -ENOMEM;
                if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0) {
                        r = -errno;
                        free(larger);
                        return r;
                }
        }
        for (size_t i = 0; i < size / sizeof(gid_t) && r == 0; i++)
                r = groups[i] == group;
        free(larger);
        return r;
}

int view_of_peer(struct view *ret, int fd, gid_t group) {
        struct ucred peer;
        socklen_t size = sizeof(peer);
        int r = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        if (peer.uid == 0 || (group != VIEW_NO_GROUP && peer.gid == group))
                r = 1;
        else if (group != VIEW_NO_GROUP)
                r = peer_has_group(fd, group);
        if (r < 0)
                return r;
        *ret = (struct view){ .full = r > 0, .uid = peer.uid };
        return 0;
}

void view_redact(const struct view *v, struct owner *o) {
        if (v->full || o->uid == v->uid)
                return;
        o->pid = 0;
        o->start_ns = 0;
        o->executable[0] = 0;
}

bool view_shows_open(const struct view *v, uint32_t netns, const struct record *r,
                     struct owner *o) {
        if (v->full)
                return true;
        if (r->netns != netns)
                return false;
        view_redact(v, o);
        return true;
}

bool view_shows_past(const struct view *v, const struct record *r, const struct owner *o) {
        if (v->full)
                return true;
        if (!record_is_connection(r) && !record_is_listener(r))
                return true;
        return o->uid != UID_UNKNOWN && o->uid == v->uid;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/answer/store.h"

/* Everybody who is connected, on one event loop. */
struct clients;

struct clients_limits {
        unsigned connections;
        unsigned connections_of_user; /* of one uid */
        unsigned followers;
        gid_t group; /* whose members see all (view.h) */
};

/*
 * Starts to accept on a listening socket and to watch the doorbell: the read end of a non-blocking
 * pipe, where a byte stands for news in the history and the end for the recorder's. Both
 * descriptors stay the caller's, the store becomes the clients'. All descriptors that will be
 * needed, but those of clients, are made here. When the recorder is gone, followers get what it
 * wrote last, and the loop ends with 0. Negative errno; the store then stays the caller's.
 */
int clients_new(struct clients **ret, sd_event *event, int listen_fd, int doorbell_fd,
                const struct store *store, const struct clients_limits *limits);
/* Gives followers what is new, such as the last words of a recorder that has gone. */
void clients_ring(struct clients *c);
/* Closes all connections; accepts NULL, returns NULL. */
struct clients *clients_free(struct clients *c);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/answer/call.h"

/*
 * One connection: takes requests from the stream, answers them in order, and sends as the other end
 * takes. Works in turns, so that a large answer does not keep others waiting, and keeps no more
 * unsent than reply.h says.
 */
struct client;

/* Whoever has the clients: lends what they share, and is told. */
struct client_host {
        sd_event *event;
        struct service *service;
        size_t buffered_bytes; /* in reply buffers of all clients; when there is much, replies must
                                  be small */
        struct jsonw spare;    /* a used buffer, kept warm for the next reply; the host's to free */
        bool anyone_stuck;     /* set by a client that has a deadline; the host's to unset */
        /* Called when there may be more followers or fewer, or a client is kept waiting. */
        void (*changed)(void *userdata);
        /* The client is done for: the host frees it. */
        void (*closed)(struct client *c, void *userdata);
        void *userdata;
};

/*
 * Serves a connected, non-blocking socket, which becomes the client's when this succeeds.
 * client_free() closes it; accepts NULL, returns NULL.
 */
int client_new(struct client **ret, struct client_host *host, int fd, const struct view *view);
struct client *client_free(struct client *c);

/* The uid of the process that connected. */
uid_t client_uid(const struct client *c);

/* There is news in the history: a follower goes on, others take no notice. May close the client. */
void client_ring(struct client *c);

/*
 * When this client will have kept us waiting for too long, with a request half-sent or a large
 * reply untaken; microseconds of the monotonic clock, UINT64_MAX: it does not.
 */
uint64_t client_deadline(const struct client *c);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "source.h"

/*
 * The sockets of the destroy groups in the event loop, one for each network namespace. A wakeup
 * costs more than a message does: after the first one messages gather for 10 ms before they are
 * taken.
 */

struct feeds;

struct feed {
        struct feeds *feeds;
        struct feed *next_ready;
        sd_event_source *io;
        int fd; /* not owned */
        uint32_t netns;
        uint32_t drops; /* see destroy_read() */
        bool ready;     /* on the list of those to be taken from */
        /* For the owner: */
        uint16_t ephemeral_first, ephemeral_last;
        uint64_t listens[1024]; /* bit map of the TCP ports that are listened on */
        bool dumped;
};

struct feeds_ops {
        /* EVENT_DESTROYED. */
        void (*destroyed)(const struct event *ev, struct feed *f, void *userdata);
        /* So many messages are missing before this moment. */
        void (*lost)(struct feed *f, uint64_t count, void *userdata);
        /* From the event loop, after all feeds that had something: 0 or negative errno. */
        void (*drained)(int error, void *userdata);
};

struct feeds {
        const struct feeds_ops *ops;
        void *userdata;
        sd_event *event;
        sd_event_source *timer;
        struct destroy_reader *reader;
        struct feed *ready;
        bool armed;
};

/* 0 or negative errno; feeds_done() after either. All feeds are to be freed before that. */
int feeds_init(struct feeds *feeds, sd_event *event, const struct feeds_ops *ops, void *userdata);
void feeds_done(struct feeds *feeds);

/*
 * Lets the next drain be in usec from now, whether or not anything has come. 0 or negative errno.
 */
int feeds_delay(struct feeds *feeds, uint64_t usec);

/* Listens to a socket of destroy_open(). feed_free() accepts NULL, returns NULL. */
int feed_new(struct feed **ret, struct feeds *feeds, int fd, uint32_t netns);
struct feed *feed_free(struct feed *f);

/* Takes what has come, now. Returns how many messages there were, or negative errno. */
int feed_drain(struct feed *f);

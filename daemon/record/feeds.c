/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "feeds.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "destroy.h"

#define DRAIN_USEC    (10 * 1000U)
#define ACCURACY_USEC 1000U

static int arm(struct feeds *feeds, uint64_t usec) {
        int r = sd_event_source_set_time_relative(feeds->timer, usec);

        if (r >= 0)
                r = sd_event_source_set_enabled(feeds->timer, SD_EVENT_ONESHOT);
        feeds->armed = r >= 0;
        return r < 0 ? r : 0;
}

int feeds_delay(struct feeds *feeds, uint64_t usec) {
        return arm(feeds, usec);
}

static void set_ready(struct feed *f) {
        if (f->ready)
                return;
        f->ready = true;
        f->next_ready = f->feeds->ready;
        f->feeds->ready = f;
}

static void on_destroyed(const struct event *ev, size_t size, void *userdata) {
        struct feed *f = userdata;

        (void) size;
        f->feeds->ops->destroyed(ev, f, f->feeds->userdata);
}

int feed_drain(struct feed *f) {
        uint64_t lost = 0;
        int r;

        r = destroy_read(f->feeds->reader, f->fd, f->netns, &f->drops, on_destroyed, f, &lost);
        if (lost > 0)
                f->feeds->ops->lost(f, lost, f->feeds->userdata);
        return r;
}

static int on_drain(sd_event_source *timer, uint64_t usec, void *userdata) {
        struct feeds *feeds = userdata;
        struct feed *f = feeds->ready;
        int error = 0;

        (void) timer;
        (void) usec;
        feeds->armed = false;
        feeds->ready = NULL;
        while (f) {
                struct feed *next = f->next_ready;
                int r = feed_drain(f);

                /*
                 * One that had something stays on the timer, without a wakeup for its next message;
                 * one that had nothing goes back to waiting.
                 */
                f->ready = false;
                if (r != 0)
                        set_ready(f);
                else
                        r = sd_event_source_set_enabled(f->io, SD_EVENT_ONESHOT);
                error = r < 0 ? r : error;
                f = next;
        }
        if (feeds->ready) {
                int r = arm(feeds, DRAIN_USEC);

                error = r < 0 ? r : error;
        }
        feeds->ops->drained(error, feeds->userdata);
        return 0;
}

static int on_readable(sd_event_source *io, int fd, uint32_t revents, void *userdata) {
        struct feed *f = userdata;
        int r;

        (void) io;
        (void) fd;
        (void) revents;
        set_ready(f);
        r = f->feeds->armed ? 0 : arm(f->feeds, DRAIN_USEC);
        if (r < 0)
                f->feeds->ops->drained(r, f->feeds->userdata);
        return 0;
}

int feeds_init(struct feeds *feeds, sd_event *event, const struct feeds_ops *ops, void *userdata) {
        int r;

        *feeds = (struct feeds){ .ops = ops, .userdata = userdata, .event = event };
        r = destroy_reader_new(&feeds->reader);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &feeds->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_drain,
                              feeds);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(feeds->timer, SD_EVENT_OFF);
        return r < 0 ? r : 0;
}

void feeds_done(struct feeds *feeds) {
        sd_event_source_disable_unref(feeds->timer);
        feeds->timer = NULL;
        feeds->reader = destroy_reader_free(feeds->reader);
}

int feed_new(struct feed **ret, struct feeds *feeds, int fd, uint32_t netns) {
        struct feed *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        f->feeds = feeds;
        f->fd = fd;
        f->netns = netns;
        r = sd_event_add_io(feeds->event, &f->io, fd, EPOLLIN, on_readable, f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f->io, SD_EVENT_ONESHOT);
        if (r < 0) {
                feed_free(f);
                return r;
        }
        *ret = f;
        return 0;
}

struct feed *feed_free(struct feed *f) {
        if (!f)
                return NULL;
        for (struct feed **at = &f->feeds->ready; *at; at = &(*at)->next_ready)
                if (*at == f) {
                        *at = f->next_ready;
                        break;
                }
        sd_event_source_disable_unref(f->io);
        free(f);
        return NULL;
}

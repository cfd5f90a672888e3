/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/answer/client.h"
#include "daemon/answer/clients.h"

/* Connections accepted before others have their turn. */
#define ACCEPT_BATCH 16U
/* Out of descriptors or memory: how long to leave new connections alone. */
#define ACCEPT_PAUSE_USEC (500U * 1000)
#define CLOCK_SLACK_USEC  (250U * 1000)

struct clients {
        struct client_host host;
        struct service service;
        struct clients_limits limits;
        sd_event_source *listener;
        sd_event_source *doorbell;
        sd_event_source *timer;
        int doorbell_fd;
        bool doorbell_watched;
        uint64_t resume_usec; /* when to accept again, UINT64_MAX: we do */
        uint64_t timer_usec;  /* what the timer is set for, UINT64_MAX: nothing */
        struct client **all;  /* service.clients of them, room for limits.connections */
};

/*
 * Whoever sees all finds a place when the others have taken theirs: subordinate uids give one
 * person as many users as it likes (subuid(5)).
 */
static bool is_full(const struct clients *c, const struct view *v) {
        unsigned of_user = 0, reserved = v->full ? 0 : c->limits.connections / 8;

        if (c->service.clients >= c->limits.connections - reserved)
                return true;
        for (unsigned i = 0; i < c->service.clients; i++)
                of_user += client_uid(c->all[i]) == v->uid;
        return of_user >= c->limits.connections_of_user;
}

static void read_doorbell(struct clients *c) {
        char bytes[4096];

        while (read(c->doorbell_fd, bytes, sizeof(bytes)) == (ssize_t) sizeof(bytes))
                ;
}

/*
 * Without followers nobody listens to the bell, so that recording alone does not wake us. Its end
 * is heard all the same.
 */
static void watch_doorbell(struct clients *c) {
        bool wanted = c->service.followers > 0;

        if (wanted == c->doorbell_watched)
                return;
        if (wanted)
                read_doorbell(c);
        if (sd_event_source_set_io_events(c->doorbell, wanted ? EPOLLIN : 0) >= 0)
                c->doorbell_watched = wanted;
}

/* Sets the timer for the first of the moments that somebody waits for. */
static void set_timer(struct clients *c) {
        uint64_t first = c->resume_usec;

        c->host.anyone_stuck = false;
        for (unsigned i = 0; i < c->service.clients; i++) {
                uint64_t deadline = client_deadline(c->all[i]);

                if (deadline == UINT64_MAX)
                        continue;
                c->host.anyone_stuck = true;
                if (deadline < first)
                        first = deadline;
        }
        if (first == c->timer_usec)
                return;
        c->timer_usec = first;
        if (first != UINT64_MAX)
                sd_event_source_set_time(c->timer, first);
        sd_event_source_set_enabled(c->timer,
                                    first != UINT64_MAX ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* Out of descriptors or memory: accepting again at once would only fail again. */
static void pause_accepting(struct clients *c) {
        uint64_t now = 0;

        sd_event_now(c->host.event, CLOCK_MONOTONIC, &now);
        c->resume_usec = now + ACCEPT_PAUSE_USEC;
        sd_event_source_set_enabled(c->listener, SD_EVENT_OFF);
        set_timer(c);
}

static void resume_accepting(struct clients *c) {
        if (c->resume_usec == UINT64_MAX)
                return;
        c->resume_usec = UINT64_MAX;
        sd_event_source_set_enabled(c->listener, SD_EVENT_ON);
}

static void on_changed(void *userdata) {
        struct clients *c = userdata;

        watch_doorbell(c);
        if (c->host.anyone_stuck)
                set_timer(c);
}

static void on_closed(struct client *client, void *userdata) {
        struct clients *c = userdata;

        for (unsigned i = 0; i < c->service.clients; i++)
                if (c->all[i] == client) {
                        c->all[i] = c->all[--c->service.clients];
                        break;
                }
        client_free(client);
        /* There is a descriptor again. */
        resume_accepting(c);
}

void clients_ring(struct clients *c) {
        /* From the end, because closing puts the last one in the place of the closed one. */
        for (unsigned i = c->service.clients; i-- > 0;)
                client_ring(c->all[i]);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct clients *c = userdata;
        uint64_t now = usec;

        (void) source;
        sd_event_now(c->host.event, CLOCK_MONOTONIC, &now);
        for (unsigned i = c->service.clients; i-- > 0;)
                if (client_deadline(c->all[i]) <= now)
                        on_closed(c->all[i], c);
        if (c->resume_usec <= now)
                resume_accepting(c);
        watch_doorbell(c);
        c->timer_usec = UINT64_MAX;
        set_timer(c);
        return 0;
}

static int on_doorbell(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct clients *c = userdata;

        (void) fd;
        if (revents & EPOLLIN)
                read_doorbell(c);
        clients_ring(c);
        if (revents & (EPOLLHUP | EPOLLERR))
                return sd_event_exit(sd_event_source_get_event(source), 0);
        return 0;
}

static bool is_shortage(int error) {
        return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Serves a new connection; one that is too many is closed. */
static void take_connection(struct clients *c, int fd) {
        struct client *client;
        struct view view;

        if (view_of_peer(&view, fd, c->limits.group) < 0 || is_full(c, &view) ||
            client_new(&client, &c->host, fd, &view) < 0) {
                c->service.clients_refused++;
                close(fd);
                return;
        }
        c->all[c->service.clients++] = client;
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct clients *c = userdata;

        (void) source;
        (void) revents;
        for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
                int connection = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (connection >= 0) {
                        take_connection(c, connection);
                        continue;
                }
                if (is_shortage(errno)) {
                        pause_accepting(c);
                        break;
                }
                if (errno != ECONNABORTED && errno != EINTR)
                        break;
        }
        return 0;
}

static int add_sources(struct clients *c, sd_event *event, int listen_fd, int doorbell_fd) {
        int r;

        r = sd_event_add_io(event, &c->listener, listen_fd, EPOLLIN, on_listener, c);
        if (r >= 0)
                r = sd_event_add_io(event, &c->doorbell, doorbell_fd, 0, on_doorbell, c);
        if (r >= 0)
                r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, 0, CLOCK_SLACK_USEC,
                                      on_timer, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        /* Without these two there is nothing to live for. */
        if (r >= 0)
                r = sd_event_source_set_exit_on_failure(c->listener, true);
        if (r >= 0)
                r = sd_event_source_set_exit_on_failure(c->doorbell, true);
        return r;
}

int clients_new(struct clients **ret, sd_event *event, int listen_fd, int doorbell_fd,
                const struct store *store, const struct clients_limits *limits) {
        struct clients *c;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->host = (struct client_host){
                .event = event,
                .service = &c->service,
                .changed = on_changed,
                .closed = on_closed,
                .userdata = c,
        };
        c->resume_usec = c->timer_usec = UINT64_MAX;
        c->limits = *limits;
        c->doorbell_fd = doorbell_fd;
        c->service.max_followers = limits->followers;
        c->all = calloc(limits->connections, sizeof(struct client *));
        r = c->all ? add_sources(c, event, listen_fd, doorbell_fd) : -ENOMEM;
        if (r < 0) {
                clients_free(c);
                return r;
        }
        c->service.store = *store;
        *ret = c;
        return 0;
}

struct clients *clients_free(struct clients *c) {
        if (!c)
                return NULL;
        while (c->service.clients > 0)
                client_free(c->all[--c->service.clients]);
        sd_event_source_disable_unref(c->listener);
        sd_event_source_disable_unref(c->doorbell);
        sd_event_source_disable_unref(c->timer);
        free(c->host.spare.data);
        free(c->all);
        if (c->service.store.live.header)
                store_close(&c->service.store);
        free(c);
        return NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/json.h"

/*
 * Small enough to stay in the processor's cache, and to touch few pages for the first time, which
 * takes a microsecond each; a longer answer makes it grow.
 */
#define CLIENT_BUFFER_SIZE ((size_t) 32 * 1024)

struct client {
        int fd;
        char *data;
        size_t allocated;
        size_t begin;   /* of what has not been handed out */
        size_t end;     /* of what has been received */
        size_t scanned; /* no terminator before this */
};

int client_connect(struct client **ret, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct client *c;
        int fd, r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0) {
                r = -errno;
                (void) close(fd);
                return r;
        }
        c = calloc(1, sizeof(*c));
        if (!c) {
                (void) close(fd);
                return -ENOMEM;
        }
        c->fd = fd;
        *ret = c;
        return 0;
}

struct client *client_close(struct client *c) {
        if (!c)
                return NULL;
        (void) close(c->fd);
        free(c->data);
        free(c);
        return NULL;
}

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

/* Waits for events on the socket until deadline (UINT64_MAX: for ever). */
static int wait_for(int fd, short events, uint64_t deadline) {
        struct pollfd p = { .fd = fd, .events = events };

        for (;;) {
                int timeout = -1, r;

                if (deadline != UINT64_MAX) {
                        uint64_t now = now_usec();

                        if (now >= deadline)
                                return -ETIMEDOUT;
                        timeout = (int) ((deadline - now + 999) / 1000);
                }
                r = poll(&p, 1, timeout);
                if (r > 0)
                        return 0;
                if (r < 0 && errno != EINTR)
                        return -errno;
        }
}

int client_call(struct client *c, const char *method, const struct buf *parameters, bool more) {
        uint64_t deadline = now_usec() + CLIENT_TIMEOUT_USEC;
        struct buf b = { 0 };
        size_t sent = 0;
        int r = 0;

        buf_text(&b, "{\"method\":");
        buf_json_string(&b, method);
        if (parameters && parameters->size > 0) {
                buf_text(&b, ",\"parameters\":");
                buf_put(&b, parameters->data, parameters->size);
        }
        if (more)
                buf_text(&b, ",\"more\":true");
        buf_text(&b, "}");
        buf_char(&b, '\0');
        if (b.failed || (parameters && parameters->failed))
                r = -ENOMEM;
        while (r >= 0 && sent < b.size) {
                ssize_t n = send(c->fd, b.data + sent, b.size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n >= 0)
                        sent += (size_t) n;
                else if (errno == EAGAIN)
                        r = wait_for(c->fd, POLLOUT, deadline);
                else if (errno != EINTR)
                        r = -errno;
        }
        buf_done(&b);
        return r;
}

/* Room behind what has been received, and for the padding behind that. */
static int make_room(struct client *c) {
        size_t wanted;
        char *data;

        if (c->begin > 0 && (c->begin == c->end || c->end + JSON_PADDING >= c->allocated)) {
                memmove(c->data, c->data + c->begin, c->end - c->begin);
                c->end -= c->begin;
                c->scanned -= c->begin;
                c->begin = 0;
        }
        if (c->end + JSON_PADDING < c->allocated)
                return 0;
        if (c->allocated > CLIENT_REPLY_MAX)
                return -EMSGSIZE;
        wanted = c->allocated ? c->allocated * 2 : CLIENT_BUFFER_SIZE;
        data = realloc(c->data, wanted);
        if (!data)
                return -ENOMEM;
        c->data = data;
        c->allocated = wanted;
        return 0;
}

int client_receive(struct client *c, uint64_t timeout_usec, char **ret) {
        uint64_t deadline = UINT64_MAX;
        int r;

        for (;;) {
                char *end = NULL;
                ssize_t n;

                if (c->end > c->scanned)
                        end = memchr(c->data + c->scanned, '\0', c->end - c->scanned);
                if (end) {
                        *ret = c->data + c->begin;
                        c->begin = c->scanned = (size_t) (end - c->data) + 1;
                        return 1;
                }
                c->scanned = c->end;
                if (c->end - c->begin > CLIENT_REPLY_MAX)
                        return -EMSGSIZE;
                r = make_room(c);
                if (r < 0)
                        return r;
                n = recv(c->fd, c->data + c->end, c->allocated - c->end - JSON_PADDING,
                         MSG_DONTWAIT);
                if (n > 0) {
                        c->end += (size_t) n;
                        memset(c->data + c->end, 0, JSON_PADDING);
                        continue;
                }
                if (n == 0 || errno == ECONNRESET)
                        return c->end > c->begin ? -ECONNRESET : 0;
                if (errno == EINTR)
                        continue;
                if (errno != EAGAIN)
                        return -errno;
                if (deadline == UINT64_MAX && timeout_usec != UINT64_MAX)
                        deadline = now_usec() + timeout_usec;
                r = wait_for(c->fd, POLLIN, deadline);
                if (r < 0)
                        return r;
        }
}

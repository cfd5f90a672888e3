/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftest.h"

#define OPEN_CONNECTION   (SELFTEST_INBOUND | SELFTEST_OUTBOUND)
#define CLOSED_CONNECTION (SELFTEST_INBOUND_END | SELFTEST_OUTBOUND_END)

int selftest_begin(struct selftest *s, uint32_t netns) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int r;

        *s = (struct selftest){ .netns = netns, .client = -1, .server = -1 };
        s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* The port is known before the first event is looked at: all of them come at a drain. */
        if (s->listener < 0 ||
            bind(s->listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            getsockname(s->listener, (struct sockaddr *) &address, &size) < 0 ||
            listen(s->listener, 1) < 0)
                goto fail;
        s->port = ntohs(address.sin_port);

        s->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (s->client < 0)
                goto fail;
        /* Loopback may be down in a namespace: then the listener alone has to do. */
        if (connect(s->client, (struct sockaddr *) &address, sizeof(address)) < 0)
                return 0;
        s->server = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (s->server < 0)
                goto fail;
        s->connected = true;
        return 0;
fail:
        r = -errno;
        selftest_close(s);
        return r;
}

static void close_one(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

void selftest_close(struct selftest *s) {
        /* An RST at the end leaves nothing behind in TIME_WAIT. */
        const struct linger linger = { .l_onoff = 1 };

        if (s->client >= 0)
                (void) setsockopt(s->client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close_one(&s->client);
        close_one(&s->server);
        close_one(&s->listener);
}

bool selftest_takes(struct selftest *s, const struct record *r) {
        if (s->port == 0 || r->netns != s->netns || r->transport != TRANSPORT_TCP ||
            record_service_port(r) != s->port)
                return false;
        switch (r->kind) {
        case RECORD_LISTEN:
                s->saw |= SELFTEST_LISTEN;
                break;
        case RECORD_UNLISTEN:
                s->saw |= SELFTEST_UNLISTEN;
                break;
        case RECORD_OPEN:
                s->saw |= r->direction == DIRECTION_INBOUND ? SELFTEST_INBOUND : SELFTEST_OUTBOUND;
                break;
        case RECORD_CLOSE:
        case RECORD_FAIL:
                s->saw |= r->direction == DIRECTION_INBOUND ? SELFTEST_INBOUND_END
                                                            : SELFTEST_OUTBOUND_END;
                break;
        }
        return true;
}

static bool saw_all(const struct selftest *s, unsigned wanted) {
        return (s->saw & wanted) == wanted;
}

bool selftest_saw_open(const struct selftest *s) {
        return saw_all(s, SELFTEST_LISTEN | (s->connected ? OPEN_CONNECTION : 0));
}

bool selftest_saw_closed(const struct selftest *s) {
        return saw_all(s, SELFTEST_UNLISTEN | (s->connected ? CLOSED_CONNECTION : 0));
}

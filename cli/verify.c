/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/cells.h"
#include "cli/json_print.h"
#include "cli/out.h"
#include "cli/sockdump.h"
#include "cli/verify.h"
#include "lib/ports.h"
#include "lib/record.h"

/*
 * Sockets come and go between the look at the one side and the look at the other. So what differs
 * is looked at again: only a socket that differs each time, for as long as this, does differ.
 */
#define LOOK_USEC 3000000U
/* The netlink source itself looks at open connections only now and then, at least so often. */
#define NETLINK_PAUSE_USEC 5000000U
#define FIRST_PAUSE_USEC   20000U
#define LAST_PAUSE_USEC    500000U

struct verification {
        const struct args *args;
        struct client *client;
        uint16_t ephemeral_first, ephemeral_last;
        struct sockset kernel, record; /* of the last look */
        struct sockset only_kernel, only_record;
};

static uint64_t monotonic_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

static void pause_usec(uint64_t usec) {
        const struct timespec ts = { .tv_sec = (time_t) (usec / 1000000),
                                     .tv_nsec = (long) (usec % 1000000 * 1000) };

        (void) nanosleep(&ts, NULL);
}

static int take_row(const struct row *row, void *userdata) {
        const struct reply_socket *s = &row->socket;
        struct verification *v = userdata;
        bool connection = row->type == ROW_CONNECTION;
        struct sockid id = {
                .local_port = (uint16_t) s->local.port,
                .remote_port = connection ? (uint16_t) s->remote.port : 0,
                .transport = string_is(&s->transport, "udp") ? TRANSPORT_UDP : TRANSPORT_TCP,
                .family = string_is(&s->family, "ipv6") ? FAMILY_IPV6 : FAMILY_IPV4,
        };
        int r;

        /* Neither to whom UDP is connected nor other transports are compared. */
        if (!string_is(&s->transport, connection ? "tcp" : "udp") &&
            !string_is(&s->transport, "tcp"))
                return 0;
        r = reply_address(&s->local, id.family, id.local);
        if (r >= 0 && connection)
                r = reply_address(&s->remote, id.family, id.remote);
        return r < 0 ? r : sockset_add(&v->record, &id);
}

/* What the record and the kernel have by now. An exit status. */
static int look(struct verification *v, int64_t netns) {
        struct reply_reader listeners = { .shape = REPLY_LISTENERS,
                                          .row = take_row,
                                          .userdata = v };
        struct reply_reader connections = { .shape = REPLY_CONNECTIONS,
                                            .row = take_row,
                                            .userdata = v };
        struct args all = { .pid = -1, .uid = -1, .netns = netns };
        struct ask ask = { 0 };
        struct reply reply;
        int status, r;

        sockset_clear(&v->kernel);
        sockset_clear(&v->record);
        status = ask_all(v->client, &all, "Listeners", &ask, &listeners, &reply);
        if (status == STATUS_FINE)
                status = ask_all(v->client, &all, "Connections", &ask, &connections, &reply);
        if (status != STATUS_FINE)
                return status;
        r = sockdump(&v->kernel, v->ephemeral_first, v->ephemeral_last);
        if (r < 0) {
                (void) fprintf(stderr, "portctl: cannot list the kernel's sockets: %s\n",
                               strerror(-r));
                return STATUS_FAILURE;
        }
        sockset_sort(&v->kernel);
        sockset_sort(&v->record);
        return STATUS_FINE;
}

/* Of what one side alone had, keeps what it has alone again; the first time, all. */
static int keep(struct sockset *only, bool first, const struct sockset *has,
                const struct sockset *has_not) {
        struct sockset now = { .n = 0 };
        int r;

        r = sockset_subtract(first ? only : &now, has, has_not);
        if (!first && r >= 0)
                sockset_intersect(only, &now);
        sockset_done(&now);
        return r;
}

static int compare(struct verification *v, const struct reply_status *s) {
        uint64_t length = LOOK_USEC + (string_is(&s->source, "netlink") ? NETLINK_PAUSE_USEC : 0);
        uint64_t deadline = monotonic_usec() + length, pause = FIRST_PAUSE_USEC;

        for (bool first = true;; first = false) {
                int status, r;

                status = look(v, s->netns);
                if (status != STATUS_FINE)
                        return status;
                r = keep(&v->only_kernel, first, &v->kernel, &v->record);
                if (r >= 0)
                        r = keep(&v->only_record, first, &v->record, &v->kernel);
                if (r < 0)
                        return ask_failed(r);
                if ((v->only_kernel.n == 0 && v->only_record.n == 0) ||
                    monotonic_usec() + pause > deadline)
                        return STATUS_FINE;
                pause_usec(pause);
                pause = pause * 2 < LAST_PAUSE_USEC ? pause * 2 : LAST_PAUSE_USEC;
        }
}

static void put_address(struct buf *b, const struct sockid *id, const uint8_t *address,
                        bool brackets) {
        char text[INET6_ADDRSTRLEN] = "";
        bool six = id->family == FAMILY_IPV6;

        (void) inet_ntop(six ? AF_INET6 : AF_INET, address, text, sizeof(text));
        buf_text(b, six && brackets ? "[" : "");
        buf_text(b, text);
        buf_text(b, six && brackets ? "]" : "");
}

static void put_end(struct buf *b, const struct sockid *id, const uint8_t *address, uint16_t port) {
        buf_text(b, "{\"address\":\"");
        put_address(b, id, address, false);
        buf_text(b, "\",\"port\":");
        buf_number(b, port);
        buf_char(b, '}');
}

static void put_json(struct buf *b, const char *key, const struct sockset *s) {
        buf_text(b, ",\"");
        buf_text(b, key);
        buf_text(b, "\":[");
        for (size_t i = 0; i < s->n; i++) {
                const struct sockid *id = &s->list[i];

                buf_text(b, i > 0 ? ",{\"transport\":\"" : "{\"transport\":\"");
                buf_text(b, transport_name(id->transport));
                buf_text(b, "\",\"local\":");
                put_end(b, id, id->local, id->local_port);
                buf_text(b, ",\"remote\":");
                if (id->remote_port)
                        put_end(b, id, id->remote, id->remote_port);
                else
                        buf_text(b, "null");
                buf_char(b, '}');
        }
        buf_char(b, ']');
}

/* "only the kernel has: tcp 127.0.0.1:40000, connected to 127.0.0.1:22" */
static void put_lines(struct buf *b, const char *side, const struct sockset *s) {
        for (size_t i = 0; i < s->n; i++) {
                const struct sockid *id = &s->list[i];

                buf_text(b, "only the ");
                buf_text(b, side);
                buf_text(b, " has: ");
                buf_text(b, transport_name(id->transport));
                buf_char(b, ' ');
                put_address(b, id, id->local, true);
                buf_char(b, ':');
                buf_number(b, id->local_port);
                if (id->remote_port) {
                        buf_text(b, ", connected to ");
                        put_address(b, id, id->remote, true);
                        buf_char(b, ':');
                        buf_number(b, id->remote_port);
                } else
                        buf_text(b, ", a listener");
                buf_char(b, '\n');
        }
}

static void count_kernel(const struct sockset *s, int64_t *ret_listeners,
                         int64_t *ret_connections) {
        for (size_t i = 0; i < s->n; i++)
                if (!s->list[i].loose)
                        ++*(s->list[i].remote_port ? ret_connections : ret_listeners);
}

static void put_result(struct buf *b, const struct verification *v) {
        size_t differ = v->only_kernel.n + v->only_record.n;
        int64_t listeners = 0, connections = 0;

        count_kernel(&v->kernel, &listeners, &connections);
        if (v->args->json != JSON_OFF) {
                buf_text(b, "{\"listeners\":");
                buf_number(b, listeners);
                buf_text(b, ",\"connections\":");
                buf_number(b, connections);
                put_json(b, "only_kernel", &v->only_kernel);
                put_json(b, "only_record", &v->only_record);
                buf_text(b, "}");
                return;
        }
        put_lines(b, "kernel", &v->only_kernel);
        put_lines(b, "record", &v->only_record);
        buf_text(b, differ ? "the record differs from the kernel: "
                           : "the record agrees with the kernel: ");
        if (differ) {
                buf_number(b, (int64_t) differ);
                buf_text(b, differ == 1 ? " socket of " : " sockets of ");
        }
        buf_number(b, listeners);
        buf_text(b, listeners == 1 ? " listener, " : " listeners, ");
        buf_number(b, connections);
        buf_text(b, connections == 1 ? " connection" : " connections");
}

/* Is this process where the daemon is? Its lists are those of its own network namespace. */
static int check_netns(int64_t netns) {
        struct stat st;

        if (stat("/proc/self/ns/net", &st) < 0) {
                (void) fprintf(stderr, "portctl: /proc/self/ns/net: %s\n", strerror(errno));
                return STATUS_FAILURE;
        }
        if (netns == (int64_t) st.st_ino)
                return STATUS_FINE;
        (void) fprintf(stderr,
                       "portctl: portwatchd is in another network namespace (%" PRId64
                       ", here it is %" PRIu64 "): run this there to compare the two.\n",
                       netns, (uint64_t) st.st_ino);
        return STATUS_FAILURE;
}

static void print(const struct verification *v) {
        struct buf b = { 0 }, pretty = { 0 };

        put_result(&b, v);
        if (v->args->json == JSON_PRETTY) {
                json_print(&pretty, b.data, b.size, true);
                out_write(pretty.data, pretty.size);
        } else
                out_write(b.data, b.size);
        out_text("\n");
        buf_done(&pretty);
        buf_done(&b);
}

int verify_record(const struct args *args) {
        struct verification v = { .args = args,
                                  .ephemeral_first = PORTS_EPHEMERAL_FIRST,
                                  .ephemeral_last = PORTS_EPHEMERAL_LAST };
        struct reply_reader reader = { .shape = REPLY_STATUS };
        struct ask ask = { 0 };
        struct reply reply;
        int status;

        out_setup(!args->no_pager);
        (void) ports_ephemeral_range(&v.ephemeral_first, &v.ephemeral_last);
        status = ask_connect(&v.client, args);
        if (status == STATUS_FINE)
                status = ask_all(v.client, args, "Status", &ask, &reader, &reply);
        if (status == STATUS_FINE)
                status = check_netns(reply.status.netns);
        if (status == STATUS_FINE)
                status = compare(&v, &reply.status);
        if (status == STATUS_FINE) {
                print(&v);
                if (v.only_kernel.n > 0 || v.only_record.n > 0)
                        status = STATUS_FAILURE;
        }
        sockset_done(&v.kernel);
        sockset_done(&v.record);
        sockset_done(&v.only_kernel);
        sockset_done(&v.only_record);
        client_close(v.client);
        return status;
}

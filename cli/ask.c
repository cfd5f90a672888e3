/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cells.h"
#include "cli/json_print.h"
#include "lib/record.h"

/* Puts the comma between the members of an object. */
static void put_key(struct buf *b, const char *name) {
        if (b->size > 0 && b->data[b->size - 1] != '{')
                buf_char(b, ',');
        buf_char(b, '"');
        buf_text(b, name);
        buf_text(b, "\":");
}

static void put_string(struct buf *b, const char *name, const char *value) {
        if (!value)
                return;
        put_key(b, name);
        buf_json_string(b, value);
}

static void put_number(struct buf *b, const char *name, int64_t value) {
        put_key(b, name);
        buf_number(b, value);
}

bool ask_filters(const struct args *args) {
        return args->ports.n > ASK_PORTS_MAX;
}

bool ask_wants(const struct args *args, const struct reply_socket *socket) {
        int64_t port;

        if (!ask_filters(args))
                return true;
        port = string_is(&socket->direction, "outbound") ? socket->remote.port : socket->local.port;
        return port >= 0 && portset_has(&args->ports, (uint16_t) port);
}

static void put_ports(struct buf *b, const struct portset *ports) {
        bool first = true;

        put_key(b, "ports");
        buf_char(b, '[');
        for (unsigned port = 0; port <= UINT16_MAX; port++) {
                if (!portset_has(ports, (uint16_t) port))
                        continue;
                if (!first)
                        buf_char(b, ',');
                first = false;
                buf_number(b, port);
        }
        buf_char(b, ']');
}

static void put_kinds(struct buf *b, unsigned kinds) {
        bool first = true;

        put_key(b, "kinds");
        buf_char(b, '[');
        for (unsigned kind = 1; kind < RECORD_KIND_MAX; kind++) {
                if (!(kinds >> kind & 1))
                        continue;
                if (!first)
                        buf_char(b, ',');
                first = false;
                buf_json_string(b, record_kind_name(kind));
        }
        buf_char(b, ']');
}

/* What the command line says of sockets. */
static void put_sockets(struct buf *b, const struct args *args) {
        /* Both at once mean what none of them means. */
        if (args->tcp != args->udp)
                put_string(b, "transport", args->tcp ? "tcp" : "udp");
        if (args->ipv4 != args->ipv6)
                put_string(b, "family", args->ipv4 ? "ipv4" : "ipv6");
        put_string(b, "category", args->category);
        if (args->ports.n > 0 && !ask_filters(args))
                put_ports(b, &args->ports);
        put_string(b, "peer", args->peer);
        if (args->pid >= 0)
                put_number(b, "pid", args->pid);
        put_string(b, "name", args->process);
        if (args->uid >= 0)
                put_number(b, "uid", args->uid);
        put_string(b, "unit", args->unit);
        put_string(b, "container", args->container);
        if (args->netns >= 0)
                put_number(b, "netns", args->netns);
        if (args->unexpected) {
                put_key(b, "expected");
                buf_text(b, "false");
        }
        if (args->new_since_usec > 0)
                put_number(b, "first_seen_since_usec", (int64_t) args->new_since_usec);
}

/* A filter that would say nothing is left out. */
static void put_filter(struct buf *b, const struct args *args, const struct ask *ask) {
        size_t at = b->size, empty;
        unsigned kinds = ask->kinds ? ask->kinds : args->kinds;

        put_key(b, "filter");
        buf_char(b, '{');
        empty = b->size;
        if (!ask->no_filter)
                put_sockets(b, args);
        put_string(b, "direction", ask->direction);
        if (kinds)
                put_kinds(b, kinds);
        if (b->size == empty)
                b->size = at;
        else
                buf_char(b, '}');
}

void ask_parameters(struct buf *b, const struct args *args, const struct ask *ask,
                    enum reply_shape shape) {
        buf_char(b, '{');
        put_string(b, "by", ask->by);
        if (shape == REPLY_PORT) {
                put_number(b, "port", ask->port);
                if (args->tcp != args->udp)
                        put_string(b, "transport", args->tcp ? "tcp" : "udp");
        } else if (shape != REPLY_STATUS)
                put_filter(b, args, ask);
        if (ask->since && args->since_usec > 0)
                put_number(b, "since_usec", (int64_t) args->since_usec);
        if (ask->until && args->until_usec < UINT64_MAX)
                put_number(b, "until_usec", (int64_t) args->until_usec);
        if (ask->after_seq > 0)
                put_number(b, "after_seq", ask->after_seq);
        if (ask->limit > 0)
                put_number(b, "limit", ask->limit);
        if (ask->newest_first) {
                put_key(b, "newest_first");
                buf_text(b, "true");
        }
        buf_char(b, '}');
}

const char *ask_socket(const struct args *args) {
        const char *path = args->socket;

        if (!path)
                path = getenv("PORTWATCH_SOCKET");
        return path && *path ? path : RUNSTATEDIR "/portwatch/portwatch.sock";
}

int ask_connect(struct client **ret, const struct args *args) {
        const char *path = ask_socket(args);
        int r;

        r = client_connect(ret, path);
        if (r >= 0)
                return STATUS_FINE;
        if (r == -EACCES || r == -EPERM) {
                (void) fprintf(stderr, "portctl: not permitted to reach portwatchd at %s: %s.\n",
                               path, strerror(-r));
                return STATUS_REFUSED;
        }
        (void) fprintf(stderr,
                       "portctl: cannot reach portwatchd at %s: %s. "
                       "Start it with: systemctl start portwatchd\n",
                       path, strerror(-r));
        return STATUS_UNREACHABLE;
}

int ask_failed(int error) {
        if (error == -E2BIG)
                (void) fprintf(stderr, "portctl: there are too many to put in order here; "
                                       "narrow it down with --since or --port, or use history.\n");
        else
                (void) fprintf(stderr, "portctl: %s\n", strerror(-error));
        return STATUS_FAILURE;
}

static int connection_failed(int error) {
        switch (error) {
        case 0:
                (void) fprintf(stderr,
                               "portctl: portwatchd closed the connection without an answer; "
                               "it may have too many clients.\n");
                break;
        case -ECONNRESET:
        case -EPIPE:
                (void) fprintf(stderr, "portctl: the connection to portwatchd was cut "
                                       "in the middle of an answer.\n");
                break;
        case -ETIMEDOUT:
                (void) fprintf(stderr, "portctl: portwatchd did not answer within 30 seconds.\n");
                break;
        case -EMSGSIZE:
                (void) fprintf(stderr, "portctl: portwatchd's answer is longer than 16 MiB.\n");
                break;
        default:
                (void) fprintf(stderr, "portctl: cannot talk to portwatchd: %s\n",
                               strerror(-error));
                break;
        }
        return STATUS_FAILURE;
}

int ask_send(struct client *c, const struct args *args, const char *method, const struct ask *ask,
             enum reply_shape shape) {
        struct buf parameters = { 0 };
        char name[64];
        int r;

        ask_parameters(&parameters, args, ask, shape);
        (void) snprintf(name, sizeof(name), "io.portwatch.%s", method);
        r = client_call(c, name, &parameters,
                        shape != REPLY_PORT && shape != REPLY_STATUS && shape != REPLY_COUNTS);
        buf_done(&parameters);
        /* A server that has closed already may have left an answer: that is the better story. */
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                return connection_failed(r);
        return STATUS_FINE;
}

/* The text of the server's, fit for a terminal. */
static const char *shown(struct buf *b, const struct json_string *s) {
        b->size = 0;
        if (s->data)
                json_show(b, s, true, false);
        buf_char(b, '\0');
        return b->failed ? "" : b->data;
}

/* The errors that the interface and varlink's own service can answer with. */
static int refused(const struct reply *reply) {
        struct buf b = { 0 };
        int status = STATUS_FAILURE;

        if (string_is(&reply->error, "org.varlink.service.PermissionDenied")) {
                (void) fprintf(stderr, "portctl: portwatchd does not permit that.\n");
                status = STATUS_REFUSED;
        } else if (string_is(&reply->error, "org.varlink.service.MethodNotFound") ||
                   string_is(&reply->error, "org.varlink.service.MethodNotImplemented") ||
                   string_is(&reply->error, "org.varlink.service.InterfaceNotFound")) {
                (void) fprintf(stderr,
                               "portctl: portwatchd does not know %s; is it older than portctl?\n",
                               reply->parameter.data ? shown(&b, &reply->parameter) : "that");
                status = STATUS_REFUSED;
        } else if (string_is(&reply->error, "org.varlink.service.InvalidParameter"))
                (void) fprintf(stderr, "portctl: portwatchd does not accept the parameter %s.\n",
                               shown(&b, &reply->parameter));
        else if (string_is(&reply->error, "io.portwatch.HistoryTruncated"))
                (void) fprintf(stderr,
                               "portctl: that part of the record has been overwritten; "
                               "it begins at event %" PRId64 " now.\n",
                               reply->oldest_seq);
        else if (string_is(&reply->error, "io.portwatch.TooManyFollowers")) {
                (void) fprintf(stderr, "portctl: as many clients follow as portwatchd permits");
                if (reply->limit != REPLY_NULL)
                        (void) fprintf(stderr, " (%" PRId64 ")", reply->limit);
                (void) fprintf(stderr, ".\n");
        } else
                (void) fprintf(stderr, "portctl: portwatchd answered with the error %s.\n",
                               shown(&b, &reply->error));
        buf_done(&b);
        return status;
}

int ask_receive(struct client *c, const struct reply_reader *reader, bool follow,
                struct reply *ret) {
        char why[256], *text;
        int r;

        r = client_receive(c, follow ? UINT64_MAX : CLIENT_TIMEOUT_USEC, &text);
        if (r == 0 && follow) {
                (void) fprintf(stderr, "portctl: portwatchd has ended the connection.\n");
                return STATUS_FAILURE;
        }
        if (r <= 0)
                return connection_failed(r);
        r = reply_read(text, reader, ret, why);
        if (r == -ECANCELED) {
                ret->continues = false;
                return STATUS_FINE;
        }
        if (r == -EBADMSG || r == -EPROTO) {
                (void) fprintf(stderr, "portctl: portwatchd's answer %s: %s.\n",
                               r == -EBADMSG ? "is no JSON" : "is not what the interface says",
                               why);
                return STATUS_FAILURE;
        }
        if (r < 0)
                return ask_failed(r);
        return ret->error.data ? refused(ret) : STATUS_FINE;
}

int ask_all(struct client *c, const struct args *args, const char *method, const struct ask *ask,
            const struct reply_reader *reader, struct reply *ret) {
        int status;

        status = ask_send(c, args, method, ask, reader->shape);
        do {
                if (status == STATUS_FINE)
                        status = ask_receive(c, reader, false, ret);
        } while (status == STATUS_FINE && ret->continues);
        return status;
}

int ask_status_quietly(const struct args *args, struct client **ret_client,
                       struct reply_status *ret) {
        const struct reply_reader reader = { .shape = REPLY_STATUS };
        struct client *c;
        struct reply reply;
        char why[256], *text;
        int r;

        *ret_client = NULL;
        r = client_connect(&c, ask_socket(args));
        if (r < 0)
                return r;
        r = client_call(c, "io.portwatch.Status", NULL, false);
        if (r >= 0)
                r = client_receive(c, CLIENT_TIMEOUT_USEC, &text);
        if (r == 0)
                r = -ECONNRESET;
        if (r > 0)
                r = reply_read(text, &reader, &reply, why);
        if (r >= 0 && reply.error.data)
                r = -EACCES;
        if (r < 0) {
                client_close(c);
                return r;
        }
        *ret = reply.status;
        *ret_client = c;
        return 0;
}

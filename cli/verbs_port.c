/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cells.h"
#include "cli/json_print.h"
#include "cli/out.h"
#include "cli/verbs.h"
#include "cli/when.h"

/* What a port is, who listens on it, and who ever did. */

struct port_view {
        struct style style;
        struct buf listeners; /* a line for each */
        struct buf known;
};

static const char *exposure_meaning(const struct json_string *exposure) {
        if (string_is(exposure, "any"))
                return ", on every address";
        if (string_is(exposure, "loopback"))
                return ", for this host alone";
        return "";
}

/* "  tcp 0.0.0.0:22, reachable from any address: sshd (pid 812, root, ssh.service) since Nov 23
 * ..." */
static int take_listener(const struct row *row, void *userdata) {
        const struct reply_socket *s = &row->socket;
        const struct reply_owner *o = &s->owner;
        struct port_view *v = userdata;
        struct buf *b = &v->listeners;

        buf_text(b, "  ");
        cell_string(b, &v->style, &s->transport);
        buf_char(b, ' ');
        cell_endpoint(b, &v->style, &s->local);
        buf_text(b, ": ");
        if (o->name.data)
                cell_string(b, &v->style, &o->name);
        else
                buf_text(b, "somebody unknown");
        if (o->pid != REPLY_NULL || o->uid != REPLY_NULL || o->unit.data || s->opener.unit.data) {
                const char *comma = "";

                buf_text(b, " (");
                if (o->pid != REPLY_NULL) {
                        buf_text(b, "pid ");
                        buf_number(b, o->pid);
                        comma = ", ";
                }
                if (o->uid != REPLY_NULL) {
                        buf_text(b, comma);
                        cell_user(b, o->uid);
                        comma = ", ";
                }
                if (o->unit.data) {
                        buf_text(b, comma);
                        cell_string(b, &v->style, &o->unit);
                        comma = ", ";
                }
                if (s->opener.unit.data) {
                        buf_text(b, comma);
                        buf_text(b, "opened by ");
                        cell_string(b, &v->style, &s->opener.unit);
                }
                buf_char(b, ')');
        }
        buf_text(b, " since ");
        cell_time(b, &v->style, s->opened_usec);
        buf_text(b, exposure_meaning(&s->exposure));
        if (s->expected == TRUTH_FALSE)
                buf_text(b, ", unexpected");
        buf_char(b, '\n');
        return b->failed ? -ENOMEM : 0;
}

/* "    tcp, on every address: nginx.service, first seen Nov 20 08:00:12, last seen Nov 23 10:01:00,
 * opened 3 times" */
static int take_known(const struct biography *k, void *userdata) {
        struct port_view *v = userdata;
        struct buf *b = &v->known;

        buf_text(b, "    ");
        cell_string(b, &v->style, &k->transport);
        buf_text(b, exposure_meaning(&k->exposure));
        buf_text(b, ": ");
        if (k->program.data)
                cell_string(b, &v->style, &k->program);
        else
                buf_text(b, "somebody unknown");
        if (k->container.data) {
                buf_text(b, " in ");
                cell_string(b, &v->style, &k->container);
        }
        if (k->uid != REPLY_NULL) {
                buf_text(b, " (");
                cell_user(b, k->uid);
                buf_char(b, ')');
        }
        buf_text(b, ", first seen ");
        cell_time(b, &v->style, k->first_seen_usec);
        buf_text(b, ", last seen ");
        cell_time(b, &v->style, k->last_seen_usec);
        buf_text(b, ", opened ");
        buf_number(b, k->times_opened);
        buf_text(b, k->times_opened == 1 ? " time\n" : " times\n");
        return b->failed ? -ENOMEM : 0;
}

static const char *category_meaning(const struct json_string *category) {
        if (string_is(category, "system"))
                return "System ports (0-1023) are assigned to well-known services; to listen there "
                       "takes "
                       "privilege.";
        if (string_is(category, "user"))
                return "User ports (1024-49151) are registered for services, but any program may "
                       "listen "
                       "there.";
        if (string_is(category, "dynamic"))
                return "Dynamic ports (49152-65535) belong to nobody; they are taken for a while.";
        return NULL;
}

static void print_port(const struct port_view *v, const struct reply_port *port) {
        const char *meaning = category_meaning(&port->category);
        struct buf b = { 0 };

        buf_number(&b, port->port);
        buf_text(&b, ": ");
        cell_string(&b, &v->style, &port->category);
        buf_text(&b, " port");
        for (size_t i = 0; i < port->n_services; i++) {
                buf_text(&b, ", ");
                cell_string(&b, &v->style, &port->services[i]);
        }
        if (port->n_services == 0)
                buf_text(&b, ", no registered service");
        buf_char(&b, '\n');
        if (v->listeners.size > 0)
                buf_put(&b, v->listeners.data, v->listeners.size);
        else
                buf_text(&b, "  nobody listens\n");
        if (v->known.size > 0) {
                buf_text(&b, "  Known of it:\n");
                buf_put(&b, v->known.data, v->known.size);
        }
        if (meaning) {
                buf_text(&b, "  ");
                buf_text(&b, meaning);
                buf_char(&b, '\n');
        }
        if (port->ephemeral == TRUTH_TRUE)
                buf_text(&b,
                         "  Ephemeral here: the kernel may give it to any outgoing connection.\n");
        out_write(b.data, b.size);
        buf_done(&b);
}

static void print_json(const struct args *args, const struct reply *reply) {
        struct buf b = { 0 };

        json_print(&b, reply->parameters, reply->parameters_size, args->json == JSON_PRETTY);
        out_write(b.data, b.size);
        out_text("\n");
        buf_done(&b);
}

static int show_port(struct client *client, const struct args *args, uint16_t port) {
        struct port_view v = { .style = { .now_usec = when_now(), .ascii = out_ascii() } };
        struct reply_reader reader = {
                .shape = REPLY_PORT, .row = take_listener, .known = take_known, .userdata = &v
        };
        struct ask ask = { .port = port };
        struct reply reply;
        int status;

        status = ask_all(client, args, "Port", &ask, &reader, &reply);
        if (status == STATUS_FINE) {
                if (args->json != JSON_OFF)
                        print_json(args, &reply);
                else
                        print_port(&v, &reply.port);
        }
        buf_done(&v.listeners);
        buf_done(&v.known);
        return status;
}

int verb_port(const struct args *args) {
        static struct portset ports;
        struct client *client = NULL;
        char why[256];
        int status;

        for (int i = 1; i < args->n_operands; i++)
                if (portset_parse(&ports, args->operands[i], args_services, why) < 0) {
                        (void) fprintf(stderr, "portctl: %s\n", why);
                        return STATUS_USAGE;
                }
        out_setup(!args->no_pager);
        status = ask_connect(&client, args);
        for (unsigned port = 0; port <= UINT16_MAX && status == STATUS_FINE && !out_gone(); port++)
                if (portset_has(&ports, (uint16_t) port))
                        status = show_port(client, args, (uint16_t) port);
        client_close(client);
        return status;
}

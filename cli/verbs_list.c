/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "cli/cells.h"
#include "cli/list.h"
#include "cli/verbs.h"
#include "lib/record.h"

/* What is open now: listeners and connections; and counts. */

#define CONNECTIONS_COLUMNS "PROTO,DIR,LOCAL,PEER,SERVICE,PROCESS,PID,OPENED"

/*
 * Listeners go by port, TCP before UDP; connections, and listeners when the command line says the
 * last or the newest, by the time they were opened.
 */
static uint64_t place(const struct list *l, const struct row *row) {
        const struct reply_socket *s = &row->socket;

        if (row->type == ROW_LISTENER && l->args->lines < 0 && !l->args->reverse)
                return (uint64_t) s->local.port << 1 | !string_is(&s->transport, "tcp");
        return s->opened_usec < 0 ? 0 : (uint64_t) s->opened_usec;
}

static int take_row(const struct row *row, void *userdata) {
        struct list *l = userdata;

        if (!ask_wants(l->args, &row->socket) || !list_in_time(l->args, &row->socket))
                return 0;
        return list_add(l, place(l, row), (uint64_t) row->socket.id, row, row->text, row->text_size,
                        row->rewrite);
}

/* The call is sent first: the server is at work while this side gets ready to print. */
static int show(const struct args *args, const char *method, enum reply_shape shape, unsigned set,
                const char *columns, const char *one, const char *many) {
        struct list l = { 0 };
        struct reply_reader reader = { .shape = shape, .row = take_row, .userdata = &l };
        struct ask ask = { 0 };
        struct client *client = NULL;
        struct reply reply = { .continues = true };
        int status;

        if (list_help(args, set, &status))
                return status;
        status = ask_connect(&client, args);
        if (status == STATUS_FINE)
                status = ask_send(client, args, method, &ask, shape);
        if (status == STATUS_FINE)
                status = list_init(&l, args, set, columns, true, shape == REPLY_CONNECTIONS);
        while (status == STATUS_FINE && reply.continues)
                status = ask_receive(client, &reader, false, &reply);
        if (status == STATUS_FINE)
                status = list_finish(&l, one, many);
        list_done(&l);
        client_close(client);
        return status;
}

int verb_listeners(const struct args *args) {
        static const struct event_view events = { .kinds = 1U << RECORD_LISTEN |
                                                           1U << RECORD_UNLISTEN };

        if (args->follow)
                return follow_events(args, &events, args->lines);
        return show(args, "Listeners", REPLY_LISTENERS, SET_LISTENERS, COLUMNS_LISTENERS,
                    "listener", "listeners");
}

int verb_connections(const struct args *args) {
        static const struct event_view events = { .kinds = 1U << RECORD_OPEN | 1U << RECORD_CLOSE |
                                                           1U << RECORD_FAIL };

        if (args->follow)
                return follow_events(args, &events, args->lines);
        return show(args, "Connections", REPLY_CONNECTIONS, SET_CONNECTIONS, CONNECTIONS_COLUMNS,
                    "connection", "connections");
}

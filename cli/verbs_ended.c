/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/cells.h"
#include "cli/list.h"
#include "cli/verbs.h"
#include "lib/record.h"

/*
 * The connections of the record in one direction, each once. Those that are open are asked for
 * first: one that ends meanwhile shows up in the history, which comes after and takes precedence.
 * The history is read from its newest event back, so that the end of a connection is met before its
 * beginning, and what has been met is passed over. Nothing is kept but what will be printed and the
 * numbers met.
 */

#define ENDED_COLUMNS "OPENED,PROTO,LOCAL,PEER,SERVICE,PROCESS,PID,OUTCOME,DURATION,RECEIVED,SENT"
#define KINDS         (1U << RECORD_OPEN | 1U << RECORD_CLOSE | 1U << RECORD_FAIL)

struct merge {
        struct list list;
        size_t n_open;     /* lines at the front that were open when asked */
        struct idset open; /* and their numbers */
        struct idset met;  /* in the history */
        uint64_t lost;
        bool lost_unknown;
};

static int add(struct merge *m, const struct row *row) {
        const struct reply_socket *s = &row->socket;

        if (!ask_wants(m->list.args, s) || !list_in_time(m->list.args, s))
                return 0;
        return list_add(&m->list, s->opened_usec < 0 ? 0 : (uint64_t) s->opened_usec,
                        (uint64_t) s->id, row, row->socket_text, row->socket_size, row->rewrite);
}

static int take_open(const struct row *row, void *userdata) {
        struct merge *m = userdata;
        int r;

        r = idset_add(&m->open, (uint64_t) row->socket.id);
        return r > 0 ? add(m, row) : r;
}

static int take_event(const struct row *row, void *userdata) {
        struct merge *m = userdata;
        uint64_t id = (uint64_t) row->socket.id;
        int r;

        if (row->type != ROW_CONNECTION)
                return 0;
        if (string_is(&row->kind, "open") && idset_has(&m->open, id))
                return 0;
        r = idset_add(&m->met, id);
        return r > 0 ? add(m, row) : r;
}

static int take_lost(const struct row *row, void *userdata) {
        struct merge *m = userdata;

        if (row->lost == REPLY_NULL)
                m->lost_unknown = true;
        else
                m->lost += (uint64_t) row->lost;
        return 0;
}

/* Of those that were open, forgets the ones that the history has told more of. */
static void drop_ended(struct merge *m) {
        struct lines *lines = &m->list.table.lines;
        size_t kept = 0;

        for (size_t i = 0; i < lines->n; i++)
                if (i >= m->n_open || !idset_has(&m->met, lines->list[i].id))
                        lines->list[kept++] = lines->list[i];
        lines->n = kept;
}

static int collect(struct merge *m, struct client *client, const char *direction) {
        const struct args *args = m->list.args;
        struct reply_reader open = { .shape = REPLY_CONNECTIONS, .row = take_open, .userdata = m };
        struct reply_reader ended = { .shape = REPLY_EVENTS, .row = take_event, .userdata = m };
        struct reply_reader lost = { .shape = REPLY_EVENTS, .row = take_lost, .userdata = m };
        struct ask ask_open = { .direction = direction };
        struct ask ask_ended = {
                .direction = direction, .kinds = KINDS, .newest_first = true, .since = true
        };
        struct ask ask_lost = {
                .kinds = 1U << RECORD_LOST, .since = true, .until = true, .no_filter = true
        };
        struct reply reply;
        int status;

        status = ask_all(client, args, "Connections", &ask_open, &open, &reply);
        m->n_open = m->list.table.lines.n;
        if (status == STATUS_FINE)
                status = ask_all(client, args, "History", &ask_ended, &ended, &reply);
        if (status == STATUS_FINE)
                status = ask_all(client, args, "History", &ask_lost, &lost, &reply);
        return status;
}

static int show(const struct args *args, const char *direction) {
        struct client *client = NULL;
        struct merge m = { .n_open = 0 };
        int status;

        if (args->follow)
                return follow_events(args,
                                     &(struct event_view){ .kinds = KINDS, .direction = direction },
                                     args->lines);
        if (list_help(args, SET_CONNECTIONS, &status))
                return status;
        status = ask_connect(&client, args);
        if (status == STATUS_FINE)
                status = list_init(&m.list, args, SET_CONNECTIONS, ENDED_COLUMNS, true, false);
        if (status == STATUS_FINE)
                status = collect(&m, client, direction);
        if (status == STATUS_FINE) {
                drop_ended(&m);
                status = list_finish(&m.list, "connection", "connections");
        }
        if (status == STATUS_FINE && m.lost_unknown)
                (void) fprintf(stderr, "portctl: the record has gaps in that time; "
                                       "connections may be missing.\n");
        else if (status == STATUS_FINE && m.lost > 0)
                (void) fprintf(stderr,
                               "portctl: %" PRIu64 " events of that time were lost; "
                               "connections may be missing.\n",
                               m.lost);
        list_done(&m.list);
        idset_done(&m.open);
        idset_done(&m.met);
        client_close(client);
        return status;
}

int verb_inbound(const struct args *args) {
        return show(args, "inbound");
}

int verb_outbound(const struct args *args) {
        return show(args, "outbound");
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/list.h"
#include "cli/out.h"
#include "cli/verbs.h"
#include "lib/record.h"

/* Events: those of the past, and those that happen from now on. Printed as they come. */

#define EVENTS_COLUMNS  "TIME,KIND,PROTO,DIR,LOCAL,PEER,PROCESS,PID,DETAIL"
#define REFUSED_COLUMNS "TIME,PROTO,PEER,LOCAL,SERVICE,ATTEMPTS"
#define FOLLOW_LINES    10 /* of history -f without -n */

struct stream {
        struct list list;
        int64_t left;        /* rows that are still wanted; below 0: all */
        bool forward;        /* oldest first: what is not above highest_seq has been there */
        uint64_t n;          /* rows so far, their order */
        int64_t highest_seq; /* so far */
};

static int take_event(const struct row *row, void *userdata) {
        struct stream *s = userdata;
        int r;

        if ((s->forward && row->seq <= s->highest_seq) || s->left == 0)
                return 0;
        /* The server, too, shows marks to those alone who do not ask for certain sockets. */
        if (row->type == ROW_MARK ? ask_filters(s->list.args)
                                  : !ask_wants(s->list.args, &row->socket))
                return 0;
        r = list_add(&s->list, s->n++, 0, row, row->text, row->text_size, row->rewrite);
        if (r < 0)
                return r;
        if (row->seq > s->highest_seq)
                s->highest_seq = row->seq;
        if (s->left > 0)
                s->left--;
        return 0;
}

/*
 * The events of the past, the last so many of them if lines is not below 0. Those come newest first
 * and are turned around once they are there. *ret_next_seq is the next event's number when the
 * question was answered, *ret_cut whether more of the answer is on its way that nobody wants.
 */
static int past(struct stream *s, struct client *client, const struct ask *what, int64_t lines,
                int64_t *ret_next_seq, bool *ret_cut) {
        const struct args *args = s->list.args;
        struct reply_reader reader = { .shape = REPLY_EVENTS, .row = take_event, .userdata = s };
        bool turn = lines >= 0 && !args->reverse, first = true;
        struct reply reply = { .continues = true };
        struct ask ask = *what;
        int status;

        ask.newest_first = args->reverse || lines >= 0;
        ask.limit = ask_filters(args) || lines < 0 ? 0 : lines;
        s->left = lines;
        s->forward = !ask.newest_first;
        status = ask_send(client, args, "History", &ask, REPLY_EVENTS);
        while (status == STATUS_FINE && reply.continues && s->left != 0) {
                status = ask_receive(client, &reader, false, &reply);
                if (status != STATUS_FINE)
                        return status;
                if (first)
                        *ret_next_seq = reply.next_seq;
                first = false;
                if (!turn && list_flush(&s->list) < 0)
                        break;
        }
        if (turn) {
                lines_reverse(&s->list.table.lines);
                (void) list_flush(&s->list);
        }
        *ret_cut = reply.continues;
        s->left = -1;
        s->forward = true;
        return status;
}

static int follow(struct stream *s, struct client *client, struct ask *ask) {
        struct reply_reader reader = { .shape = REPLY_EVENTS, .row = take_event, .userdata = s };
        struct reply reply = { .continues = true };
        int status;

        status = ask_send(client, s->list.args, "Follow", ask, REPLY_EVENTS);
        while (status == STATUS_FINE && reply.continues) {
                status = ask_receive(client, &reader, true, &reply);
                if (status != STATUS_FINE)
                        break;
                if (list_flush(&s->list) < 0 || !out_flush())
                        return STATUS_FINE;
        }
        return status;
}

int follow_events(const struct args *args, const struct event_view *view, int64_t lines) {
        struct stream s = { .left = -1, .forward = true, .highest_seq = -1 };
        struct ask ask_past = { .kinds = view->kinds, .direction = view->direction, .since = true };
        struct ask ask_follow = { .kinds = view->kinds, .direction = view->direction };
        struct client *client = NULL;
        int64_t next_seq = REPLY_NULL;
        bool cut = false;
        int status;

        if (list_help(args, SET_EVENTS, &status))
                return status;
        status = ask_connect(&client, args);
        if (status == STATUS_FINE)
                status = list_init(&s.list, args, SET_EVENTS,
                                   view->columns ? view->columns : EVENTS_COLUMNS, false, false);
        if (status == STATUS_FINE && (lines > 0 || (lines < 0 && args->since_usec > 0)))
                status = past(&s, client, &ask_past, lines, &next_seq, &cut);
        if (status == STATUS_FINE && cut) {
                client = client_close(client);
                status = ask_connect(&client, args);
        }
        if (next_seq > 1)
                ask_follow.after_seq = next_seq - 1;
        if (status == STATUS_FINE && !out_gone())
                status = follow(&s, client, &ask_follow);
        list_done(&s.list);
        client_close(client);
        return status;
}

static int show(const struct args *args, const struct event_view *view) {
        struct stream s = { .highest_seq = -1 };
        struct ask ask = {
                .kinds = view->kinds, .direction = view->direction, .since = true, .until = true
        };
        struct client *client = NULL;
        int64_t next_seq, lines = args->lines;
        bool cut;
        int status;

        if (args->follow) {
                if (lines < 0 && args->since_usec == 0)
                        lines = FOLLOW_LINES;
                return follow_events(args, view, lines);
        }
        if (list_help(args, SET_EVENTS, &status))
                return status;
        if (lines == 0)
                return STATUS_FINE;
        status = ask_connect(&client, args);
        if (status == STATUS_FINE)
                status = list_init(&s.list, args, SET_EVENTS,
                                   view->columns ? view->columns : EVENTS_COLUMNS, true, false);
        if (status == STATUS_FINE)
                status = past(&s, client, &ask, lines, &next_seq, &cut);
        list_done(&s.list);
        client_close(client);
        return status;
}

int verb_history(const struct args *args) {
        return show(args, &(struct event_view){ .kinds = 0 });
}

int verb_refused(const struct args *args) {
        return show(args, &(struct event_view){ .kinds = 1U << RECORD_REFUSE,
                                                .columns = REFUSED_COLUMNS });
}

int verb_follow(const struct args *args) {
        return follow_events(args, &(struct event_view){ .kinds = 0 }, args->lines);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cells.h"
#include "cli/json_print.h"
#include "cli/out.h"
#include "cli/verbs.h"
#include "cli/verify.h"
#include "cli/when.h"

/* How the record is being made, and what it lacks. */

enum sort {
        SORT_MISSING, /* from the record */
        SORT_BOUND,   /* what a bound keeps out */
        SORT_REPAIR,  /* stands with the audit */
};

/* What is counted of what went wrong. Another place is a bound. */
static const struct {
        const char *place;
        enum sort sort;
        const char *meaning;
} places[] = {
        { "ring", SORT_MISSING, "events the kernel's ring buffer had no room for" },
        { "netlink", SORT_MISSING, "times the netlink buffer overran" },
        { "tracker", SORT_MISSING, "sockets the table of tracked sockets had no room for" },
        { "owners", SORT_MISSING, "sockets recorded without their owner, the table was full" },
        { "history", SORT_BOUND, "records that could not be kept" },
        { "overwritten", SORT_BOUND, "events that have made room for newer ones" },
        { "known", SORT_BOUND, "biographies of listeners that have made room" },
        { "followers", SORT_BOUND, "events that were gone before a slow follower took them" },
        { "clients_refused", SORT_BOUND, "connections of clients beyond the limits" },
        { "followers_refused", SORT_BOUND, "followers beyond the limit" },
        { "requests_refused", SORT_BOUND, "requests that made no sense or were too long" },
        { "alerts_held", SORT_BOUND, "alerts not told: the same again, or too many at once" },
        { "repairs", SORT_REPAIR, "" },
};

static void put_label(struct buf *b, const char *label) {
        size_t n = strlen(label);

        for (; n < 12; n++)
                buf_char(b, ' ');
        buf_text(b, label);
        buf_text(b, *label ? ": " : "  ");
}

static void put_since(struct buf *b, const struct style *style, int64_t usec) {
        uint64_t span;

        if (usec <= 0) {
                buf_char(b, '-');
                return;
        }
        span = style->now_usec > (uint64_t) usec ? style->now_usec - (uint64_t) usec : 0;
        when_show_full(b, usec, ' ');
        buf_text(b, "; ");
        when_show_span(b, span, false);
        buf_text(b, " ago");
}

static void put_state(struct buf *b, const struct style *style, const struct reply_status *s) {
        const char *colour = "";

        if (out_colour())
                colour = string_is(&s->state, "running")    ? "\x1b[32m"
                         : string_is(&s->state, "degraded") ? "\x1b[31m"
                                                            : "\x1b[33m";
        buf_text(b, colour);
        buf_text(b, out_terminal() && !style->ascii ? "\xe2\x97\x8f" : "*");
        buf_text(b, *colour ? "\x1b[0m" : "");
        buf_text(b, " portwatchd ");
        cell_string(b, style, &s->version);
        buf_char(b, '\n');
        put_label(b, "State");
        buf_text(b, colour);
        cell_string(b, style, &s->state);
        buf_text(b, *colour ? "\x1b[0m" : "");
        buf_text(b, " since ");
        put_since(b, style, s->started_usec);
        if (s->degraded_reason.data && s->degraded_reason.size > 0) {
                buf_char(b, '\n');
                put_label(b, "");
                cell_string(b, style, &s->degraded_reason);
        }
        buf_char(b, '\n');
}

/* A line for each place of one sort where anything was dropped; behind label. */
static void put_places(struct buf *b, const struct style *style, const struct reply_status *s,
                       enum sort sort, const char *label) {
        for (size_t i = 0; i < s->n_losses; i++) {
                const struct reply_loss *loss = &s->losses[i];
                const char *meaning = NULL;
                enum sort is = SORT_BOUND;

                for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++)
                        if (string_is(&loss->where, places[k].place)) {
                                is = places[k].sort;
                                meaning = places[k].meaning;
                        }
                if (loss->count <= 0 || is != sort)
                        continue;
                put_label(b, label);
                label = "";
                buf_number(b, loss->count);
                buf_char(b, ' ');
                if (meaning)
                        buf_text(b, meaning);
                else
                        cell_string(b, style, &loss->where);
                buf_char(b, '\n');
        }
}

static void put_losses(struct buf *b, const struct style *style, const struct reply_status *s) {
        put_label(b, "Lost");
        buf_number(b, s->lost);
        buf_text(b, s->lost == 1 ? " event\n" : " events\n");
        put_places(b, style, s, SORT_MISSING, "");
        put_places(b, style, s, SORT_BOUND, "Bounds");
}

static void put_record(struct buf *b, const struct style *style, const struct reply_status *s) {
        put_label(b, "Record");
        if (s->next_seq > s->oldest_seq) {
                buf_number(b, s->next_seq - s->oldest_seq);
                buf_text(b, " events back to ");
                put_since(b, style, s->oldest_usec);
        } else
                buf_text(b, "empty");
        buf_text(b, "; room for ");
        cell_size(b, s->capacity_bytes);
        buf_char(b, '\n');
}

static void put_rules(struct buf *b, const struct style *style, const struct reply_status *s) {
        put_label(b, "Rules");
        if (s->rules != REPLY_NULL) {
                buf_number(b, s->rules);
                buf_text(b, " in force since ");
                put_since(b, style, s->rules_usec);
                buf_text(b, reply_judges(s) ? "" : "; none of listeners: nothing is judged");
        } else
                buf_text(b, !reply_judges(s) ? "none: nothing is judged"
                            : s->learning_until_usec != REPLY_NULL
                                    ? "none yet"
                                    : "none: only socket units are expected to listen");
        buf_char(b, '\n');
        if (s->rules_error.data && s->rules_error.size > 0) {
                put_label(b, "");
                buf_text(b, out_colour() ? "\x1b[31m" : "");
                buf_text(b, "newer ones were not taken: ");
                cell_string(b, style, &s->rules_error);
                buf_text(b, out_colour() ? "\x1b[0m\n" : "\n");
        }
        if (s->learning_until_usec == REPLY_NULL ||
            s->learning_until_usec <= (int64_t) style->now_usec)
                return;
        put_label(b, "Learning");
        buf_text(b, "what is new until ");
        when_show_full(b, s->learning_until_usec, ' ');
        buf_text(b, "; ");
        when_show_span(b, (uint64_t) s->learning_until_usec - style->now_usec, false);
        buf_text(b, " more\n");
}

/* When the table of open sockets was last compared with the kernel's. */
static void put_audit(struct buf *b, const struct style *style, const struct reply_status *s) {
        if (s->audited_usec == REPLY_NULL)
                return;
        put_label(b, "Audited");
        put_since(b, style, s->audited_usec);
        for (size_t i = 0; i < s->n_losses; i++)
                if (string_is(&s->losses[i].where, "repairs")) {
                        buf_text(b, "; ");
                        buf_number(b, s->losses[i].count);
                        buf_text(b, s->losses[i].count == 1 ? " repair" : " repairs");
                }
        buf_char(b, '\n');
}

static void put_status(struct buf *b, const struct style *style, const struct reply_status *s) {
        put_state(b, style, s);
        put_label(b, "Source");
        cell_string(b, style, &s->source);
        buf_char(b, '\n');
        if (s->source_detail.data && s->source_detail.size > 0) {
                put_label(b, "");
                cell_string(b, style, &s->source_detail);
                buf_char(b, '\n');
        }
        put_label(b, "View");
        cell_string(b, style, &s->view);
        buf_text(b, string_is(&s->view, "limited")
                            ? ": no owners of others' sockets, no history of others\n"
                            : "\n");
        put_label(b, "Listeners");
        buf_number(b, s->listeners);
        if (s->unexpected > 0) {
                buf_text(b, ", ");
                buf_text(b, out_colour() ? "\x1b[31m" : "");
                buf_number(b, s->unexpected);
                buf_text(b, " unexpected");
                buf_text(b, out_colour() ? "\x1b[0m" : "");
        }
        buf_char(b, '\n');
        put_rules(b, style, s);
        put_label(b, "Connections");
        buf_number(b, s->connections);
        buf_char(b, '\n');
        put_label(b, "Events");
        buf_number(b, s->events);
        buf_text(b, " since it started\n");
        put_losses(b, style, s);
        put_record(b, style, s);
        put_audit(b, style, s);
        if (s->clients != REPLY_NULL) {
                put_label(b, "Clients");
                buf_number(b, s->clients);
                if (s->followers > 0) {
                        buf_text(b, ", ");
                        buf_number(b, s->followers);
                        buf_text(b, " following");
                }
                buf_char(b, '\n');
        }
        if (s->pid != REPLY_NULL) {
                put_label(b, "Process");
                buf_number(b, s->pid);
                buf_char(b, '\n');
        }
}

int verb_status(const struct args *args) {
        struct style style = { .now_usec = when_now() };
        struct reply_reader reader = { .shape = REPLY_STATUS };
        struct client *client = NULL;
        struct ask ask = { 0 };
        struct reply reply;
        struct buf b = { 0 };
        int status;

        if (args->verify)
                return verify_record(args);
        out_setup(!args->no_pager);
        style.ascii = out_ascii();
        status = ask_connect(&client, args);
        if (status == STATUS_FINE)
                status = ask_all(client, args, "Status", &ask, &reader, &reply);
        if (status == STATUS_FINE) {
                if (args->json != JSON_OFF) {
                        json_print(&b, reply.parameters, reply.parameters_size,
                                   args->json == JSON_PRETTY);
                        buf_char(&b, '\n');
                } else
                        put_status(&b, &style, &reply.status);
                out_write(b.data, b.size);
        }
        buf_done(&b);
        client_close(client);
        return status;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cells.h"
#include "cli/json_print.h"
#include "cli/list.h"
#include "cli/out.h"
#include "cli/verbs.h"

/* Is all expected that listens? For scripts, and for monitoring systems. */

/* What monitoring systems take for exit statuses, and as the second word. */
enum verdict {
        VERDICT_OK,
        VERDICT_WARNING,
        VERDICT_CRITICAL,
        VERDICT_UNKNOWN,
};
static const char *const verdicts[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

/* So many unexpected listeners stand in the one line. */
#define NAMED_MAX 5

struct check {
        const struct args *args;
        struct list list;
        uint64_t listeners;
        uint64_t unexpected;
        struct buf names;
};

/* What stands behind a bar is taken for numbers. */
static void put_text(struct buf *b, const struct json_string *s) {
        size_t at = b->size;

        json_show(b, s, true, false);
        for (; !b->failed && at < b->size; at++)
                if (b->data[at] == '|')
                        b->data[at] = '/';
}

/* "tcp/8080 python3" */
static void put_name(struct check *c, const struct reply_socket *s) {
        struct buf *b = &c->names;

        buf_text(b, b->size > 0 ? ", " : "");
        put_text(b, &s->transport);
        buf_char(b, '/');
        buf_number(b, s->local.port);
        if (s->owner.name.data) {
                buf_char(b, ' ');
                put_text(b, &s->owner.name);
        }
}

static int take_row(const struct row *row, void *userdata) {
        const struct reply_socket *s = &row->socket;
        struct check *c = userdata;

        if (!ask_wants(c->args, s))
                return 0;
        c->listeners++;
        if (s->expected != TRUTH_FALSE)
                return 0;
        if (c->unexpected++ < NAMED_MAX)
                put_name(c, s);
        if (c->args->monitoring)
                return 0;
        return list_add(&c->list, (uint64_t) s->local.port << 1 | !string_is(&s->transport, "tcp"),
                        (uint64_t) s->id, row, row->text, row->text_size, row->rewrite);
}

static const char *plural(uint64_t n) {
        return n == 1 ? "" : "s";
}

/* The one line: sentence, then numbers for a graph. */
static int print_verdict(enum verdict verdict, const struct check *c, const char *sentence) {
        out_format("PORTWATCH %s - %s", verdicts[verdict], sentence);
        if (verdict != VERDICT_UNKNOWN)
                out_format(" | listeners=%" PRIu64 " unexpected=%" PRIu64 ";;0", c->listeners,
                           c->unexpected);
        out_text("\n");
        return (int) verdict;
}

static int monitor(struct check *c, int status, const struct reply_status *s) {
        struct buf b = { 0 };
        enum verdict verdict = VERDICT_OK;

        if (status != STATUS_FINE || !reply_judges(s)) {
                verdict = VERDICT_UNKNOWN;
                buf_text(&b, status == STATUS_UNREACHABLE ? "portwatchd cannot be reached"
                             : status == STATUS_REFUSED   ? "not permitted"
                             : status != STATUS_FINE      ? "portwatchd did not answer as it should"
                                                     : "nothing says which listeners are expected");
        } else {
                buf_number(&b, (int64_t) c->listeners);
                buf_text(&b, " listener");
                buf_text(&b, plural(c->listeners));
                buf_text(&b, ", ");
        }
        if (verdict == VERDICT_OK && c->unexpected > 0) {
                verdict = VERDICT_CRITICAL;
                buf_number(&b, (int64_t) c->unexpected);
                buf_text(&b, " unexpected: ");
                buf_put(&b, c->names.data, c->names.size);
                buf_text(&b, c->unexpected > NAMED_MAX ? ", ..." : "");
        } else if (verdict == VERDICT_OK)
                buf_text(&b, "all expected");
        if (status == STATUS_FINE && s->rules_error.data) {
                if (verdict == VERDICT_OK)
                        verdict = VERDICT_WARNING;
                buf_text(&b, "; newer rules were not taken: ");
                put_text(&b, &s->rules_error);
        }
        buf_char(&b, '\0');
        verdict = (enum verdict) print_verdict(verdict, c, b.failed ? "" : b.data);
        buf_done(&b);
        return (int) verdict;
}

static int tell(struct check *c, const struct reply_status *s) {
        struct buf b = { 0 };
        int status;

        if (s->rules_error.data) {
                json_show(&b, &s->rules_error, true, false);
                buf_char(&b, '\0');
                (void) fprintf(stderr, "portctl: newer rules were not taken: %s\n",
                               b.failed ? "" : b.data);
                buf_done(&b);
        }
        if (!reply_judges(s)) {
                (void) fprintf(stderr,
                               "portctl: there are no rules that say which listeners are expected; "
                               "portctl expect --current makes some.\n");
                return STATUS_REFUSED;
        }
        if (c->unexpected == 0) {
                if (c->args->json == JSON_OFF)
                        out_format("%" PRIu64 " listener%s, all expected.\n", c->listeners,
                                   plural(c->listeners));
                return STATUS_FINE;
        }
        status = list_finish(&c->list, "unexpected listener", "unexpected listeners");
        return status == STATUS_FINE ? STATUS_FAILURE : status;
}

int verb_check(const struct args *args) {
        struct check c = { .args = args };
        struct reply_reader status_reader = { .shape = REPLY_STATUS };
        struct reply_reader reader = { .shape = REPLY_LISTENERS, .row = take_row, .userdata = &c };
        struct reply reply = { .limit = 0 }, listeners;
        struct client *client = NULL, *other = NULL;
        struct ask ask = { 0 };
        int status;

        if (list_help(args, SET_LISTENERS, &status))
                return status;
        status = ask_connect(&client, args);
        /* What a reply says lasts until the next one of the same client. */
        if (status == STATUS_FINE)
                status = ask_connect(&other, args);
        if (status == STATUS_FINE)
                status = list_init(&c.list, args, SET_LISTENERS, COLUMNS_LISTENERS,
                                   !args->monitoring, false);
        if (status == STATUS_FINE)
                status = ask_all(client, args, "Status", &ask, &status_reader, &reply);
        if (status == STATUS_FINE)
                status = ask_all(other, args, "Listeners", &ask, &reader, &listeners);
        if (args->monitoring)
                status = monitor(&c, status, &reply.status);
        else if (status == STATUS_FINE)
                status = tell(&c, &reply.status);
        list_done(&c.list);
        buf_done(&c.names);
        client_close(other);
        client_close(client);
        return status;
}

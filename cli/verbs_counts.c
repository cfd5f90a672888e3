/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/list.h"
#include "cli/verbs.h"

/* Totals, in the order in which the daemon puts them. */

#define COUNTS_COLUMNS "KEY,LISTENERS,UNEXPECTED,OPEN,INBOUND,OUTBOUND,REFUSED,RECEIVED,SENT"

static int take_count(const struct count *count, void *userdata) {
        struct list *l = userdata;

        return list_add(l, l->shown, 0, count, count->text, count->text_size, count->rewrite);
}

int verb_counts(const struct args *args) {
        struct list l = { 0 };
        struct reply_reader reader = { .shape = REPLY_COUNTS, .count = take_count, .userdata = &l };
        struct ask ask = { .by = args->by ? args->by : "category", .since = true };
        struct client *client = NULL;
        struct reply reply;
        int status;

        if (list_help(args, SET_COUNTS, &status))
                return status;
        status = ask_connect(&client, args);
        if (status == STATUS_FINE)
                status = list_init(&l, args, SET_COUNTS, COUNTS_COLUMNS, true, true);
        if (status == STATUS_FINE)
                status = ask_all(client, args, "Counts", &ask, &reader, &reply);
        if (status == STATUS_FINE)
                status = list_finish(&l, "line", "lines");
        list_done(&l);
        client_close(client);
        return status;
}

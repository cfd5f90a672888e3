/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/list.h"
#include "cli/verbs.h"

/* Totals, in the order in which the daemon puts them. */

#define COUNTS_COLUMNS "KEY,LISTENERS,UNEXPECTED,OPEN,INBOUND,OUTBOUND,REFUSED,RECEIVED,SENT"

static int take_count(const struct count *count, void *userdata) {
        struct list *l = userdata;

        return list_add(l, l->shown, 0, count, count->text, count->text_size, count->rewrite);
}

/* What is counted heads the first column: SERVICE, PEER and so on. */
static void name_key(struct list *l, const char *by) {
        static struct column key;
        static char name[16];

        for (size_t i = 0; i < l->table.columns.n; i++) {
                const struct column *c = l->table.columns.list[i];
                size_t n;

                if (strcmp(c->name, "KEY") != 0)
                        continue;
                for (n = 0; by[n] && n + 1 < sizeof(name); n++)
                        name[n] = (char) toupper((unsigned char) by[n]);
                key = *c;
                key.name = name;
                table_set_column(&l->table, i, &key);
        }
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
        /* Totals cannot be looked through afterwards. */
        if (ask_filters(args)) {
                (void) fprintf(stderr, "portctl: counts takes at most %d ports\n", ASK_PORTS_MAX);
                return STATUS_USAGE;
        }
        status = ask_connect(&client, args);
        if (status == STATUS_FINE)
                status = list_init(&l, args, SET_COUNTS, COUNTS_COLUMNS, true, true);
        if (status == STATUS_FINE) {
                name_key(&l, ask.by);
                status = ask_all(client, args, "Counts", &ask, &reader, &reply);
        }
        if (status == STATUS_FINE)
                status = list_finish(&l, NULL, NULL);
        list_done(&l);
        client_close(client);
        return status;
}

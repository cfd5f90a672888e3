/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/json_print.h"
#include "cli/list.h"
#include "cli/out.h"

bool list_help(const struct args *args, unsigned set, int *ret_status) {
        if (!args->columns || strcmp(args->columns, "help") != 0)
                return false;
        columns_help(set);
        *ret_status = STATUS_FINE;
        return true;
}

int list_init(struct list *l, const struct args *args, unsigned set, const char *columns,
              bool pager, bool direct) {
        struct columns chosen;
        char why[256];

        *l = (struct list){ .args = args };
        if (columns_choose(&chosen, set, columns, args->columns, why) < 0) {
                (void) fprintf(stderr, "portctl: %s\n", why);
                return STATUS_USAGE;
        }
        out_setup(pager && !args->no_pager);
        table_init(&l->table, &chosen, set, !args->no_legend);
        /* The zone is read while the answer is on its way. */
        if (args->json == JSON_OFF)
                tzset();
        l->direct = direct && args->json != JSON_OFF && args->lines < 0 && !args->reverse;
        return STATUS_FINE;
}

void list_done(struct list *l) {
        if (!l)
                return;
        table_done(&l->table);
        buf_done(&l->json);
}

bool list_in_time(const struct args *args, const struct reply_socket *socket) {
        if (args->since_usec == 0 && args->until_usec == UINT64_MAX)
                return true;
        return socket->opened_usec >= 0 && (uint64_t) socket->opened_usec >= args->since_usec &&
               (uint64_t) socket->opened_usec <= args->until_usec;
}

int list_add(struct list *l, uint64_t key, uint64_t id, const void *item, const char *text,
             size_t size, bool rewrite) {
        l->shown++;
        if (l->args->json == JSON_OFF)
                return table_add(&l->table, key, id, item);
        if (rewrite || l->args->json == JSON_PRETTY) {
                l->json.size = 0;
                json_print(&l->json, text, size, l->args->json == JSON_PRETTY);
                if (l->json.failed)
                        return -ENOMEM;
                text = l->json.data;
                size = l->json.size;
        }
        if (!l->direct)
                return lines_add(&l->table.lines, key, id, text, size);
        out_write(text, size);
        out_write("\n", 1);
        return out_gone() ? -ECANCELED : 0;
}

static void print_json(struct list *l) {
        struct lines *lines = &l->table.lines;

        for (size_t i = 0; i < lines->n && !out_gone(); i++) {
                out_write(lines->list[i].data, lines->list[i].size);
                out_write("\n", 1);
        }
}

int list_flush(struct list *l) {
        if (l->args->json == JSON_OFF)
                table_flush(&l->table);
        else {
                print_json(l);
                lines_clear(&l->table.lines);
        }
        return out_gone() ? -ECANCELED : 0;
}

int list_finish(struct list *l, const char *one, const char *many) {
        struct lines *lines = &l->table.lines;
        int r;

        lines_sort(lines);
        if (l->args->lines >= 0)
                lines_keep_last(lines, (size_t) l->args->lines);
        if (l->args->reverse)
                lines_reverse(lines);
        if (l->args->json != JSON_OFF) {
                print_json(l);
                return STATUS_FINE;
        }
        r = table_print(&l->table);
        if (r < 0)
                return ask_failed(r);
        if (one && out_terminal() && !l->args->no_legend)
                out_format("%s%zu %s.\n", lines->n > 0 ? "\n" : "", lines->n,
                           lines->n == 1 ? one : many);
        return STATUS_FINE;
}

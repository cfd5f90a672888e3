/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/answer/counts.h"
#include "daemon/answer/query.h"
#include "daemon/answer/tally.h"
#include "lib/address.h"

#define UNKNOWN "unknown"

enum by {
        BY_CATEGORY,
        BY_SERVICE,
        BY_PORT,
        BY_NAME,
        BY_UNIT,
        BY_PEER,
        BY_USER,
        BY_MAX,
};

static const char *const by_names[BY_MAX] = {
        [BY_CATEGORY] = "category", [BY_SERVICE] = "service", [BY_PORT] = "port",
        [BY_NAME] = "name",         [BY_UNIT] = "unit",       [BY_PEER] = "peer",
        [BY_USER] = "user",
};

/* What is looked at, in this order. */
enum phase {
        IN_LISTENERS,
        IN_CONNECTIONS,
        IN_HISTORY,
        AT_END,
};

struct counts {
        enum phase phase;
        uint64_t slot;
        struct history_cursor cursor;
        uint64_t oldest_seq; /* what was opened before has no event of it left */
        struct filter filter;
        struct tally *tally;
        uint64_t since_usec;
        uint8_t by;
};

static int by_parse(const char *name) {
        for (int i = 0; i < BY_MAX; i++)
                if (strcmp(by_names[i], name) == 0)
                        return i;
        return -EINVAL;
}

static const char *or_unknown(const char *s) {
        return s && *s ? s : UNKNOWN;
}

/* The key that a socket counts under, in buffer or static or in *o; NULL: under none. */
static const char *key_of(const struct call *c, const struct record *r, const struct owner *o,
                          char buffer[static ADDRESS_TEXT_MAX]) {
        const struct counts *n = c->state;
        uint16_t port = record_service_port(r);

        switch (n->by) {
        case BY_CATEGORY:
                /* 0 stands for several ports, or for one that nobody could tell. */
                return port != 0 ? category_name(category_of(port)) : UNKNOWN;
        case BY_SERVICE:
                return or_unknown(services_lookup(c->service->store.services, port, r->transport));
        case BY_PORT:
                if (port == 0)
                        return UNKNOWN;
                snprintf(buffer, ADDRESS_TEXT_MAX, "%u", port);
                return buffer;
        case BY_NAME:
                return or_unknown(o->name);
        case BY_UNIT:
                return or_unknown(o->unit);
        case BY_PEER:
                if (record_is_listener(r))
                        return NULL;
                address_write(buffer, r->family, r->remote);
                return buffer;
        case BY_USER:
                if (o->uid == UID_UNKNOWN)
                        return UNKNOWN;
                snprintf(buffer, ADDRESS_TEXT_MAX, "%u", o->uid);
                return buffer;
        }
        return NULL;
}

static void add_bytes(struct tally_row *row, const struct record *r) {
        if (!(r->flags & RECORD_BYTES_KNOWN))
                return;
        row->bytes_received += r->bytes_received;
        row->bytes_sent += r->bytes_sent;
}

static void add_opening(struct tally_row *row, const struct record *r) {
        if (r->direction == DIRECTION_INBOUND)
                row->inbound++;
        else if (r->direction == DIRECTION_OUTBOUND)
                row->outbound++;
}

/* Opened in the time that is asked for, and the event of it has been overwritten? */
static bool opening_is_gone(const struct counts *n, const struct record *r) {
        return r->id < n->oldest_seq && r->opened_usec >= n->since_usec;
}

static void add_open(const struct counts *n, struct tally_row *row, const struct record *r) {
        if (record_is_listener(r)) {
                row->listeners++;
                if ((r->flags & RECORD_JUDGED) && !(r->flags & RECORD_EXPECTED))
                        row->unexpected++;
                return;
        }
        row->open++;
        add_bytes(row, r);
        if (opening_is_gone(n, r))
                add_opening(row, r);
}

static void add_past(const struct counts *n, struct tally_row *row, const struct record *r) {
        switch (r->kind) {
        case RECORD_OPEN:
                add_opening(row, r);
                break;
        case RECORD_CLOSE:
                add_bytes(row, r);
                if (opening_is_gone(n, r))
                        add_opening(row, r);
                break;
        case RECORD_FAIL:
                row->outbound++;
                break;
        case RECORD_REFUSE:
                row->refused += r->attempts;
                break;
        default:
                break;
        }
}

static int add(struct call *c, const struct record *r, const struct owner *o,
               void (*count)(const struct counts *, struct tally_row *, const struct record *)) {
        const struct counts *n = c->state;
        char buffer[ADDRESS_TEXT_MAX];
        const char *key = key_of(c, r, o, buffer);
        struct tally_row *row;

        if (!key)
                return 0;
        row = tally_row(n->tally, key);
        if (!row)
                return -ENOMEM;
        count(n, row, r);
        return 0;
}

static int count_open(struct call *c, enum live_extent extent, uint64_t *budget) {
        const struct live *live = &c->service->store.live;
        uint32_t netns = store_netns(&c->service->store);
        struct counts *n = c->state;
        uint64_t used = live_used(live, extent);

        for (; n->slot < used; n->slot++) {
                struct record r;
                struct owner o;
                int k;

                if (*budget == 0)
                        return CALL_AGAIN;
                budget_spend(budget, COST_OF_SLOT);
                if (live_read(live, extent, (uint32_t) n->slot, &r, &o) <= 0)
                        continue;
                if (!view_shows_open(c->view, netns, &r, &o) ||
                    !filter_matches_record(&n->filter, &r) || !filter_matches_owner(&n->filter, &o))
                        continue;
                k = add(c, &r, &o, add_open);
                if (k < 0)
                        return k;
        }
        n->slot = 0;
        n->phase++;
        return CALL_DONE;
}

static bool peek(const struct record *r, void *userdata) {
        const struct counts *n = userdata;

        return record_is_connection(r) && r->time_usec >= n->since_usec &&
               filter_matches_record(&n->filter, r);
}

static int count_past(struct call *c, uint64_t *budget) {
        struct counts *n = c->state;

        for (;;) {
                struct record r;
                struct owner o;
                char rule[256];
                int k = history_next(&n->cursor, peek, n, budget, &r, &o, rule);

                if (k == -EAGAIN)
                        return CALL_AGAIN;
                if (k < 0)
                        return k;
                if (k == 0) {
                        n->phase++;
                        return CALL_DONE;
                }
                budget_spend(budget, COST_OF_RECORD);
                if (!view_shows_past(c->view, &r, &o) || !filter_matches_owner(&n->filter, &o))
                        continue;
                k = add(c, &r, &o, add_past);
                if (k < 0)
                        return k;
        }
}

static void show_row(struct jsonw *w, const struct tally_row *row) {
        jsonw_open(w, '{');
        jsonw_key(w, "key");
        jsonw_string(w, row->key);
        jsonw_key(w, "listeners");
        jsonw_uint(w, row->listeners);
        jsonw_key(w, "unexpected");
        jsonw_uint(w, row->unexpected);
        jsonw_key(w, "open");
        jsonw_uint(w, row->open);
        jsonw_key(w, "inbound");
        jsonw_uint(w, row->inbound);
        jsonw_key(w, "outbound");
        jsonw_uint(w, row->outbound);
        jsonw_key(w, "refused");
        jsonw_uint(w, row->refused);
        jsonw_key(w, "bytes_received");
        jsonw_uint(w, row->bytes_received);
        jsonw_key(w, "bytes_sent");
        jsonw_uint(w, row->bytes_sent);
        jsonw_close(w, '}');
}

static int show_rows(struct call *c) {
        const struct counts *n = c->state;
        struct jsonw *w = &c->replies->w;
        const struct tally_row *rows;
        size_t n_rows;

        rows = tally_sorted(n->tally, &n_rows);
        reply_begin(c->replies);
        jsonw_key(w, "counts");
        jsonw_open(w, '[');
        for (size_t i = 0; i < n_rows; i++)
                show_row(w, &rows[i]);
        jsonw_close(w, ']');
        return reply_end(c->replies, false);
}

static int counts_step(struct call *c, uint64_t *budget) {
        struct counts *n = c->state;

        while (n->phase != AT_END) {
                int r = n->phase == IN_LISTENERS     ? count_open(c, LIVE_LISTENERS, budget)
                        : n->phase == IN_CONNECTIONS ? count_open(c, LIVE_CONNECTIONS, budget)
                                                     : count_past(c, budget);

                if (r != CALL_DONE)
                        return r;
        }
        return show_rows(c);
}

static int counts_start(struct call *c, json_object *parameters, const char **ret_bad) {
        static const struct param table[] = {
#define FIELD(member) .offset = offsetof(struct counts, member)
                { "by", PARAM_WORD, .required = true, FIELD(by), .parse = by_parse },
                { "filter", PARAM_OTHER, FIELD(filter), .take = filter_take },
                { "since_usec", PARAM_NUMBER, FIELD(since_usec), .max = INT64_MAX },
#undef FIELD
        };
        const struct history_reader *reader = &c->service->store.history;
        struct history_bounds bounds;
        struct counts *n;
        uint32_t given;
        int r;

        n = calloc(1, sizeof(*n));
        if (!n)
                return -ENOMEM;
        c->state = n;
        n->tally = tally_new();
        if (!n->tally)
                return -ENOMEM;
        r = params_read(parameters, table, sizeof(table) / sizeof(table[0]), n, &given, ret_bad);
        if (r < 0)
                return r;
        history_bounds(reader, &bounds);
        n->oldest_seq = bounds.oldest_seq;
        history_seek(&n->cursor, reader, bounds.oldest_seq, false);
        n->cursor.limit = bounds.next_seq;
        n->cursor.since_usec = n->since_usec;
        return 1;
}

static void counts_done(struct call *c) {
        struct counts *n = c->state;

        if (!n)
                return;
        tally_free(n->tally);
        filter_done(&n->filter);
        free(n);
        c->state = NULL;
}

const struct method method_counts = {
        .name = "io.portwatch.Counts",
        .start = counts_start,
        .step = counts_step,
        .done = counts_done,
};

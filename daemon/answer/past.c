/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/answer/batch.h"
#include "daemon/answer/past.h"
#include "daemon/answer/query.h"
#include "daemon/answer/show.h"

#define ERROR_HISTORY_TRUNCATED  "io.portwatch.HistoryTruncated"
#define ERROR_TOO_MANY_FOLLOWERS "io.portwatch.TooManyFollowers"

/* The rows of both methods' tables. */
enum {
        GIVEN_FILTER,
        GIVEN_AFTER_SEQ,
        GIVEN_SINCE_USEC,
        GIVEN_UNTIL_USEC,
        GIVEN_LIMIT,
        GIVEN_NEWEST_FIRST,
        GIVEN_MAX_FOLLOW = GIVEN_SINCE_USEC,
        GIVEN_MAX_HISTORY = GIVEN_NEWEST_FIRST + 1,
};

#define GIVEN_TIME (1U << GIVEN_SINCE_USEC | 1U << GIVEN_UNTIL_USEC)

struct past {
        struct history_cursor cursor;
        struct history_bounds bounds; /* when the call came */
        struct filter filter;
        struct batch batch;
        uint32_t given;
        uint64_t after_seq;
        uint64_t since_usec;
        uint64_t until_usec;
        uint64_t limit; /* events still to give */
        bool newest_first;
        bool follows;
        bool greeted; /* the first reply of a follower was given */
};

static const struct param table[] = {
#define FIELD(member) .offset = offsetof(struct past, member)
        [GIVEN_FILTER] = { "filter", PARAM_OTHER, FIELD(filter), .take = filter_take },
        [GIVEN_AFTER_SEQ] = { "after_seq", PARAM_NUMBER, FIELD(after_seq), .max = INT64_MAX },
        [GIVEN_SINCE_USEC] = { "since_usec", PARAM_NUMBER, FIELD(since_usec), .max = INT64_MAX },
        [GIVEN_UNTIL_USEC] = { "until_usec", PARAM_NUMBER, FIELD(until_usec), .max = INT64_MAX },
        [GIVEN_LIMIT] = { "limit", PARAM_NUMBER, FIELD(limit), .max = INT64_MAX },
        [GIVEN_NEWEST_FIRST] = { "newest_first", PARAM_BOOL, FIELD(newest_first) },
#undef FIELD
};

static int past_new(struct call *c, const struct batch_shape *shape) {
        struct past *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->batch.shape = shape;
        p->until_usec = UINT64_MAX;
        p->limit = UINT64_MAX;
        c->state = p;
        history_bounds(&c->service->store.history, &p->bounds);
        return 0;
}

static bool peek(const struct record *r, void *userdata) {
        const struct past *p = userdata;

        /* The half of a record where its time is need not come to the cache for nothing. */
        if (p->given & GIVEN_TIME && (r->time_usec < p->since_usec || r->time_usec > p->until_usec))
                return false;
        return filter_matches_record(&p->filter, r);
}

/* In place of events that were overwritten before they were read, just before seq + 1. */
static int put_lost(struct call *c, struct past *p, uint64_t seq, uint64_t time_usec) {
        static const struct owner nobody = { .uid = UID_UNKNOWN };
        const struct record lost = {
                .seq = seq,
                .time_usec = time_usec,
                .kind = RECORD_LOST,
                .flags = RECORD_COUNT_KNOWN,
                .lost = p->cursor.lost,
        };
        int r = batch_add(c, &p->batch);

        if (r <= 0)
                return r;
        if (p->follows)
                c->service->followers_lost += p->cursor.lost;
        p->cursor.lost = 0;
        show_event(&c->replies->w, c->service->store.services, &lost, &nobody, NULL);
        return 1;
}

static uint64_t now_usec(void) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

/* Gives what there is: -ENODATA at the end of it, else what the step has come to. */
static int give_events(struct call *c, struct past *p, uint64_t *budget) {
        while (p->limit > 0) {
                struct record r;
                struct owner o;
                char rule[256];
                int found, k;

                if (replies_unsent(c->replies) >= REPLY_PAUSE_BYTES)
                        return CALL_FULL;
                found = history_next(&p->cursor, peek, p, budget, &r, &o, rule);
                if (found == -EAGAIN)
                        return CALL_AGAIN;
                if (found < 0)
                        return found;
                /* Backwards, what is overwritten is the end of the record, not a gap in it. */
                if (p->cursor.lost > 0 && !p->cursor.backward) {
                        k = put_lost(c, p, (found ? r.seq : p->cursor.next) - 1,
                                     found ? r.time_usec : now_usec());
                        if (k <= 0)
                                return k;
                }
                if (found == 0)
                        break;
                budget_spend(budget, COST_OF_RECORD);
                if (!view_shows_past(c->view, &r, &o) || !filter_matches_owner(&p->filter, &o) ||
                    !show_can(&r))
                        continue;
                k = batch_add(c, &p->batch);
                if (k <= 0)
                        return k;
                if (!c->view->full)
                        rule[0] = 0;
                show_event(&c->replies->w, c->service->store.services, &r, &o, rule);
                p->limit--;
        }
        return -ENODATA;
}

static int history_step(struct call *c, uint64_t *budget) {
        struct past *p = c->state;
        int r = give_events(c, p, budget);

        return r == -ENODATA ? batch_end(c, &p->batch) : r;
}

static int follow_step(struct call *c, uint64_t *budget) {
        struct past *p = c->state;
        int r = give_events(c, p, budget);

        if (r != -ENODATA)
                return r;
        if (replies_open(c->replies) || !p->greeted) {
                r = batch_flush(c, &p->batch);
                if (r < 0)
                        return r;
                p->greeted = true;
        }
        return CALL_WAIT;
}

static void history_tail(struct call *c) {
        const struct past *p = c->state;
        struct jsonw *w = &c->replies->w;

        jsonw_key(w, "oldest_seq");
        jsonw_uint(w, p->bounds.oldest_seq);
        jsonw_key(w, "next_seq");
        jsonw_uint(w, p->bounds.next_seq);
}

static int history_start(struct call *c, json_object *parameters, const char **ret_bad) {
        static const struct batch_shape shape = { .name = "events", .tail = history_tail };
        const struct history_reader *reader = &c->service->store.history;
        uint64_t first, end;
        struct past *p;
        int r;

        r = past_new(c, &shape);
        if (r < 0)
                return r;
        p = c->state;
        r = params_read(parameters, table, GIVEN_MAX_HISTORY, p, &p->given, ret_bad);
        if (r < 0)
                return r;

        first = p->bounds.oldest_seq;
        end = p->bounds.next_seq;
        if (p->given & 1U << GIVEN_AFTER_SEQ && p->after_seq >= first)
                first = p->after_seq + 1;
        if (p->newest_first) {
                history_seek(&p->cursor, reader, end - 1, true);
                p->cursor.limit = first;
        } else {
                history_seek(&p->cursor, reader, first, false);
                p->cursor.limit = end;
        }
        p->cursor.since_usec = p->since_usec;
        p->cursor.until_usec = p->until_usec;
        return 1;
}

static int refuse_with_number(struct call *c, const char *error, const char *name,
                              uint64_t number) {
        struct jsonw *w = &c->replies->w;

        reply_error(c->replies, error);
        jsonw_literal(w, "\"");
        jsonw_raw(w, name, strlen(name));
        jsonw_literal(w, "\":");
        jsonw_uint(w, number);
        return reply_end(c->replies, false);
}

static int follow_start(struct call *c, json_object *parameters, const char **ret_bad) {
        static const struct batch_shape shape = { .name = "events" };
        struct service *s = c->service;
        struct past *p;
        unsigned limit;
        uint64_t first;
        int r;

        r = past_new(c, &shape);
        if (r < 0)
                return r;
        p = c->state;
        r = params_read(parameters, table, GIVEN_MAX_FOLLOW, p, &p->given, ret_bad);
        if (r < 0)
                return r;

        first = p->bounds.next_seq;
        if (p->given & 1U << GIVEN_AFTER_SEQ) {
                if (p->after_seq >= p->bounds.next_seq) {
                        /* Of an event that is not: it comes from another record than this. */
                        *ret_bad = table[GIVEN_AFTER_SEQ].name;
                        return -EINVAL;
                }
                first = p->after_seq + 1;
                if (first < p->bounds.oldest_seq)
                        return refuse_with_number(c, ERROR_HISTORY_TRUNCATED, "oldest_seq",
                                                  p->bounds.oldest_seq);
        }
        limit = s->max_followers;
        /* One user must not keep those out who see all. */
        if (!c->view->full)
                limit -= limit / 4;
        if (s->followers >= limit) {
                s->followers_refused++;
                return refuse_with_number(c, ERROR_TOO_MANY_FOLLOWERS, "limit", limit);
        }
        history_seek(&p->cursor, &s->store.history, first, false);
        p->follows = true;
        s->followers++;
        return 1;
}

static void past_done(struct call *c) {
        struct past *p = c->state;

        if (!p)
                return;
        if (p->follows)
                c->service->followers--;
        filter_done(&p->filter);
        free(p);
        c->state = NULL;
}

const struct method method_history = {
        .name = "io.portwatch.History",
        .start = history_start,
        .step = history_step,
        .done = past_done,
};

const struct method method_follow = {
        .name = "io.portwatch.Follow",
        .needs_more = true,
        .start = follow_start,
        .step = follow_step,
        .done = past_done,
};

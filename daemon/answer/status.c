/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <time.h>

#include "daemon/answer/params.h"
#include "daemon/answer/status.h"

static const char *const state_names[] = {
        [LIVE_STARTING] = "starting",
        [LIVE_RUNNING] = "running",
        [LIVE_DEGRADED] = "degraded",
};

/* Where something can get lost, in the words of the interface. */
static const struct {
        const char *where;
        enum live_counter counter;
        bool is_lost; /* events that should be in the record and are not */
} losses[] = {
        { "ring", LIVE_LOST_RING, true },           { "netlink", LIVE_LOST_NETLINK, true },
        { "tracker", LIVE_LOST_TRACKER, true },     { "owners", LIVE_LOST_OWNERS, true },
        { "history", LIVE_HISTORY_ERRORS, false },  { "overwritten", LIVE_OVERWRITTEN, false },
        { "known", LIVE_KNOWN_EVICTED, false },     { "repairs", LIVE_REPAIRS, false },
        { "alerts_held", LIVE_ALERTS_HELD, false },
};
#define N_LOSSES (sizeof(losses) / sizeof(losses[0]))

static uint64_t counter(const struct live_header *h, enum live_counter which) {
        return atomic_load_explicit(&h->counters[which], memory_order_relaxed);
}

static void put_loss(struct jsonw *w, const char *where, uint64_t count) {
        jsonw_open(w, '{');
        jsonw_key(w, "where");
        jsonw_string(w, where);
        jsonw_key(w, "count");
        jsonw_uint(w, count);
        jsonw_close(w, '}');
}

static void put_losses(struct jsonw *w, const struct service *s) {
        jsonw_key(w, "losses");
        jsonw_open(w, '[');
        for (size_t i = 0; i < N_LOSSES; i++)
                put_loss(w, losses[i].where, counter(s->store.live.header, losses[i].counter));
        put_loss(w, "followers", s->followers_lost);
        put_loss(w, "clients_refused", s->clients_refused);
        put_loss(w, "followers_refused", s->followers_refused);
        put_loss(w, "requests_refused", s->requests_refused);
        jsonw_close(w, ']');
}

/* A string of the header, which the recorder may be writing. */
static void put_text(struct jsonw *w, const char *text, size_t size) {
        jsonw_bytes(w, text, strnlen(text, size));
}

static uint64_t events_lost(const struct live_header *h) {
        uint64_t lost = 0;

        for (size_t i = 0; i < N_LOSSES; i++)
                if (losses[i].is_lost)
                        lost += counter(h, losses[i].counter);
        return lost;
}

static void put_source(struct jsonw *w, const struct live_header *h) {
        uint32_t source = atomic_load_explicit(&h->source, memory_order_relaxed);
        uint32_t state = atomic_load_explicit(&h->state, memory_order_acquire);

        jsonw_key(w, "source");
        jsonw_string(w, source == LIVE_SOURCE_EBPF ? "ebpf" : "netlink");
        jsonw_key(w, "state");
        jsonw_string(w, state_names[state <= LIVE_DEGRADED ? state : LIVE_DEGRADED]);
        jsonw_key(w, "source_detail");
        put_text(w, h->source_detail, sizeof(h->source_detail));
        jsonw_key(w, "degraded_reason");
        if (state == LIVE_DEGRADED && h->degraded_reason[0])
                put_text(w, h->degraded_reason, sizeof(h->degraded_reason));
        else
                jsonw_null(w);
}

static void put_record(struct jsonw *w, const struct store *s) {
        struct history_bounds bounds;

        history_bounds(&s->history, &bounds);
        jsonw_key(w, "events");
        jsonw_uint(w, counter(s->live.header, LIVE_RECORDS));
        jsonw_key(w, "lost");
        jsonw_uint(w, events_lost(s->live.header));
        jsonw_key(w, "oldest_seq");
        jsonw_uint(w, bounds.oldest_seq);
        jsonw_key(w, "next_seq");
        jsonw_uint(w, bounds.next_seq);
        jsonw_key(w, "oldest_usec");
        jsonw_uint(w, bounds.oldest_usec);
        jsonw_key(w, "capacity_bytes");
        jsonw_uint(w, s->history.size);
}

static void put_unless_zero(struct jsonw *w, uint64_t number) {
        if (number != 0)
                jsonw_uint(w, number);
        else
                jsonw_null(w);
}

static uint64_t now_usec(void) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

static void put_recorder(struct jsonw *w, const struct live_header *h) {
        uint64_t until_usec = atomic_load_explicit(&h->learning_until_usec, memory_order_relaxed);
        bool learning = until_usec > now_usec();
        char error[sizeof(h->rules_error)];

        /* The recorder may be writing it. */
        memcpy(error, h->rules_error, sizeof(error));
        error[sizeof(error) - 1] = 0;
        jsonw_key(w, "pid");
        put_unless_zero(w, atomic_load_explicit(&h->pid, memory_order_relaxed));
        jsonw_key(w, "audited_usec");
        put_unless_zero(w, atomic_load_explicit(&h->audited_usec, memory_order_relaxed));
        jsonw_key(w, "rules");
        put_unless_zero(w, atomic_load_explicit(&h->rules, memory_order_relaxed));
        jsonw_key(w, "rules_usec");
        put_unless_zero(w, atomic_load_explicit(&h->rules_usec, memory_order_relaxed));
        jsonw_key(w, "rules_error");
        jsonw_string_or_null(w, error);
        jsonw_key(w, "learning_until_usec");
        put_unless_zero(w, learning ? until_usec : 0);
        jsonw_key(w, "judging");
        jsonw_bool(w, learning || atomic_load_explicit(&h->judging, memory_order_relaxed));
}

static int status_start(struct call *c, json_object *parameters, const char **ret_bad) {
        const struct service *s = c->service;
        const struct live_header *h = s->store.live.header;
        struct jsonw *w = &c->replies->w;
        uint32_t given;
        int r;

        r = params_read(parameters, NULL, 0, NULL, &given, ret_bad);
        if (r < 0)
                return r;
        reply_begin(c->replies);
        jsonw_key(w, "version");
        jsonw_string(w, PACKAGE_VERSION);
        put_source(w, h);
        jsonw_key(w, "started_usec");
        jsonw_uint(w, atomic_load_explicit(&h->started_usec, memory_order_relaxed));
        jsonw_key(w, "boot_id");
        put_text(w, h->boot_id, sizeof(h->boot_id));
        jsonw_key(w, "view");
        jsonw_string(w, c->view->full ? "full" : "limited");
        jsonw_key(w, "netns");
        jsonw_uint(w, store_netns(&s->store));
        jsonw_key(w, "listeners");
        jsonw_uint(w, atomic_load_explicit(&h->count[LIVE_LISTENERS], memory_order_relaxed));
        jsonw_key(w, "unexpected");
        jsonw_uint(w, atomic_load_explicit(&h->unexpected, memory_order_relaxed));
        jsonw_key(w, "connections");
        jsonw_uint(w, atomic_load_explicit(&h->count[LIVE_CONNECTIONS], memory_order_relaxed));
        put_record(w, &s->store);
        jsonw_key(w, "followers");
        jsonw_uint(w, s->followers);
        jsonw_key(w, "clients");
        jsonw_uint(w, s->clients);
        put_losses(w, s);
        put_recorder(w, h);
        return reply_end(c->replies, false);
}

const struct method method_status = {
        .name = "io.portwatch.Status",
        .start = status_start,
};

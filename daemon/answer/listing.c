/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "daemon/answer/batch.h"
#include "daemon/answer/known.h"
#include "daemon/answer/listing.h"
#include "daemon/answer/query.h"
#include "daemon/answer/show.h"

#define SERVICES_MAX 64U /* names that one port can have, in the largest registry there is */

struct listing {
        enum live_extent extent;
        uint64_t slot; /* to look at next */
        struct filter filter;
        struct batch batch;
        uint64_t port; /* of method_port, and so is what follows */
        uint8_t transport;
        bool looked_up; /* known is what there is */
        struct known_list known;
};

static void show(struct call *c, const struct listing *l, const struct record *r,
                 const struct owner *o) {
        const struct store *s = &c->service->store;
        struct owner holder;
        char rule[LIVE_RULE_TEXT];
        bool held;

        live_read_rule(&s->live, r->rule, rule);
        /* It may name users and executables. */
        if (!c->view->full)
                rule[0] = 0;
        if (l->extent == LIVE_CONNECTIONS) {
                show_connection(&c->replies->w, s->services, r, o, rule);
                return;
        }
        held = live_read_holder(&s->live, (uint32_t) l->slot, r, &holder) > 0;
        if (held)
                view_redact(c->view, &holder);
        show_listener(&c->replies->w, s->services, r, o, held ? &holder : NULL, rule);
}

/* Who asks for a unit or a process means who opened a listener as well as who serves it. */
static bool matches_somebody(struct call *c, const struct listing *l, const struct record *r,
                             const struct owner *o) {
        struct owner holder;

        if (filter_matches_owner(&l->filter, o))
                return true;
        if (l->extent != LIVE_LISTENERS ||
            live_read_holder(&c->service->store.live, (uint32_t) l->slot, r, &holder) <= 0)
                return false;
        view_redact(c->view, &holder);
        return filter_matches_owner(&l->filter, &holder);
}

static int listing_step(struct call *c, uint64_t *budget) {
        const struct store *s = &c->service->store;
        struct listing *l = c->state;
        uint32_t netns = store_netns(s);
        uint64_t used = live_used(&s->live, l->extent);

        for (; l->slot < used; l->slot++) {
                struct record r;
                struct owner o;
                int k;

                if (*budget == 0)
                        return CALL_AGAIN;
                if (replies_unsent(c->replies) >= REPLY_PAUSE_BYTES)
                        return CALL_FULL;
                (*budget)--;
                /* A look at what may be just being written saves the copy of what is not wanted. */
                if (!filter_matches_record(&l->filter, &s->live.slots[l->extent][l->slot]))
                        continue;
                budget_spend(budget, COST_OF_SLOT);
                if (live_read(&s->live, l->extent, (uint32_t) l->slot, &r, &o) <= 0)
                        continue;
                if (!view_shows_open(c->view, netns, &r, &o) ||
                    !filter_matches_record(&l->filter, &r) || !matches_somebody(c, l, &r, &o) ||
                    !show_can(&r))
                        continue;
                k = batch_add(c, &l->batch);
                if (k <= 0)
                        return k;
                show(c, l, &r, &o);
        }
        return batch_end(c, &l->batch);
}

static void listing_done(struct call *c) {
        struct listing *l = c->state;

        if (!l)
                return;
        filter_done(&l->filter);
        known_list_done(&l->known);
        free(l);
        c->state = NULL;
}

static int listing_start(struct call *c, json_object *parameters, enum live_extent extent,
                         const struct batch_shape *shape, const char **ret_bad) {
        static const struct param table[] = {
                { "filter", PARAM_OTHER, .offset = offsetof(struct listing, filter),
                  .take = filter_take },
        };
        struct listing *l = calloc(1, sizeof(*l));
        uint32_t given;
        int r;

        if (!l)
                return -ENOMEM;
        c->state = l;
        l->extent = extent;
        l->batch.shape = shape;
        r = params_read(parameters, table, 1, l, &given, ret_bad);
        return r < 0 ? r : 1;
}

static int listeners_start(struct call *c, json_object *parameters, const char **ret_bad) {
        static const struct batch_shape shape = { .name = "listeners" };

        return listing_start(c, parameters, LIVE_LISTENERS, &shape, ret_bad);
}

static int connections_start(struct call *c, json_object *parameters, const char **ret_bad) {
        static const struct batch_shape shape = { .name = "connections" };

        return listing_start(c, parameters, LIVE_CONNECTIONS, &shape, ret_bad);
}

/* What is known of a port before one looks who uses it. */
static void port_head(struct call *c) {
        const struct store *s = &c->service->store;
        const struct listing *l = c->state;
        const char *names[SERVICES_MAX];
        struct jsonw *w = &c->replies->w;
        uint16_t port = (uint16_t) l->port;
        size_t n = services_list(s->services, port, l->transport, names, SERVICES_MAX);

        jsonw_key(w, "port");
        jsonw_uint(w, port);
        jsonw_key(w, "category");
        jsonw_string(w, category_name(category_of(port)));
        jsonw_key(w, "services");
        jsonw_open(w, '[');
        for (size_t i = 0; i < n; i++)
                jsonw_string(w, names[i]);
        jsonw_close(w, ']');
        jsonw_key(w, "ephemeral");
        jsonw_bool(w, port >= s->ephemeral_first && port <= s->ephemeral_last);
}

/* What has used it, and what uses it now. */
static void port_tail(struct call *c) {
        const struct listing *l = c->state;
        struct jsonw *w = &c->replies->w;

        jsonw_key(w, "known");
        jsonw_open(w, '[');
        for (unsigned i = 0; i < l->known.n; i++)
                if (show_can_biography(&l->known.biographies[i]))
                        show_biography(w, &l->known.biographies[i]);
        jsonw_close(w, ']');
}

static int port_step(struct call *c, uint64_t *budget) {
        const struct known_reader *known = &c->service->store.known;
        struct listing *l = c->state;

        /* Whose listeners they were, and in which namespace, is not known any more. */
        if (!l->looked_up && c->view->full) {
                int r = known_list_find(&l->known, known, (uint16_t) l->port, l->transport);

                if (r < 0)
                        return r;
                budget_spend(budget, known->capacity);
        }
        l->looked_up = true;
        return listing_step(c, budget);
}

static int port_start(struct call *c, json_object *parameters, const char **ret_bad) {
        static const struct batch_shape shape = { .name = "listeners",
                                                  .head = port_head,
                                                  .tail = port_tail };
        static const struct param table[] = {
                { "port", PARAM_NUMBER, .required = true, .offset = offsetof(struct listing, port),
                  .max = UINT16_MAX },
                { "transport", PARAM_WORD, .offset = offsetof(struct listing, transport),
                  .parse = transport_parse },
        };
        struct listing *l = calloc(1, sizeof(*l));
        uint32_t given;
        int r;

        if (!l)
                return -ENOMEM;
        c->state = l;
        c->more = false; /* one reply, whatever the caller takes */
        l->extent = LIVE_LISTENERS;
        l->batch.shape = &shape;
        r = params_read(parameters, table, 2, l, &given, ret_bad);
        if (r < 0)
                return r;
        if (l->transport != 0)
                filter_add_transport(&l->filter, l->transport);
        r = filter_add_port(&l->filter, (uint16_t) l->port);
        return r < 0 ? r : 1;
}

const struct method method_listeners = {
        .name = "io.portwatch.Listeners",
        .start = listeners_start,
        .step = listing_step,
        .done = listing_done,
};

const struct method method_connections = {
        .name = "io.portwatch.Connections",
        .start = connections_start,
        .step = listing_step,
        .done = listing_done,
};

const struct method method_port = {
        .name = "io.portwatch.Port",
        .start = port_start,
        .step = port_step,
        .done = listing_done,
};

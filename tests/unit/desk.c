/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "desk.h"

#include "daemon/record/listeners.h"

#define FIRST_SEEN 4711U /* what the listener operation fills in */

static void complain(struct desk *d, const char *what) {
        if (!d->wrong)
                d->wrong = what;
}

/* ---- What must hold for a record by itself ---- */

static const char *ends_wrong(const struct record *r) {
        switch (r->kind) {
        case RECORD_OPEN:
                return r->outcome == OUTCOME_OPEN ? NULL : "an open connection with an outcome";
        case RECORD_CLOSE:
                return r->outcome == OUTCOME_CLOSED || r->outcome == OUTCOME_RESET ||
                                       r->outcome == OUTCOME_TIMED_OUT
                               ? NULL
                               : "a close with the outcome of none";
        case RECORD_FAIL:
                return r->outcome == OUTCOME_REFUSED || r->outcome == OUTCOME_TIMED_OUT ||
                                       r->outcome == OUTCOME_FAILED
                               ? NULL
                               : "a failure with the outcome of none";
        default:
                return NULL;
        }
}

static const char *record_wrong(const struct record *r) {
        bool connection =
                r->kind == RECORD_OPEN || r->kind == RECORD_CLOSE || r->kind == RECORD_FAIL;

        if (r->kind == RECORD_NONE || r->kind >= RECORD_KIND_MAX)
                return "a record of no kind";
        if (r->flags & RECORD_PENDING)
                return "a pending record was appended";
        if ((r->owner == OWNER_NONE) != (r->attribution == ATTRIBUTION_UNKNOWN))
                return "an owner without attribution, or the other way round";
        if (r->attribution >= ATTRIBUTION_MAX || r->exposure >= EXPOSURE_MAX ||
            r->direction >= DIRECTION_MAX || r->outcome >= OUTCOME_MAX)
                return "a value without a word";
        if (r->kind == RECORD_LOST)
                return NULL;
        if (r->family == 0 || r->family >= FAMILY_MAX || r->transport == 0 ||
            r->transport >= TRANSPORT_MAX)
                return "no family or transport";
        if (r->opened_usec > r->time_usec)
                return "ended before it began";
        if (connection && r->direction == DIRECTION_NONE)
                return "a connection without direction";
        if (connection && r->exposure != EXPOSURE_NONE)
                return "a connection with exposure";
        if (record_is_listener(r)) {
                if (r->direction != DIRECTION_NONE)
                        return "a listener with direction";
                if (r->exposure == EXPOSURE_NONE)
                        return "a listener without exposure";
                if (r->local_port == 0)
                        return "a listener without port";
                if (r->first_seen_usec != FIRST_SEEN)
                        return "a listener that was not asked about";
        }
        if (r->family == FAMILY_IPV4)
                for (unsigned i = 4; i < 16; i++)
                        if (r->local[i] || r->remote[i])
                                return "an IPv4 address with a tail";
        return ends_wrong(r);
}

/* ---- Operations ---- */

static uint64_t op_append(const struct record *r, uint32_t owner, void *userdata) {
        struct desk *d = userdata;
        const char *wrong = record_wrong(r);

        if (wrong)
                complain(d, wrong);
        if (owner != r->owner)
                complain(d, "two owners in one call");
        if (owner != OWNER_NONE && d->refs[owner] == 0)
                complain(d, "an owner without a reference was appended");
        if (d->n_records == d->n_allocated) {
                size_t n = d->n_allocated ? 2 * d->n_allocated : 256;
                struct record *p = realloc(d->records, n * sizeof(*p));

                if (!p)
                        abort();
                d->records = p;
                d->n_allocated = n;
        }
        d->records[d->n_records] = *r;
        d->records[d->n_records].seq = d->n_forgotten + d->n_records + 1;
        if (r->id == 0)
                d->records[d->n_records].id = d->records[d->n_records].seq;
        return d->records[d->n_records++].seq;
}

uint32_t desk_owner(struct desk *d, const struct event *ev) {
        uint32_t pid = ev->pid % DESK_PIDS;
        struct owner o = { .pid = pid, .uid = ev->uid };

        /* The user alone is an owner too: of slot 0. */
        if (d->no_owners || (pid == 0 && ev->uid == UID_UNKNOWN))
                return OWNER_NONE;
        if (d->slots[pid] == OWNER_NONE) {
                if (live_take(&d->live, LIVE_OWNERS, &d->slots[pid]) < 0)
                        abort();
                live_write_owner(&d->live, d->slots[pid], &o);
        }
        d->refs[d->slots[pid]]++;
        return d->slots[pid];
}

static uint32_t op_owner_of(const struct event *ev, void *userdata) {
        return desk_owner(userdata, ev);
}

static void op_owner_ref(uint32_t owner, void *userdata) {
        struct desk *d = userdata;

        if (owner >= DESK_PIDS || d->refs[owner] == 0)
                complain(d, "a reference to a dead owner was taken");
        else
                d->refs[owner]++;
}

static void op_owner_unref(uint32_t owner, void *userdata) {
        struct desk *d = userdata;

        if (owner >= DESK_PIDS || d->refs[owner] == 0)
                complain(d, "a reference was given back twice");
        else
                d->refs[owner]--;
}

static void op_listener(struct record *r, uint32_t owner, void *userdata) {
        struct desk *d = userdata;

        if (r->kind != RECORD_LISTEN && r->kind != RECORD_UNLISTEN)
                complain(d, "not a listener");
        if (owner != r->owner)
                complain(d, "two owners in one call");
        if (r->local_port == 0)
                complain(d, "asked about a listener without port");
        r->first_seen_usec = FIRST_SEEN;
}

static void op_inbound(struct record *r, uint32_t owner, void *userdata) {
        struct desk *d = userdata;

        if (r->kind != RECORD_OPEN || r->direction != DIRECTION_INBOUND)
                complain(d, "not an inbound connection");
        if (owner != r->owner)
                complain(d, "two owners in one call");
}

static const struct tracker_ops ops = {
        .append = op_append,
        .owner_of = op_owner_of,
        .owner_ref = op_owner_ref,
        .owner_unref = op_owner_unref,
        .listener = op_listener,
        .inbound = op_inbound,
};

static void desk_free(struct desk *d) {
        d->tracker = tracker_free(d->tracker);
        live_close(&d->live);
        free(d->records);
        free(d->refs);
        *d = (struct desk){};
}

int desk_init(struct desk *d, uint64_t listeners, uint64_t connections) {
        struct tracker_config config = {
                .ops = &ops,
                .userdata = d,
                .ephemeral_first = 32768,
                .ephemeral_last = 60999,
        };
        int r;

        *d = (struct desk){};
        memset(d->slots, 0xFF, sizeof(d->slots));
        r = live_create(&d->live, -1, listeners, connections, DESK_PIDS);
        if (r < 0)
                return r;
        d->refs = calloc(d->live.header->capacity[LIVE_OWNERS], sizeof(*d->refs));
        config.live = &d->live;
        r = d->refs ? tracker_new(&d->tracker, &config) : -ENOMEM;
        if (r < 0)
                desk_free(d);
        return r;
}

uint32_t desk_pid(const struct desk *d, uint32_t slot) {
        return slot == OWNER_NONE ? 0 : d->live.owners[slot].owner.pid;
}

/* ---- What must hold for all of it ---- */

static bool in_use(const struct record *r) {
        return r->kind != RECORD_NONE;
}

uint64_t desk_count(const struct desk *d, enum live_extent extent, bool pending) {
        uint64_t n = 0;

        for (uint64_t slot = 0; slot < live_used(&d->live, extent); slot++) {
                const struct record *r = &d->live.slots[extent][slot];

                n += in_use(r) && !(r->flags & RECORD_PENDING) == !pending;
        }
        return n;
}

static int compare_cookies(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static const char *slot_wrong(const struct desk *d, enum live_extent extent,
                              const struct record *r) {
        if (r->owner != OWNER_NONE && r->owner >= DESK_PIDS)
                return "a slot with a wild owner";
        if ((r->owner == OWNER_NONE) != (r->attribution == ATTRIBUTION_UNKNOWN))
                return "a slot with an owner without attribution, or the other way round";
        if (r->flags & RECORD_PENDING)
                return r->id != 0 ? "a pending socket that was announced" : NULL;
        if (r->id == 0 || r->id > d->n_forgotten + d->n_records)
                return "a slot whose beginning is not in the history";
        if (r->kind != (extent == LIVE_LISTENERS ? RECORD_LISTEN : RECORD_OPEN))
                return "a slot of the wrong kind";
        return NULL;
}

const char *desk_check(const struct desk *d) {
        uint64_t refs[DESK_PIDS] = { 0 }, n = 0, total = 0, kept = 0;
        const char *wrong = d->wrong;
        uint64_t *cookies;

        for (enum live_extent e = LIVE_LISTENERS; e <= LIVE_CONNECTIONS; e++) {
                if (desk_count(d, e, false) != d->live.header->count[e])
                        return "a count is wrong";
                total += live_used(&d->live, e);
        }
        cookies = calloc(total + 1, sizeof(*cookies));
        if (!cookies)
                abort();
        for (enum live_extent e = LIVE_LISTENERS; e <= LIVE_CONNECTIONS && !wrong; e++)
                for (uint64_t slot = 0; slot < live_used(&d->live, e) && !wrong; slot++) {
                        const struct record *r = &d->live.slots[e][slot];

                        if (!in_use(r))
                                continue;
                        wrong = slot_wrong(d, e, r);
                        if (!wrong && r->owner != OWNER_NONE)
                                refs[r->owner]++;
                        cookies[n++] = r->cookie;
                }
        qsort(cookies, n, sizeof(*cookies), compare_cookies);
        for (uint64_t i = 0; i + 1 < n && !wrong; i++)
                if (cookies[i] == cookies[i + 1])
                        wrong = "a socket in two slots";
        free(cookies);
        /* Those of listeners that have closed are kept for a while, up to a number. */
        for (unsigned i = 0; i < DESK_PIDS && !wrong; i++) {
                if (refs[i] > d->refs[i])
                        wrong = "a reference is missing";
                else
                        kept += d->refs[i] - refs[i];
        }
        if (!wrong && kept > (d->tracker ? LISTENERS_CLOSED : 0))
                wrong = "a reference is left over";
        return wrong;
}

const char *desk_done(struct desk *d) {
        const char *wrong = NULL;

        if (d->tracker) {
                d->tracker = tracker_free(d->tracker);
                wrong = desk_check(d);
        }
        desk_free(d);
        return wrong;
}

/* ---- In words ---- */

static size_t print_end(char *to, size_t size, const struct record *r, bool remote) {
        const uint8_t *address = remote ? r->remote : r->local;
        char text[INET6_ADDRSTRLEN];

        inet_ntop(r->family == FAMILY_IPV4 ? AF_INET : AF_INET6, address, text, sizeof(text));
        return (size_t) snprintf(to, size, r->family == FAMILY_IPV4 ? " %s:%u" : " [%s]:%u", text,
                                 remote ? r->remote_port : r->local_port);
}

#define PRINT(...) (n += (size_t) snprintf(ret + n, 512 - n, __VA_ARGS__))

void desk_print(const struct desk *d, const struct record *r, char ret[static 512]) {
        size_t n = 0;

        PRINT("%s", record_kind_name(r->kind));
        if (r->kind == RECORD_LOST) {
                PRINT(" %llu", (unsigned long long) r->lost);
                return;
        }
        PRINT(" %s", transport_name(r->transport));
        if (r->direction)
                PRINT(" %s", direction_name(r->direction));
        n += print_end(ret + n, 512 - n, r, false);
        if (!record_is_listener(r))
                n += print_end(ret + n, 512 - n, r, true);
        if (r->exposure)
                PRINT(" %s", exposure_name(r->exposure));
        if (r->outcome)
                PRINT(" %s", outcome_name(r->outcome));
        if (r->kind == RECORD_REFUSE)
                PRINT(" %llu", (unsigned long long) r->attempts);
        if (r->flags & RECORD_BYTES_KNOWN)
                PRINT(" %llu/%llu", (unsigned long long) r->bytes_received,
                      (unsigned long long) r->bytes_sent);
        if (r->owner != OWNER_NONE)
                PRINT(" %s=%u", attribution_name(r->attribution), desk_pid(d, r->owner));
        if (r->flags & RECORD_DUAL_STACK)
                PRINT(" dual");
        if (r->flags & RECORD_FOUND)
                PRINT(" found");
        if (r->flags & RECORD_END_GUESSED)
                PRINT(" guessed");
        PRINT(" at=%llu", (unsigned long long) r->time_usec);
        if (r->opened_usec != r->time_usec)
                PRINT(" opened=%llu", (unsigned long long) r->opened_usec);
        if (r->id != r->seq)
                PRINT(" id=%llu", (unsigned long long) r->id);
}

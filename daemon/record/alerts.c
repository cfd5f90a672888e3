/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alerts.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "lib/address.h"
#include "starter.h"

#define ENTRIES    1024U
#define USER_SHARE 4U /* of the entries one user can have one part in so many */
#define FIELD_SIZE 320

enum kind {
        KIND_FREE,
        KIND_LISTENER,
        KIND_PEER,
        KIND_SOURCE,
        KIND_MAX,
};

/* One address, and what was said of it. */
struct entry {
        uint8_t kind;
        bool told;
        bool waiting;           /* for its owner, until deadline_usec */
        unsigned n_open;        /* listeners there that are not expected */
        unsigned times;         /* raised since it was told */
        uint64_t deadline_usec; /* 0: none. When it is told, or told to be gone */
        uint64_t seen_usec;
        uint64_t window_usec; /* KIND_SOURCE: when the counting began */
        uint64_t attempts;
        uint64_t program; /* a digest of who was told */
        struct record record;
        struct owner owner; /* of the last one */
};

struct alerts {
        const struct config *config;
        struct live *live;
        struct starter *starter;
        sd_event_source *timer;
        uint64_t tokens_usec[KIND_MAX]; /* how much of the future is taken, CLOCK_MONOTONIC */
        uint64_t n_held;                /* since it was said last */
        uint64_t keys[ENTRIES];         /* close together, to be looked through; 0: free */
        struct entry entries[ENTRIES];
};

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

/* ---- Words ---- */

struct text {
        char field[FIELD_SIZE];
};

__attribute__((format(printf, 2, 3))) static const char *put(struct text *t, const char *format,
                                                             ...) {
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(t->field, sizeof(t->field), format, ap);
        va_end(ap);
        return t->field;
}

static const char *address(const struct record *r, const uint8_t bytes[static 16],
                           char ret[static ADDRESS_TEXT_MAX]) {
        (void) address_write_of(ret, r, bytes);
        return ret;
}

static uint32_t local_port(const struct record *r) {
        return address_port_of(r, r->local, r->local_port);
}

#define ENDPOINT_MAX (ADDRESS_TEXT_MAX + 16)

/* The local address and port as users write them: 10.0.0.1:80, [::1]:80. */
static void endpoint(const struct record *r, char ret[static ENDPOINT_MAX]) {
        char text[ADDRESS_TEXT_MAX];
        bool v6 = r->family == FAMILY_IPV6;

        snprintf(ret, ENDPOINT_MAX, "%s%s%s:%u", v6 ? "[" : "", address(r, r->local, text),
                 v6 ? "]" : "", local_port(r));
}

/* Who, for people: "nc, pid 7, user 1000, unit foo.service". */
static void describe(const struct owner *o, char *ret, size_t size) {
        size_t n = (size_t) snprintf(ret, size, "%s", o->name[0] ? o->name : "an unknown process");

        if (o->pid && n < size)
                n += (size_t) snprintf(ret + n, size - n, ", pid %u", o->pid);
        if (o->uid != UID_UNKNOWN && n < size)
                n += (size_t) snprintf(ret + n, size - n, ", user %u", o->uid);
        if (o->unit[0] && n < size)
                n += (size_t) snprintf(ret + n, size - n, ", unit %s", o->unit);
        if (o->container[0] && n < size)
                (void) snprintf(ret + n, size - n, ", container %s", o->container);
}

static void tell(int priority, const char *id, const char *message, const struct entry *e,
                 uint64_t count) {
        const struct record *r = &e->record;
        const struct owner *o = &e->owner;
        char local[ADDRESS_TEXT_MAX], remote[ADDRESS_TEXT_MAX];
        const char *exposure = exposure_name(r->exposure),
                   *transport = transport_name(r->transport);
        const char *attribution = attribution_name(r->attribution);
        struct text t[14];

        log_event(priority, id, message,
                  put(&t[0], "PORTWATCH_TRANSPORT=%s", transport ? transport : ""),
                  put(&t[1], "PORTWATCH_LOCAL_ADDRESS=%s", address(r, r->local, local)),
                  put(&t[2], "PORTWATCH_LOCAL_PORT=%u", local_port(r)),
                  put(&t[3], "PORTWATCH_REMOTE_ADDRESS=%s",
                      e->kind == KIND_LISTENER ? "" : address(r, r->remote, remote)),
                  put(&t[4], "PORTWATCH_EXPOSURE=%s", exposure ? exposure : ""),
                  put(&t[5], "PORTWATCH_PID=%u", o->pid), put(&t[6], "PORTWATCH_NAME=%s", o->name),
                  put(&t[7], "PORTWATCH_EXECUTABLE=%s", o->executable),
                  put(&t[8], "PORTWATCH_UID=%d", (int) o->uid),
                  put(&t[9], "PORTWATCH_UNIT=%s", o->unit),
                  put(&t[10], "PORTWATCH_CONTAINER=%s", o->container),
                  put(&t[11], "PORTWATCH_ATTRIBUTION=%s", attribution ? attribution : ""),
                  put(&t[12], "PORTWATCH_NETNS=%u", r->netns),
                  put(&t[13], "PORTWATCH_COUNT=%" PRIu64, count), NULL);
}

/* ---- How much may be told ---- */

static void arm(struct alerts *a, uint64_t usec) {
        uint64_t set;
        int enabled;

        if (sd_event_source_get_enabled(a->timer, &enabled) >= 0 && enabled != SD_EVENT_OFF &&
            sd_event_source_get_time(a->timer, &set) >= 0 && set <= usec)
                return;
        (void) sd_event_source_set_time(a->timer, usec);
        (void) sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
}

static void hold(struct alerts *a) {
        live_count(a->live, LIVE_ALERTS_HELD, 1);
        a->n_held++;
}

#define TOKEN_USEC (1000000U / ALERTS_PER_SECOND)

/* A bucket of ALERTS_BURST that fills by ALERTS_PER_SECOND, for each kind: who can make many of one
 * must not hide another. *ret_when is when there will be something in it. */
static bool may_tell(struct alerts *a, enum kind kind, uint64_t now, uint64_t *ret_when) {
        uint64_t *taken = &a->tokens_usec[kind];

        if (*taken < now)
                *taken = now;
        *ret_when = *taken + TOKEN_USEC - ALERTS_BURST * TOKEN_USEC;
        if (*ret_when > now)
                return false;
        *taken += TOKEN_USEC;
        live_count(a->live, LIVE_ALERTS, 1);
        return true;
}

/* The same for what is not told later: it is counted. */
static bool may_tell_now(struct alerts *a, enum kind kind, uint64_t now) {
        uint64_t when;

        if (may_tell(a, kind, now, &when))
                return true;
        hold(a);
        arm(a, when);
        return false;
}

static void tell_held(struct alerts *a) {
        char message[160], field[48];

        if (a->n_held == 0)
                return;
        snprintf(message, sizeof(message),
                 "%" PRIu64 " findings were not told one by one: portctl check lists what there "
                 "is.",
                 a->n_held);
        snprintf(field, sizeof(field), "PORTWATCH_COUNT=%" PRIu64, a->n_held);
        log_event(LOG_WARNING, MESSAGE_ALERTS_HELD, message, field, NULL);
        a->n_held = 0;
}

/* ---- Entries ---- */

/* What makes two of them the same. Whoever makes two alike makes one of them go untold: no more. */
static uint64_t key_of(enum kind kind, const struct record *r) {
        struct {
                uint8_t remote[16];
                uint8_t local[16];
                uint32_t netns;
                uint16_t port;
                uint8_t transport;
                uint8_t family;
        } key = { .netns = r->netns, .family = r->family };

        if (kind != KIND_LISTENER)
                memcpy(key.remote, r->remote, sizeof(key.remote));
        if (kind != KIND_SOURCE) {
                memcpy(key.local, r->local, sizeof(key.local));
                key.port = r->local_port;
                key.transport = r->transport;
        }
        return (uint64_t) record_checksum(&key, sizeof(key)) << 32 |
               record_checksum(key.local, sizeof(key) - sizeof(key.remote)) << 2 | (unsigned) kind;
}

static struct entry *find(struct alerts *a, enum kind kind, const struct record *r) {
        uint64_t key = key_of(kind, r);

        for (unsigned i = 0; i < ENTRIES; i++)
                if (a->keys[i] == key)
                        return &a->entries[i];
        return NULL;
}

/* A free place, or that of whoever was seen longest ago of those that nothing is open or due of. */
static struct entry *make(struct alerts *a, enum kind kind, const struct record *r) {
        struct entry *best = NULL;

        for (unsigned i = 0; i < ENTRIES; i++) {
                struct entry *e = &a->entries[i];

                if (e->kind != KIND_FREE && (e->n_open > 0 || e->deadline_usec > 0))
                        continue;
                if (!best || e->kind == KIND_FREE || e->seen_usec < best->seen_usec)
                        best = e;
                if (e->kind == KIND_FREE)
                        break;
        }
        if (best) {
                *best = (struct entry){ .kind = (uint8_t) kind, .record = *r };
                a->keys[best - a->entries] = key_of(kind, r);
        }
        return best;
}

static void forget(struct alerts *a, struct entry *e) {
        a->keys[e - a->entries] = 0;
        *e = (struct entry){ .kind = KIND_FREE };
}

static void keep(struct entry *e, const struct record *r, const struct owner *owner) {
        e->record = *r;
        e->owner = owner ? *owner : (struct owner){ .uid = UID_UNKNOWN };
}

static uint64_t program_of(const struct owner *o) {
        const char *program = o->executable[0] ? o->executable : o->name;

        return (uint64_t) record_checksum(program, strlen(program)) << 32 |
               record_checksum(o->unit, strlen(o->unit));
}

/* ---- Listeners ---- */

static void start_unit(struct alerts *a, const struct record *r) {
        char instance[128], text[ADDRESS_TEXT_MAX];

        if (!a->config->on_unexpected[0])
                return;
        snprintf(instance, sizeof(instance), "%s:%s:%u", transport_name(r->transport),
                 address(r, r->local, text), local_port(r));
        (void) starter_start(a->starter, a->config->on_unexpected, instance);
}

static void tell_listener(struct alerts *a, struct entry *e, uint64_t now) {
        char message[512], local[ENDPOINT_MAX], who[320];
        const char *exposure = exposure_name(e->record.exposure);

        if (!may_tell(a, KIND_LISTENER, now, &e->deadline_usec)) {
                /* Told as soon as there is room, even if it has gone by then. */
                e->waiting = true;
                arm(a, e->deadline_usec);
                return;
        }
        e->told = true;
        e->waiting = false;
        e->deadline_usec = e->n_open == 0 ? now + ALERTS_FLAP_USEC : 0;
        if (e->deadline_usec > 0)
                arm(a, e->deadline_usec);
        e->times = 0;
        e->program = program_of(&e->owner);
        endpoint(&e->record, local);
        describe(&e->owner, who, sizeof(who));
        snprintf(message, sizeof(message), "Unexpected listener on %s %s (%s): %s.",
                 transport_name(e->record.transport), local, exposure ? exposure : "unknown", who);
        tell(LOG_WARNING, MESSAGE_UNEXPECTED, message, e, 1);
        start_unit(a, &e->record);
}

static void tell_gone(struct alerts *a, struct entry *e) {
        char message[512], local[ENDPOINT_MAX];

        endpoint(&e->record, local);
        snprintf(message, sizeof(message), "The unexpected listener on %s %s has gone%s.",
                 transport_name(e->record.transport), local,
                 e->times > 0 ? "; it had come back meanwhile" : "");
        tell(LOG_NOTICE, MESSAGE_UNEXPECTED_GONE, message, e, e->times + 1);
        forget(a, e);
}

/* Has a user other than root the places that one may have? */
static bool has_share(const struct alerts *a, const struct owner *owner) {
        uint32_t uid = owner ? owner->uid : UID_UNKNOWN;
        unsigned n = 0;

        if (uid == 0)
                return false;
        for (unsigned i = 0; i < ENTRIES; i++)
                n += a->keys[i] != 0 && a->entries[i].n_open > 0 && a->entries[i].owner.uid == uid;
        return n >= ENTRIES / USER_SHARE;
}

void alerts_raise(struct alerts *a, const struct record *r, const struct owner *owner) {
        struct entry *e = find(a, KIND_LISTENER, r);
        uint64_t now = now_usec();

        if (!e && !has_share(a, owner))
                e = make(a, KIND_LISTENER, r);
        if (!e) {
                hold(a);
                arm(a, now + 1000000U);
                return;
        }
        keep(e, r, owner);
        e->n_open++;
        e->seen_usec = now;
        if (e->waiting)
                return;
        e->deadline_usec = 0;
        /* The same program again, or one more of it. */
        if (e->told && e->program == program_of(&e->owner)) {
                e->times++;
                live_count(a->live, LIVE_ALERTS_HELD, 1);
                return;
        }
        if (e->owner.pid == 0) {
                e->waiting = true;
                e->deadline_usec = now + ALERTS_OWNER_USEC;
                arm(a, e->deadline_usec);
                return;
        }
        tell_listener(a, e, now);
}

void alerts_refine(struct alerts *a, const struct record *r, const struct owner *owner) {
        struct entry *e = find(a, KIND_LISTENER, r);

        if (!e || !e->waiting || !owner || owner->pid == 0)
                return;
        keep(e, r, owner);
        tell_listener(a, e, now_usec());
}

void alerts_gone(struct alerts *a, const struct record *r, const struct owner *owner) {
        struct entry *e = find(a, KIND_LISTENER, r);
        uint64_t now = now_usec();

        /* An earlier recorder has told it. */
        if (!e) {
                e = make(a, KIND_LISTENER, r);
                if (!e)
                        return;
                e->told = true;
                e->n_open = 1;
        }
        if (e->n_open == 0 || --e->n_open > 0)
                return;
        keep(e, r, owner);
        e->seen_usec = now;
        if (e->waiting) {
                tell_listener(a, e, now);
                return;
        }
        e->deadline_usec = now + ALERTS_FLAP_USEC;
        arm(a, e->deadline_usec);
}

void alerts_forget(struct alerts *a, const struct record *r) {
        struct entry *e = find(a, KIND_LISTENER, r);

        if (!e)
                return;
        if (e->n_open > 0)
                e->n_open--;
        if (e->n_open == 0)
                forget(a, e);
}

/* ---- Others ---- */

/* Told now? Once, and then not before it was quiet for ALERTS_FLAP_USEC. */
static struct entry *once(struct alerts *a, enum kind kind, const struct record *r) {
        struct entry *e = find(a, kind, r);
        uint64_t now = now_usec();

        if (!e)
                e = make(a, kind, r);
        if (!e) {
                hold(a);
                arm(a, now + 1000000U);
                return NULL;
        }
        if (e->told && now < e->seen_usec + ALERTS_FLAP_USEC) {
                e->seen_usec = now;
                e->times++;
                live_count(a->live, LIVE_ALERTS_HELD, 1);
                return NULL;
        }
        e->seen_usec = now;
        e->told = may_tell_now(a, kind, now);
        return e->told ? e : NULL;
}

void alerts_peer(struct alerts *a, const struct record *r, const struct owner *owner) {
        struct entry *e = once(a, KIND_PEER, r);
        char message[512], local[ENDPOINT_MAX], remote[ADDRESS_TEXT_MAX], who[320];

        if (!e)
                return;
        keep(e, r, owner);
        endpoint(r, local);
        describe(&e->owner, who, sizeof(who));
        snprintf(message, sizeof(message), "Unexpected connection from %s to %s %s: %s.",
                 address(r, r->remote, remote), transport_name(r->transport), local, who);
        tell(LOG_WARNING, MESSAGE_UNEXPECTED_PEER, message, e, e->times + 1);
        e->times = 0;
}

void alerts_refused(struct alerts *a, const struct record *r, const struct rule_rate *rate) {
        struct entry *e = find(a, KIND_SOURCE, r);
        uint64_t now = now_usec();
        char message[256], remote[ADDRESS_TEXT_MAX];

        if (!e)
                e = make(a, KIND_SOURCE, r);
        if (!e)
                return;
        e->seen_usec = now;
        if (now >= e->window_usec + rate->window_usec) {
                e->window_usec = now;
                e->attempts = 0;
                e->told = false;
        }
        e->attempts += r->attempts;
        if (e->told || e->attempts <= rate->attempts)
                return;
        keep(e, r, NULL);
        e->told = may_tell_now(a, KIND_SOURCE, now);
        if (!e->told)
                return;
        snprintf(message, sizeof(message), "%s was refused %" PRIu64 " times in %" PRIu64 " s.",
                 address(r, r->remote, remote), e->attempts, (now - e->window_usec) / 1000000U + 1);
        tell(LOG_WARNING, MESSAGE_REFUSED_RATE, message, e, e->attempts);
}

/* ---- Time ---- */

static int on_timer(sd_event_source *es, uint64_t usec, void *userdata) {
        struct alerts *a = userdata;
        uint64_t now = now_usec(), next = UINT64_MAX;

        (void) es;
        (void) usec;
        for (unsigned i = 0; i < ENTRIES; i++) {
                struct entry *e = &a->entries[i];

                if (e->deadline_usec > 0 && e->deadline_usec <= now) {
                        if (e->waiting)
                                tell_listener(a, e, now);
                        else
                                tell_gone(a, e);
                }
                if (e->deadline_usec > 0 && e->deadline_usec < next)
                        next = e->deadline_usec;
        }
        tell_held(a);
        if (next != UINT64_MAX)
                arm(a, next);
        return 0;
}

int alerts_new(struct alerts **ret, sd_event *event, const struct config *config,
               struct live *live) {
        struct alerts *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->config = config;
        a->live = live;
        r = starter_new(&a->starter, event);
        if (r >= 0)
                r = sd_event_add_time(event, &a->timer, CLOCK_MONOTONIC, 0, 0, on_timer, a);
        if (r >= 0)
                r = sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
        if (r < 0) {
                alerts_free(a);
                return r;
        }
        *ret = a;
        return 0;
}

struct alerts *alerts_free(struct alerts *a) {
        if (!a)
                return NULL;
        sd_event_source_disable_unref(a->timer);
        starter_free(a->starter);
        free(a);
        return NULL;
}

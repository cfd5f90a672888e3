/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "unit.h"

#include "lib/history.h"
#include "lib/history_format.h"

/*
 * A history whose every record, owner and rule follows from its sequence number, so that whoever
 * reads it can tell without a copy whether it is right. For the tests of the history.
 */

#define CHRONICLE_NAME "history"
#define CHRONICLE_SIZE (HISTORY_SEGMENTS_MIN * (uint64_t) HISTORY_SEGMENT_SIZE)

static inline uint64_t chronicle_mix(uint64_t seq, uint64_t salt) {
        uint64_t seed = seq * 31 + salt;

        return unit_random(&seed);
}

/* Owners are shared by some records that follow each other; some have none. */
static inline uint64_t chronicle_owner_number(uint64_t seq) {
        return chronicle_mix(seq, 1) % 8 == 0 ? 0
                                              : 1 + chronicle_mix(seq, 2) % 64 + seq / 1000 * 64;
}

static inline struct owner chronicle_owner(uint64_t number) {
        struct owner o = { .uid = UID_UNKNOWN };
        uint64_t n;

        if (number == 0)
                return o;
        o.start_ns = number;
        o.pid = (uint32_t) chronicle_mix(number, 3);
        o.uid = (uint32_t) chronicle_mix(number, 4) % 70000;
        snprintf(o.name, sizeof(o.name), "n%" PRIu32, (uint32_t) number);
        n = chronicle_mix(number, 5) % sizeof(o.executable);
        memset(o.executable, 'a' + (int) (number % 26), n);
        n = chronicle_mix(number, 6) % sizeof(o.unit);
        memset(o.unit, 'A' + (int) (number % 26), n);
        n = number % 5 == 0 ? chronicle_mix(number, 7) % sizeof(o.container) : 0;
        memset(o.container, '0' + (int) (number % 10), n);
        return o;
}

/* NULL for most. */
static inline const char *chronicle_rule(uint64_t seq, char buffer[static 256]) {
        uint64_t number = seq / 7;

        if (chronicle_mix(number, 8) % 4 != 0)
                return NULL;
        memset(buffer, 'r', 256);
        buffer[chronicle_mix(number, 9) % 256] = 0;
        return buffer;
}

/* seq and id are the history's to give; the clock goes back now and then. */
static inline struct record chronicle_record(uint64_t seq) {
        struct record r = {
                .time_usec = 1000000 + seq * 10 - chronicle_mix(seq, 10) % 50,
                .kind = (uint8_t) (1 + chronicle_mix(seq, 11) % (RECORD_KIND_MAX - 1)),
                .transport = TRANSPORT_TCP,
                .family = FAMILY_IPV6,
                .cookie = chronicle_mix(seq, 12),
                .bytes_sent = chronicle_mix(seq, 13),
                .local_port = (uint16_t) seq,
        };
        uint64_t seed = seq;

        if (chronicle_mix(seq, 14) % 2)
                r.id = seq / 2 + 1;
        unit_random_fill(&seed, r.remote, sizeof(r.remote));
        return r;
}

/* With interned false every record brings its owner along, so that a lap takes fewer of them. */
static inline uint64_t chronicle_append_as(struct history *h, bool interned,
                                           uint64_t *ret_overwritten) {
        uint64_t seq = history_next_seq(h), number = chronicle_owner_number(seq);
        struct record r = chronicle_record(seq);
        struct owner o = chronicle_owner(number);
        char rule[256];

        return history_append(h, &r, number ? &o : NULL, interned && seq % 3 ? number : 0,
                              chronicle_rule(seq, rule), ret_overwritten);
}

static inline uint64_t chronicle_append(struct history *h, uint64_t *ret_overwritten) {
        return chronicle_append_as(h, true, ret_overwritten);
}

/* NULL, or what of the record is not as it should be. */
static inline const char *chronicle_wrong(const struct record *r, const struct owner *owner,
                                          const char rule[static 256]) {
        struct record expected = chronicle_record(r->seq);
        struct owner o = chronicle_owner(chronicle_owner_number(r->seq));
        char buffer[256];
        const char *text = chronicle_rule(r->seq, buffer);

        if (r->checksum != record_checksum(r, offsetof(struct record, checksum)))
                return "checksum";
        expected.seq = r->seq;
        if (expected.id == 0)
                expected.id = r->seq;
        expected.owner = r->owner;
        expected.rule = r->rule;
        expected.holder = OWNER_NONE;
        expected.checksum = r->checksum;
        if (memcmp(&expected, r, sizeof(*r)) != 0)
                return "content";
        if ((o.start_ns == 0) != (r->owner == OWNER_NONE))
                return "owner's place";
        if (memcmp(&o, owner, sizeof(o)) != 0)
                return "owner";
        if (strcmp(text ? text : "", rule) != 0)
                return "rule";
        return NULL;
}

struct chronicle_tour {
        uint64_t read;
        uint64_t first; /* seq of the first and the last that was read; 0: none */
        uint64_t last;
        uint64_t lost;
};

/*
 * Reads from the cursor to the end, each record checked. Returns NULL, or what was wrong. Strictly
 * rising (or falling), and with whole set nothing between first and last is missing.
 */
static inline const char *chronicle_read(struct history_cursor *c, struct chronicle_tour *ret) {
        struct chronicle_tour t = { 0 };
        uint64_t budget = UINT64_MAX;
        struct record r;
        struct owner o;
        char rule[256];
        int found;

        while ((found = history_next(c, NULL, NULL, &budget, &r, &o, rule)) > 0) {
                const char *wrong = chronicle_wrong(&r, &o, rule);

                if (wrong)
                        return wrong;
                if (t.last != 0 && (c->backward ? r.seq >= t.last : r.seq <= t.last))
                        return "order";
                if (t.first == 0)
                        t.first = r.seq;
                t.last = r.seq;
                t.read++;
        }
        t.lost = c->lost;
        *ret = t;
        return found < 0 ? "budget" : NULL;
}

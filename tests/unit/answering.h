/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "unit.h"

#include <json-c/json_tokener.h>

#include "daemon/answer/store.h"
#include "daemon/record/known.h"

/*
 * A recorder's tables with as much in them as a test wants, and the answerer's view of the same
 * files. For the tests of calls and clients.
 */

#define ANSWERING_NETNS         4026531840U
#define ANSWERING_HISTORY_BYTES (HISTORY_SEGMENTS_MIN * (uint64_t) HISTORY_SEGMENT_SIZE)

struct recording {
        struct scratch scratch;
        struct live live;
        int live_fd;
        struct history *history;
        struct known *known;
        uint64_t next_usec;
};

static inline void recording_make(struct recording *r) {
        bool aside;

        *r = (struct recording){ .next_usec = 1000 };
        scratch_make(&r->scratch);
        r->live_fd = openat(r->scratch.fd, "live", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(r->live_fd >= 0);
        assert_int_equal(live_create(&r->live, r->live_fd, 8192, 8192, 256), 0);
        atomic_store(&r->live.header->netns, ANSWERING_NETNS);
        atomic_store(&r->live.header->source, LIVE_SOURCE_NETLINK);
        atomic_store(&r->live.header->state, LIVE_RUNNING);
        assert_int_equal(history_open(&r->history, r->scratch.fd, "history",
                                      ANSWERING_HISTORY_BYTES, &aside),
                         0);
        assert_int_equal(known_open(&r->known, r->scratch.fd, "known", &aside), 0);
}

static inline void recording_remove(struct recording *r) {
        known_close(r->known);
        history_close(r->history);
        live_close(&r->live);
        close(r->live_fd);
        scratch_remove(&r->scratch);
}

/* The answerer's side of it, with one service: 80 is http. */
static inline void recording_store(const struct recording *r, struct store *ret) {
        static const char registry[] = "80\ttcp\thttp\n";
        char path[128];
        int fd, error;

        snprintf(path, sizeof(path), "%s/services", r->scratch.path);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, registry, sizeof(registry) - 1), sizeof(registry) - 1);
        close(fd);
        assert_int_equal(store_open(ret, r->live_fd, history_reader_fd(r->history),
                                    known_reader_fd(r->known), path, &error),
                         0);
        assert_int_equal(error, 0);
}

/* An owner of a uid; the owner of a uid is always the same. */
static inline struct owner recording_owner(uint32_t uid) {
        struct owner o = { .pid = 100 + uid, .uid = uid, .executable = "/bin/x" };

        snprintf(o.name, sizeof(o.name), "name%u", uid);
        snprintf(o.unit, sizeof(o.unit), "unit%u.service", uid);
        return o;
}

static inline struct record recording_record(struct recording *r, unsigned kind, uint16_t port) {
        return (struct record){
                .kind = (uint8_t) kind,
                .time_usec = r->next_usec,
                .opened_usec = r->next_usec++,
                .transport = TRANSPORT_TCP,
                .family = FAMILY_IPV4,
                .direction = kind == RECORD_OPEN || kind == RECORD_CLOSE ? DIRECTION_INBOUND
                                                                         : DIRECTION_NONE,
                .exposure = EXPOSURE_LOOPBACK,
                .attribution = ATTRIBUTION_EXACT,
                .netns = ANSWERING_NETNS,
                .holder = OWNER_NONE,
                .local = { 127, 0, 0, 1 },
                .remote = { 127, 0, 0, 2 },
                .local_port = port,
                .remote_port = 50000,
        };
}

/* Into the history, with the owner of a uid; returns its seq. */
static inline uint64_t recording_append(struct recording *r, const struct record *record,
                                        uint32_t uid) {
        const struct owner o = recording_owner(uid);

        return history_append(r->history, record, &o, uid + 1, NULL, NULL);
}

/* Into the live table, with an owner of its own slot. */
static inline void recording_open(struct recording *r, enum live_extent extent,
                                  const struct record *record, uint32_t uid) {
        const struct owner o = recording_owner(uid);
        struct record copy = *record;
        uint32_t slot;

        assert_int_equal(live_take(&r->live, LIVE_OWNERS, &copy.owner), 0);
        live_write_owner(&r->live, copy.owner, &o);
        assert_int_equal(live_take(&r->live, extent, &slot), 0);
        live_write(&r->live, extent, slot, &copy);
}

/* n listeners on ports from 1 on, without owners. */
static inline void recording_listeners(struct recording *r, unsigned n) {
        for (unsigned i = 1; i <= n; i++) {
                struct record record = recording_record(r, RECORD_LISTEN, (uint16_t) i);
                uint32_t slot;

                record.id = i;
                record.owner = OWNER_NONE;
                assert_int_equal(live_take(&r->live, LIVE_LISTENERS, &slot), 0);
                live_write(&r->live, LIVE_LISTENERS, slot, &record);
        }
}

/* The member of an object, by a path of names. */
static inline json_object *at(json_object *o, const char *name) {
        json_object *value = NULL;

        if (!json_object_object_get_ex(o, name, &value))
                fail_msg("no %s in %s", name, json_object_to_json_string(o));
        return value;
}

static inline int64_t number_at(json_object *o, const char *name) {
        assert_true(json_object_is_type(at(o, name), json_type_int));
        return json_object_get_int64(at(o, name));
}

static inline const char *text_at(json_object *o, const char *name) {
        assert_true(json_object_is_type(at(o, name), json_type_string));
        return json_object_get_string(at(o, name));
}

static inline bool has(json_object *o, const char *name) {
        return json_object_object_get_ex(o, name, NULL);
}

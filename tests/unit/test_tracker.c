/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <linux/types.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "desk.h"
#include "script.h"

/* ---- Files of events and of the records that they must give ---- */

struct scene {
        const char *file;
        const char *title; /* NULL: none yet */
        unsigned line;     /* of the title */
        struct desk desk;
        size_t n_expected;
        uint64_t left[3]; /* listeners, connections, pending ones */
        uint64_t repairs;
};

static const char *data_folder(void) {
        static char path[512];
        const char *top = getenv("TOP_SRCDIR");

        snprintf(path, sizeof(path), "%s/tests/unit/data/tracker", top ? top : ".");
        return path;
}

static void scene_end(struct scene *s) {
        char text[512];
        struct desk *d = &s->desk;
        const char *wrong;
        uint64_t pending;

        if (!s->title)
                return;
        pending = desk_count(d, LIVE_LISTENERS, true) + desk_count(d, LIVE_CONNECTIONS, true);
        if (d->n_records > s->n_expected) {
                desk_print(d, &d->records[s->n_expected], text);
                fail_msg("%s:%u: %s: not expected: %s", s->file, s->line, s->title, text);
        }
        if (desk_count(d, LIVE_LISTENERS, false) != s->left[0] ||
            desk_count(d, LIVE_CONNECTIONS, false) != s->left[1] || pending != s->left[2])
                fail_msg("%s:%u: %s: left %" PRIu64 " %" PRIu64 " %" PRIu64, s->file, s->line,
                         s->title, desk_count(d, LIVE_LISTENERS, false),
                         desk_count(d, LIVE_CONNECTIONS, false), pending);
        if (d->live.header->counters[LIVE_REPAIRS] != s->repairs)
                fail_msg("%s:%u: %s: %" PRIu64 " repairs", s->file, s->line, s->title,
                         d->live.header->counters[LIVE_REPAIRS]);
        wrong = desk_done(d);
        if (wrong)
                fail_msg("%s:%u: %s: at the end: %s", s->file, s->line, s->title, wrong);
        free((void *) (uintptr_t) s->title);
        s->title = NULL;
}

static void scene_begin(struct scene *s, const char *title, unsigned line) {
        scene_end(s);
        s->title = strdup(title);
        s->line = line;
        s->n_expected = 0;
        memset(s->left, 0, sizeof(s->left));
        s->repairs = 0;
        assert_non_null(s->title);
        assert_int_equal(desk_init(&s->desk, 1, 1), 0);
}

static void scene_expect(struct scene *s, const char *text, unsigned line) {
        struct desk *d = &s->desk;
        char got[512];

        if (s->n_expected == d->n_records)
                fail_msg("%s:%u: missing: %s", s->file, line, text);
        desk_print(d, &d->records[s->n_expected++], got);
        if (strcmp(got, text) != 0)
                fail_msg("%s:%u: expected %s, got %s", s->file, line, text, got);
}

/* Expected records may stand after the events of a scene or between them. */
static void scene_line(struct scene *s, char *line, unsigned number) {
        struct event ev;
        const char *wrong;

        if (line[0] == 0 || line[0] == '#')
                return;
        if (strncmp(line, "== ", 3) == 0) {
                scene_begin(s, line + 3, number);
                return;
        }
        if (!s->title)
                fail_msg("%s:%u: no title yet", s->file, number);
        if (strncmp(line, "= ", 2) == 0)
                scene_expect(s, line + 2, number);
        else if (strncmp(line, "left ", 5) == 0)
                assert_int_equal(sscanf(line, "left %" SCNu64 " %" SCNu64 " %" SCNu64, &s->left[0],
                                        &s->left[1], &s->left[2]),
                                 3);
        else if (strncmp(line, "repairs ", 8) == 0)
                assert_int_equal(sscanf(line, "repairs %" SCNu64, &s->repairs), 1);
        else {
                wrong = script_parse(line, &ev);
                if (wrong)
                        fail_msg("%s:%u: %s", s->file, number, wrong);
                tracker_handle(s->desk.tracker, &ev);
                wrong = desk_check(&s->desk);
                if (wrong)
                        fail_msg("%s:%u: %s: %s", s->file, number, s->title, wrong);
        }
}

static void play(const char *name, unsigned n_scenes) {
        struct scene s = { .file = name };
        char path[600], line[512];
        unsigned number = 0, scenes = 0;
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", data_folder(), name);
        f = fopen(path, "re");
        if (!f)
                fail_msg("%s: %s", path, strerror(errno));
        while (fgets(line, sizeof(line), f)) {
                line[strcspn(line, "\n")] = 0;
                scenes += strncmp(line, "== ", 3) == 0;
                scene_line(&s, line, ++number);
        }
        scene_end(&s);
        fclose(f);
        /* A file that was cut is no success. */
        assert_int_equal(scenes, n_scenes);
}

static void test_tcp(void **state) {
        (void) state;
        play("tcp.txt", 41);
}

static void test_udp(void **state) {
        (void) state;
        play("udp.txt", 10);
}

static void test_snapshot(void **state) {
        (void) state;
        play("snapshot.txt", 22);
}

static void test_netlink(void **state) {
        (void) state;
        play("netlink.txt", 10);
}

static void test_owners(void **state) {
        (void) state;
        play("owners.txt", 11);
}

/* ---- What is not told by events ---- */

static void tell(struct desk *d, const char *text) {
        char line[256];
        struct event ev;
        const char *wrong;

        snprintf(line, sizeof(line), "%s", text);
        wrong = script_parse(line, &ev);
        if (wrong)
                fail_msg("%s: %s", text, wrong);
        tracker_handle(d->tracker, &ev);
        wrong = desk_check(d);
        if (wrong)
                fail_msg("%s: %s", text, wrong);
}

static void assert_last(const struct desk *d, size_t n, const char *expected) {
        char text[512];

        assert_int_equal(d->n_records, n);
        desk_print(d, &d->records[n - 1], text);
        assert_string_equal(text, expected);
}

static void test_offset(void **state) {
        struct desk d;

        (void) state;
        assert_int_equal(desk_init(&d, 1, 1), 0);
        tracker_set_offset(d.tracker, 1700000000000000000);
        tell(&d, "10 state 1 close>listen 0.0.0.0:80 - pid=7");
        assert_last(&d, 1, "listen tcp 0.0.0.0:80 any exact=7 at=1700000000000010");
        /* The clock was set back in between: what began later than it ended, did not. */
        tracker_set_offset(d.tracker, 1600000000000000000);
        tell(&d, "20 state 1 listen>close 0.0.0.0:80 - pid=7");
        assert_last(&d, 2, "unlisten tcp 0.0.0.0:80 any exact=7 at=1700000000000010 id=1");
        assert_null(desk_done(&d));
        assert_null(tracker_free(NULL));
}

static void test_wants(void **state) {
        struct desk d;
        uint32_t netns = 0;

        (void) state;
        assert_int_equal(desk_init(&d, 1, 1), 0);
        assert_int_equal(tracker_wants_listeners(d.tracker, &netns), 0);
        tell(&d, "10 state 1 close>listen 0.0.0.0:80 - pid=7");
        assert_int_equal(tracker_wants_listeners(d.tracker, &netns), 0);
        tell(&d, "10 state 2 close>listen 0.0.0.0:0 - pid=7 netns=5");
        tell(&d, "10 state 3 close>listen [::]:0 - pid=7 netns=5");
        assert_int_equal(tracker_wants_listeners(d.tracker, &netns), 2);
        assert_int_equal(netns, 5);
        assert_int_equal(tracker_wants_listeners(d.tracker, &netns), 0);
        tell(&d, "20 found 2 listen 0.0.0.0:40001 - netns=5");
        assert_last(&d, 2, "listen tcp 0.0.0.0:40001 any exact=7 at=10");
        /* It is found by its port from now on. */
        tell(&d, "30 state 4 syn-recv>established 10.0.0.1:40001 10.0.0.2:50000 netns=5");
        assert_last(&d, 3, "open tcp inbound 10.0.0.1:40001 10.0.0.2:50000 listener=7 at=30");
        assert_null(desk_done(&d));
}

static struct record restored(uint64_t cookie, enum record_kind kind, uint64_t id) {
        struct record r = { .kind = (uint8_t) kind,
                            .cookie = cookie,
                            .id = id,
                            .time_usec = 5,
                            .opened_usec = 5,
                            .netns = 1,
                            .transport = TRANSPORT_TCP,
                            .family = FAMILY_IPV4,
                            .local = { 10, 0, 0, 1 },
                            .local_port = 80,
                            .rule = 3,
                            .owner = 12345,
                            .attribution = ATTRIBUTION_EXACT };

        if (kind == RECORD_LISTEN) {
                r.exposure = EXPOSURE_ADDRESS;
                r.first_seen_usec = 4711;
        } else {
                r.direction = DIRECTION_INBOUND;
                memcpy(r.remote, (uint8_t[4]){ 10, 0, 0, 2 }, 4);
                r.remote_port = 50000;
        }
        return r;
}

/* As the recorder does it: the record as it was, and its owner if there is room for that. */
static void restore(struct desk *d, enum live_extent extent, struct record r, uint32_t pid) {
        const struct event ev = { .pid = pid, .uid = 0 };

        tracker_restore(d->tracker, extent, &r, pid ? desk_owner(d, &ev) : OWNER_NONE, OWNER_NONE);
}

static void test_restore(void **state) {
        struct desk d;

        (void) state;
        assert_int_equal(desk_init(&d, 1, 1), 0);
        /* The history goes on: those were recorded by an earlier recorder. */
        d.n_forgotten = 100;
        restore(&d, LIVE_LISTENERS, restored(1, RECORD_LISTEN, 41), 7);
        restore(&d, LIVE_CONNECTIONS, restored(2, RECORD_OPEN, 42), 8);
        restore(&d, LIVE_CONNECTIONS, restored(3, RECORD_OPEN, 43), 8);
        restore(&d, LIVE_LISTENERS, restored(4, RECORD_LISTEN, 44), 0);
        /* Damaged or twice: left out, and no reference is kept. */
        restore(&d, LIVE_CONNECTIONS, restored(2, RECORD_OPEN, 45), 9);
        restore(&d, LIVE_CONNECTIONS, restored(0, RECORD_OPEN, 46), 9);
        assert_null(desk_check(&d));
        assert_int_equal(d.n_records, 0);
        assert_int_equal(desk_count(&d, LIVE_LISTENERS, false), 2);
        assert_int_equal(desk_count(&d, LIVE_CONNECTIONS, false), 2);
        assert_int_equal(d.live.slots[LIVE_LISTENERS][0].rule, 0);

        /* One listener and one connection have lasted; ids, times and owners are as they were. */
        tell(&d, "10 begin");
        tell(&d, "11 found 1 listen 10.0.0.1:80 -");
        tell(&d, "12 found 2 established 10.0.0.1:80 10.0.0.2:50000");
        tell(&d, "13 end");
        assert_int_equal(d.n_records, 2);
        assert_last(&d, 2,
                    "close tcp inbound 10.0.0.1:80 10.0.0.2:50000 closed exact=8 guessed at=13 "
                    "opened=5 id=43");
        tell(&d, "20 state 2 last-ack>close 10.0.0.1:80 10.0.0.2:50000");
        assert_last(&d, 3,
                    "close tcp inbound 10.0.0.1:80 10.0.0.2:50000 closed exact=8 at=20 "
                    "opened=5 id=42");
        tell(&d, "30 state 1 listen>close 10.0.0.1:80 - pid=9");
        assert_last(&d, 4, "unlisten tcp 10.0.0.1:80 address exact=7 at=30 opened=5 id=41");
        assert_int_equal(desk_count(&d, LIVE_LISTENERS, false), 0);
        assert_null(desk_done(&d));
}

/* ---- Full tables ---- */

static struct event state_event(uint64_t cookie, unsigned from, unsigned to, uint16_t port) {
        struct event ev = { .type = EVENT_STATE,
                            .cookie = cookie,
                            .time_ns = cookie * 1000,
                            .transport = IPPROTO_TCP,
                            .family = AF_INET,
                            .old_state = (uint8_t) from,
                            .new_state = (uint8_t) to,
                            .netns = 1,
                            .pid = (uint32_t) (1 + cookie % 60),
                            .uid = 1000,
                            .flags = EVENT_IN_PROCESS,
                            .local = { 10, 0, 0, 1 },
                            .local_port = port };

        if (from != TCP_LISTEN && to != TCP_LISTEN) {
                memcpy(ev.remote, (uint8_t[4]){ 10, 0, 0, 2 }, 4);
                ev.remote_port = 80;
        }
        return ev;
}

static uint64_t dropped(const struct desk *d) {
        return d->live.header->counters[LIVE_LOST_TRACKER];
}

/* What does not fit is recorded as far as it can be, counted, and leaves nothing behind. */
static void test_full(void **state) {
        enum { ROOM = 256, MORE = 10 };
        struct desk d;

        (void) state;
        assert_int_equal(desk_init(&d, ROOM, ROOM), 0);
        for (uint64_t i = 1; i <= ROOM + MORE; i++) {
                struct event ev = state_event(i, TCP_CLOSE, TCP_LISTEN, (uint16_t) i);

                tracker_handle(d.tracker, &ev);
        }
        assert_int_equal(dropped(&d), MORE);
        assert_int_equal(d.n_records, ROOM + MORE);
        assert_null(desk_check(&d));
        for (uint64_t i = 1001; i <= 1000 + ROOM + MORE; i++) {
                struct event ev = state_event(i, TCP_CLOSE, TCP_SYN_SENT, (uint16_t) i);

                tracker_handle(d.tracker, &ev);
                ev = state_event(i, TCP_SYN_SENT, TCP_ESTABLISHED, (uint16_t) i);
                tracker_handle(d.tracker, &ev);
        }
        assert_null(desk_check(&d));
        assert_int_equal(dropped(&d), 3 * MORE);
        /* Each was told to have opened: the history does not hang on the table. */
        assert_int_equal(d.n_records, 2 * (ROOM + MORE));

        for (uint64_t i = 1; i <= ROOM + MORE; i++) {
                struct event ev = state_event(i, TCP_LISTEN, TCP_CLOSE, (uint16_t) i);

                tracker_handle(d.tracker, &ev);
                ev = state_event(1000 + i, TCP_LAST_ACK, TCP_CLOSE, (uint16_t) (1000 + i));
                tracker_handle(d.tracker, &ev);
        }
        assert_int_equal(d.n_records, 4 * (ROOM + MORE));
        assert_null(desk_check(&d));
        assert_int_equal(desk_count(&d, LIVE_LISTENERS, false), 0);
        assert_int_equal(desk_count(&d, LIVE_CONNECTIONS, false), 0);
        /* And all of it can be used again. */
        for (uint64_t i = 1; i <= ROOM; i++) {
                struct event ev = state_event(i, TCP_CLOSE, TCP_LISTEN, (uint16_t) i);

                tracker_handle(d.tracker, &ev);
        }
        assert_int_equal(dropped(&d), 3 * MORE);
        assert_int_equal(desk_count(&d, LIVE_LISTENERS, false), ROOM);
        assert_null(desk_done(&d));
}

/* What a dump shows and does not fit must not be told again at each dump. */
static void test_full_dumps(void **state) {
        enum { ROOM = 256, MORE = 10 };
        struct desk d;

        (void) state;
        assert_int_equal(desk_init(&d, ROOM, ROOM), 0);
        for (unsigned dump = 0; dump < 3; dump++) {
                struct event mark = { .type = EVENT_SNAPSHOT_BEGIN };

                tracker_handle(d.tracker, &mark);
                for (uint64_t i = 1; i <= ROOM + MORE; i++) {
                        struct event ev = state_event(i, TCP_LISTEN, TCP_LISTEN, (uint16_t) i);

                        ev.type = EVENT_FOUND;
                        ev.flags = 0;
                        tracker_handle(d.tracker, &ev);
                        ev = state_event(1000 + i, TCP_CLOSE, TCP_ESTABLISHED, (uint16_t) i);
                        ev.type = EVENT_FOUND;
                        ev.flags = 0;
                        tracker_handle(d.tracker, &ev);
                }
                mark.type = EVENT_SNAPSHOT_END;
                tracker_handle(d.tracker, &mark);
                assert_null(desk_check(&d));
                assert_int_equal(d.n_records, 2 * ROOM);
                assert_int_equal(dropped(&d), (dump + 1) * 2 * MORE);
        }
        assert_null(desk_done(&d));
}

/* No room for owners: sockets are recorded without, and the next look makes good for it. */
static void test_no_owners(void **state) {
        struct desk d;

        (void) state;
        assert_int_equal(desk_init(&d, 1, 1), 0);
        d.no_owners = true;
        tell(&d, "10 state 1 close>listen 0.0.0.0:80 - pid=7");
        assert_last(&d, 1, "listen tcp 0.0.0.0:80 any at=10");
        tell(&d, "11 state 2 syn-recv>established 10.0.0.1:80 10.0.0.2:50000");
        assert_last(&d, 2, "open tcp inbound 10.0.0.1:80 10.0.0.2:50000 at=11");
        d.no_owners = false;
        tell(&d, "12 found 1 listen 0.0.0.0:80 - uid=1000");
        /* A look at the process that finds no room for it takes nothing away. */
        d.no_owners = true;
        tell(&d, "13 owner 1 pid=7");
        d.no_owners = false;
        tell(&d, "14 owner 2 pid=7");
        tell(&d, "20 state 2 last-ack>close 10.0.0.1:80 10.0.0.2:50000");
        assert_last(&d, 3,
                    "close tcp inbound 10.0.0.1:80 10.0.0.2:50000 closed lookup=7 at=20 "
                    "opened=11 id=2");
        tell(&d, "21 state 1 listen>close 0.0.0.0:80 -");
        assert_last(&d, 4, "unlisten tcp 0.0.0.0:80 any lookup=0 at=21 opened=10 id=1");
        assert_null(desk_done(&d));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tcp),       cmocka_unit_test(test_udp),
                cmocka_unit_test(test_snapshot),  cmocka_unit_test(test_netlink),
                cmocka_unit_test(test_owners),    cmocka_unit_test(test_offset),
                cmocka_unit_test(test_wants),     cmocka_unit_test(test_restore),
                cmocka_unit_test(test_full),      cmocka_unit_test(test_full_dumps),
                cmocka_unit_test(test_no_owners),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

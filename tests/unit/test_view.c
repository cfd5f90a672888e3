/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/answer/view.h"

#define HOST 7U

static const struct owner mine = { .pid = 10,
                                   .start_ns = 1,
                                   .uid = 1000,
                                   .name = "me",
                                   .executable = "/bin/me",
                                   .unit = "me.service" };
static const struct owner theirs = { .pid = 20,
                                     .start_ns = 2,
                                     .uid = 1001,
                                     .name = "they",
                                     .executable = "/bin/they",
                                     .unit = "they.service" };
static const struct owner nobody = { .uid = UID_UNKNOWN };

static void test_full(void **state) {
        const struct view full = { .full = true, .uid = 0 };
        const struct record r = { .kind = RECORD_LISTEN, .netns = HOST + 1 };
        struct owner o = theirs;

        (void) state;
        assert_true(view_shows_open(&full, HOST, &r, &o));
        assert_memory_equal(&o, &theirs, sizeof(o));
        assert_true(view_shows_past(&full, &r, &theirs));
        assert_true(view_shows_past(&full, &r, &nobody));
}

static void test_open_in_the_limited_view(void **state) {
        const struct view limited = { .full = false, .uid = 1000 };
        struct record r = { .kind = RECORD_OPEN, .netns = HOST };
        struct owner o = mine;

        (void) state;
        assert_true(view_shows_open(&limited, HOST, &r, &o));
        assert_memory_equal(&o, &mine, sizeof(o));

        o = theirs;
        assert_true(view_shows_open(&limited, HOST, &r, &o));
        assert_int_equal(o.pid, 0);
        assert_int_equal(o.start_ns, 0);
        assert_string_equal(o.executable, "");
        assert_string_equal(o.name, "they");
        assert_string_equal(o.unit, "they.service");
        assert_int_equal(o.uid, 1001);

        /* An owner that is not known is not the caller either. */
        o = nobody;
        o.pid = 30;
        assert_true(view_shows_open(&limited, HOST, &r, &o));
        assert_int_equal(o.pid, 0);

        /* The same of whoever else is behind it. */
        o = mine;
        view_redact(&limited, &o);
        assert_memory_equal(&o, &mine, sizeof(o));
        o = theirs;
        view_redact(&limited, &o);
        assert_int_equal(o.pid, 0);
        assert_string_equal(o.executable, "");
        assert_string_equal(o.name, "they");

        r.netns = HOST + 1;
        o = mine;
        assert_false(view_shows_open(&limited, HOST, &r, &o));
}

static void test_past_in_the_limited_view(void **state) {
        const struct view limited = { .full = false, .uid = 1000 };
        const struct view unknown = { .full = false, .uid = UID_UNKNOWN };
        static const uint8_t sockets[] = { RECORD_LISTEN, RECORD_UNLISTEN, RECORD_OPEN,
                                           RECORD_CLOSE,  RECORD_FAIL,     RECORD_REFUSE };
        static const uint8_t marks[] = { RECORD_LOST, RECORD_START, RECORD_STOP };

        (void) state;
        for (size_t i = 0; i < sizeof(sockets); i++) {
                const struct record r = { .kind = sockets[i], .netns = HOST };

                assert_true(view_shows_past(&limited, &r, &mine));
                assert_false(view_shows_past(&limited, &r, &theirs));
                assert_false(view_shows_past(&limited, &r, &nobody));
                assert_false(view_shows_past(&unknown, &r, &nobody));
        }
        for (size_t i = 0; i < sizeof(marks); i++) {
                const struct record r = { .kind = marks[i] };

                assert_true(view_shows_past(&limited, &r, &nobody));
        }
}

/* Our own credentials, at the other end of a pair. */
static void test_peer(void **state) {
        struct view v = { .uid = 12345 };
        int pair[2];

        (void) state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(view_of_peer(&v, pair[0], VIEW_NO_GROUP), 0);
        assert_int_equal(v.uid, getuid());
        assert_int_equal(v.full, getuid() == 0);
        assert_int_equal(view_of_peer(&v, pair[0], getgid()), 0);
        assert_true(v.full);
        close(pair[0]);
        close(pair[1]);

        v.uid = 12345;
        assert_int_equal(view_of_peer(&v, -1, VIEW_NO_GROUP), -EBADF);
        assert_int_equal(v.uid, 12345);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_open_in_the_limited_view),
                cmocka_unit_test(test_past_in_the_limited_view),
                cmocka_unit_test(test_peer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "daemon/answer/show.h"
#include "wire/validate.h"

static void check(struct jsonw *w, const char *expected) {
        struct validation v;

        assert_false(w->failed);
        assert_int_equal(validate(w->data, w->size, &v), 0);
        assert_string_equal(v.name, "");
        jsonw_literal(w, "\0");
        assert_string_equal(w->data, expected);
        jsonw_done(w);
}

static struct record listener(void) {
        return (struct record){
                .seq = 9,
                .id = 9,
                .kind = RECORD_LISTEN,
                .time_usec = 1700000000000001,
                .opened_usec = 1700000000000000,
                .first_seen_usec = 1600000000000000,
                .transport = TRANSPORT_TCP,
                .family = FAMILY_IPV6,
                .exposure = EXPOSURE_ANY,
                .attribution = ATTRIBUTION_EXACT,
                .local_port = 22,
                .netns = 4026531840,
        };
}

static void test_listener(void **state) {
        const struct owner o = { .pid = 1,
                                 .uid = 0,
                                 .name = "systemd",
                                 .executable = "/usr/lib/systemd/systemd",
                                 .unit = "ssh.socket" };
        struct jsonw w = { .max = 65536 };
        struct record r = listener();

        (void) state;
        r.flags = RECORD_JUDGED | RECORD_EXPECTED;
        assert_true(show_can(&r));
        show_listener(&w, NULL, &r, &o, NULL, "tcp/22 unit=ssh.socket");
        check(&w,
              "{\"id\":9,\"transport\":\"tcp\",\"family\":\"ipv6\",\"local\":{\"address\":\"::\","
              "\"port\":22},\"exposure\":\"any\",\"category\":\"system\",\"service\":null,"
              "\"netns\":4026531840,\"owner\":{\"pid\":1,\"name\":\"systemd\",\"executable\":"
              "\"/usr/lib/systemd/systemd\",\"uid\":0,\"unit\":\"ssh.socket\",\"container\":null,"
              "\"attribution\":\"exact\"},\"holder\":null,\"opened_usec\":1700000000000000,"
              "\"first_seen_usec\":1600000000000000,\"expected\":true,"
              "\"rule\":\"tcp/22 unit=ssh.socket\"}");
}

/* Whoever serves it has been found by looking, however sure the owner is. */
static void test_holder(void **state) {
        const struct owner o = { .pid = 1, .uid = 0, .name = "systemd", .unit = "ssh.socket" };
        const struct owner holder = { .pid = 77,
                                      .uid = 5,
                                      .name = "sshd",
                                      .executable = "/usr/sbin/sshd",
                                      .unit = "ssh.service",
                                      .container = "lxc:a" };
        struct jsonw w = { .max = 65536 };
        struct record r = listener();

        (void) state;
        r.first_seen_usec = 0;
        show_listener(&w, NULL, &r, &o, &holder, "");
        check(&w,
              "{\"id\":9,\"transport\":\"tcp\",\"family\":\"ipv6\",\"local\":{\"address\":\"::\","
              "\"port\":22},\"exposure\":\"any\",\"category\":\"system\",\"service\":null,"
              "\"netns\":4026531840,\"owner\":{\"pid\":1,\"name\":\"systemd\",\"executable\":null,"
              "\"uid\":0,\"unit\":\"ssh.socket\",\"container\":null,\"attribution\":\"exact\"},"
              "\"holder\":{\"pid\":77,\"name\":\"sshd\",\"executable\":\"/usr/sbin/sshd\","
              "\"uid\":5,\"unit\":\"ssh.service\",\"container\":\"lxc:a\","
              "\"attribution\":\"lookup\"},\"opened_usec\":1700000000000000,"
              "\"first_seen_usec\":1700000000000000,\"expected\":null,\"rule\":null}");
}

static void test_connections(void **state) {
        const struct owner nobody = { .uid = UID_UNKNOWN };
        struct jsonw w = { .max = 65536 };
        struct record r = {
                .id = 3,
                .kind = RECORD_CLOSE,
                .time_usec = 20,
                .opened_usec = 10,
                .bytes_received = 5,
                .bytes_sent = 6,
                .transport = TRANSPORT_UDP,
                .family = FAMILY_IPV4,
                .direction = DIRECTION_OUTBOUND,
                .outcome = OUTCOME_RESET,
                .flags = RECORD_BYTES_KNOWN,
                .local = { 10, 0, 0, 1 },
                .remote = { 8, 8, 8, 8 },
                .local_port = 40000,
                .remote_port = 53,
        };

        (void) state;
        show_connection(&w, NULL, &r, &nobody, NULL);
        check(&w,
              "{\"id\":3,\"transport\":\"udp\",\"family\":\"ipv4\",\"direction\":\"outbound\","
              "\"local\":{\"address\":\"10.0.0.1\",\"port\":40000},\"remote\":{\"address\":"
              "\"8.8.8.8\",\"port\":53},\"category\":\"system\",\"service\":null,\"netns\":0,"
              "\"owner\":{\"pid\":null,\"name\":null,\"executable\":null,\"uid\":null,"
              "\"unit\":null,\"container\":null,\"attribution\":\"unknown\"},\"opened_usec\":10,"
              "\"closed_usec\":20,\"bytes_received\":5,\"bytes_sent\":6,\"outcome\":\"reset\","
              "\"expected\":null,\"rule\":null}");

        /* Open ones have no end, and no other outcome; refused ones came from outside. */
        r.kind = RECORD_OPEN;
        r.flags = RECORD_JUDGED | RECORD_EXPECTED;
        show_connection(&w, NULL, &r, &nobody, "tcp/53 from=10.0.0.0/8");
        jsonw_literal(&w, "\0");
        assert_non_null(strstr(w.data, "\"closed_usec\":null,\"bytes_received\":null,"
                                       "\"bytes_sent\":null,\"outcome\":\"open\","
                                       "\"expected\":true,\"rule\":\"tcp/53 from=10.0.0.0/8\"}"));
        jsonw_done(&w);
        r.kind = RECORD_REFUSE;
        r.direction = DIRECTION_NONE;
        r.outcome = OUTCOME_REFUSED;
        r.flags = RECORD_JUDGED;
        assert_true(show_can(&r));
        show_connection(&w, NULL, &r, &nobody, "");
        jsonw_literal(&w, "\0");
        assert_non_null(strstr(w.data, "\"direction\":\"inbound\""));
        assert_non_null(strstr(w.data, "\"outcome\":\"refused\","
                                       "\"expected\":false,\"rule\":null}"));
        jsonw_done(&w);
        r.attempts = 12;
        show_event(&w, NULL, &r, &nobody, "a rule");
        jsonw_literal(&w, "\0");
        assert_non_null(strstr(w.data, "\"expected\":false,\"rule\":\"a rule\"}"));
        assert_non_null(strstr(w.data, ",\"lost\":null,\"attempts\":12}"));
        jsonw_done(&w);
}

static void test_marks(void **state) {
        const struct owner nobody = { .uid = UID_UNKNOWN };
        struct jsonw w = { .max = 65536 };
        struct record r = { .seq = 4, .time_usec = 5, .kind = RECORD_LOST, .lost = 6 };

        (void) state;
        jsonw_open(&w, '[');
        show_event(&w, NULL, &r, &nobody, "");
        r.flags = RECORD_COUNT_KNOWN;
        show_event(&w, NULL, &r, &nobody, "");
        r.kind = RECORD_START;
        show_event(&w, NULL, &r, &nobody, "");
        jsonw_close(&w, ']');
        check(&w, "[{\"seq\":4,\"time_usec\":5,\"kind\":\"lost\",\"listener\":null,\"connection\":"
                  "null,\"lost\":null,\"attempts\":null},{\"seq\":4,\"time_usec\":5,\"kind\":"
                  "\"lost\",\"listener\":null,"
                  "\"connection\":null,\"lost\":6,\"attempts\":null},{\"seq\":4,\"time_usec\":5,"
                  "\"kind\":\"start\","
                  "\"listener\":null,\"connection\":null,\"lost\":null,\"attempts\":null}]");
}

/* An event has its listener or its connection, whatever they are called. */
static void test_events_and_hostile_names(void **state) {
        const struct owner o = { .uid = 1, .name = "a\"\n\xff", .unit = "\x1b[2J" };
        struct jsonw w = { .max = 65536 };
        struct record r = listener();
        struct validation v;

        (void) state;
        show_event(&w, NULL, &r, &o, "rule \\ \"x\"");
        assert_int_equal(validate(w.data, w.size, &v), 0);
        jsonw_literal(&w, "\0");
        assert_non_null(strstr(w.data, "\"listener\":{\"id\":9,"));
        assert_non_null(strstr(w.data, ",\"holder\":null,"));
        assert_non_null(strstr(w.data, "\"connection\":null"));
        assert_non_null(strstr(w.data, "\"name\":\"a\\\"\\n\xef\xbf\xbd\""));
        assert_non_null(strstr(w.data, "\"unit\":\"\\u001b[2J\""));
        assert_non_null(strstr(w.data, "\"expected\":null,\"rule\":\"rule \\\\ \\\"x\\\"\""));
        jsonw_done(&w);
}

/* What has no words is not shown, in any of its fields. */
static void test_records_without_words(void **state) {
        struct record good = listener(), r;

        (void) state;
        assert_true(show_can(&good));
        r = good;
        r.exposure = EXPOSURE_NONE; /* follows from the address */
        assert_true(show_can(&r));
        r = good;
        r.transport = TRANSPORT_MAX;
        assert_false(show_can(&r));
        r = good;
        r.family = 0;
        assert_false(show_can(&r));
        r = good;
        r.attribution = ATTRIBUTION_MAX;
        assert_false(show_can(&r));
        r = good;
        r.kind = RECORD_OPEN;
        assert_false(show_can(&r));
        r.direction = DIRECTION_INBOUND;
        assert_true(show_can(&r));
        r.outcome = OUTCOME_MAX;
        assert_false(show_can(&r));
        r.kind = RECORD_KIND_MAX;
        assert_false(show_can(&r));
        r.kind = RECORD_NONE;
        assert_false(show_can(&r));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_listener),
                cmocka_unit_test(test_holder),
                cmocka_unit_test(test_connections),
                cmocka_unit_test(test_marks),
                cmocka_unit_test(test_events_and_hostile_names),
                cmocka_unit_test(test_records_without_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

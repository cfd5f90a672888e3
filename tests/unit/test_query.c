/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <json-c/json_tokener.h>
#include <stdio.h>
#include <string.h>

#include "daemon/answer/query.h"

/* Reads a filter; on error, the member that is wrong is in *ret_bad until the next call. */
static int read_filter(struct filter *ret, const char *text, const char **ret_bad) {
        static char bad[64];
        json_object *o = json_tokener_parse(text);
        const char *name = "filter";
        int r;

        assert_non_null(o);
        *ret = (struct filter){};
        r = filter_take(o, ret, &name);
        snprintf(bad, sizeof(bad), "%s", name);
        if (ret_bad)
                *ret_bad = bad;
        json_object_put(o);
        return r;
}

static struct record connection(void) {
        struct record r = {
                .kind = RECORD_OPEN,
                .transport = TRANSPORT_TCP,
                .family = FAMILY_IPV4,
                .direction = DIRECTION_INBOUND,
                .local_port = 443,
                .remote_port = 50000,
                .netns = 7,
        };

        inet_pton(AF_INET, "192.168.1.1", r.local);
        inet_pton(AF_INET, "10.1.2.3", r.remote);
        return r;
}

static struct record listener(void) {
        return (struct record){
                .kind = RECORD_LISTEN,
                .transport = TRANSPORT_UDP,
                .family = FAMILY_IPV6,
                .local_port = 5353,
                .netns = 7,
        };
}

static struct owner somebody(void) {
        return (struct owner){
                .pid = 42,
                .uid = 1000,
                .name = "nginx",
                .unit = "nginx.service",
                .container = "web",
        };
}

static bool matches(const char *text, const struct record *r) {
        const struct owner o = somebody();
        struct filter f;
        bool yes;

        assert_int_equal(read_filter(&f, text, NULL), 0);
        yes = filter_matches_record(&f, r) && filter_matches_owner(&f, &o);
        filter_done(&f);
        return yes;
}

static void test_members(void **state) {
        /* Each pair: one that matches the connection and one that does not. */
        static const char *const pairs[][2] = {
                { "{}", NULL },
                { "{\"transport\":null,\"ports\":null}", NULL },
                { "{\"transport\":\"tcp\"}", "{\"transport\":\"udp\"}" },
                { "{\"family\":\"ipv4\"}", "{\"family\":\"ipv6\"}" },
                { "{\"direction\":\"inbound\"}", "{\"direction\":\"outbound\"}" },
                { "{\"category\":\"system\"}", "{\"category\":\"user\"}" },
                { "{\"ports\":[443]}", "{\"ports\":[50000]}" },
                { "{\"ports\":[0,442,443,65535]}", "{\"ports\":[442,444]}" },
                { "{\"peer\":\"10.1.2.3\"}", "{\"peer\":\"192.168.1.1\"}" },
                { "{\"peer\":\"10.0.0.0/8\"}", "{\"peer\":\"11.0.0.0/8\"}" },
                { "{\"peer\":\"10.1.2.255/24\"}", "{\"peer\":\"10.1.3.0/24\"}" },
                { "{\"peer\":\"10.1.2.2/31\"}", "{\"peer\":\"10.1.2.2/32\"}" },
                { "{\"peer\":\"0.0.0.0/0\"}", "{\"peer\":\"::/0\"}" },
                { "{\"peer\":\"::ffff:10.1.0.0/112\"}", "{\"peer\":\"::ffff:10.2.0.0/112\"}" },
                { "{\"pid\":42}", "{\"pid\":43}" },
                { "{\"name\":\"nginx\"}", "{\"name\":\"ngin\"}" },
                { "{\"uid\":1000}", "{\"uid\":0}" },
                { "{\"unit\":\"nginx\"}", "{\"unit\":\"ngin\"}" },
                { "{\"unit\":\"nginx.service\"}", "{\"unit\":\"nginx.socket\"}" },
                { "{\"container\":\"web\"}", "{\"container\":\"web2\"}" },
                { "{\"netns\":7}", "{\"netns\":8}" },
                { "{\"kinds\":[\"close\",\"open\"]}", "{\"kinds\":[\"close\"]}" },
                { "{\"ports\":[443],\"uid\":1000}", "{\"ports\":[443],\"uid\":1}" },
                { "{\"ports\":[443],\"uid\":1000}", "{\"ports\":[80],\"uid\":1000}" },
                { "{}", "{\"ports\":[]}" },
                { "{}", "{\"kinds\":[]}" },
                { "{}", "{\"expected\":true}" },
                { "{}", "{\"expected\":false}" },
                { "{\"first_seen_since_usec\":null}", "{\"first_seen_since_usec\":0}" },
        };
        struct record r = connection();

        (void) state;
        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                if (!matches(pairs[i][0], &r))
                        fail_msg("does not match: %s", pairs[i][0]);
                if (pairs[i][1] && matches(pairs[i][1], &r))
                        fail_msg("matches: %s", pairs[i][1]);
        }
}

static void test_service_port(void **state) {
        struct record r = connection();

        (void) state;
        r.direction = DIRECTION_OUTBOUND;
        assert_true(matches("{\"ports\":[50000],\"category\":\"dynamic\"}", &r));
        assert_false(matches("{\"ports\":[443]}", &r));
        r.kind = RECORD_REFUSE;
        r.direction = DIRECTION_NONE;
        assert_true(matches("{\"ports\":[443],\"direction\":\"inbound\"}", &r));
        assert_false(matches("{\"direction\":\"outbound\"}", &r));
}

static void test_listeners(void **state) {
        struct record r = listener();

        (void) state;
        assert_true(matches("{\"ports\":[5353],\"transport\":\"udp\"}", &r));
        assert_false(matches("{\"direction\":\"inbound\"}", &r));
        assert_false(matches("{\"peer\":\"::/0\"}", &r));
        assert_false(matches("{\"expected\":true}", &r));
        assert_false(matches("{\"expected\":false}", &r));
        r.flags = RECORD_JUDGED;
        assert_false(matches("{\"expected\":true}", &r));
        assert_true(matches("{\"expected\":false}", &r));
        r.flags = RECORD_JUDGED | RECORD_EXPECTED;
        assert_true(matches("{\"expected\":true}", &r));
        assert_false(matches("{\"expected\":false}", &r));
}

/* Connections are judged too, where a rule says from where they may come. */
static void test_expected_connections(void **state) {
        struct record r = connection();

        (void) state;
        r.flags = RECORD_JUDGED;
        assert_false(matches("{\"expected\":true}", &r));
        assert_true(matches("{\"expected\":false}", &r));
        r.flags = RECORD_JUDGED | RECORD_EXPECTED;
        assert_true(matches("{\"expected\":true}", &r));
        assert_false(matches("{\"expected\":false}", &r));
}

static void test_first_seen(void **state) {
        struct record r = listener();

        (void) state;
        r.first_seen_usec = 1000;
        r.opened_usec = 2000;
        assert_true(matches("{\"first_seen_since_usec\":0}", &r));
        assert_true(matches("{\"first_seen_since_usec\":1000}", &r));
        assert_false(matches("{\"first_seen_since_usec\":1001}", &r));
        assert_false(matches("{\"first_seen_since_usec\":2000}", &r));
        r.kind = RECORD_UNLISTEN;
        assert_true(matches("{\"first_seen_since_usec\":1000}", &r));
        assert_false(matches("{\"first_seen_since_usec\":1001}", &r));
        /* Never told: it is new when it opens, as it is shown. */
        r.first_seen_usec = 0;
        assert_true(matches("{\"first_seen_since_usec\":2000}", &r));
        assert_false(matches("{\"first_seen_since_usec\":2001}", &r));

        /* What is there of a connection are bytes. */
        r = connection();
        r.bytes_received = 5000;
        assert_false(matches("{\"first_seen_since_usec\":0}", &r));
        assert_false(matches("{\"first_seen_since_usec\":1000}", &r));
}

static void test_ipv6_peers(void **state) {
        struct record r = connection();

        (void) state;
        r.family = FAMILY_IPV6;
        inet_pton(AF_INET6, "2001:db8::1", r.remote);
        assert_true(matches("{\"peer\":\"2001:db8::1\"}", &r));
        assert_true(matches("{\"peer\":\"2001:DB8::/32\"}", &r));
        assert_true(matches("{\"peer\":\"2001:db8::/127\"}", &r));
        assert_false(matches("{\"peer\":\"2001:db8::/128\"}", &r));
        assert_false(matches("{\"peer\":\"2001:db9::/32\"}", &r));
        assert_false(matches("{\"peer\":\"0.0.0.0/0\"}", &r));
}

/* What has no socket passes as long as nothing is said of sockets. */
static void test_marks(void **state) {
        static const uint8_t marks[] = { RECORD_LOST, RECORD_START, RECORD_STOP };

        (void) state;
        for (size_t i = 0; i < sizeof(marks); i++) {
                const struct record r = { .kind = marks[i] };

                assert_true(matches("{}", &r));
                assert_true(matches("{\"kinds\":[\"lost\",\"start\",\"stop\"]}", &r));
                assert_false(matches("{\"kinds\":[\"open\"]}", &r));
                assert_false(matches("{\"netns\":0}", &r));
                assert_false(matches("{\"uid\":1000}", &r));
                assert_false(matches(
                        "{\"transport\":\"tcp\",\"kinds\":[\"lost\",\"start\",\"stop\"]}", &r));
        }
}

static void test_unknown_owner(void **state) {
        static const char *const texts[] = { "{\"pid\":42}", "{\"uid\":0}", "{\"name\":\"x\"}",
                                             "{\"unit\":\"x\"}", "{\"container\":\"x\"}" };
        const struct owner nobody = { .uid = UID_UNKNOWN };
        struct filter f;

        (void) state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                assert_int_equal(read_filter(&f, texts[i], NULL), 0);
                assert_false(filter_matches_owner(&f, &nobody));
                filter_done(&f);
        }
}

/* Names are compared as far as the record keeps them. */
static void test_long_names(void **state) {
        struct owner o = { .name = "a-very-long-nam" };
        struct filter f;

        (void) state;
        assert_int_equal(read_filter(&f, "{\"name\":\"a-very-long-name-indeed\"}", NULL), 0);
        assert_true(filter_matches_owner(&f, &o));
        filter_done(&f);
        o = (struct owner){ .name = "a-very-long" };
        assert_int_equal(read_filter(&f, "{\"name\":\"a-very-long-name-indeed\"}", NULL), 0);
        assert_false(filter_matches_owner(&f, &o));
        filter_done(&f);
}

static void test_refused(void **state) {
        static const struct {
                const char *text, *bad;
        } cases[] = {
                { "[]", "filter" },
                { "\"tcp\"", "filter" },
                { "{\"port\":443}", "port" },
                { "{\"port\":null}", "port" },
                { "{\"transport\":\"dccp\"}", "transport" },
                { "{\"transport\":6}", "transport" },
                { "{\"family\":\"inet\"}", "family" },
                { "{\"direction\":\"\"}", "direction" },
                { "{\"category\":\"registered\"}", "category" },
                { "{\"ports\":443}", "ports" },
                { "{\"ports\":[\"443\"]}", "ports" },
                { "{\"ports\":[443,-1]}", "ports" },
                { "{\"ports\":[65536]}", "ports" },
                { "{\"ports\":[443.0]}", "ports" },
                { "{\"ports\":[null]}", "ports" },
                { "{\"peer\":\"\"}", "peer" },
                { "{\"peer\":\"host\"}", "peer" },
                { "{\"peer\":\"10.0.0\"}", "peer" },
                { "{\"peer\":\"10.0.0.0/33\"}", "peer" },
                { "{\"peer\":\"10.0.0.0/\"}", "peer" },
                { "{\"peer\":\"10.0.0.0/-1\"}", "peer" },
                { "{\"peer\":\"10.0.0.0/8/8\"}", "peer" },
                { "{\"peer\":\"10.0.0.0/0008\"}", "peer" },
                { "{\"peer\":\"fe80::1%eth0\"}", "peer" },
                { "{\"peer\":\"::/129\"}", "peer" },
                { "{\"peer\":167772160}", "peer" },
                { "{\"peer\":\"1111:2222:3333:4444:5555:6666:7777:8888:1111:2222:3333:4444:5555\"}",
                  "peer" },
                { "{\"pid\":0}", "pid" },
                { "{\"pid\":-1}", "pid" },
                { "{\"pid\":2147483648}", "pid" },
                { "{\"pid\":\"42\"}", "pid" },
                { "{\"pid\":true}", "pid" },
                { "{\"pid\":1.9}", "pid" },
                { "{\"name\":\"\"}", "name" },
                { "{\"name\":1}", "name" },
                { "{\"uid\":4294967295}", "uid" },
                { "{\"unit\":[]}", "unit" },
                { "{\"container\":{}}", "container" },
                { "{\"netns\":4294967296}", "netns" },
                { "{\"expected\":1}", "expected" },
                { "{\"expected\":\"true\"}", "expected" },
                { "{\"kinds\":\"open\"}", "kinds" },
                { "{\"kinds\":[\"open\",\"opened\"]}", "kinds" },
                { "{\"kinds\":[1]}", "kinds" },
        };
        const char *bad;
        struct filter f;

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (read_filter(&f, cases[i].text, &bad) != -EINVAL)
                        fail_msg("accepted: %s", cases[i].text);
                assert_string_equal(bad, cases[i].bad);
                filter_done(&f);
        }
}

static void test_added(void **state) {
        struct record r = connection();
        struct filter f = {};

        (void) state;
        assert_true(filter_matches_record(&f, &r));
        assert_int_equal(filter_add_port(&f, 443), 0);
        filter_add_transport(&f, TRANSPORT_TCP);
        assert_true(filter_matches_record(&f, &r));
        r.transport = TRANSPORT_UDP;
        assert_false(filter_matches_record(&f, &r));
        r.transport = TRANSPORT_TCP;
        r.local_port = 444;
        assert_false(filter_matches_record(&f, &r));
        filter_done(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_members),
                cmocka_unit_test(test_service_port),
                cmocka_unit_test(test_listeners),
                cmocka_unit_test(test_ipv6_peers),
                cmocka_unit_test(test_marks),
                cmocka_unit_test(test_unknown_owner),
                cmocka_unit_test(test_expected_connections),
                cmocka_unit_test(test_first_seen),
                cmocka_unit_test(test_long_names),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_added),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

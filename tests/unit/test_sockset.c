/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <arpa/inet.h>

#include "cli/sockset.h"
#include "lib/record.h"

static struct sockid make(const char *local, uint16_t port, const char *remote,
                          uint16_t remote_port) {
        bool six = strchr(local, ':');
        struct sockid id = {
                .local_port = port,
                .remote_port = remote_port,
                .transport = TRANSPORT_TCP,
                .family = six ? FAMILY_IPV6 : FAMILY_IPV4,
        };

        assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, local, id.local), 1);
        if (remote)
                assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, remote, id.remote), 1);
        return id;
}

static struct sockid udp_of(struct sockid id) {
        id.transport = TRANSPORT_UDP;
        return id;
}

static void add(struct sockset *s, uint16_t port, uint8_t loose) {
        struct sockid id = make("127.0.0.1", port, NULL, 0);

        id.loose = loose;
        assert_int_equal(sockset_add(s, &id), 0);
}

/* The ports of what a has and b has not, in order, up to a zero. */
static void expect_missing(const struct sockset *a, const struct sockset *b,
                           const uint16_t *ports) {
        struct sockset only = { .n = 0 };

        assert_int_equal(sockset_subtract(&only, a, b), 0);
        for (size_t i = 0; i < only.n; i++)
                assert_int_equal(only.list[i].local_port, ports[i]);
        assert_int_equal(ports[only.n], 0);
        sockset_done(&only);
}

static void test_subtract(void **state) {
        struct sockset a = { .n = 0 }, b = { .n = 0 }, none = { .n = 0 };

        (void) state;
        add(&a, 3, 0);
        add(&a, 1, 0);
        add(&a, 2, 0);
        add(&a, 2, 0);
        add(&a, 2, 0);
        add(&b, 2, 0);
        add(&b, 9, 0);
        add(&b, 3, 0);
        sockset_sort(&a);
        sockset_sort(&b);
        expect_missing(&a, &b, (const uint16_t[]){ 1, 2, 2, 0 });
        expect_missing(&b, &a, (const uint16_t[]){ 9, 0 });
        expect_missing(&a, &none, (const uint16_t[]){ 1, 2, 2, 2, 3, 0 });
        expect_missing(&none, &a, (const uint16_t[]){ 0 });
        sockset_done(&a);
        sockset_done(&b);
}

static void test_loose(void **state) {
        struct sockset kernel = { .n = 0 }, record = { .n = 0 };

        (void) state;
        add(&kernel, 1, 1); /* in the kernel alone, but closing */
        add(&kernel, 2, 1); /* closing, and still in the record */
        add(&record, 2, 0);
        add(&kernel, 3, 1); /* one is closing, its like is open; the record has one */
        add(&kernel, 3, 0);
        add(&record, 3, 0);
        add(&kernel, 4, 0); /* both are open; the record has one */
        add(&kernel, 4, 1);
        add(&kernel, 4, 0);
        add(&record, 4, 0);
        add(&record, 5, 0);
        sockset_sort(&kernel);
        sockset_sort(&record);
        expect_missing(&kernel, &record, (const uint16_t[]){ 4, 0 });
        expect_missing(&record, &kernel, (const uint16_t[]){ 5, 0 });
        sockset_done(&kernel);
        sockset_done(&record);
}

static void test_intersect(void **state) {
        struct sockset a = { .n = 0 }, b = { .n = 0 };

        (void) state;
        add(&a, 1, 0);
        add(&a, 2, 0);
        add(&a, 2, 0);
        add(&a, 4, 0);
        add(&b, 0, 0);
        add(&b, 2, 0);
        add(&b, 3, 0);
        add(&b, 4, 0);
        sockset_intersect(&a, &b);
        assert_int_equal(a.n, 2);
        assert_int_equal(a.list[0].local_port, 2);
        assert_int_equal(a.list[1].local_port, 4);
        sockset_clear(&b);
        sockset_intersect(&a, &b);
        assert_int_equal(a.n, 0);
        sockset_done(&a);
        sockset_done(&b);
        sockset_done(NULL);
}

/* All that is compared, is told apart; and what a socket for IPv6 has of IPv4 is IPv4. */
static void test_identity(void **state) {
        const struct sockid ids[] = {
                make("127.0.0.1", 80, NULL, 0),
                make("127.0.0.1", 80, "127.0.0.1", 4000),
                make("127.0.0.1", 80, "127.0.0.2", 4000),
                make("127.0.0.1", 80, "127.0.0.1", 4001),
                make("127.0.0.1", 81, NULL, 0),
                make("127.0.0.2", 80, NULL, 0),
                make("0.0.0.0", 80, NULL, 0),
                make("::", 80, NULL, 0),
                make("::1", 80, NULL, 0),
                udp_of(make("127.0.0.1", 80, NULL, 0)),
        };
        const size_t n = sizeof(ids) / sizeof(ids[0]);

        (void) state;
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < n; k++) {
                        struct sockset a = { .n = 0 }, b = { .n = 0 };

                        assert_int_equal(sockset_add(&a, &ids[i]), 0);
                        assert_int_equal(sockset_add(&b, &ids[k]), 0);
                        sockset_intersect(&a, &b);
                        assert_int_equal(a.n, i == k);
                        sockset_done(&a);
                        sockset_done(&b);
                }
}

static void test_mapped(void **state) {
        static const char *const remotes[] = { NULL, "192.0.2.9" };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                struct sockset a = { .n = 0 }, b = { .n = 0 };
                struct sockid four = make("192.0.2.1", 80, remotes[i], remotes[i] ? 4000 : 0);
                struct sockid six =
                        make("::ffff:192.0.2.1", 80, remotes[i] ? "::ffff:192.0.2.9" : NULL,
                             remotes[i] ? 4000 : 0);

                assert_int_equal(sockset_add(&a, &four), 0);
                assert_int_equal(sockset_add(&b, &six), 0);
                assert_int_equal(b.list[0].family, FAMILY_IPV4);
                sockset_intersect(&a, &b);
                assert_int_equal(a.n, 1);
                sockset_done(&a);
                sockset_done(&b);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_subtract),  cmocka_unit_test(test_loose),
                cmocka_unit_test(test_intersect), cmocka_unit_test(test_identity),
                cmocka_unit_test(test_mapped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "cli/portset.h"

static struct services *registry;

static const struct services *get_registry(void) {
        return registry;
}

static int load_registry(void **state) {
        static const char text[] = "80\ttcp,udp\thttp\n443\ttcp,udp\thttps\n591\ttcp\thttp-alt\n"
                                   "8008\ttcp\thttp-alt\n8080\ttcp,udp\thttp-alt\n";
        int pipes[2];

        (void) state;
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(write(pipes[1], text, sizeof(text) - 1), sizeof(text) - 1);
        close(pipes[1]);
        assert_int_equal(services_load(&registry, pipes[0], NULL), 0);
        close(pipes[0]);
        return 0;
}

static int free_registry(void **state) {
        (void) state;
        registry = services_free(registry);
        return 0;
}

/* ports: ended by -1. */
static void expect(const char *list, const int *ports) {
        static struct portset s;
        char why[256] = "";
        unsigned n = 0;

        memset(&s, 0, sizeof(s));
        if (portset_parse(&s, list, get_registry, why) != 0)
                fail_msg("%s: %s", list, why);
        for (; ports[n] >= 0; n++)
                if (!portset_has(&s, (uint16_t) ports[n]))
                        fail_msg("%s has no %d", list, ports[n]);
        assert_int_equal(s.n, n);
}

static void test_lists(void **state) {
        (void) state;
        expect("22", (int[]){ 22, -1 });
        expect("0", (int[]){ 0, -1 });
        expect("65535", (int[]){ 65535, -1 });
        expect("22,22,080", (int[]){ 22, 80, -1 });
        expect("8000-8002,8001", (int[]){ 8000, 8001, 8002, -1 });
        expect("7-7", (int[]){ 7, -1 });
        expect("https", (int[]){ 443, -1 });
        expect("HTTP,22", (int[]){ 80, 22, -1 });
        /* Every port that has the name, and a name with a dash is no range. */
        expect("http-alt", (int[]){ 591, 8008, 8080, -1 });
}

static void test_all(void **state) {
        static struct portset s;
        char why[256];

        (void) state;
        assert_int_equal(portset_parse(&s, "0-65535", get_registry, why), 0);
        assert_int_equal(s.n, 65536);
}

static void test_wrong(void **state) {
        static const char *const lists[] = {
                "",
                ",",
                "22,",
                ",22",
                "65536",
                "-1",
                "1-",
                "2-1",
                "1-2-3",
                "1-b",
                "no such",
                "+22",
                "22 ",
                "1-65536",
                "99999999999999999999",
                "a-name-that-is-registered-nowhere-and-is-much-too-long-for-one",
        };
        static struct portset s;
        char why[256];

        (void) state;
        for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
                why[0] = '\0';
                if (portset_parse(&s, lists[i], get_registry, why) != -EINVAL)
                        fail_msg("%s passes for a list of ports", lists[i]);
                assert_true(strlen(why) > 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_wrong),
        };

        return cmocka_run_group_tests(tests, load_registry, free_registry);
}

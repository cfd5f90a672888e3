/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/answer/tally.h"

static void test_rows(void **state) {
        struct tally *t = tally_new();
        const struct tally_row *rows;
        size_t n;

        (void) state;
        assert_non_null(t);
        tally_sorted(t, &n);
        assert_int_equal(n, 0);

        tally_row(t, "b")->open++;
        tally_row(t, "a")->open++;
        tally_row(t, "busy")->inbound += 3;
        tally_row(t, "b")->bytes_sent += 100;
        tally_row(t, "")->refused++;
        rows = tally_sorted(t, &n);
        assert_int_equal(n, 4);
        assert_string_equal(rows[0].key, "busy");
        assert_string_equal(rows[1].key, "");
        assert_string_equal(rows[2].key, "a");
        assert_string_equal(rows[3].key, "b");
        assert_int_equal(rows[3].open, 1);
        assert_int_equal(rows[3].bytes_sent, 100);
        tally_free(t);
        assert_null(tally_free(NULL));
}

static void test_limit(void **state) {
        struct tally *t = tally_new();
        const struct tally_row *rows;
        uint64_t sum = 0;
        char key[32];
        size_t n;

        (void) state;
        for (unsigned round = 0; round < 2; round++)
                for (unsigned i = 0; i < TALLY_KEYS_MAX + 100; i++) {
                        snprintf(key, sizeof(key), "key%u", i);
                        tally_row(t, key)->inbound++;
                }
        rows = tally_sorted(t, &n);
        assert_int_equal(n, TALLY_KEYS_MAX + 1);
        assert_string_equal(rows[n - 1].key, "other");
        assert_int_equal(rows[n - 1].inbound, 200);
        for (size_t i = 0; i < n - 1; i++) {
                assert_int_equal(rows[i].inbound, 2);
                sum += rows[i].inbound;
        }
        assert_int_equal(sum, 2 * TALLY_KEYS_MAX);
        tally_free(t);
}

/* Keys are the same as far as they are kept. */
static void test_long_keys(void **state) {
        char a[2 * TALLY_KEY_SIZE], b[2 * TALLY_KEY_SIZE];
        struct tally *t = tally_new();
        size_t n;

        (void) state;
        memset(a, 'x', sizeof(a));
        a[sizeof(a) - 1] = 0;
        memcpy(b, a, sizeof(b));
        b[TALLY_KEY_SIZE - 1] = 'y';
        tally_row(t, a)->open++;
        tally_row(t, b)->open++;
        b[TALLY_KEY_SIZE - 2] = 'y';
        tally_row(t, b)->open++;
        assert_int_equal(tally_sorted(t, &n)[0].open, 2);
        assert_int_equal(n, 2);
        tally_free(t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_long_keys),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

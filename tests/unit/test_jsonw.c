/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <json-c/json_tokener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/jsonw.h"
#include "wire/validate.h"

#define ROOM (64U * 1024)

static void assert_written(struct jsonw *w, const char *expected) {
        assert_false(w->failed);
        jsonw_literal(w, "\0");
        assert_string_equal(w->data, expected);
        jsonw_done(w);
}

static void test_structure(void **state) {
        struct jsonw w = { .max = ROOM };

        (void) state;
        jsonw_open(&w, '{');
        jsonw_key(&w, "a");
        jsonw_open(&w, '[');
        jsonw_uint(&w, 1);
        jsonw_bool(&w, true);
        jsonw_null(&w);
        jsonw_open(&w, '{');
        jsonw_close(&w, '}');
        jsonw_open(&w, '[');
        jsonw_close(&w, ']');
        jsonw_string(&w, "x");
        jsonw_close(&w, ']');
        jsonw_key(&w, "b");
        jsonw_bool(&w, false);
        jsonw_key(&w, "c");
        jsonw_string_or_null(&w, "");
        jsonw_key(&w, "d");
        jsonw_string_or_null(&w, NULL);
        jsonw_key(&w, "e");
        jsonw_string_or_null(&w, "[");
        jsonw_key(&w, "f");
        jsonw_open(&w, '{');
        jsonw_close(&w, '}');
        jsonw_close(&w, '}');
        assert_written(&w, "{\"a\":[1,true,null,{},[],\"x\"],\"b\":false,\"c\":null,\"d\":null,"
                           "\"e\":\"[\",\"f\":{}}");
}

static void check_number(uint64_t number) {
        struct jsonw w = { .max = ROOM };
        char expected[32];

        snprintf(expected, sizeof(expected), "%llu", (unsigned long long) number);
        jsonw_uint(&w, number);
        assert_written(&w, expected);
}

/* On both sides of each power of ten. */
static void test_numbers(void **state) {
        (void) state;
        check_number(0);
        check_number(UINT64_MAX);
        for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
                check_number(power - 1);
                check_number(power);
                check_number(power + 1);
                check_number(power * 9 + power / 7);
        }
}

static void test_strings(void **state) {
        static const struct {
                const char *bytes;
                size_t size;
                const char *expected;
        } cases[] = {
#define CASE(bytes, expected) { bytes, sizeof(bytes) - 1, "\"" expected "\"" }
                CASE("", ""),
                CASE("plain", "plain"),
                CASE("/usr/lib/systemd/systemd-resolved", "/usr/lib/systemd/systemd-resolved"),
                CASE("\"\\/\b\f\n\r\t", "\\\"\\\\/\\b\\f\\n\\r\\t"),
                CASE("12345678\"2345678\\", "12345678\\\"2345678\\\\"),
                CASE("\x01\x1f\x7f\x1b[31m", "\\u0001\\u001f\x7f\\u001b[31m"),
                CASE("a\0b", "a\xef\xbf\xbd"
                             "b"),
                CASE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
                     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                CASE("1234567\xc3\xa9", "1234567\xc3\xa9"),
                CASE("1234567\xff", "1234567\xef\xbf\xbd"),
                CASE("\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"),
                CASE("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
                CASE("cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"),
#undef CASE
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct jsonw w = { .max = ROOM };

                jsonw_bytes(&w, cases[i].bytes, cases[i].size);
                assert_written(&w, cases[i].expected);
        }
}

/* Whatever bytes go in, strict JSON comes out, and what was printable comes back. */
static void test_any_bytes(void **state) {
        unsigned seed = 1;

        (void) state;
        for (unsigned round = 0; round < 2000; round++) {
                struct jsonw w = { .max = ROOM };
                size_t n = (size_t) round % 40;
                struct validation v;
                char bytes[40];

                for (size_t i = 0; i < n; i++) {
                        seed = seed * 1103515245U + 12345U;
                        bytes[i] = (char) (round % 2 ? seed >> 16 : ' ' + (seed >> 16) % 95);
                }
                jsonw_bytes(&w, bytes, n);
                assert_false(w.failed);
                assert_int_equal(validate(w.data, w.size, &v), 0);
                if (round % 2 == 0) {
                        json_object *o;

                        jsonw_literal(&w, "\0");
                        o = json_tokener_parse(w.data);
                        assert_int_equal(json_object_get_string_len(o), n);
                        assert_memory_equal(json_object_get_string(o), bytes, n);
                        json_object_put(o);
                }
                jsonw_done(&w);
        }
}

static void test_limit(void **state) {
        struct jsonw w = { .max = 10000 };
        char bytes[2000];

        (void) state;
        memset(bytes, 'x', sizeof(bytes));
        for (unsigned i = 0; i < 10; i++)
                jsonw_raw(&w, bytes, 1000);
        assert_false(w.failed);
        assert_int_equal(w.size, 10000);
        jsonw_close(&w, '}');
        assert_true(w.failed);
        assert_int_equal(w.size, 10000);
        assert_true(w.allocated <= w.max);
        jsonw_done(&w);
        assert_int_equal(w.max, 10000);

        jsonw_bytes(&w, bytes, sizeof(bytes));
        assert_true(w.failed);
        assert_int_equal(w.size, 0);
        jsonw_done(&w);
        jsonw_done(NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_structure), cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_strings),   cmocka_unit_test(test_any_bytes),
                cmocka_unit_test(test_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

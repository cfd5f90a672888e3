/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "cli/json_print.h"

/*
 * A copy of text that ends with the padding at the end of its allocation, so that a sanitizer sees
 * what reads on.
 */
static char *padded(const char *text, size_t n) {
        char *copy = calloc(1, n + JSON_PADDING);

        assert_non_null(copy);
        memcpy(copy, text, n);
        return copy;
}

/* Is it one JSON value? With what is said against it if not. */
static bool valid(const char *text, size_t n, const char **ret_error) {
        char *copy = padded(text, n);
        struct json j;
        int r;

        json_start(&j, copy);
        r = json_skip(&j);
        if (r >= 0)
                r = json_finish(&j);
        if (r < 0) {
                assert_int_equal(r, -EBADMSG);
                assert_non_null(j.error);
        }
        *ret_error = j.error;
        free(copy);
        return r >= 0;
}

static void test_valid(void **state) {
        static const char *const texts[] = {
                "{}",
                "[]",
                " [ ] ",
                "[[],{},[{}]]",
                "{\"a\":1,\"b\":[true,false,null]}",
                "{ \"a\" : 1 , \"b\" : \"\" }\r\n",
                "0",
                "-0",
                "123456789012345678901234567890",
                "1.5e+10",
                "1E-7",
                "\"\"",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud834\\udd1e\"",
                "\"\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e\"",
                "\"\x7f\"",
                "true",
                "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
        };
        const char *error;

        (void) state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (!valid(texts[i], strlen(texts[i]), &error))
                        fail_msg("%s: %s", texts[i], error);
}

static void test_invalid(void **state) {
        static const char *const texts[] = {
                "",
                " ",
                "{",
                "}",
                "[",
                "]",
                "[}",
                "{]",
                "[1,]",
                "[,1]",
                "[1 2]",
                "{\"a\"}",
                "{\"a\":}",
                "{\"a\":1,}",
                "{a:1}",
                "{1:1}",
                "{\"a\" 1}",
                "{} {}",
                "[]x",
                "nul",
                "nulll",
                "True",
                "NaN",
                "Infinity",
                "-",
                "+1",
                "01",
                "-01",
                "1.",
                ".5",
                "1e",
                "1e+",
                "0x10",
                "'a'",
                "\"",
                "\"a",
                "\"\\",
                "\"\\x41\"",
                "\"\\u12\"",
                "\"\\u12g4\"",
                "\"\\ud834\"",
                "\"\\ud834\\u0041\"",
                "\"\\ud834x\"",
                "\"\\udd1e\"",
                "\"\n\"",
                "\"\x1b\"",
                "\"\xc0\x80\"",
                "\"\xed\xa0\x80\"",
                "\"\xff\"",
                "\"\xc3",
                "\"\xe2\x82\"",
                "// comment\n1",
                "\xef\xbb\xbf{}",
                "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]",
                "{\"a\":{\"a\":[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]}}",
        };
        const char *error;

        (void) state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (valid(texts[i], strlen(texts[i]), &error))
                        fail_msg("%s passes for JSON", texts[i]);
}

/* Every beginning of a value that needs its end. */
static void test_cut(void **state) {
        static const char text[] = "{\"a\":[1.5e7,\"\\u00e4\\ud834\\udd1e\xc3\xa4\",true,null],"
                                   "\"bcdefghijklmn\":{\"c\":-12345678901}}";
        const char *error;

        (void) state;
        assert_true(valid(text, sizeof(text) - 1, &error));
        for (size_t n = 0; n < sizeof(text) - 1; n++)
                assert_false(valid(text, n, &error));
}

static int integer(const char *text, int64_t *ret) {
        char *copy = padded(text, strlen(text));
        struct json j;
        int r;

        json_start(&j, copy);
        r = json_integer(&j, ret);
        if (r >= 0)
                r = json_finish(&j);
        free(copy);
        return r;
}

static void test_integer(void **state) {
        static const struct {
                const char *text;
                int r;
        } bad[] = {
                { "9223372036854775808", -EPROTO },
                { "-9223372036854775809", -EPROTO },
                { "99999999999999999999", -EPROTO },
                { "1.0", -EPROTO },
                { "1e3", -EPROTO },
                { "\"1\"", -EPROTO },
                { "null", -EPROTO },
                { "true", -EPROTO },
                { "", -EBADMSG },
                { "01", -EBADMSG },
                { "00000000", -EBADMSG },
                { "-", -EBADMSG },
                { "--1", -EBADMSG },
                { "1x", -EBADMSG },
                { "1.", -EBADMSG },
                { "12345678901234567x", -EBADMSG },
        };
        uint64_t seed = 1;
        int64_t got;

        (void) state;
        for (unsigned bits = 0; bits < 64; bits++)
                for (unsigned i = 0; i < 200; i++) {
                        int64_t n = (int64_t) (unit_random(&seed) >> bits);
                        char text[32];

                        snprintf(text, sizeof(text), "%" PRId64, n);
                        got = ~n;
                        assert_int_equal(integer(text, &got), 0);
                        assert_true(got == n);
                }
        assert_int_equal(integer("-9223372036854775808", &got), 0);
        assert_true(got == INT64_MIN);
        assert_int_equal(integer("9223372036854775807", &got), 0);
        assert_true(got == INT64_MAX);
        assert_int_equal(integer("-0", &got), 0);
        assert_true(got == 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                got = 4711;
                if (integer(bad[i].text, &got) != bad[i].r)
                        fail_msg("%s gives %d", bad[i].text, integer(bad[i].text, &got));
        }
}

/* A string of plain characters with one other byte at each place: none is passed over. */
static void test_string_bytes(void **state) {
        (void) state;
        for (unsigned byte = 1; byte < 256; byte++)
                for (size_t at = 0; at < 20; at++) {
                        char text[32], *copy;
                        struct json_string s;
                        struct json j;
                        int r;

                        memset(text, 'a', sizeof(text));
                        text[0] = '"';
                        text[1 + at] = (char) byte;
                        text[21] = '"';
                        copy = padded(text, 22);
                        json_start(&j, copy);
                        r = json_string(&j, &s);
                        if (byte == '"') {
                                assert_int_equal(r, 0);
                                assert_int_equal(s.size, at);
                        } else if (byte < 0x20 || byte == '\\' || byte >= 0x80)
                                assert_int_equal(r, -EBADMSG);
                        else {
                                assert_int_equal(r, 0);
                                assert_int_equal(s.size, 20);
                                assert_int_equal(s.plain, byte != 0x7f);
                                assert_int_equal(j.rewrite, byte == 0x7f);
                        }
                        free(copy);
                }
}

static void expect_print(const char *text, bool pretty, const char *wanted) {
        char *copy = padded(text, strlen(text));
        const char *error;
        struct buf b = { 0 };

        assert_true(valid(text, strlen(text), &error));
        json_print(&b, copy, strlen(text), pretty);
        buf_char(&b, '\0');
        assert_false(b.failed);
        assert_string_equal(b.data, wanted);
        buf_done(&b);
        free(copy);
}

static void test_print(void **state) {
        (void) state;
        expect_print(" { \"a b\" : [ 1 , 2.5 ] ,\n\"c\":{ } , \"d\" : [\t] }", false,
                     "{\"a b\":[1,2.5],\"c\":{},\"d\":[]}");
        expect_print("{\"a b\":[1,{\"x\":null}],\"c\":{},\"d\":[]}", true,
                     "{\n  \"a b\": [\n    1,\n    {\n      \"x\": null\n    }\n  ],\n"
                     "  \"c\": {},\n  \"d\": []\n}");
        /* Controls, and marks that turn text around, but no other characters. */
        expect_print("\"a\x7f\xc2\x9b\xe2\x80\xae\\u001b\xc3\xa4\xf0\x9d\x84\x9e, {}\\\"\"", false,
                     "\"a\\u007f\\u009b\\u202e\\u001b\xc3\xa4\xf0\x9d\x84\x9e, {}\\\"\"");
}

static void expect_shown(const char *text, bool ascii, bool no_blanks, const char *wanted) {
        char *copy = padded(text, strlen(text));
        struct json_string s;
        struct buf b = { 0 };
        struct json j;

        json_start(&j, copy);
        assert_int_equal(json_string(&j, &s), 0);
        json_show(&b, &s, ascii, no_blanks);
        buf_char(&b, '\0');
        assert_false(b.failed);
        assert_string_equal(b.data, wanted);
        buf_done(&b);
        free(copy);
}

static void test_show(void **state) {
        (void) state;
        expect_shown("\"plain text\"", false, false, "plain text");
        expect_shown("\"plain text\"", false, true, "plain\\x20text");
        expect_shown("\"a\\n\\u0000\\u001b[31m\"", false, false, "a\\x0a\\x00\\x1b[31m");
        expect_shown("\"\\\"\\\\\\/\\u00e4\\ud834\\udd1e\"", false, false,
                     "\"\\/\xc3\xa4\xf0\x9d\x84\x9e");
        expect_shown("\"\xc3\xa4\\u00e4\"", true, false, "\\xc3\\xa4\\xc3\\xa4");
        expect_shown("\"\xc2\x9b\x7f\xe2\x80\xae\"", false, false,
                     "\\xc2\\x9b\\x7f\\xe2\\x80\\xae");
}

static void test_put_string(void **state) {
        struct buf b = { 0 };

        (void) state;
        buf_json_string(&b, "a\"\\\n\x7f\xc3\xa4\xff\xe2\x82");
        buf_char(&b, '\0');
        assert_string_equal(
                b.data, "\"a\\\"\\\\\\u000a\\u007f\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
        b.size = 0;
        buf_number(&b, INT64_MIN);
        buf_number(&b, INT64_MAX);
        buf_digits(&b, 7, 3);
        buf_digits(&b, UINT64_MAX, 1);
        buf_char(&b, '\0');
        assert_string_equal(b.data,
                            "-9223372036854775808922337203685477580700718446744073709551615");
        buf_done(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),        cmocka_unit_test(test_invalid),
                cmocka_unit_test(test_cut),          cmocka_unit_test(test_integer),
                cmocka_unit_test(test_string_bytes), cmocka_unit_test(test_print),
                cmocka_unit_test(test_show),         cmocka_unit_test(test_put_string),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/utf8.h"
#include "wire/validate.h"

/* In memory of its own, so that a sanitizer sees a read past the end. */
static int validate_copy(const char *text, size_t size, struct validation *ret) {
        char *copy = malloc(size ? size : 1);
        int r;

        assert_non_null(copy);
        memcpy(copy, text, size);
        r = validate(copy, size, ret);
        free(copy);
        return r;
}

#define TEXT(literal)                                                                              \
        { (literal), sizeof(literal) - 1 }

struct text {
        const char *bytes;
        size_t size;
};

static void test_accepted(void **state) {
        static const struct text good[] = {
                TEXT("{}"),
                TEXT(" \t\r\n{ } \n"),
                TEXT("[]"),
                TEXT("[ 1 , 2 ]"),
                TEXT("null"),
                TEXT("true"),
                TEXT("false"),
                TEXT("\"\""),
                TEXT("0"),
                TEXT("-0"),
                TEXT("9223372036854775807"),
                TEXT("-9223372036854775808"),
                TEXT("1.5"),
                TEXT("-1.25e+10"),
                TEXT("1E5"),
                TEXT("0e-0"),
                TEXT("1e400"),
                TEXT("{\"a\":{\"a\":[{\"a\":1}]},\"b\":null}"),
                TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\""),
                TEXT("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\x7f\""),
                TEXT("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"),
        };
        struct validation v;

        (void) state;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                if (validate_copy(good[i].bytes, good[i].size, &v) != 0)
                        fail_msg("%s: %s at %zu", good[i].bytes, v.problem, v.offset);
                assert_null(v.problem);
                assert_string_equal(v.name, "");
        }
}

static void test_refused(void **state) {
        static const struct text bad[] = {
                TEXT(""),
                TEXT(" "),
                TEXT("{"),
                TEXT("}"),
                TEXT("{]"),
                TEXT("[}"),
                TEXT("{}{}"),
                TEXT("{} {}"),
                TEXT("{},"),
                TEXT("{,}"),
                TEXT("{\"a\"}"),
                TEXT("{\"a\":}"),
                TEXT("{\"a\":1,}"),
                TEXT("{a:1}"),
                TEXT("{'a':1}"),
                TEXT("{1:1}"),
                TEXT("{\"a\":1 \"b\":2}"),
                TEXT("[1,]"),
                TEXT("[,1]"),
                TEXT("[1 2]"),
                TEXT("nul"),
                TEXT("nulll"),
                TEXT("True"),
                TEXT("NaN"),
                TEXT("Infinity"),
                TEXT("-Infinity"),
                TEXT("+1"),
                TEXT("-"),
                TEXT("01"),
                TEXT("1."),
                TEXT(".5"),
                TEXT("1e"),
                TEXT("1e+"),
                TEXT("0x10"),
                TEXT("9223372036854775808"),
                TEXT("-9223372036854775809"),
                TEXT("\""),
                TEXT("\"\\"),
                TEXT("\"\\\""),
                TEXT("\"\\x41\""),
                TEXT("\"\\u12\""),
                TEXT("\"\\u12G4\""),
                TEXT("\"\\u0000\""),
                TEXT("\"\\uD800\""),
                TEXT("\"\\uDC00\""),
                TEXT("\"\\uD800\\u0041\""),
                TEXT("\"\\uD800\\uD800\""),
                TEXT("\"\\uD800\\uDC0"),
                TEXT("\"\n\""),
                TEXT("\"\t\""),
                TEXT("\"\x1f\""),
                TEXT("\"\0\""),
                TEXT("\"\x80\""),
                TEXT("\"\xc0\x80\""),
                TEXT("\"\xc1\xbf\""),
                TEXT("\"\xe0\x80\x80\""),
                TEXT("\"\xed\xa0\x80\""),
                TEXT("\"\xf0\x80\x80\x80\""),
                TEXT("\"\xf4\x90\x80\x80\""),
                TEXT("\"\xf5\x80\x80\x80\""),
                TEXT("\"\xc3\""),
                TEXT("\"\xe2\x82\""),
                TEXT("\"\xf0\x9f\x98"),
                TEXT("\xef\xbb\xbf{}"),
                TEXT("// c\n{}"),
                TEXT("/* c */{}"),
                TEXT("{}\0"),
                TEXT("\v{}"),
                TEXT("{\"a\":1,\"a\":2}"),
                TEXT("{\"a\":1,\"\\u0061\":2}"),
                TEXT("{\"\\u00e9\":1,\"\xc3\xa9\":2}"),
                TEXT("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"),
                TEXT("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"),
        };
        struct validation v;

        (void) state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                if (validate_copy(bad[i].bytes, bad[i].size, &v) != -EBADMSG)
                        fail_msg("case %zu is accepted: %s", i, bad[i].bytes);
                assert_non_null(v.problem);
                assert_true(v.offset <= bad[i].size);
        }
}

static void test_members_to_refuse(void **state) {
        static const struct {
                const char *text, *name;
        } cases[] = {
                { "{\"p\":{\"a\":1,\"a\":2}}", "a" },
                { "{\"p\":{\"a\":1,\"b\":{\"c\":1,\"c\":1},\"a\":2}}", "c" },
                { "{\"p\":{\"tab\\t\":1,\"tab\\u0009\":2}}", "tab\t" },
                { "{\"p\":{\"x\":9223372036854775808}}", "x" },
                { "{\"p\":{\"ports\":[1,99999999999999999999]}}", "ports" },
                { "{\"p\":{\"a\":{\"b\":1},\"c\":-99999999999999999999}}", "c" },
                { "{\"p\":{\"a\":1,\"aa\":2,\"b\":{\"a\":1}},\"a\":0}", "" },
                { "[{\"a\":1,\"a\":2}]", "a" },
        };
        char text[512], name[101];
        struct validation v;

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                assert_int_equal(validate_copy(cases[i].text, strlen(cases[i].text), &v), 0);
                assert_string_equal(v.name, cases[i].name);
        }

        /* Cut between characters. */
        for (size_t i = 0; i < 50; i++)
                memcpy(name + 2 * i, "\xc3\xa9", 2);
        name[100] = 0;
        snprintf(text, sizeof(text), "{\"p\":{\"%s\":1,\"%s\":2}}", name, name);
        assert_int_equal(validate_copy(text, strlen(text), &v), 0);
        assert_int_equal(strlen(v.name), 62);
        assert_memory_equal(v.name, name, 62);
}

static void test_members_are_counted(void **state) {
        char text[4096];
        struct validation v;

        (void) state;
        for (unsigned n = VALIDATE_KEYS_MAX; n <= VALIDATE_KEYS_MAX + 1; n++) {
                size_t used = 0;

                for (unsigned i = 0; i < n; i++)
                        used += (size_t) snprintf(text + used, sizeof(text) - used, "%c\"k%u\":0",
                                                  i ? ',' : '{', i);
                text[used++] = '}';
                assert_int_equal(validate_copy(text, used, &v),
                                 n > VALIDATE_KEYS_MAX ? -EBADMSG : 0);
        }
}

/* Every prefix of a whole value is refused, and nothing is read behind it. */
static void test_prefixes(void **state) {
        static const char text[] =
                "{\"method\":\"a.b\",\"parameters\":{\"s\":\"\\ud83d\\ude00\xe2\x82"
                "\xac\\n\",\"n\":[-1.5e+3,true,false,null,{}]}}";
        struct validation v;

        (void) state;
        for (size_t i = 0; i < sizeof(text) - 1; i++)
                assert_int_equal(validate_copy(text, i, &v), -EBADMSG);
        assert_int_equal(validate_copy(text, sizeof(text) - 1, &v), 0);
}

/* Each code point there is, there and back; and no sequence that is not one of them. */
static void test_utf8(void **state) {
        uint32_t found = 0;

        (void) state;
        for (uint32_t code = 0; code <= 0x10FFFF; code++) {
                char bytes[4];
                size_t n = utf8_put(bytes, code);

                if (code >= 0xD800 && code <= 0xDFFF)
                        assert_int_equal(utf8_length(bytes, n), 0);
                else {
                        assert_int_equal(utf8_length(bytes, n), n);
                        assert_int_equal(utf8_length(bytes, n - 1), 0);
                }
        }
        for (uint32_t i = 0; i < 0x1000000; i++) {
                const char bytes[3] = { (char) (i >> 16), (char) (i >> 8), (char) i };

                found += utf8_length(bytes, 3) == 3;
        }
        assert_int_equal(found, 0x10000 - 0x800 - 0x800);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_members_to_refuse),
                cmocka_unit_test(test_members_are_counted),
                cmocka_unit_test(test_prefixes),
                cmocka_unit_test(test_utf8),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

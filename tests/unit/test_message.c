/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/message.h"

/* In memory of its own and without its NUL, so that a sanitizer sees a read past the end. */
static int parse(struct message *ret, const char *text, struct message_problem *ret_problem) {
        size_t size = strlen(text);
        char *copy = strdup(text);
        int r;

        assert_non_null(copy);
        copy = realloc(copy, size ? size : 1);
        assert_non_null(copy);
        r = message_parse(ret, copy, size, ret_problem);
        free(copy);
        return r;
}

static void test_calls(void **state) {
        static const struct {
                const char *text, *method;
                bool parameters, more, oneway, upgrade;
        } cases[] = {
                { .text = "{\"method\":\"a.B\"}", .method = "a.B" },
                { .text = "{\"method\":\"\"}", .method = "" },
                { .text = " {\"method\":\"a\\u0062\"} \n", .method = "ab" },
                { .text = "{\"method\":\"a.B\",\"parameters\":null}", .method = "a.B" },
                { .text = "{\"method\":\"a.B\",\"parameters\":{}}",
                  .method = "a.B",
                  .parameters = true },
                { .text = "{\"more\":true,\"method\":\"a.B\",\"oneway\":false}",
                  .method = "a.B",
                  .more = true },
                { .text = "{\"method\":\"a.B\",\"oneway\":true,\"parameters\":{\"x\":[1]}}",
                  .method = "a.B",
                  .parameters = true,
                  .oneway = true },
                { .text = "{\"method\":\"a.B\",\"upgrade\":true}",
                  .method = "a.B",
                  .upgrade = true },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct message_problem problem = {};
                struct message m = {};

                if (parse(&m, cases[i].text, &problem) != 0)
                        fail_msg("%s: %s", cases[i].text, problem.text);
                assert_string_equal(m.method, cases[i].method);
                assert_int_equal(m.parameters != NULL, cases[i].parameters);
                assert_int_equal(m.more, cases[i].more);
                assert_int_equal(m.oneway, cases[i].oneway);
                assert_int_equal(m.upgrade, cases[i].upgrade);
                assert_string_equal(m.bad_member, "");
                message_done(&m);
                message_done(&m);
        }
}

static void test_refused(void **state) {
        static const char *const bad[] = {
                "",
                "[]",
                "[{\"method\":\"a.B\"}]",
                "null",
                "1",
                "\"a.B\"",
                "{}",
                "{\"method\":null}",
                "{\"method\":1}",
                "{\"method\":[\"a.B\"]}",
                "{\"method\":\"a.B\",\"method\":\"a.B\"}",
                "{\"method\":\"a.B\",\"parameters\":[]}",
                "{\"method\":\"a.B\",\"parameters\":\"\"}",
                "{\"method\":\"a.B\",\"parameters\":0}",
                "{\"method\":\"a.B\",\"parameters\":{},\"parameters\":{}}",
                "{\"method\":\"a.B\",\"more\":1}",
                "{\"method\":\"a.B\",\"more\":null}",
                "{\"method\":\"a.B\",\"more\":\"true\"}",
                "{\"method\":\"a.B\",\"oneway\":{}}",
                "{\"method\":\"a.B\",\"upgrade\":0}",
                "{\"method\":\"a.B\",\"more\":true,\"oneway\":true}",
                "{\"method\":\"a.B\",\"more\":true,\"upgrade\":true}",
                "{\"method\":\"a.B\",\"extra\":true}",
                "{\"method\":\"a.B\",\"error\":\"a.C\"}",
                "{\"method\":\"a.B\",\"parameters\":{\"x\":NaN}}",
                "{\"method\":\"a.B\"}{\"method\":\"a.B\"}",
        };

        (void) state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct message_problem problem = {};
                struct message m = { .method = "untouched" };

                if (parse(&m, bad[i], &problem) != -EBADMSG)
                        fail_msg("accepted: %s", bad[i]);
                assert_string_equal(m.method, "untouched");
                assert_true(strlen(problem.text) > 0);
        }
}

static void test_problem_is_said(void **state) {
        struct message_problem problem;
        struct message m;

        (void) state;
        assert_int_equal(parse(&m, "{\"method\":}", &problem), -EBADMSG);
        assert_string_equal(problem.text, "a value was expected at byte 11");
        assert_int_equal(parse(&m, "{\"method\":\"a.B\",\"verbose\":true}", &problem), -EBADMSG);
        assert_string_equal(problem.text, "a call has no member verbose");
}

static void test_bad_member(void **state) {
        struct message_problem problem;
        struct message m;

        (void) state;
        assert_int_equal(
                parse(&m, "{\"method\":\"a.B\",\"parameters\":{\"x\":1,\"x\":2}}", &problem), 0);
        assert_string_equal(m.bad_member, "x");
        message_done(&m);
}

/* As deep as may be, in json-c too. */
static void test_deep(void **state) {
        char text[128];
        struct message_problem problem;
        struct message m;

        (void) state;
        for (int depth = 14; depth <= 15; depth++) {
                snprintf(text, sizeof(text), "{\"method\":\"a.B\",\"parameters\":{\"x\":%.*s%.*s}}",
                         depth, "[[[[[[[[[[[[[[[[", depth, "]]]]]]]]]]]]]]]]");
                assert_int_equal(parse(&m, text, &problem), depth == 14 ? 0 : -EBADMSG);
                if (depth == 14)
                        message_done(&m);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_calls),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_problem_is_said),
                cmocka_unit_test(test_bad_member),
                cmocka_unit_test(test_deep),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

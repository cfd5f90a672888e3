/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

#define BYTES(literal) (literal), sizeof(literal) - 1

/* Puts size bytes in, at most piece at a time, and writes the messages as "text|0" and "text|n". */
static int feed(const char *bytes, size_t size, size_t piece, char *ret, size_t ret_size) {
        struct frame f = {};
        size_t at = 0, used = 0;
        int r = 0;

        ret[0] = 0;
        while (r == 0) {
                const char *text;
                size_t room, n, length;
                char *to, end;
                bool drained;

                assert_int_equal(frame_space(&f, &to, &room), 0);
                n = size - at;
                if (n > piece)
                        n = piece;
                if (n > room)
                        n = room;
                memcpy(to, bytes + at, n);
                frame_received(&f, n);
                at += n;
                drained = at == size;
                while ((r = frame_next(&f, drained, &text, &length, &end)) > 0) {
                        assert_true(used + length + 4 < ret_size);
                        memcpy(ret + used, text, length);
                        used += length;
                        ret[used++] = '|';
                        ret[used++] = end == '\0' ? '0' : 'n';
                        ret[used++] = ';';
                        ret[used] = 0;
                }
                if (drained)
                        break;
        }
        frame_done(&f);
        return r;
}

static void check(const char *bytes, size_t size, const char *expected) {
        char got[512];

        for (size_t piece = 1; piece <= size; piece++) {
                assert_int_equal(feed(bytes, size, piece, got, sizeof(got)), 0);
                assert_string_equal(got, expected);
        }
}

static void test_nul(void **state) {
        (void) state;
        check(BYTES("{}\0"), "{}|0;");
        check(BYTES("{}\0{\"a\":1}\0"), "{}|0;{\"a\":1}|0;");
        check(BYTES("{}"), "");
        check(BYTES("\0"), "|0;");
        check(BYTES("\0\0{}\0"), "|0;|0;{}|0;");
        check(BYTES("  \t\r\n{}\0"), "  \t\r\n{}|0;");
        check(BYTES("{} {}\0"), "{} {}|0;");
        check(BYTES("[\n}}\0"), "[\n}}|0;");
}

/* A raw newline in a string ends a line, but not a message whose NUL is there already. */
static void test_newline_in_string(void **state) {
        static const char bytes[] = "{\"a\":\"x\ny\"}\0{}";
        char got[64];

        (void) state;
        assert_int_equal(feed(bytes, sizeof(bytes), sizeof(bytes), got, sizeof(got)), 0);
        assert_string_equal(got, "{\"a\":\"x\ny\"}|0;{}|0;");
        assert_int_equal(feed(bytes, 7, 7, got, sizeof(got)), 0);
        assert_string_equal(got, "");
        assert_int_equal(feed(bytes, 8, 8, got, sizeof(got)), 0);
        assert_string_equal(got, "{\"a\":\"x|n;");
}

static void test_newline(void **state) {
        (void) state;
        check(BYTES("{}\n"), "{}|n;");
        check(BYTES("{}\r\n"), "{}\r|n;");
        check(BYTES("\n\n {}\n\n{}\n"), "\n\n {}|n;\n{}|n;");
        check(BYTES("{\n\"a\":[\n1\n]\n}\n"), "{\n\"a\":[\n1\n]\n}|n;");
        check(BYTES("{\"a\":\"}\\\"{\"}\n"), "{\"a\":\"}\\\"{\"}|n;");
        check(BYTES("{\"a\":\"\\\\\"}\n"), "{\"a\":\"\\\\\"}|n;");
        check(BYTES("hello\n{}\n"), "hello|n;{}|n;");
        check(BYTES("}}{\n{}\n"), "}}{|n;{}|n;");
        check(BYTES("{\"a\":\"open\n{}\n"), "{\"a\":\"open|n;{}|n;");
        check(BYTES("{\n"), "");
        check(BYTES("{}\n{}\0{}\n"), "{}|n;{}|0;{}|n;");
}

static void receive(struct frame *f, const char *bytes, size_t size) {
        size_t room;
        char *to;

        assert_int_equal(frame_space(f, &to, &room), 0);
        assert_true(room >= size);
        memcpy(to, bytes, size);
        frame_received(f, size);
}

/* A newline before the NUL is white space, also when they do not come together. */
static void test_newline_before_nul(void **state) {
        struct frame f = {};
        const char *text;
        size_t size;
        char end;

        (void) state;
        check(BYTES("{}\n\0"), "{}\n|0;");
        check(BYTES("{}\n\0{}\n\0"), "{}\n|0;{}\n|0;");
        check(BYTES("{}\r\n \n\n\0{}\0"), "{}\r\n \n\n|0;{}|0;");

        receive(&f, BYTES("{}\n"));
        assert_int_equal(frame_next(&f, false, &text, &size, &end), 0);
        assert_true(frame_is_partial(&f));
        assert_int_equal(frame_next(&f, true, &text, &size, &end), 1);
        assert_int_equal(end, '\n');
        assert_false(frame_is_partial(&f));

        receive(&f, BYTES("\0{}\0\0"));
        assert_int_equal(frame_next(&f, true, &text, &size, &end), 1);
        assert_int_equal(end, '\0');
        assert_int_equal(size, 2);
        assert_int_equal(frame_next(&f, true, &text, &size, &end), 1);
        assert_int_equal(size, 0);
        assert_false(frame_is_partial(&f));
        frame_done(&f);
        frame_done(NULL);
}

/* How long a message of n bytes in all, ended by end, is found to be; the result of the last call.
 */
static int feed_long(size_t n, char end, size_t *ret_size) {
        struct frame f = {};
        size_t at = 0, room;
        const char *text;
        char *to, with;
        int r = 0;

        *ret_size = 0;
        while (at < n + 1 && r == 0) {
                assert_int_equal(frame_space(&f, &to, &room), 0);
                assert_true(room > 0);
                if (room > n + 1 - at)
                        room = n + 1 - at;
                for (size_t i = 0; i < room; i++, at++)
                        to[i] = at == 0 ? '[' : at == n - 1 ? ']' : at == n ? end : '1';
                frame_received(&f, room);
                r = frame_next(&f, at == n + 1, &text, ret_size, &with);
        }
        frame_done(&f);
        return r;
}

static void test_limit(void **state) {
        size_t size;

        (void) state;
        for (unsigned i = 0; i < 2; i++) {
                char end = i ? '\n' : '\0';

                assert_int_equal(feed_long(FRAME_MAX_BYTES, end, &size), 1);
                assert_int_equal(size, FRAME_MAX_BYTES);
                assert_int_equal(feed_long(FRAME_MAX_BYTES + 1, end, &size), -EMSGSIZE);
                assert_int_equal(feed_long(1024 * 1024, end, &size), -EMSGSIZE);
        }
}

/* White space without end is not taken without end. */
static void test_nothing_but_space(void **state) {
        struct frame f = {};
        size_t room, size, sent = 0;
        const char *text;
        char *to, end;
        int r = 0;

        (void) state;
        while (r == 0) {
                assert_true(sent <= FRAME_MAX_BYTES);
                assert_int_equal(frame_space(&f, &to, &room), 0);
                assert_true(room > 0);
                memset(to, sent % 2 ? ' ' : '\n', room);
                frame_received(&f, room);
                sent += room;
                r = frame_next(&f, true, &text, &size, &end);
                assert_int_equal(r, sent > FRAME_MAX_BYTES ? -EMSGSIZE : 0);
                assert_false(frame_is_partial(&f));
        }
        frame_done(&f);
}

/* Requests that wait their turn fill the room, then there is none, and then there is again. */
static void test_full_of_requests(void **state) {
        struct frame f = {};
        size_t room, size, sent = 0, seen = 0;
        const char *text;
        char *to, end;

        (void) state;
        for (;;) {
                assert_int_equal(frame_space(&f, &to, &room), 0);
                if (room == 0)
                        break;
                for (size_t i = 0; i < room; i++, sent++)
                        to[i] = "{}\n"[sent % 3];
                frame_received(&f, room);
        }
        assert_int_equal(sent, FRAME_MAX_BYTES + 1);
        while (frame_next(&f, true, &text, &size, &end) == 1) {
                assert_memory_equal(text, "{}", 2);
                assert_int_equal(size, 2);
                seen++;
        }
        assert_int_equal(seen, sent / 3);
        assert_int_equal(frame_space(&f, &to, &room), 0);
        assert_true(room > FRAME_MAX_BYTES - 3);
        frame_done(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nul),
                cmocka_unit_test(test_newline),
                cmocka_unit_test(test_newline_in_string),
                cmocka_unit_test(test_newline_before_nul),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_nothing_but_space),
                cmocka_unit_test(test_full_of_requests),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "cli/cells.h"
#include "cli/columns.h"
#include "cli/glyph.h"
#include "cli/users.h"

static struct json_string string(const char *text) {
        return (struct json_string){ text, (uint32_t) strlen(text), true };
}

static void expect(struct buf *b, const char *text) {
        assert_false(b->failed);
        buf_char(b, '\0');
        assert_string_equal(b->data, text);
        b->size = 0;
}

static void test_size(void **state) {
        static const struct {
                int64_t bytes;
                const char *text;
        } cases[] = {
                { 0, "0" },           { 1023, "1023" },    { 1024, "1.0K" },
                { 1536, "1.5K" },     { 10239, "9.9K" },   { 10240, "10K" },
                { 1048575, "1023K" }, { 1048576, "1.0M" }, { INT64_MAX, "7.9E" },
                { REPLY_NULL, "-" },  { -1, "-" },
        };
        struct buf b = { 0 };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cell_size(&b, cases[i].bytes);
                expect(&b, cases[i].text);
        }
        buf_done(&b);
}

static void test_endpoint(void **state) {
        struct style style = { 0 };
        struct endpoint e = { .port = 80 };
        struct buf b = { 0 };

        (void) state;
        cell_endpoint(&b, &style, &e);
        expect(&b, "-");
        e.address = string("192.0.2.1");
        cell_endpoint(&b, &style, &e);
        expect(&b, "192.0.2.1:80");
        e.address = string("fe80::1%eth0");
        cell_endpoint(&b, &style, &e);
        expect(&b, "[fe80::1%eth0]:80");
        e.port = 0;
        cell_endpoint(&b, &style, &e);
        expect(&b, "[fe80::1%eth0]:*");
        buf_done(&b);
}

static void test_user(void **state) {
        struct buf b = { 0 };

        (void) state;
        cell_user(&b, REPLY_NULL);
        expect(&b, "-");
        /* More than are remembered, there and back. */
        for (int round = 0; round < 2; round++)
                for (int64_t uid = 2000000000; uid < 2000000040; uid++) {
                        char text[24];

                        cell_user(&b, uid);
                        snprintf(text, sizeof(text), "%" PRId64, uid);
                        expect(&b, text);
                        cell_user(&b, 0);
                        expect(&b, "root");
                }
        cell_user(&b, INT64_MAX);
        expect(&b, "9223372036854775807");
        buf_done(&b);
}

static void test_passwd(void **state) {
        static const char text[] = "root:x:0:0:root:/root:/bin/sh\n"
                                   "\n# comment\n+\nhalf:x:7\n:x:8:8::/:/bin/sh\n"
                                   "bad:x:1x:1::/:/bin/sh\nbig:x:4294967297:1::/:/bin/sh\n"
                                   "a:x:1000:1000:A,B,C:/home/a:/bin/sh\n"
                                   "b:x:1000:1000::/home/b:/bin/sh\n"
                                   "a-name-that-is-longer-than-names-can-be:x:9:9::/:/bin/sh\n"
                                   "last:x:65534:1::/:/bin/sh\ncut:x:11:1::/";
        static const uint32_t none[] = { 1, 7, 8, 9, 10, 11, 4294967295 };
        char name[USER_NAME_MAX + 1] = "none";

        (void) state;
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
                assert_false(users_find(text, sizeof(text) - 1, none[i], name));
                assert_string_equal(name, "none");
        }
        assert_true(users_find(text, sizeof(text) - 1, 0, name));
        assert_string_equal(name, "root");
        assert_true(users_find(text, sizeof(text) - 1, 1000, name));
        assert_string_equal(name, "a");
        assert_true(users_find(text, sizeof(text) - 1, 65534, name));
        assert_string_equal(name, "last");
        assert_false(users_find("", 0, 0, name));
}

static void expect_names(const struct columns *c, const char *names) {
        struct buf b = { 0 };

        for (size_t i = 0; i < c->n; i++) {
                if (i > 0)
                        buf_char(&b, ',');
                buf_text(&b, c->list[i]->name);
        }
        expect(&b, names);
        buf_done(&b);
}

static void test_choose(void **state) {
        static const char *const wrong[] = {
                "", "X", "A,", ",LOCAL", "PEER", "LOCALE", "LOCA", "+"
        };
        struct columns c;
        char why[256];

        (void) state;
        assert_int_equal(columns_choose(&c, SET_LISTENERS, "PROTO,LOCAL", NULL, why), 0);
        expect_names(&c, "PROTO,LOCAL");
        assert_int_equal(columns_choose(&c, SET_LISTENERS, "PROTO,LOCAL", "pid,User", why), 0);
        expect_names(&c, "PID,USER");
        assert_int_equal(columns_choose(&c, SET_LISTENERS, "PROTO,LOCAL", "+PID,+UID,NETNS", why),
                         0);
        expect_names(&c, "PROTO,LOCAL,PID,UID,NETNS");
        /* Each once; a sentence last. */
        assert_int_equal(columns_choose(&c, SET_EVENTS, "TIME,DETAIL", "+TIME,SEQ,SEQ", why), 0);
        expect_names(&c, "TIME,SEQ,DETAIL");
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                c.n = 4711;
                assert_int_equal(columns_choose(&c, SET_LISTENERS, "PROTO", wrong[i], why),
                                 -EINVAL);
                assert_int_equal(c.n, 4711);
        }
}

/* Every column of every set shows something for a row of which nothing is known. */
static void test_every_column(void **state) {
        struct row row = {
                .type = ROW_MARK,
                .socket = { .id = REPLY_NULL,
                            .netns = REPLY_NULL,
                            .local.port = REPLY_NULL,
                            .remote.port = REPLY_NULL,
                            .owner = { .pid = REPLY_NULL, .uid = REPLY_NULL },
                            .opened_usec = REPLY_NULL,
                            .closed_usec = REPLY_NULL,
                            .first_seen_usec = REPLY_NULL,
                            .bytes_received = REPLY_NULL,
                            .bytes_sent = REPLY_NULL,
                            .expected = TRUTH_NULL },
                .seq = REPLY_NULL,
                .time_usec = REPLY_NULL,
                .lost = REPLY_NULL,
                .attempts = REPLY_NULL,
        };
        struct style style = { .now_usec = 1 };
        struct buf b = { 0 };

        (void) state;
        for (size_t i = 0; i < columns_n; i++) {
                const struct column *c = &columns_all[i];

                if (c->sets & SET_COUNTS)
                        continue;
                column_put(c, &b, &style, &row);
                expect(&b, "-");
                if (c->tint)
                        assert_int_equal(c->tint(&row), TINT_NONE);
                assert_true(strlen(c->name) <= 15);
                assert_true(strlen(c->help) > 0);
        }
        assert_int_equal(columns_row_tint(&row), TINT_NONE);
        row.socket.expected = TRUTH_FALSE;
        assert_int_equal(columns_row_tint(&row), TINT_ALERT);
        buf_done(&b);
}

/* Who serves a socket, and the unit that opened it for that one. */
static void test_socket_unit(void **state) {
        struct row row = { .type = ROW_LISTENER };
        struct style style = { .now_usec = 1 };
        struct buf b = { 0 };
        char why[256];
        struct columns columns;

        (void) state;
        row.socket.owner.unit = string("foo.service");
        row.socket.opener.unit = string("foo.socket");
        assert_int_equal(columns_choose(&columns, SET_LISTENERS, "UNIT,SOCKET-UNIT", NULL, why), 0);
        column_put(columns.list[0], &b, &style, &row);
        expect(&b, "foo.service");
        column_put(columns.list[1], &b, &style, &row);
        expect(&b, "foo.socket");
        buf_done(&b);
}

static void test_detail(void **state) {
        struct style style = { .now_usec = 10000000, .machine = true };
        struct row row = { .type = ROW_CONNECTION,
                           .kind = string("close"),
                           .lost = REPLY_NULL,
                           .attempts = REPLY_NULL,
                           .socket.expected = TRUTH_NULL };
        struct reply_socket *s = &row.socket;
        struct buf b = { 0 };

        (void) state;
        s->opened_usec = 1000000;
        s->closed_usec = 3500000;
        s->outcome = string("reset");
        s->bytes_received = 2048;
        s->bytes_sent = 5;
        cell_detail(&b, &style, &row);
        expect(&b, "reset after 2.5s, received 2.0K, sent 5");
        s->bytes_received = REPLY_NULL;
        cell_detail(&b, &style, &row);
        expect(&b, "reset after 2.5s");
        row.kind = string("fail");
        cell_detail(&b, &style, &row);
        expect(&b, "reset");
        row.kind = string("refuse");
        s->outcome = string("refused");
        row.attempts = 1;
        cell_detail(&b, &style, &row);
        expect(&b, "refused");
        row.attempts = 12;
        cell_detail(&b, &style, &row);
        expect(&b, "refused, 12 attempts on several ports");
        s->local.port = 22;
        cell_detail(&b, &style, &row);
        expect(&b, "refused, 12 attempts");
        row.attempts = REPLY_NULL;
        s->expected = TRUTH_FALSE;
        row.kind = string("open");
        s->service = string("ssh");
        cell_detail(&b, &style, &row);
        expect(&b, "ssh, unexpected");
        s->expected = TRUTH_NULL;
        row.type = ROW_MARK;
        row.kind = string("lost");
        cell_detail(&b, &style, &row);
        expect(&b, "events are missing here, nobody knows how many");
        row.lost = 1;
        cell_detail(&b, &style, &row);
        expect(&b, "1 event is missing before this");
        row.kind = string("start");
        row.lost = 2;
        cell_detail(&b, &style, &row);
        expect(&b, "the recorder started; 2 events are missing before this");
        buf_done(&b);
}

static void test_width(void **state) {
        (void) state;
        assert_int_equal(glyph_width("", 0), 0);
        assert_int_equal(glyph_width("0123456789abcdefg", 17), 17);
        assert_int_equal(glyph_width("01234567\xc3\xa4"
                                     "9",
                                     11),
                         10);
        /* What is no UTF-8 counts by the byte. */
        assert_int_equal(glyph_width("\xff\xfe", 2), 2);
        assert_int_equal(glyph_fit("abc\xc3\xa4xyz", 8, 4), 5);
        assert_int_equal(glyph_fit("abc\xc3\xa4xyz", 8, 3), 3);
        assert_int_equal(glyph_fit("abc", 3, 99), 3);
        assert_int_equal(glyph_fit("abc", 3, 0), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_size),        cmocka_unit_test(test_endpoint),
                cmocka_unit_test(test_user),        cmocka_unit_test(test_passwd),
                cmocka_unit_test(test_choose),      cmocka_unit_test(test_every_column),
                cmocka_unit_test(test_socket_unit), cmocka_unit_test(test_detail),
                cmocka_unit_test(test_width),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

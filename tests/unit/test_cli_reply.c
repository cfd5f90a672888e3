/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "cli/cells.h"
#include "cli/reply.h"

#define OWNER                                                                                      \
        "\"owner\":{\"pid\":12,\"name\":\"nc\",\"executable\":\"/bin/nc\",\"uid\":0,"              \
        "\"unit\":null,\"container\":null,\"attribution\":\"exact\"}"
#define LISTENER                                                                                   \
        "{\"id\":7,\"transport\":\"tcp\",\"family\":\"ipv6\","                                     \
        "\"local\":{\"address\":\"::1\",\"port\":443},\"exposure\":\"loopback\","                  \
        "\"category\":\"system\",\"service\":\"https\",\"netns\":4026531840," OWNER                \
        ",\"opened_usec\":1700000000000001,\"first_seen_usec\":1600000000000001,"                  \
        "\"expected\":false,\"rule\":null}"
#define HOLDER                                                                                     \
        "\"holder\":{\"pid\":13,\"name\":\"foo\",\"executable\":null,\"uid\":5,"                   \
        "\"unit\":\"foo.service\",\"container\":null,\"attribution\":\"lookup\"}"
#define CONNECTION                                                                                 \
        "{\"id\":8,\"transport\":\"tcp\",\"family\":\"ipv4\",\"direction\":\"inbound\","           \
        "\"local\":{\"address\":\"127.0.0.1\",\"port\":80},"                                       \
        "\"remote\":{\"address\":\"192.0.2.1\",\"port\":50000},\"category\":\"system\","           \
        "\"service\":null,\"netns\":1," OWNER ",\"opened_usec\":5,\"closed_usec\":null,"           \
        "\"bytes_received\":null,\"bytes_sent\":null,\"outcome\":\"open\"}"

struct seen {
        struct row rows[8];
        struct count counts[8];
        struct biography known[8];
        size_t n;
        size_t n_known;
        int stop; /* what the reader returns for the second row */
};

static int take_row(const struct row *row, void *userdata) {
        struct seen *s = userdata;

        if (s->n == 1 && s->stop)
                return s->stop;
        assert_true(s->n < 8);
        s->rows[s->n++] = *row;
        return 0;
}

static int take_count(const struct count *count, void *userdata) {
        struct seen *s = userdata;

        assert_true(s->n < 8);
        s->counts[s->n++] = *count;
        return 0;
}

static int take_known(const struct biography *one, void *userdata) {
        struct seen *s = userdata;

        assert_true(s->n_known < 8);
        s->known[s->n_known++] = *one;
        return 0;
}

/* The text stays until the next call, so that what was seen can be looked at. */
static int read_text(const char *text, enum reply_shape shape, struct seen *seen, struct reply *ret,
                     char why[static 256]) {
        static char *copy;
        struct reply_reader reader = { .shape = shape,
                                       .row = take_row,
                                       .count = take_count,
                                       .known = take_known,
                                       .userdata = seen };
        size_t n = strlen(text);

        free(copy);
        copy = calloc(1, n + JSON_PADDING);
        assert_non_null(copy);
        memcpy(copy, text, n);
        why[0] = '\0';
        return reply_read(copy, &reader, ret, why);
}

static void test_listeners(void **state) {
        struct seen seen = { 0 };
        struct reply reply;
        char why[256];

        (void) state;
        assert_int_equal(read_text("{\"parameters\":{\"listeners\":[" LISTENER "," LISTENER
                                   "]},\"continues\":true}",
                                   REPLY_LISTENERS, &seen, &reply, why),
                         0);
        assert_int_equal(seen.n, 2);
        assert_true(reply.continues);
        assert_null(reply.error.data);
        for (size_t i = 0; i < 2; i++) {
                const struct row *row = &seen.rows[i];
                const struct reply_socket *s = &row->socket;

                assert_int_equal(row->type, ROW_LISTENER);
                assert_false(row->rewrite);
                assert_int_equal(row->text_size, strlen(LISTENER));
                assert_memory_equal(row->text, LISTENER, row->text_size);
                assert_int_equal(s->id, 7);
                assert_true(string_is(&s->local.address, "::1"));
                assert_int_equal(s->local.port, 443);
                assert_null(s->remote.address.data);
                assert_int_equal(s->owner.pid, 12);
                assert_null(s->owner.unit.data);
                assert_true(string_is(&s->owner.attribution, "exact"));
                assert_int_equal(s->opened_usec, 1700000000000001);
                assert_int_equal(s->expected, TRUTH_FALSE);
                assert_true(s->bytes_sent == REPLY_NULL);
        }
}

/* Who serves a socket stands before who opened it. */
static void test_holder(void **state) {
        static const char *const others[] = { "\"holder\":null,", "" };
        struct seen seen = { 0 };
        struct reply reply;
        char text[2048], why[256];

        (void) state;
        /* One more field in front, and the rest without its own bracket. */
        (void) snprintf(text, sizeof(text), "{\"parameters\":{\"listeners\":[{%s,%s", HOLDER,
                        &(LISTENER "]}}")[1]);
        assert_int_equal(read_text(text, REPLY_LISTENERS, &seen, &reply, why), 0);
        assert_int_equal(seen.rows[0].socket.owner.pid, 13);
        assert_true(string_is(&seen.rows[0].socket.owner.unit, "foo.service"));
        assert_int_equal(seen.rows[0].socket.opener.pid, 12);
        for (size_t i = 0; i < 2; i++) {
                memset(&seen, 0, sizeof(seen));
                (void) snprintf(text, sizeof(text), "{\"parameters\":{\"listeners\":[{%s%s",
                                others[i], &(LISTENER "]}}")[1]);
                assert_int_equal(read_text(text, REPLY_LISTENERS, &seen, &reply, why), 0);
                assert_int_equal(seen.rows[0].socket.owner.pid, 12);
                assert_true(seen.rows[0].socket.opener.pid == REPLY_NULL);
                assert_null(seen.rows[0].socket.opener.unit.data);
        }
}

/* White space, another order, unknown fields: all the same. */
static void test_other_writing(void **state) {
        struct seen seen = { 0 };
        struct reply reply;
        char why[256];

        (void) state;
        assert_int_equal(
                read_text("{ \"x\": [1, {\"y\": {}}], \"parameters\" :\n{ \"events\" : [ { "
                          "\"lost\" : 3 , "
                          "\"new\":\"\xc2\x9b\",\"kind\" : \"lost\", \"time_usec\" : 9, \"seq\": 4 "
                          "} , "
                          "{\"seq\":5,\"time_usec\":10,\"kind\":\"open\",\"connection\":" CONNECTION
                          "} ], \"next_seq\":6 } }",
                          REPLY_EVENTS, &seen, &reply, why),
                0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.rows[0].type, ROW_MARK);
        assert_int_equal(seen.rows[0].lost, 3);
        assert_true(seen.rows[0].rewrite);
        assert_int_equal(seen.rows[1].type, ROW_CONNECTION);
        assert_false(seen.rows[1].rewrite);
        assert_int_equal(seen.rows[1].socket_size, strlen(CONNECTION));
        assert_memory_equal(seen.rows[1].socket_text, CONNECTION, strlen(CONNECTION));
        assert_true(seen.rows[1].lost == REPLY_NULL);
        assert_int_equal(reply.next_seq, 6);
        assert_true(reply.oldest_seq == REPLY_NULL);
        assert_false(reply.continues);
}

static void test_counts_port_status(void **state) {
        struct seen seen = { 0 };
        struct reply reply;
        char why[256];

        (void) state;
        assert_int_equal(
                read_text("{\"parameters\":{\"counts\":[{\"key\":\"a\",\"listeners\":1,"
                          "\"unexpected\":2,\"open\":3,\"inbound\":4,\"outbound\":5,\"refused\":6,"
                          "\"bytes_received\":7,\"bytes_sent\":8}]}}",
                          REPLY_COUNTS, &seen, &reply, why),
                0);
        assert_int_equal(seen.n, 1);
        assert_int_equal(seen.counts[0].refused, 6);
        assert_int_equal(seen.counts[0].bytes_sent, 8);

        memset(&seen, 0, sizeof(seen));
        assert_int_equal(read_text("{\"parameters\":{\"port\":443,\"category\":\"system\","
                                   "\"services\":[\"https\",\"b\"],\"ephemeral\":true,"
                                   "\"listeners\":[" LISTENER "],\"known\":[{\"transport\":"
                                   "\"tcp\",\"port\":443,\"exposure\":\"any\",\"program\":null,"
                                   "\"container\":null,\"uid\":null,\"first_seen_usec\":1,"
                                   "\"last_seen_usec\":2,\"times_opened\":3}]}}",
                                   REPLY_PORT, &seen, &reply, why),
                         0);
        assert_int_equal(reply.port.n_services, 2);
        assert_true(string_is(&reply.port.services[0], "https"));
        assert_int_equal(reply.port.ephemeral, TRUTH_TRUE);
        assert_int_equal(seen.n, 1);
        assert_int_equal(seen.n_known, 1);
        assert_int_equal(seen.known[0].times_opened, 3);
        assert_true(seen.known[0].uid == REPLY_NULL);

        assert_int_equal(
                read_text("{\"parameters\":{\"version\":\"1\",\"source\":\"ebpf\",\"state\":"
                          "\"running\","
                          "\"started_usec\":1,\"boot_id\":\"b\",\"view\":\"full\",\"listeners\":2,"
                          "\"unexpected\":3,\"connections\":4,\"events\":5,\"lost\":6,"
                          "\"oldest_seq\":7,\"next_seq\":8,\"oldest_usec\":9,\"capacity_bytes\":10,"
                          "\"losses\":[{\"where\":\"ring\",\"count\":6}]}}",
                          REPLY_STATUS, &seen, &reply, why),
                0);
        assert_int_equal(reply.status.capacity_bytes, 10);
        assert_int_equal(reply.status.n_losses, 1);
        assert_int_equal(reply.status.losses[0].count, 6);
        assert_null(reply.status.source_detail.data);
        assert_true(reply.status.clients == REPLY_NULL);
        assert_true(reply.status.rules == REPLY_NULL && reply.status.pid == REPLY_NULL);
        /* One that does not tell whether it judges. */
        assert_false(reply_judges(&reply.status));
        reply.status.rules = 1;
        assert_true(reply_judges(&reply.status));
        reply.status.judging = TRUTH_FALSE;
        assert_false(reply_judges(&reply.status));
        reply.status = (struct reply_status){ .judging = TRUTH_TRUE, .rules = REPLY_NULL };
        assert_true(reply_judges(&reply.status));
        assert_int_equal(reply.parameters[0], '{');
}

static void test_errors(void **state) {
        struct seen seen = { 0 };
        struct reply reply;
        char why[256];

        (void) state;
        assert_int_equal(read_text("{\"error\":\"a.B\",\"parameters\":{\"parameter\":\"filter\"}}",
                                   REPLY_LISTENERS, &seen, &reply, why),
                         0);
        assert_true(string_is(&reply.error, "a.B"));
        assert_true(string_is(&reply.parameter, "filter"));
        assert_int_equal(read_text("{\"parameters\":{\"limit\":5},\"error\":\"a.B\"}", REPLY_EVENTS,
                                   &seen, &reply, why),
                         0);
        assert_true(string_is(&reply.error, "a.B"));
        assert_int_equal(reply.limit, 5);
        assert_int_equal(read_text("{\"error\":\"a.B\"}", REPLY_STATUS, &seen, &reply, why), 0);
        assert_int_equal(read_text("{\"error\":\"a.B\",\"parameters\":[]}", REPLY_STATUS, &seen,
                                   &reply, why),
                         0);
        assert_int_equal(seen.n, 0);
}

static void test_refused(void **state) {
        static const struct {
                const char *text;
                int r;
                const char *why;
        } cases[] = {
                { "{}", -EPROTO, "parameters are missing" },
                { "[]", -EPROTO, "byte 0: an object was expected" },
                { "", -EBADMSG, "byte 0: it ends too early" },
                { "{\"parameters\":{}}", -EPROTO, "the field listeners is missing" },
                { "{\"parameters\":{\"listeners\":{}}}", -EPROTO, "an array was expected" },
                { "{\"parameters\":{\"listeners\":[7]}}", -EPROTO, "an object was expected" },
                { "{\"parameters\":{\"listeners\":[{}]}}", -EPROTO, "the field id is missing" },
                { "{\"parameters\":{\"listeners\":[{\"id\":\"7\"}]}}", -EPROTO, "at \"id\": " },
                { "{\"parameters\":{\"listeners\":[{\"id\":null}]}}", -EPROTO, "not be null" },
                { "{\"parameters\":{\"listeners\":[{\"local\":{\"port\":4294967296}}]}}", -EPROTO,
                  "the number of a port" },
                { "{\"parameters\":{\"listeners\":[{\"local\":{\"port\":-1}}]}}", -EPROTO,
                  "the number of a port" },
                { "{\"parameters\":{\"listeners\":[]},\"continues\":1}", -EPROTO, "true or false" },
                { "{\"parameters\":{\"listeners\":[]}}x", -EBADMSG, "behind it" },
                { "{\"parameters\":{\"listeners\":[],\"x\":nan}}", -EBADMSG, "a value" },
                { "{\"parameters\":{\"listeners\":[" LISTENER, -EBADMSG, "too early" },
        };
        struct reply reply;
        char why[256];

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct seen seen = { 0 };
                int r = read_text(cases[i].text, REPLY_LISTENERS, &seen, &reply, why);

                if (r != cases[i].r || !strstr(why, cases[i].why))
                        fail_msg("%s gives %d, %s", cases[i].text, r, why);
        }
}

static void test_reader_stops(void **state) {
        struct seen seen = { .stop = -ECANCELED };
        struct reply reply;
        char why[256];

        (void) state;
        assert_int_equal(read_text("{\"parameters\":{\"listeners\":[" LISTENER "," LISTENER "]}}",
                                   REPLY_LISTENERS, &seen, &reply, why),
                         -ECANCELED);
        assert_int_equal(seen.n, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_listeners),     cmocka_unit_test(test_holder),
                cmocka_unit_test(test_other_writing), cmocka_unit_test(test_counts_port_status),
                cmocka_unit_test(test_errors),        cmocka_unit_test(test_refused),
                cmocka_unit_test(test_reader_stops),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "answering.h"

#include "daemon/answer/call.h"
#include "wire/validate.h"

static const struct view full = { .full = true };
static const struct view stranger = { .uid = 2 };

/* One call after the other, as one client makes them. */
struct fixture {
        struct recording recording;
        struct service service;
        struct replies replies;
        struct call call;
};

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        recording_make(&f->recording);
        recording_store(&f->recording, &f->service.store);
        f->service.max_followers = 2;
        replies_init(&f->replies);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;

        call_done(&f->call);
        replies_done(&f->replies);
        store_close(&f->service.store);
        recording_remove(&f->recording);
        free(f);
        return 0;
}

static int start(struct fixture *f, const struct view *view, const char *text) {
        struct message_problem problem;
        struct message m;
        int r;

        assert_int_equal(message_parse(&m, text, strlen(text), &problem), 0);
        f->call = (struct call){ .service = &f->service, .view = view, .replies = &f->replies };
        r = call_start(&f->call, &m);
        message_done(&m);
        return r;
}

/* Takes what is ready: one reply, which the caller frees; NULL: there is none. */
static json_object *take(struct fixture *f) {
        struct replies *out = &f->replies;
        struct validation v;
        json_object *reply;
        size_t size;

        if (replies_unsent(out) == 0)
                return NULL;
        size = strlen(out->w.data + out->sent);
        assert_int_equal(validate(out->w.data + out->sent, size, &v), 0);
        reply = json_tokener_parse(out->w.data + out->sent);
        assert_non_null(reply);
        replies_sent(out, size + 1);
        return reply;
}

/* Steps with so much of a budget until the call comes to something else than CALL_AGAIN. */
static int step(struct fixture *f, uint64_t budget) {
        int r;

        do {
                uint64_t left = budget;

                r = call_step(&f->call, &left);
                assert_true(left <= budget);
        } while (r == CALL_AGAIN);
        if (r == CALL_DONE)
                call_done(&f->call);
        return r;
}

/* A call that ends, to its only reply. */
static json_object *ask(struct fixture *f, const struct view *view, const char *text) {
        json_object *reply;
        int r = start(f, view, text);

        if (r > 0)
                r = step(f, 7);
        assert_int_equal(r, CALL_DONE);
        assert_null(f->call.method);
        assert_null(f->call.state);
        reply = take(f);
        assert_non_null(reply);
        assert_false(has(reply, "continues"));
        assert_null(take(f));
        return reply;
}

static json_object *list_of(json_object *reply, const char *name) {
        return at(at(reply, "parameters"), name);
}

static void assert_error(struct fixture *f, const char *call, const char *error, const char *name,
                         const char *value) {
        json_object *reply = ask(f, &full, call);

        assert_string_equal(text_at(reply, "error"), error);
        if (name)
                assert_string_equal(text_at(at(reply, "parameters"), name), value);
        else
                assert_int_equal(json_object_object_length(at(reply, "parameters")), 0);
        json_object_put(reply);
}

static void test_errors(void **state) {
        struct fixture *f = *state;

        assert_error(f, "{\"method\":\"io.portwatch.Nothing\"}",
                     "org.varlink.service.MethodNotFound", "method", "io.portwatch.Nothing");
        assert_error(f, "{\"method\":\"\"}", "org.varlink.service.MethodNotFound", "method", "");
        assert_error(f, "{\"method\":\"io.portwatch.Status\",\"upgrade\":true}",
                     "org.varlink.service.MethodNotImplemented", "method", "io.portwatch.Status");
        assert_error(f, "{\"method\":\"io.portwatch.Follow\",\"parameters\":{\"x\":1}}",
                     "org.varlink.service.ExpectedMore", NULL, NULL);
        assert_error(f, "{\"method\":\"io.portwatch.Status\",\"parameters\":{\"x\":1}}",
                     "org.varlink.service.InvalidParameter", "parameter", "x");
        assert_error(f, "{\"method\":\"io.portwatch.Port\"}",
                     "org.varlink.service.InvalidParameter", "parameter", "port");
        assert_error(f, "{\"method\":\"io.portwatch.Port\",\"parameters\":{\"port\":1,\"port\":1}}",
                     "org.varlink.service.InvalidParameter", "parameter", "port");
        assert_error(f,
                     "{\"method\":\"io.portwatch.Counts\",\"parameters\":{\"by\":\"port\","
                     "\"filter\":{\"uid\":\"root\"}}}",
                     "org.varlink.service.InvalidParameter", "parameter", "uid");
        assert_error(f,
                     "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                     "\"parameters\":{\"interface\":\"a.b\"}}",
                     "org.varlink.service.InterfaceNotFound", "interface", "a.b");
}

static void test_oneway(void **state) {
        struct fixture *f = *state;

        assert_int_equal(start(f, &full, "{\"method\":\"a.B\",\"oneway\":true}"), 0);
        assert_int_equal(start(f, &full, "{\"method\":\"io.portwatch.Status\",\"oneway\":true}"),
                         0);
        assert_null(take(f));
}

/* Full replies as long as there is more; the last one has the rest, and is never empty for nothing.
 */
static void test_batches(void **state) {
        static const unsigned listeners[] = { 0, 1, 63, 64, 65, 1024, 1025, 1280, 1500 };
        struct fixture *f = *state;
        unsigned made = 0, small;

        for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++) {
                unsigned n = listeners[i], replies = 0, seen = 0;
                json_object *reply;

                recording_listeners(&f->recording, n - made);
                made = n;
                assert_int_equal(
                        start(f, &full, "{\"method\":\"io.portwatch.Listeners\",\"more\":true}"),
                        1);
                assert_int_equal(step(f, 100), CALL_DONE);
                while ((reply = take(f))) {
                        size_t length = json_object_array_length(list_of(reply, "listeners"));

                        replies++;
                        seen += (unsigned) length;
                        if (seen < n) {
                                assert_int_equal(length, replies <= REPLY_SMALL_REPLIES
                                                                 ? REPLY_SMALL_ENTRIES
                                                                 : REPLY_MAX_ENTRIES);
                                assert_true(json_object_get_boolean(at(reply, "continues")));
                        } else
                                assert_false(has(reply, "continues"));
                        json_object_put(reply);
                }
                assert_int_equal(seen, n);
                small = n < 1024 ? n : 1024;
                assert_int_equal(replies, n == 0 ? 1 : (small + 63) / 64 + (n - small + 255) / 256);
        }
}

static void test_one_reply(void **state) {
        struct fixture *f = *state;
        json_object *reply;

        recording_listeners(&f->recording, 600);
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Listeners\"}");
        assert_int_equal(json_object_array_length(list_of(reply, "listeners")), 600);
        json_object_put(reply);

        /* More than a reply may have: nothing but the error. */
        f->replies.limit = 100000;
        assert_error(f, "{\"method\":\"io.portwatch.Listeners\"}",
                     "org.varlink.service.ExpectedMore", NULL, NULL);
}

/* Who does not read gets no more than the bound, and all of it when they read on. */
static void test_pause(void **state) {
        struct fixture *f = *state;
        unsigned seen = 0, pauses = 0;
        int r;

        recording_listeners(&f->recording, 8000);
        assert_int_equal(start(f, &full, "{\"method\":\"io.portwatch.Listeners\",\"more\":true}"),
                         1);
        do {
                json_object *reply;

                r = step(f, 1000);
                pauses += r == CALL_FULL;
                assert_true(replies_unsent(&f->replies) < REPLY_PAUSE_BYTES + 512 * 1024);
                while ((reply = take(f))) {
                        seen += (unsigned) json_object_array_length(list_of(reply, "listeners"));
                        json_object_put(reply);
                }
        } while (r == CALL_FULL);
        assert_int_equal(r, CALL_DONE);
        assert_int_equal(seen, 8000);
        assert_true(pauses >= 2);
}

static void test_port(void **state) {
        struct fixture *f = *state;
        json_object *reply, *p;

        recording_listeners(&f->recording, 100);
        reply = ask(
                f, &full,
                "{\"method\":\"io.portwatch.Port\",\"more\":true,\"parameters\":{\"port\":80}}");
        p = at(reply, "parameters");
        assert_int_equal(number_at(p, "port"), 80);
        assert_string_equal(text_at(p, "category"), "system");
        assert_int_equal(json_object_array_length(at(p, "services")), 1);
        assert_int_equal(json_object_array_length(at(p, "listeners")), 1);
        assert_string_equal(text_at(json_object_array_get_idx(at(p, "listeners"), 0), "service"),
                            "http");
        json_object_put(reply);

        reply = ask(f, &full,
                    "{\"method\":\"io.portwatch.Port\",\"parameters\":{\"port\":80,"
                    "\"transport\":\"udp\"}}");
        p = at(reply, "parameters");
        assert_int_equal(json_object_array_length(at(p, "services")), 0);
        assert_int_equal(json_object_array_length(at(p, "listeners")), 0);
        json_object_put(reply);
}

/* The programs of the biographies of a port, in their order, as text. */
static void assert_known(struct fixture *f, const struct view *view, const char *parameters,
                         const char *expected) {
        char call[256], got[256] = "";
        json_object *reply, *known;
        size_t used = 0;

        snprintf(call, sizeof(call), "{\"method\":\"io.portwatch.Port\",\"parameters\":%s}",
                 parameters);
        reply = ask(f, view, call);
        known = list_of(reply, "known");
        for (size_t i = 0; i < json_object_array_length(known); i++)
                used += (size_t) snprintf(got + used, sizeof(got) - used, "%s%s", i ? " " : "",
                                          text_at(json_object_array_get_idx(known, i), "program"));
        assert_string_equal(got, expected);
        json_object_put(reply);
}

/* What has ever used a port: the latest first, all of it to those who see all, to others none. */
static void test_port_known(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        const struct view his = { .uid = 1 };
        struct record tcp = recording_record(r, RECORD_LISTEN, 80);
        struct record udp = recording_record(r, RECORD_LISTEN, 80);
        struct record other = recording_record(r, RECORD_LISTEN, 81);
        struct owner o = recording_owner(1), o2 = recording_owner(2), o3 = recording_owner(3);
        json_object *reply, *b;

        assert_known(f, &full, "{\"port\":80}", "");
        udp.transport = TRANSPORT_UDP;
        snprintf(o.container, sizeof(o.container), "lxc:a");
        tcp.time_usec = 5000;
        known_seen(r->known, &tcp, &o, true, NULL);
        tcp.time_usec = 9000;
        known_seen(r->known, &tcp, &o, true, NULL);
        udp.time_usec = 6000;
        known_seen(r->known, &udp, &o2, true, NULL);
        tcp.time_usec = 7000;
        known_seen(r->known, &tcp, &o3, false, NULL);
        known_seen(r->known, &other, &o3, true, NULL);

        assert_known(f, &full, "{\"port\":80}", "unit1.service unit3.service unit2.service");
        assert_known(f, &full, "{\"port\":80,\"transport\":\"tcp\"}",
                     "unit1.service unit3.service");
        assert_known(f, &full, "{\"port\":80,\"transport\":\"udp\"}", "unit2.service");
        assert_known(f, &full, "{\"port\":0}", "");
        assert_known(f, &his, "{\"port\":80}", "");

        reply = ask(f, &full, "{\"method\":\"io.portwatch.Port\",\"parameters\":{\"port\":80}}");
        b = json_object_array_get_idx(list_of(reply, "known"), 0);
        assert_string_equal(json_object_to_json_string_ext(b, JSON_C_TO_STRING_PLAIN),
                            "{\"transport\":\"tcp\",\"port\":80,\"exposure\":\"loopback\","
                            "\"program\":\"unit1.service\",\"container\":\"lxc:a\",\"uid\":1,"
                            "\"first_seen_usec\":5000,\"last_seen_usec\":9000,"
                            "\"times_opened\":2}");
        json_object_put(reply);

        /* Nobody known, and no word for it. */
        known_seen(r->known, &other, NULL, true, NULL);
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Port\",\"parameters\":{\"port\":81}}");
        assert_int_equal(json_object_array_length(list_of(reply, "known")), 2);
        b = json_object_array_get_idx(list_of(reply, "known"), 0);
        if (at(b, "program"))
                b = json_object_array_get_idx(list_of(reply, "known"), 1);
        assert_null(at(b, "program"));
        assert_null(at(b, "container"));
        assert_null(at(b, "uid"));
        json_object_put(reply);
        other.exposure = EXPOSURE_NONE;
        known_seen(r->known, &other, NULL, true, NULL);
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Port\",\"parameters\":{\"port\":81}}");
        assert_int_equal(json_object_array_length(list_of(reply, "known")), 2);
        json_object_put(reply);
}

/* More than an answer holds: those that were seen last. */
static void test_port_known_by_many(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        struct record record = recording_record(r, RECORD_LISTEN, 80);
        json_object *reply, *known;

        for (unsigned i = 0; i < 300; i++) {
                const struct owner o = recording_owner(i);

                record.time_usec = 1000 + i * 7 % 300;
                known_seen(r->known, &record, &o, true, NULL);
        }
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Port\",\"parameters\":{\"port\":80}}");
        known = list_of(reply, "known");
        assert_int_equal(json_object_array_length(known), 256);
        for (unsigned i = 0; i < 256; i++)
                assert_int_equal(number_at(json_object_array_get_idx(known, i), "last_seen_usec"),
                                 1299 - i);
        json_object_put(reply);
}

/* The seqs of a History, in their order, as text. */
static void assert_history(struct fixture *f, const char *parameters, const char *expected) {
        char call[512], got[512] = "";
        json_object *reply, *events;
        size_t used = 0;

        snprintf(call, sizeof(call), "{\"method\":\"io.portwatch.History\",\"parameters\":%s}",
                 parameters);
        reply = ask(f, &full, call);
        events = list_of(reply, "events");
        for (size_t i = 0; i < json_object_array_length(events); i++)
                used += (size_t) snprintf(
                        got + used, sizeof(got) - used, "%s%d", i ? " " : "",
                        (int) number_at(json_object_array_get_idx(events, i), "seq"));
        assert_string_equal(got, expected);
        json_object_put(reply);
}

static void test_history(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        json_object *reply;

        assert_history(f, "{}", "");
        /* Times 1000 to 1009, seqs 1 to 10, ports 1 to 10. */
        for (uint16_t i = 1; i <= 10; i++) {
                struct record record = recording_record(r, RECORD_OPEN, i);

                recording_append(r, &record, i % 2);
        }
        assert_history(f, "{}", "1 2 3 4 5 6 7 8 9 10");
        assert_history(f, "{\"newest_first\":true}", "10 9 8 7 6 5 4 3 2 1");
        assert_history(f, "{\"limit\":3}", "1 2 3");
        assert_history(f, "{\"limit\":3,\"newest_first\":true}", "10 9 8");
        assert_history(f, "{\"limit\":0}", "");
        assert_history(f, "{\"after_seq\":7}", "8 9 10");
        assert_history(f, "{\"after_seq\":7,\"newest_first\":true}", "10 9 8");
        assert_history(f, "{\"after_seq\":0}", "1 2 3 4 5 6 7 8 9 10");
        assert_history(f, "{\"after_seq\":10}", "");
        assert_history(f, "{\"after_seq\":1000}", "");
        assert_history(f, "{\"after_seq\":9223372036854775807,\"newest_first\":true}", "");
        assert_history(f, "{\"since_usec\":1007}", "8 9 10");
        assert_history(f, "{\"until_usec\":1001}", "1 2");
        assert_history(f, "{\"since_usec\":1003,\"until_usec\":1004,\"newest_first\":true}", "5 4");
        assert_history(f, "{\"since_usec\":1005,\"until_usec\":1004}", "");
        assert_history(f, "{\"filter\":{\"ports\":[2,4,11]}}", "2 4");
        assert_history(f, "{\"filter\":{\"uid\":1},\"limit\":2}", "1 3");
        assert_history(f, "{\"filter\":{\"kinds\":[\"close\"]}}", "");

        reply = ask(f, &full, "{\"method\":\"io.portwatch.History\",\"parameters\":{\"limit\":1}}");
        assert_int_equal(number_at(at(reply, "parameters"), "oldest_seq"), 1);
        assert_int_equal(number_at(at(reply, "parameters"), "next_seq"), 11);
        json_object_put(reply);
}

static unsigned fill_until_overwritten(struct recording *r) {
        struct record record = recording_record(r, RECORD_OPEN, 1);
        const struct owner o = recording_owner(1);
        uint64_t overwritten = 0;
        unsigned n = 0;

        while (overwritten == 0) {
                history_append(r->history, &record, &o, 1, NULL, &overwritten);
                n++;
        }
        return n;
}

/* Takes all replies that are there; returns how many events, and the last reply's last event. */
static unsigned take_events(struct fixture *f, int64_t *ret_last, int64_t *ret_lost) {
        json_object *reply;
        unsigned n = 0;

        while ((reply = take(f))) {
                json_object *events = list_of(reply, "events");

                assert_true(json_object_get_boolean(at(reply, "continues")));
                for (size_t i = 0; i < json_object_array_length(events); i++) {
                        json_object *e = json_object_array_get_idx(events, i);

                        if (strcmp(text_at(e, "kind"), "lost") == 0) {
                                *ret_lost += number_at(e, "lost");
                                assert_int_equal(number_at(e, "seq"),
                                                 *ret_last + number_at(e, "lost"));
                        } else
                                assert_int_equal(number_at(e, "seq"), *ret_last + 1);
                        *ret_last = number_at(e, "seq");
                        n++;
                }
                json_object_put(reply);
        }
        return n;
}

static void test_follow(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        struct record record = recording_record(r, RECORD_OPEN, 80);
        int64_t last = 3, lost = 0;
        json_object *reply;
        int k;

        for (unsigned i = 0; i < 3; i++)
                recording_append(r, &record, 1);
        assert_int_equal(start(f, &full, "{\"method\":\"io.portwatch.Follow\",\"more\":true}"), 1);
        assert_int_equal(f->service.followers, 1);
        /* The first reply comes at once, and once. */
        assert_int_equal(step(f, 10), CALL_WAIT);
        reply = take(f);
        assert_int_equal(json_object_array_length(list_of(reply, "events")), 0);
        assert_true(json_object_get_boolean(at(reply, "continues")));
        json_object_put(reply);
        assert_int_equal(step(f, 10), CALL_WAIT);
        assert_null(take(f));

        for (unsigned i = 0; i < 1000; i++)
                recording_append(r, &record, 1);
        assert_int_equal(step(f, 10), CALL_WAIT);
        assert_int_equal(take_events(f, &last, &lost), 1000);
        assert_int_equal(lost, 0);

        /* Too slow by more than the record keeps: told so, once, in its place. */
        fill_until_overwritten(r);
        fill_until_overwritten(r);
        do {
                k = step(f, 100);
                take_events(f, &last, &lost);
        } while (k == CALL_FULL);
        assert_int_equal(k, CALL_WAIT);
        assert_int_equal(last, history_next_seq(r->history) - 1);
        assert_true(lost > 0);
        assert_int_equal(f->service.followers_lost, lost);
        call_done(&f->call);
        assert_int_equal(f->service.followers, 0);
}

static void test_follow_from(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        struct record record = recording_record(r, RECORD_OPEN, 80);
        int64_t last = 1, lost = 0;
        json_object *reply;

        for (unsigned i = 0; i < 3; i++)
                recording_append(r, &record, 1);
        assert_int_equal(start(f, &full,
                               "{\"method\":\"io.portwatch.Follow\",\"more\":true,"
                               "\"parameters\":{\"after_seq\":1}}"),
                         1);
        assert_int_equal(step(f, 10), CALL_WAIT);
        assert_int_equal(take_events(f, &last, &lost), 2);
        call_done(&f->call);

        assert_error(f,
                     "{\"method\":\"io.portwatch.Follow\",\"more\":true,"
                     "\"parameters\":{\"after_seq\":4}}",
                     "org.varlink.service.InvalidParameter", "parameter", "after_seq");

        fill_until_overwritten(r);
        reply = ask(f, &full,
                    "{\"method\":\"io.portwatch.Follow\",\"more\":true,"
                    "\"parameters\":{\"after_seq\":1}}");
        assert_string_equal(text_at(reply, "error"), "io.portwatch.HistoryTruncated");
        assert_true(number_at(at(reply, "parameters"), "oldest_seq") > 2);
        json_object_put(reply);
        assert_int_equal(f->service.followers, 0);
}

static void test_too_many_followers(void **state) {
        struct fixture *f = *state;
        json_object *reply;

        f->service.followers = 2;
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Follow\",\"more\":true}");
        assert_string_equal(text_at(reply, "error"), "io.portwatch.TooManyFollowers");
        assert_int_equal(number_at(at(reply, "parameters"), "limit"), 2);
        json_object_put(reply);
        assert_int_equal(f->service.followers, 2);
        assert_int_equal(f->service.followers_refused, 1);
}

/* The row of a key, as "listeners unexpected open inbound outbound refused received sent". */
static void assert_counts(struct fixture *f, const struct view *view, const char *parameters,
                          const char *key, const char *expected) {
        static const char *const names[] = { "listeners",      "unexpected", "open",
                                             "inbound",        "outbound",   "refused",
                                             "bytes_received", "bytes_sent" };
        char call[512], got[512] = "none";
        json_object *reply, *rows;

        snprintf(call, sizeof(call), "{\"method\":\"io.portwatch.Counts\",\"parameters\":%s}",
                 parameters);
        reply = ask(f, view, call);
        rows = list_of(reply, "counts");
        for (size_t i = 0; i < json_object_array_length(rows); i++) {
                json_object *row = json_object_array_get_idx(rows, i);
                size_t used = 0;

                if (strcmp(text_at(row, "key"), key) != 0)
                        continue;
                for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
                        used += (size_t) snprintf(got + used, sizeof(got) - used, "%s%d",
                                                  n ? " " : "", (int) number_at(row, names[n]));
        }
        assert_string_equal(got, expected);
        json_object_put(reply);
}

static void test_counts(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        struct record record;

        /* Two listeners of uid 1, one of them unexpected; one connection of it is open. */
        record = recording_record(r, RECORD_LISTEN, 80);
        recording_open(r, LIVE_LISTENERS, &record, 1);
        record = recording_record(r, RECORD_LISTEN, 81);
        record.flags = RECORD_JUDGED;
        recording_open(r, LIVE_LISTENERS, &record, 1);
        record = recording_record(r, RECORD_OPEN, 80);
        record.id = recording_append(r, &record, 1); /* 1002 */
        record.flags = RECORD_BYTES_KNOWN;
        record.bytes_received = 7;
        recording_open(r, LIVE_CONNECTIONS, &record, 1);
        /* One came and went, one was refused, one of uid 2 went out and failed. */
        record = recording_record(r, RECORD_OPEN, 80);
        record.id = recording_append(r, &record, 1); /* 1003 */
        record.kind = RECORD_CLOSE;
        record.time_usec = r->next_usec++; /* 1004 */
        record.flags = RECORD_BYTES_KNOWN;
        record.bytes_received = 10;
        record.bytes_sent = 20;
        recording_append(r, &record, 1);
        record = recording_record(r, RECORD_REFUSE, 82);
        record.attempts = 4;
        recording_append(r, &record, 0);
        record = recording_record(r, RECORD_FAIL, 40000);
        record.direction = DIRECTION_OUTBOUND;
        record.remote_port = 443;
        recording_append(r, &record, 2);

        assert_counts(f, &full, "{\"by\":\"port\"}", "80", "1 0 1 2 0 0 17 20");
        assert_counts(f, &full, "{\"by\":\"port\"}", "81", "1 1 0 0 0 0 0 0");
        assert_counts(f, &full, "{\"by\":\"port\"}", "82", "0 0 0 0 0 4 0 0");
        assert_counts(f, &full, "{\"by\":\"port\"}", "443", "0 0 0 0 1 0 0 0");
        assert_counts(f, &full, "{\"by\":\"category\"}", "system", "2 1 1 2 1 4 17 20");
        assert_counts(f, &full, "{\"by\":\"service\"}", "http", "1 0 1 2 0 0 17 20");
        assert_counts(f, &full, "{\"by\":\"service\"}", "unknown", "1 1 0 0 1 4 0 0");
        assert_counts(f, &full, "{\"by\":\"name\"}", "name1", "2 1 1 2 0 0 17 20");
        assert_counts(f, &full, "{\"by\":\"unit\"}", "unit2.service", "0 0 0 0 1 0 0 0");
        assert_counts(f, &full, "{\"by\":\"user\"}", "1", "2 1 1 2 0 0 17 20");
        assert_counts(f, &full, "{\"by\":\"peer\"}", "127.0.0.2", "0 0 1 2 1 4 17 20");
        assert_counts(f, &full, "{\"by\":\"port\",\"since_usec\":1003}", "80", "1 0 1 1 0 0 17 20");
        assert_counts(f, &full, "{\"by\":\"port\",\"since_usec\":1005}", "80", "1 0 1 0 0 0 7 0");
        assert_counts(f, &full, "{\"by\":\"port\",\"filter\":{\"uid\":2}}", "80", "none");
        assert_counts(f, &full, "{\"by\":\"port\",\"filter\":{\"uid\":2}}", "443",
                      "0 0 0 0 1 0 0 0");
        /* To uid 2 the past of others is none of its business; what is open it may see. */
        assert_counts(f, &stranger, "{\"by\":\"port\"}", "80", "1 0 1 0 0 0 7 0");
        assert_counts(f, &stranger, "{\"by\":\"port\"}", "443", "0 0 0 0 1 0 0 0");
        assert_counts(f, &stranger, "{\"by\":\"port\"}", "82", "none");
}

/* A connection counts once, also when the event that opened it has been overwritten. */
static void test_counts_of_what_is_overwritten(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        struct record closed = recording_record(r, RECORD_OPEN, 99);
        struct record open = recording_record(r, RECORD_OPEN, 98);

        closed.id = recording_append(r, &closed, 1);
        open.id = recording_append(r, &open, 1);
        recording_open(r, LIVE_CONNECTIONS, &open, 1);
        assert_counts(f, &full, "{\"by\":\"port\"}", "99", "0 0 0 1 0 0 0 0");
        assert_counts(f, &full, "{\"by\":\"port\"}", "98", "0 0 1 1 0 0 0 0");
        fill_until_overwritten(r);
        assert_counts(f, &full, "{\"by\":\"port\"}", "99", "none");
        closed.kind = RECORD_CLOSE;
        recording_append(r, &closed, 1);
        assert_counts(f, &full, "{\"by\":\"port\"}", "99", "0 0 0 1 0 0 0 0");
        assert_counts(f, &full, "{\"by\":\"port\"}", "98", "0 0 1 1 0 0 0 0");
        assert_counts(f, &full, "{\"by\":\"port\",\"since_usec\":1001}", "99", "none");
}

static void test_limited_view(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        struct record record = recording_record(r, RECORD_LISTEN, 80);
        json_object *reply, *list, *owner;

        recording_open(r, LIVE_LISTENERS, &record, 1);
        recording_open(r, LIVE_LISTENERS, &record, 2);
        record.netns++;
        recording_open(r, LIVE_LISTENERS, &record, 2);

        reply = ask(f, &stranger, "{\"method\":\"io.portwatch.Listeners\"}");
        list = list_of(reply, "listeners");
        assert_int_equal(json_object_array_length(list), 2);
        owner = at(json_object_array_get_idx(list, 0), "owner");
        assert_null(at(owner, "pid"));
        assert_null(at(owner, "executable"));
        assert_string_equal(text_at(owner, "unit"), "unit1.service");
        owner = at(json_object_array_get_idx(list, 1), "owner");
        assert_int_equal(number_at(owner, "pid"), 102);
        json_object_put(reply);

        /* What is not shown cannot be asked for either. */
        reply = ask(f, &stranger,
                    "{\"method\":\"io.portwatch.Listeners\",\"parameters\":{\"filter\":"
                    "{\"pid\":101}}}");
        assert_int_equal(json_object_array_length(list_of(reply, "listeners")), 0);
        json_object_put(reply);
        reply = ask(f, &stranger, "{\"method\":\"io.portwatch.Status\"}");
        assert_string_equal(text_at(at(reply, "parameters"), "view"), "limited");
        json_object_put(reply);
}

/* What the table says of who serves the first listener, to one who sees so much. */
static json_object *ask_holder(struct fixture *f, const struct view *view, json_object **ret) {
        *ret = ask(f, view, "{\"method\":\"io.portwatch.Listeners\"}");
        return at(json_object_array_get_idx(list_of(*ret, "listeners"), 0), "holder");
}

static void test_holder(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        struct record record = recording_record(r, RECORD_LISTEN, 80);
        const struct view his = { .uid = 3 };
        const struct owner o = recording_owner(3);
        json_object *reply, *holder;
        uint32_t slot;

        recording_open(r, LIVE_LISTENERS, &record, 1);
        assert_null(ask_holder(f, &full, &reply));
        json_object_put(reply);

        assert_int_equal(live_take(&r->live, LIVE_OWNERS, &record.holder), 0);
        live_write_owner(&r->live, record.holder, &o);
        assert_int_equal(live_take(&r->live, LIVE_OWNERS, &record.owner), 0);
        live_write_owner(&r->live, record.owner, &o);
        slot = 0;
        live_write(&r->live, LIVE_LISTENERS, slot, &record);
        holder = ask_holder(f, &full, &reply);
        assert_int_equal(number_at(holder, "pid"), 103);
        assert_string_equal(text_at(holder, "unit"), "unit3.service");
        assert_string_equal(text_at(holder, "attribution"), "lookup");
        json_object_put(reply);
        holder = ask_holder(f, &stranger, &reply);
        assert_null(at(holder, "pid"));
        assert_null(at(holder, "executable"));
        assert_string_equal(text_at(holder, "unit"), "unit3.service");
        json_object_put(reply);
        holder = ask_holder(f, &his, &reply);
        assert_int_equal(number_at(holder, "pid"), 103);
        assert_string_equal(text_at(holder, "executable"), "/bin/x");
        json_object_put(reply);
}

/* The rule's text: of what is open from the table, of what was from the history. */
static void assert_judged(struct fixture *f, const char *method, const char *list,
                          const char *member, bool expected, const char *rule) {
        char call[128];
        json_object *reply, *o;

        snprintf(call, sizeof(call), "{\"method\":\"io.portwatch.%s\"}", method);
        reply = ask(f, &full, call);
        o = json_object_array_get_idx(list_of(reply, list), 0);
        if (member)
                o = at(o, member);
        assert_true(json_object_is_type(at(o, "expected"), json_type_boolean));
        assert_int_equal(json_object_get_boolean(at(o, "expected")), expected);
        if (rule)
                assert_string_equal(text_at(o, "rule"), rule);
        else
                assert_null(at(o, "rule"));
        json_object_put(reply);
}

static void test_rules(void **state) {
        struct fixture *f = *state;
        struct recording *r = &f->recording;
        struct record record = recording_record(r, RECORD_LISTEN, 80);

        assert_int_equal(live_write_rule(&r->live, 3, "tcp/80 user=www"), 0);
        assert_int_equal(live_write_rule(&r->live, 4, "tcp/80 from=10.0.0.0/8"), 0);
        record.flags = RECORD_JUDGED | RECORD_EXPECTED;
        record.rule = 3;
        recording_open(r, LIVE_LISTENERS, &record, 1);
        assert_judged(f, "Listeners", "listeners", NULL, true, "tcp/80 user=www");

        record = recording_record(r, RECORD_OPEN, 80);
        record.flags = RECORD_JUDGED | RECORD_EXPECTED;
        record.rule = 4;
        recording_open(r, LIVE_CONNECTIONS, &record, 1);
        assert_judged(f, "Connections", "connections", NULL, true, "tcp/80 from=10.0.0.0/8");

        history_append(r->history, &record, NULL, 0, "the rule of then", NULL);
        assert_judged(f, "History", "events", "connection", true, "the rule of then");

        /* One that none expects, and a number that no rule has. */
        record = recording_record(r, RECORD_LISTEN, 81);
        record.flags = RECORD_JUDGED;
        record.rule = 9;
        live_write(&r->live, LIVE_LISTENERS, 0, &record);
        assert_judged(f, "Listeners", "listeners", NULL, false, NULL);
}

static void test_status(void **state) {
        struct fixture *f = *state;
        struct live *live = &f->recording.live;
        json_object *reply, *p, *losses;
        int64_t counted = 0;

        recording_listeners(&f->recording, 3);
        live_count(live, LIVE_RECORDS, 12);
        live_count(live, LIVE_LOST_RING, 1);
        live_count(live, LIVE_LOST_NETLINK, 20);
        live_count(live, LIVE_LOST_TRACKER, 300);
        live_count(live, LIVE_LOST_OWNERS, 4000);
        live_count(live, LIVE_OVERWRITTEN, 50000);
        snprintf(live->header->degraded_reason, sizeof(live->header->degraded_reason), "disk full");
        live_count(live, LIVE_REPAIRS, 600000);
        live_count(live, LIVE_ALERTS_HELD, 7000000);
        live_count(live, LIVE_AUDITS, 99);
        f->service.clients = 5;
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Status\",\"more\":true}");
        p = at(reply, "parameters");
        assert_string_equal(text_at(p, "source"), "netlink");
        assert_string_equal(text_at(p, "state"), "running");
        assert_null(at(p, "degraded_reason"));
        assert_int_equal(number_at(p, "listeners"), 3);
        assert_int_equal(number_at(p, "events"), 12);
        assert_int_equal(number_at(p, "lost"), 4321);
        assert_int_equal(number_at(p, "clients"), 5);
        assert_int_equal(number_at(p, "netns"), ANSWERING_NETNS);
        assert_int_equal(number_at(p, "capacity_bytes"), ANSWERING_HISTORY_BYTES);
        losses = at(p, "losses");
        for (size_t i = 0; i < json_object_array_length(losses); i++)
                counted += number_at(json_object_array_get_idx(losses, i), "count");
        assert_int_equal(counted, 7654321);
        json_object_put(reply);

        atomic_store(&live->header->state, LIVE_DEGRADED);
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Status\"}");
        assert_string_equal(text_at(at(reply, "parameters"), "state"), "degraded");
        assert_string_equal(text_at(at(reply, "parameters"), "degraded_reason"), "disk full");
        json_object_put(reply);
}

/* What there is not yet is null, and so is what is over. */
static void test_status_of_the_recorder(void **state) {
        static const char *const names[] = { "pid",        "audited_usec", "rules",
                                             "rules_usec", "rules_error",  "learning_until_usec" };
        struct fixture *f = *state;
        struct live_header *h = f->recording.live.header;
        json_object *reply, *p;

        atomic_store(&h->learning_until_usec, 1000);
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Status\"}");
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                assert_null(at(at(reply, "parameters"), names[i]));
        assert_false(json_object_get_boolean(at(at(reply, "parameters"), "judging")));
        json_object_put(reply);

        atomic_store(&h->pid, 4711);
        atomic_store(&h->audited_usec, 12);
        atomic_store(&h->rules, 13);
        atomic_store(&h->rules_usec, 14);
        atomic_store(&h->learning_until_usec, INT64_MAX);
        memset(h->rules_error, 'x', sizeof(h->rules_error));
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Status\"}");
        p = at(reply, "parameters");
        assert_int_equal(number_at(p, "pid"), 4711);
        assert_int_equal(number_at(p, "audited_usec"), 12);
        assert_int_equal(number_at(p, "rules"), 13);
        assert_int_equal(number_at(p, "rules_usec"), 14);
        assert_int_equal(number_at(p, "learning_until_usec"), INT64_MAX);
        assert_true(json_object_get_boolean(at(p, "judging"))); /* by learning */
        assert_int_equal(strlen(text_at(p, "rules_error")), sizeof(h->rules_error) - 1);
        json_object_put(reply);

        atomic_store(&h->learning_until_usec, 0);
        atomic_store(&h->judging, 1);
        reply = ask(f, &full, "{\"method\":\"io.portwatch.Status\"}");
        assert_true(json_object_get_boolean(at(at(reply, "parameters"), "judging")));
        json_object_put(reply);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_errors),
                TEST(test_oneway),
                TEST(test_batches),
                TEST(test_one_reply),
                TEST(test_pause),
                TEST(test_port),
                TEST(test_port_known),
                TEST(test_port_known_by_many),
                TEST(test_history),
                TEST(test_follow),
                TEST(test_follow_from),
                TEST(test_too_many_followers),
                TEST(test_counts),
                TEST(test_counts_of_what_is_overwritten),
                TEST(test_limited_view),
                TEST(test_holder),
                TEST(test_rules),
                TEST(test_status),
                TEST(test_status_of_the_recorder),
        };
#undef TEST

        return cmocka_run_group_tests(tests, NULL, NULL);
}

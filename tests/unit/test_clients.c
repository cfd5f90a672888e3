/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "answering.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/answer/clients.h"
#include "daemon/answer/reply.h"
#include "daemon/answer/view.h"

#define STATUS "{\"method\":\"io.portwatch.Status\"}"
#define FOLLOW "{\"method\":\"io.portwatch.Follow\",\"more\":true}"

/* An answerer's loop, turned by hand, and the recorder's end of the doorbell. */
struct fixture {
        struct recording recording;
        struct clients *clients;
        sd_event *event;
        struct sockaddr_un address;
        int listen_fd;
        int bell[2];
};

static int set_up(void **state) {
        const struct clients_limits limits = {
                .connections = 6, .connections_of_user = 5, .followers = 2, .group = VIEW_NO_GROUP
        };
        struct fixture *f = calloc(1, sizeof(*f));
        struct store store;

        assert_non_null(f);
        recording_make(&f->recording);
        recording_store(&f->recording, &store);
        f->address.sun_family = AF_UNIX;
        snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/socket",
                 f->recording.scratch.path);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->listen_fd, (struct sockaddr *) &f->address, sizeof(f->address)),
                         0);
        assert_int_equal(listen(f->listen_fd, 16), 0);
        assert_int_equal(pipe2(f->bell, O_NONBLOCK | O_CLOEXEC), 0);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(
                clients_new(&f->clients, f->event, f->listen_fd, f->bell[0], &store, &limits), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;

        clients_free(f->clients);
        sd_event_unref(f->event);
        close(f->listen_fd);
        close(f->bell[0]);
        if (f->bell[1] >= 0)
                close(f->bell[1]);
        recording_remove(&f->recording);
        free(f);
        return 0;
}

/* Turns the loop until there is nothing to do; returns how often. */
static unsigned turn(struct fixture *f) {
        unsigned n = 0;

        while (sd_event_get_state(f->event) == SD_EVENT_INITIAL && sd_event_run(f->event, 0) > 0)
                n++;
        return n;
}

static int join(struct fixture *f) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *) &f->address, sizeof(f->address)), 0);
        turn(f);
        return fd;
}

static void put(int fd, const char *bytes, size_t size) {
        assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t) size);
}

/* All that can be received now, with a NUL behind it; -1 with closed: the other end has closed. */
struct taken {
        char *bytes;
        size_t size;
        bool closed;
};

static struct taken take(int fd) {
        struct taken t = {};
        ssize_t n;

        do {
                t.bytes = realloc(t.bytes, t.size + 65536 + 1);
                assert_non_null(t.bytes);
                n = recv(fd, t.bytes + t.size, 65536, MSG_DONTWAIT);
                if (n > 0)
                        t.size += (size_t) n;
        } while (n > 0);
        t.bytes[t.size] = 0;
        t.closed = n == 0 || errno != EAGAIN;
        return t;
}

static unsigned count_bytes(const struct taken *t, char c) {
        unsigned n = 0;

        for (size_t i = 0; i < t->size; i++)
                n += t->bytes[i] == c;
        return n;
}

/* Takes what there is: so many ends of messages of that kind, and the connection's state. */
static void assert_taken(int fd, char end, unsigned messages, bool closed) {
        struct taken t = take(fd);

        assert_int_equal(count_bytes(&t, end), messages);
        if (messages > 0)
                assert_int_equal(t.bytes[t.size - 1], end);
        else
                assert_int_equal(t.size, 0);
        assert_int_equal(t.closed, closed);
        free(t.bytes);
}

static void test_framing_in_kind(void **state) {
        struct fixture *f = *state;
        int fd = join(f);

        put(fd, STATUS "\0", sizeof(STATUS));
        turn(f);
        assert_taken(fd, '\0', 1, false);
        put(fd, STATUS "\n", sizeof(STATUS));
        turn(f);
        assert_taken(fd, '\n', 1, false);
        put(fd, STATUS "\n\0", sizeof(STATUS) + 1);
        turn(f);
        assert_taken(fd, '\0', 1, false);
        close(fd);
        turn(f);
}

static void test_every_request_that_is_there(void **state) {
        struct fixture *f = *state;
        char requests[500 * sizeof(STATUS)];
        int fd = join(f);

        for (unsigned i = 0; i < 500; i++)
                memcpy(requests + i * sizeof(STATUS), STATUS "\0", sizeof(STATUS));
        put(fd, requests, sizeof(requests));
        turn(f);
        /* The socket takes only so much at a time. */
        for (unsigned seen = 0; seen < 500;) {
                struct taken t = take(fd);

                assert_true(t.size > 0);
                seen += count_bytes(&t, '\0');
                free(t.bytes);
                turn(f);
        }
        assert_taken(fd, '\0', 0, false);
        close(fd);
}

static void test_half_close(void **state) {
        struct fixture *f = *state;
        int fd = join(f);

        put(fd, STATUS "\0" STATUS "\0", 2 * sizeof(STATUS));
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        turn(f);
        assert_taken(fd, '\0', 2, true);
        close(fd);

        fd = join(f);
        put(fd, STATUS, sizeof(STATUS) - 1);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        turn(f);
        assert_taken(fd, '\0', 0, true);
        close(fd);
}

static void test_no_call(void **state) {
        struct fixture *f = *state;
        int fd = join(f);
        struct taken t;

        put(fd, "{]\0" STATUS "\0", 3 + sizeof(STATUS));
        turn(f);
        assert_taken(fd, '\0', 0, true);
        close(fd);

        /* Somebody at a shell is told, even if more was typed ahead. */
        fd = join(f);
        put(fd, STATUS "\nhello\n" STATUS "\n", 2 * sizeof(STATUS) + 6);
        turn(f);
        t = take(fd);
        assert_int_equal(count_bytes(&t, '\n'), 2);
        assert_non_null(strstr(t.bytes, "{\"error\":\"io.portwatch.BadRequest\",\"parameters\":"
                                        "{\"reason\":\"a value was expected at byte 1\"}}\n"));
        free(t.bytes);
        assert_taken(fd, '\n', 0, true);
        close(fd);
}

/* A stream sends only what is taken; meanwhile others are answered. */
static void test_slow_reader(void **state) {
        static const char history[] = "{\"method\":\"io.portwatch.History\",\"more\":true}";
        struct fixture *f = *state;
        struct record record = recording_record(&f->recording, RECORD_OPEN, 80);
        int slow, other;
        unsigned events = 0;

        for (unsigned i = 0; i < 10000; i++)
                recording_append(&f->recording, &record, 1);
        slow = join(f);
        put(slow, history, sizeof(history));
        put(slow, STATUS "\0", sizeof(STATUS));
        turn(f);
        assert_int_equal(turn(f), 0);

        other = join(f);
        put(other, STATUS "\0", sizeof(STATUS));
        turn(f);
        assert_taken(other, '\0', 1, false);
        close(other);

        /* 52 replies of the stream, then the one of the call behind it. */
        while (events < 53) {
                struct taken t = take(slow);

                assert_true(t.size > 0);
                events += count_bytes(&t, '\0');
                free(t.bytes);
                turn(f);
        }
        assert_int_equal(events, 53);
        assert_taken(slow, '\0', 0, false);
        close(slow);
}

/* While one call looks through all of a long record, another client has its answer. */
static void test_turns(void **state) {
        static const char search[] = "{\"method\":\"io.portwatch.History\",\"parameters\":"
                                     "{\"filter\":{\"name\":\"nobody\"}}}";
        struct fixture *f = *state;
        struct record record = recording_record(&f->recording, RECORD_OPEN, 80);
        int long_one = join(f), short_one = join(f);
        unsigned turns = 0;
        struct pollfd p = { .fd = short_one, .events = POLLIN };

        for (unsigned i = 0; i < 60000; i++)
                recording_append(&f->recording, &record, 1);
        put(long_one, search, sizeof(search));
        put(short_one, STATUS "\0", sizeof(STATUS));
        while (poll(&p, 1, 0) == 0) {
                assert_true(sd_event_run(f->event, 0) > 0);
                turns++;
        }
        assert_true(turns <= 5);
        assert_taken(long_one, '\0', 0, false);
        assert_true(turn(f) > 5);
        assert_taken(long_one, '\0', 1, false);
        close(long_one);
        close(short_one);
}

static void test_connections_of_a_user(void **state) {
        struct fixture *f = *state;
        int fds[6];

        for (unsigned i = 0; i < 6; i++)
                fds[i] = join(f);
        assert_taken(fds[4], '\0', 0, false);
        assert_taken(fds[5], '\0', 0, true);
        close(fds[5]);
        close(fds[0]);
        turn(f);
        fds[0] = join(f);
        put(fds[0], STATUS "\0", sizeof(STATUS));
        turn(f);
        assert_taken(fds[0], '\0', 1, false);
        for (unsigned i = 0; i < 5; i++)
                close(fds[i]);
}

/* The recorder rings whether somebody follows or not; only followers make us get up. */
static void test_doorbell(void **state) {
        struct fixture *f = *state;
        struct record record = recording_record(&f->recording, RECORD_OPEN, 80);
        int fd = join(f);

        for (unsigned i = 0; i < 5; i++) {
                recording_append(&f->recording, &record, 1);
                assert_int_equal(write(f->bell[1], "x", 1), 1);
        }
        assert_int_equal(turn(f), 0);

        put(fd, FOLLOW "\0", sizeof(FOLLOW));
        turn(f);
        assert_taken(fd, '\0', 1, false);
        assert_int_equal(turn(f), 0);
        recording_append(&f->recording, &record, 1);
        assert_int_equal(turn(f), 0);
        assert_int_equal(write(f->bell[1], "x", 1), 1);
        turn(f);
        assert_taken(fd, '\0', 1, false);

        /* One that has sent all it will send still follows; one that is gone does not. */
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        turn(f);
        recording_append(&f->recording, &record, 1);
        assert_int_equal(write(f->bell[1], "x", 1), 1);
        turn(f);
        assert_taken(fd, '\0', 1, false);
        close(fd);
        turn(f);
        assert_int_equal(write(f->bell[1], "x", 1), 1);
        assert_int_equal(turn(f), 0);
}

static void test_the_end_of_the_recorder(void **state) {
        struct fixture *f = *state;
        struct record record = recording_record(&f->recording, RECORD_STOP, 0);
        struct taken t;
        int fd = join(f), code = -1;

        put(fd, FOLLOW "\0", sizeof(FOLLOW));
        turn(f);
        assert_taken(fd, '\0', 1, false);
        history_append(f->recording.history, &record, NULL, 0, NULL, NULL);
        close(f->bell[1]);
        f->bell[1] = -1;
        turn(f);
        t = take(fd);
        assert_non_null(strstr(t.bytes, "\"kind\":\"stop\""));
        free(t.bytes);
        assert_true(sd_event_get_exit_code(f->event, &code) >= 0);
        assert_int_equal(code, 0);
        close(fd);
}

/* Without anybody following, too. */
static void test_the_end_without_followers(void **state) {
        struct fixture *f = *state;
        int code = -1;

        turn(f);
        assert_true(sd_event_get_exit_code(f->event, &code) < 0);
        close(f->bell[1]);
        f->bell[1] = -1;
        turn(f);
        assert_true(sd_event_get_exit_code(f->event, &code) >= 0);
        assert_int_equal(code, 0);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_framing_in_kind),
                TEST(test_every_request_that_is_there),
                TEST(test_half_close),
                TEST(test_no_call),
                TEST(test_slow_reader),
                TEST(test_turns),
                TEST(test_connections_of_a_user),
                TEST(test_doorbell),
                TEST(test_the_end_of_the_recorder),
                TEST(test_the_end_without_followers),
        };
#undef TEST

        return cmocka_run_group_tests(tests, NULL, NULL);
}

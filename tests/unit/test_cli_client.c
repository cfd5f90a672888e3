/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cli/client.h"
#include "cli/json.h"

/* A server that sends what it is told, in pieces of a given size, and then closes or waits. */
struct server {
        struct scratch scratch;
        char path[80];
        int fd;
        pthread_t thread;
        const char *data;
        size_t size;
        size_t piece;
        bool stay; /* until the client has gone */
        char request[512];
        size_t request_size;
};

static void *serve(void *userdata) {
        struct server *s = userdata;
        int fd = accept(s->fd, NULL, NULL);
        size_t sent = 0;
        char byte;

        assert_true(fd >= 0);
        while (s->request_size < sizeof(s->request) && recv(fd, &byte, 1, 0) == 1) {
                s->request[s->request_size++] = byte;
                if (byte == '\0')
                        break;
        }
        while (sent < s->size) {
                size_t n = s->size - sent < s->piece ? s->size - sent : s->piece;

                if (send(fd, s->data + sent, n, MSG_NOSIGNAL) != (ssize_t) n)
                        break;
                sent += n;
        }
        if (s->stay)
                while (recv(fd, &byte, 1, 0) > 0)
                        ;
        close(fd);
        return NULL;
}

static void server_start(struct server *s, const char *data, size_t size, size_t piece) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        scratch_make(&s->scratch);
        snprintf(s->path, sizeof(s->path), "%s/socket", s->scratch.path);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", s->path);
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(s->fd >= 0);
        assert_int_equal(bind(s->fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(s->fd, 1), 0);
        s->data = data;
        s->size = size;
        s->piece = piece;
        assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s) {
        assert_int_equal(pthread_join(s->thread, NULL), 0);
        close(s->fd);
        scratch_remove(&s->scratch);
}

static struct client *connect_and_ask(const struct server *s) {
        struct client *c = NULL;
        struct buf parameters = { 0 };

        assert_int_equal(client_connect(&c, s->path), 0);
        buf_text(&parameters, "{\"a\":1}");
        assert_int_equal(client_call(c, "x.Y", &parameters, true), 0);
        buf_done(&parameters);
        return c;
}

static void expect_padding(const char *text) {
        /* What follows may be read, whatever it is. */
        volatile char sum = 0;

        for (size_t i = strlen(text); i < strlen(text) + JSON_PADDING; i++)
                sum = (char) (sum + text[i]);
}

static void test_answers(void **state) {
        static const char data[] = "first\0\0third answer";
        static const size_t pieces[] = { 1, 3, 7, sizeof(data) };

        (void) state;
        for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
                struct server s = { 0 };
                struct client *c;
                char *text;

                server_start(&s, data, sizeof(data), pieces[i]);
                c = connect_and_ask(&s);
                assert_int_equal(client_receive(c, CLIENT_TIMEOUT_USEC, &text), 1);
                assert_string_equal(text, "first");
                expect_padding(text);
                assert_int_equal(client_receive(c, CLIENT_TIMEOUT_USEC, &text), 1);
                assert_string_equal(text, "");
                assert_int_equal(client_receive(c, UINT64_MAX, &text), 1);
                assert_string_equal(text, "third answer");
                expect_padding(text);
                assert_int_equal(client_receive(c, CLIENT_TIMEOUT_USEC, &text), 0);
                assert_null(client_close(c));
                server_stop(&s);
                assert_string_equal(s.request,
                                    "{\"method\":\"x.Y\",\"parameters\":{\"a\":1},\"more\":true}");
        }
}

/* Many answers of many sizes, some of them larger than the buffer was at first. */
static void test_sizes(void **state) {
        size_t size = 0, n = 0, sizes[64];
        struct server s = { 0 };
        struct client *c;
        char *data = malloc(8 * 1024 * 1024), *text;

        (void) state;
        assert_non_null(data);
        for (size_t next = 1; size + next < 8 * 1024 * 1024 && n < 64; next = next * 5 / 3 + 1) {
                memset(data + size, 'a' + (int) (n % 26), next);
                data[size + next] = '\0';
                sizes[n++] = next;
                size += next + 1;
        }
        server_start(&s, data, size, size);
        c = connect_and_ask(&s);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(client_receive(c, CLIENT_TIMEOUT_USEC, &text), 1);
                assert_int_equal(strlen(text), sizes[i]);
                assert_int_equal(text[0], 'a' + (int) (i % 26));
                assert_int_equal(text[sizes[i] - 1], text[0]);
                expect_padding(text);
        }
        client_close(c);
        server_stop(&s);
        free(data);
}

static void test_cut(void **state) {
        struct server s = { 0 };
        struct client *c;
        char *text;

        (void) state;
        server_start(&s, "whole\0half", 10, 10);
        c = connect_and_ask(&s);
        assert_int_equal(client_receive(c, CLIENT_TIMEOUT_USEC, &text), 1);
        assert_int_equal(client_receive(c, CLIENT_TIMEOUT_USEC, &text), -ECONNRESET);
        client_close(c);
        server_stop(&s);
}

static void test_too_long(void **state) {
        size_t size = CLIENT_REPLY_MAX + 1024 * 1024;
        char *data = malloc(size), *text;
        struct server s = { 0 };
        struct client *c;

        (void) state;
        assert_non_null(data);
        memset(data, 'a', size);
        server_start(&s, data, size, size);
        c = connect_and_ask(&s);
        assert_int_equal(client_receive(c, CLIENT_TIMEOUT_USEC, &text), -EMSGSIZE);
        client_close(c);
        server_stop(&s);
        free(data);
}

static void test_time(void **state) {
        struct server s = { .stay = true };
        uint64_t begin;
        struct client *c;
        char *text;

        (void) state;
        server_start(&s, "half", 4, 4);
        c = connect_and_ask(&s);
        begin = unit_now_ns();
        assert_int_equal(client_receive(c, 50000, &text), -ETIMEDOUT);
        assert_true(unit_now_ns() - begin >= 50000000);
        client_close(c);
        server_stop(&s);
}

static void test_nobody(void **state) {
        struct client *c = NULL;
        char path[200];

        (void) state;
        assert_int_equal(client_connect(&c, "/nonexistent/socket"), -ENOENT);
        assert_int_equal(client_connect(&c, "/dev/null"), -ECONNREFUSED);
        memset(path, 'a', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(client_connect(&c, path), -ENAMETOOLONG);
        assert_null(c);
        assert_null(client_close(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers), cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_cut),     cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_time),    cmocka_unit_test(test_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

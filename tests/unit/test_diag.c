/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/sockets.h"

#include <linux/sock_diag.h>

#include "daemon/record/destroy.h"
#include "daemon/record/diag.h"
#include "daemon/record/netns.h"

enum {
        ESTABLISHED = 1,
        SYN_SENT = 2,
        FIN_WAIT2 = 5,
        CLOSE = 7,
        CLOSE_WAIT = 8,
        LISTEN = 10,
};

/* ---- Dumps ---- */

#define FOUND_MAX 256
#define NETNS     4711

struct found {
        struct event events[FOUND_MAX];
        unsigned n;
};

static void keep(const struct event *ev, size_t size, void *userdata) {
        struct found *f = userdata;

        assert_int_equal(size, sizeof(*ev));
        assert_true(f->n < FOUND_MAX);
        f->events[f->n++] = *ev;
}

static void dump(struct found *ret, unsigned what) {
        int fd = diag_open(-1);

        assert_true(fd >= 0);
        ret->n = 0;
        assert_int_equal(diag_dump(fd, NETNS, what, keep, ret), 0);
        close(fd);
}

static const struct event *find_cookie(const struct found *f, uint64_t cookie) {
        const struct event *ev = NULL;

        for (unsigned i = 0; i < f->n; i++)
                if (f->events[i].cookie == cookie) {
                        assert_null(ev); /* told twice */
                        ev = &f->events[i];
                }
        return ev;
}

static const struct event *find(const struct found *f, int fd) {
        const struct event *ev = find_cookie(f, cookie_of(fd));

        assert_non_null(ev);
        assert_int_equal(ev->type, EVENT_FOUND);
        assert_int_equal(ev->netns, NETNS);
        assert_int_equal(ev->uid, geteuid());
        assert_int_equal(ev->pid, 0);
        assert_int_equal(ev->local_port, local_port(fd));
        assert_true(ev->time_ns > 0);
        return ev;
}

static void assert_address(const uint8_t got[static 16], int family, const char *expected) {
        uint8_t address[16] = { 0 };

        assert_int_equal(inet_pton(family, expected, address), 1);
        assert_memory_equal(got, address, sizeof(address));
}

static void test_listeners(void **state) {
        static const struct {
                int family;
                int type;
                const char *address;
                bool v6only;
        } cases[] = {
                { AF_INET, SOCK_STREAM, "127.0.0.1", false },
                { AF_INET, SOCK_STREAM, "0.0.0.0", false },
                { AF_INET6, SOCK_STREAM, "::", false },
                { AF_INET6, SOCK_STREAM, "::", true },
                { AF_INET6, SOCK_STREAM, "::1", true },
                { AF_INET, SOCK_DGRAM, "127.0.0.1", false },
                { AF_INET6, SOCK_DGRAM, "::", false },
                { AF_INET6, SOCK_DGRAM, "::", true },
        };
        struct found f;
        int fds[sizeof(cases) / sizeof(cases[0])];

        needs_namespace(state);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct sockaddr_storage ss;
                socklen_t size = address_make(&ss, cases[i].family, cases[i].address, 0);
                int on = cases[i].v6only;

                fds[i] = socket_make(cases[i].family, cases[i].type);
                if (cases[i].family == AF_INET6)
                        assert_int_equal(
                                setsockopt(fds[i], IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
                assert_int_equal(bind(fds[i], (struct sockaddr *) &ss, size), 0);
                if (cases[i].type == SOCK_STREAM)
                        assert_int_equal(listen(fds[i], 8), 0);
        }

        dump(&f, DIAG_LISTENERS);
        assert_int_equal(f.n, sizeof(cases) / sizeof(cases[0]));
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const struct event *ev = find(&f, fds[i]);
                bool tcp = cases[i].type == SOCK_STREAM;

                assert_int_equal(ev->transport, tcp ? IPPROTO_TCP : IPPROTO_UDP);
                assert_int_equal(ev->new_state, tcp ? LISTEN : CLOSE);
                assert_int_equal(ev->family, cases[i].family);
                assert_address(ev->local, cases[i].family, cases[i].address);
                assert_int_equal(ev->remote_port, 0);
                assert_int_equal(ev->flags, cases[i].v6only ? EVENT_V6ONLY : 0);
                close(fds[i]);
        }

        dump(&f, DIAG_LISTENERS | DIAG_CONNECTIONS);
        assert_int_equal(f.n, 0);
}

static void test_established(void **state) {
        int listener;
        const struct event *ev;
        struct found f;
        struct pair p;

        needs_namespace(state);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        p = pair_make(listener);
        send_bytes(p.client, p.server, 100);
        send_bytes(p.server, p.client, 50);

        dump(&f, DIAG_CONNECTIONS);
        assert_int_equal(f.n, 2);
        ev = find(&f, p.client);
        assert_int_equal(ev->transport, IPPROTO_TCP);
        assert_int_equal(ev->new_state, ESTABLISHED);
        assert_int_equal(ev->remote_port, local_port(listener));
        assert_address(ev->remote, AF_INET, "127.0.0.1");
        assert_int_equal(ev->flags, EVENT_BYTES);
        assert_int_equal(ev->bytes_sent, 100);
        assert_int_equal(ev->bytes_received, 50);
        assert_int_equal(ev->opener, OPENER_SELF);
        ev = find(&f, p.server);
        assert_int_equal(ev->remote_port, local_port(p.client));
        assert_int_equal(ev->bytes_sent, 50);
        assert_int_equal(ev->bytes_received, 100);
        assert_int_equal(ev->opener, OPENER_PEER);

        /* Listeners come before connections. */
        dump(&f, DIAG_LISTENERS | DIAG_CONNECTIONS);
        assert_int_equal(f.n, 3);
        assert_int_equal(f.events[0].cookie, cookie_of(listener));
        pair_close(p.client, p.server);
        close(listener);
}

static void test_mapped(void **state) {
        const struct event *ev;
        struct found f;
        int listener, client;

        needs_namespace(state);
        listener = listener_make(AF_INET6, "::", 0);
        client = socket_make(AF_INET6, SOCK_STREAM);
        assert_int_equal(socket_connect(client, AF_INET6, "::ffff:127.0.0.1", local_port(listener)),
                         0);
        dump(&f, DIAG_CONNECTIONS);
        ev = find(&f, client);
        assert_int_equal(ev->family, AF_INET6);
        assert_address(ev->local, AF_INET6, "::ffff:127.0.0.1");
        assert_address(ev->remote, AF_INET6, "::ffff:127.0.0.1");
        close(client);
        close(listener);
}

/* The other end is in the accept queue: it has neither a descriptor nor a user yet. */
static void test_accept_queue(void **state) {
        struct found f;
        unsigned n = 0;
        int listener, client;

        needs_namespace(state);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        client = socket_make(AF_INET, SOCK_STREAM);
        assert_int_equal(socket_connect(client, AF_INET, "127.0.0.1", local_port(listener)), 0);
        dump(&f, DIAG_CONNECTIONS);
        for (unsigned i = 0; i < f.n; i++)
                if (f.events[i].local_port == local_port(listener) &&
                    f.events[i].remote_port == local_port(client)) {
                        assert_int_equal(f.events[i].new_state, ESTABLISHED);
                        assert_true(f.events[i].uid == UINT32_MAX ||
                                    (f.events[i].uid == geteuid() && geteuid() != 0));
                        n++;
                }
        assert_int_equal(n, 1);
        reset_on_close(client);
        close(client);
        close(listener);
}

/* A full accept queue leaves further requests unanswered. */
static void test_syn_sent(void **state) {
        const struct event *ev;
        struct found f;
        int listener, fds[8];
        unsigned n_pending = 0;

        needs_namespace(state);
        listener = socket_bound(AF_INET, SOCK_STREAM, "127.0.0.1", 0);
        assert_int_equal(listen(listener, 0), 0);
        for (size_t i = 0; i < 8; i++) {
                fds[i] = socket_make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
                assert_int_equal(socket_connect(fds[i], AF_INET, "127.0.0.1", local_port(listener)),
                                 -EINPROGRESS);
        }
        dump(&f, DIAG_CONNECTIONS);
        for (size_t i = 0; i < 8; i++) {
                ev = find(&f, fds[i]);
                assert_int_equal(ev->remote_port, local_port(listener));
                n_pending += ev->new_state == SYN_SENT;
                close(fds[i]);
        }
        assert_true(n_pending >= 4);
        /* Requests that are not established yet are not sockets. */
        for (unsigned i = 0; i < f.n; i++)
                assert_true(f.events[i].new_state == SYN_SENT ||
                            f.events[i].new_state == ESTABLISHED);
        close(listener);
}

/* What stays of the first to close has the cookie of a socket that is gone. */
static void test_time_wait(void **state) {
        struct found f;
        struct pair p;
        int listener;
        uint64_t cookie;

        needs_namespace(state);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        p = pair_make(listener);
        send_bytes(p.client, p.server, 10);
        cookie = cookie_of(p.client);
        close(p.client);
        read_end(p.server);

        dump(&f, DIAG_CONNECTIONS);
        assert_int_equal(find(&f, p.server)->new_state, CLOSE_WAIT);
        assert_int_equal(find(&f, p.server)->bytes_received, 10);
        wait_for(!find_cookie(&f, cookie), dump(&f, DIAG_CONNECTIONS));

        close(p.server);
        wait_for(f.n == 0, dump(&f, DIAG_CONNECTIONS));
        close(listener);
}

static void test_udp(void **state) {
        const struct event *ev;
        struct found f;
        int bound, connected, autobound;

        needs_namespace(state);
        bound = socket_bound(AF_INET, SOCK_DGRAM, "127.0.0.1", 0);
        connected = socket_make(AF_INET, SOCK_DGRAM);
        assert_int_equal(socket_connect(connected, AF_INET, "127.0.0.1", local_port(bound)), 0);
        autobound = socket_make(AF_INET, SOCK_DGRAM);
        send_to(autobound, "127.0.0.1", local_port(bound));

        dump(&f, DIAG_LISTENERS);
        assert_int_equal(f.n, 2);
        assert_int_equal(find(&f, bound)->flags, 0);
        assert_int_equal(find(&f, autobound)->new_state, CLOSE);
        dump(&f, DIAG_CONNECTIONS);
        assert_int_equal(f.n, 1);
        ev = find(&f, connected);
        assert_int_equal(ev->flags, EVENT_CONNECTED);
        assert_int_equal(ev->new_state, ESTABLISHED);
        assert_int_equal(ev->remote_port, local_port(bound));
        assert_address(ev->remote, AF_INET, "127.0.0.1");
        close(autobound);
        close(connected);
        close(bound);
}

/* ---- Destroy groups ---- */

struct listen {
        struct found found;
        struct destroy_reader *reader;
        int fd;
        uint32_t drops;
        uint64_t lost;
        uint64_t n;
};

static void count(const struct event *ev, size_t size, void *userdata) {
        struct listen *l = userdata;

        (void) ev;
        (void) size;
        l->n++;
}

static void listen_begin(struct listen *ret, int rcvbuf) {
        memset(ret, 0, sizeof(*ret));
        ret->fd = destroy_open(rcvbuf);
        assert_true(ret->fd >= 0);
        assert_int_equal(destroy_reader_new(&ret->reader), 0);
}

static void listen_end(struct listen *l) {
        l->reader = destroy_reader_free(l->reader);
        close(l->fd);
}

static int listen_read(struct listen *l, source_emit_fn emit, void *userdata) {
        uint64_t lost;
        int r = destroy_read(l->reader, l->fd, NETNS, &l->drops, emit, userdata, &lost);

        assert_true(r >= 0);
        l->lost += lost;
        return r;
}

/* Waits for the message of a socket. */
static const struct event *gone(struct listen *l, uint64_t cookie) {
        const struct event *ev;

        wait_for(find_cookie(&l->found, cookie), listen_read(l, keep, &l->found));
        ev = find_cookie(&l->found, cookie);
        assert_int_equal(ev->type, EVENT_DESTROYED);
        assert_int_equal(ev->netns, NETNS);
        assert_int_equal(ev->uid, UINT32_MAX);
        assert_int_equal(ev->cgroup_id, 0);
        assert_int_equal(l->lost, 0);
        return ev;
}

/* What the last words of a connection are to say. */
static void assert_end(const struct event *ev, uint8_t old_state, int error, uint64_t received,
                       uint64_t sent) {
        assert_int_equal(ev->transport, IPPROTO_TCP);
        assert_int_equal(ev->old_state, old_state);
        assert_int_equal(ev->error, error);
        assert_true(ev->local_port > 0);
        assert_true(ev->remote_port > 0);
        assert_int_equal(ev->flags, EVENT_BYTES);
        assert_int_equal(ev->bytes_received, received);
        assert_int_equal(ev->bytes_sent, sent);
}

static void test_closed(void **state) {
        struct listen l;
        int listener;

        needs_namespace(state);
        listen_begin(&l, 1 << 20);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        for (unsigned round = 0; round < 4; round++) {
                struct pair p = pair_make(listener);
                uint64_t client = cookie_of(p.client), server = cookie_of(p.server);
                bool data = round & 1, client_first = round & 2;
                const struct event *ev;

                if (data) {
                        send_bytes(p.client, p.server, 100);
                        send_bytes(p.server, p.client, 50);
                }
                if (client_first)
                        pair_close(p.client, p.server);
                else
                        pair_close(p.server, p.client);
                ev = gone(&l, client);
                assert_end(ev, ESTABLISHED, 0, data ? 50 : 0, data ? 100 : 0);
                assert_int_equal(ev->opener, OPENER_SELF);
                ev = gone(&l, server);
                assert_end(ev, ESTABLISHED, 0, data ? 100 : 0, data ? 50 : 0);
                assert_int_equal(ev->opener, OPENER_PEER);
        }
        close(listener);
        listen_end(&l);
}

static void test_reset(void **state) {
        struct listen l;
        int listener;

        needs_namespace(state);
        listen_begin(&l, 1 << 20);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        for (unsigned round = 0; round < 4; round++) {
                struct pair p = pair_make(listener);
                bool data = round & 1, by_client = round & 2;
                int first = by_client ? p.client : p.server;
                int second = by_client ? p.server : p.client;
                uint64_t first_cookie = cookie_of(first), second_cookie = cookie_of(second);
                uint16_t port = local_port(first);
                const struct event *ev;

                if (data)
                        send_bytes(first, second, 100);
                reset_on_close(first);
                close(first);
                close(second);

                ev = gone(&l, second_cookie);
                assert_end(ev, ESTABLISHED, ECONNRESET, data ? 100 : 0, 0);
                /* That the other side's SYN was acknowledged is seen, but not told from a FIN. */
                assert_int_equal(ev->opener, by_client ? OPENER_PEER : OPENER_UNKNOWN);
                /* Whoever resets forgets the other port. */
                ev = gone(&l, first_cookie);
                assert_int_equal(ev->old_state, ESTABLISHED);
                assert_int_equal(ev->error, ECONNRESET);
                assert_int_equal(ev->local_port, port);
                assert_int_equal(ev->remote_port, 0);
                assert_address(ev->remote, AF_INET, "127.0.0.1");
                assert_int_equal(ev->flags, 0);
        }
        close(listener);
        listen_end(&l);
}

static void test_refused(void **state) {
        const struct event *ev;
        struct listen l;
        uint64_t cookie;
        int fd;

        needs_namespace(state);
        listen_begin(&l, 1 << 20);
        fd = socket_make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
        assert_int_equal(socket_connect(fd, AF_INET, "127.0.0.1", 1), -EINPROGRESS);
        cookie = cookie_of(fd);
        close(fd);
        ev = gone(&l, cookie);
        assert_end(ev, SYN_SENT, ECONNREFUSED, 0, 0);
        assert_int_equal(ev->remote_port, 1);

        /* After a connect() that has returned an error not even that is left. */
        fd = socket_make(AF_INET, SOCK_STREAM);
        assert_int_equal(socket_connect(fd, AF_INET, "127.0.0.1", 1), -ECONNREFUSED);
        cookie = cookie_of(fd);
        close(fd);
        ev = gone(&l, cookie);
        assert_int_equal(ev->old_state, SYN_SENT);
        assert_int_equal(ev->error, 0);
        assert_int_equal(ev->remote_port, 0);
        listen_end(&l);
}

static void test_never_connected(void **state) {
        struct listen l;
        uint64_t cookies[3];
        int fds[3];

        needs_namespace(state);
        listen_begin(&l, 1 << 20);
        fds[0] = socket_make(AF_INET, SOCK_STREAM);
        fds[1] = socket_bound(AF_INET, SOCK_STREAM, "127.0.0.1", 0);
        fds[2] = listener_make(AF_INET6, "::", 0);
        for (unsigned i = 0; i < 3; i++) {
                const struct event *ev;
                uint16_t port = local_port(fds[i]);

                cookies[i] = cookie_of(fds[i]);
                close(fds[i]);
                ev = gone(&l, cookies[i]);
                assert_int_equal(ev->old_state, 0);
                assert_int_equal(ev->error, 0);
                assert_int_equal(ev->local_port, port);
                assert_int_equal(ev->remote_port, 0);
        }
        listen_end(&l);
}

static void test_udp_gone(void **state) {
        const struct event *ev;
        struct listen l;
        uint64_t cookie;
        uint16_t port;
        int fd;

        needs_namespace(state);
        listen_begin(&l, 1 << 20);
        fd = socket_make(AF_INET6, SOCK_DGRAM);
        assert_int_equal(socket_connect(fd, AF_INET6, "::1", 53), 0);
        cookie = cookie_of(fd);
        port = local_port(fd);
        close(fd);
        ev = gone(&l, cookie);
        assert_int_equal(ev->transport, IPPROTO_UDP);
        assert_int_equal(ev->flags, EVENT_CONNECTED);
        assert_int_equal(ev->local_port, port);
        assert_int_equal(ev->remote_port, 53);
        listen_end(&l);
}

static uint32_t drops_so_far(int fd) {
        uint32_t meminfo[SK_MEMINFO_VARS];
        socklen_t size = sizeof(meminfo);

        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, meminfo, &size), 0);
        return meminfo[SK_MEMINFO_DROPS];
}

/* Whatever does not fit is counted, one by one. */
static void test_overrun(void **state) {
        enum { SOCKETS = 5000 };
        struct listen l;

        needs_namespace(state);
        listen_begin(&l, 1 << 16);
        for (unsigned i = 0; i < SOCKETS; i++)
                close(socket_make(AF_INET, SOCK_STREAM));
        /* The messages are made later, elsewhere: nothing is taken before there are too many. */
        wait_for(drops_so_far(l.fd) > 0, sched_yield());
        wait_for(l.n + l.lost >= SOCKETS, listen_read(&l, count, &l));
        assert_int_equal(l.n + l.lost, SOCKETS);
        assert_true(l.n > 0);
        assert_true(l.lost > 0);

        /* And after that nothing is. */
        for (unsigned i = 0; i < 10; i++)
                close(socket_make(AF_INET, SOCK_STREAM));
        wait_for(l.n + l.lost >= SOCKETS + 10, listen_read(&l, count, &l));
        assert_int_equal(l.n + l.lost, SOCKETS + 10);
        assert_int_equal(l.lost, drops_so_far(l.fd));
        listen_end(&l);
}

/* ---- Messages ---- */

static void test_damaged(void **state) {
        struct {
                struct nlmsghdr header;
                uint8_t payload[128];
        } m = { .header = { .nlmsg_len = sizeof(struct nlmsghdr) + 8,
                            .nlmsg_type = SOCK_DIAG_BY_FAMILY } };
        struct event ev;

        (void) state;
        assert_int_equal(diag_event(&m.header, NETNS, IPPROTO_TCP, &ev), -EBADMSG);
        /* Long enough, of no family that we know. */
        m.header.nlmsg_len = sizeof(m);
        assert_int_equal(diag_event(&m.header, NETNS, IPPROTO_TCP, &ev), 0);
        /* An attribute that goes beyond the end ends the list. */
        m.payload[0] = AF_INET;
        memset(m.payload + 72, 0xff, sizeof(m.payload) - 72);
        assert_int_equal(diag_event(&m.header, NETNS, IPPROTO_TCP, &ev), 1);
        assert_int_equal(diag_event(&m.header, NETNS, IPPROTO_SCTP, &ev), 0);
}

static void test_no_such_namespace(void **state) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        (void) state;
        assert_true(diag_open(fd) < 0);
        close(fd);
}

static void test_other_namespace(void **state) {
        int own, other, fd, listener;
        uint32_t before = netns_own();
        struct found f = { .n = 0 };

        needs_namespace(state);
        assert_true(before != 0);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        assert_true(own >= 0);
        assert_int_equal(unshare(CLONE_NEWNET), 0);
        other = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        assert_int_equal(setns(own, CLONE_NEWNET), 0);

        fd = diag_open(other);
        assert_true(fd >= 0);
        assert_int_equal(netns_own(), before);
        assert_int_equal(diag_dump(fd, NETNS, DIAG_LISTENERS | DIAG_CONNECTIONS, keep, &f), 0);
        assert_int_equal(f.n, 0);
        close(fd);
        close(other);
        close(own);
        close(listener);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_listeners),
                cmocka_unit_test(test_established),
                cmocka_unit_test(test_mapped),
                cmocka_unit_test(test_accept_queue),
                cmocka_unit_test(test_syn_sent),
                cmocka_unit_test(test_time_wait),
                cmocka_unit_test(test_udp),
                cmocka_unit_test(test_closed),
                cmocka_unit_test(test_reset),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_never_connected),
                cmocka_unit_test(test_udp_gone),
                cmocka_unit_test(test_overrun),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_no_such_namespace),
                cmocka_unit_test(test_other_namespace),
        };

        return cmocka_run_group_tests_name("diag", tests, sockets_setup, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/sockets.h"

#include <signal.h>
#include <sys/prctl.h>
#include <systemd/sd-event.h>

#include "daemon/record/netns.h"
#include "daemon/record/source.h"

/* ---- The source in an event loop, and what it has told ---- */

#define POLL_USEC  20000
#define EVENTS_MAX 4096

enum {
        CLOSE = 7,
        LISTEN = 10,
};

struct watch {
        sd_event *event;
        struct source *source;
        struct event events[EVENTS_MAX]; /* but for those that are only counted */
        unsigned n;
        uint64_t n_batches;
        uint64_t n_destroyed; /* TCP, with both ports */
        uint64_t n_unused;    /* TCP, with neither */
        uint64_t lost;
        unsigned n_full;    /* snapshots of everything, ended */
        unsigned n_resyncs; /* those that ended after a loss */
        bool open;          /* a snapshot has begun and not ended */
        bool count_only;
        uint64_t poll_usec;      /* 0: POLL_USEC */
        uint32_t netns, also[2]; /* whose events are looked at: others live on this machine, too */
};

static bool is_foreign(const struct watch *w, uint32_t netns) {
        return netns != 0 && netns != w->netns && netns != w->also[0] && netns != w->also[1];
}

static void on_event(const struct event *ev, size_t size, void *userdata) {
        struct watch *w = userdata;

        assert_int_equal(size, sizeof(*ev));
        assert_true(ev->time_ns > 0);
        if (is_foreign(w, ev->netns))
                return;
        switch (ev->type) {
        case EVENT_SNAPSHOT_BEGIN:
                assert_false(w->open);
                w->open = true;
                break;
        case EVENT_SNAPSHOT_END:
                assert_true(w->open);
                w->open = false;
                if (!(ev->flags & EVENT_LISTENERS_ONLY)) {
                        w->n_full++;
                        w->n_resyncs += w->lost > 0;
                }
                break;
        case EVENT_FOUND:
                /* Listeners are looked at in between, too. */
                assert_true(w->open || ev->new_state == LISTEN || ev->new_state == CLOSE);
                break;
        case EVENT_LOST:
                assert_true(ev->count > 0);
                w->lost += ev->count;
                break;
        case EVENT_DESTROYED:
                if (ev->transport == IPPROTO_TCP) {
                        w->n_destroyed += ev->local_port && ev->remote_port;
                        w->n_unused += !ev->local_port && !ev->remote_port;
                }
                break;
        default:
                fail();
        }
        if (w->count_only)
                return;
        assert_true(w->n < EVENTS_MAX);
        w->events[w->n++] = *ev;
}

static void on_batch(void *userdata) {
        struct watch *w = userdata;

        w->n_batches++;
}

static void on_broken(int error, void *userdata) {
        (void) userdata;
        fail_msg("broken: %s", strerror(-error));
}

static void watch_begin(struct watch *ret, size_t ring_bytes) {
        struct source_args args = {
                .emit = on_event,
                .batch_done = on_batch,
                .broken = on_broken,
                .userdata = ret,
                .ring_bytes = ring_bytes,
                .poll_usec = ret->poll_usec ? ret->poll_usec : POLL_USEC,
        };
        char why[256] = "";

        ret->netns = netns_own();
        assert_int_equal(sd_event_new(&ret->event), 0);
        args.event = ret->event;
        assert_int_equal(source_netlink.probe(why), 0);
        assert_string_equal(why, "");
        assert_int_equal(source_netlink.start(&ret->source, &args), 0);
}

static void watch_end(struct watch *w) {
        w->source = source_netlink.stop(w->source);
        assert_null(w->source);
        w->event = sd_event_unref(w->event);
}

static void run_once(struct watch *w) {
        assert_true(sd_event_run(w->event, 100 * 1000) >= 0);
}

static const struct event *find_from(const struct watch *w, unsigned first, enum event_type type,
                                     uint64_t cookie) {
        for (unsigned i = first; i < w->n; i++)
                if (w->events[i].type == type && w->events[i].cookie == cookie)
                        return &w->events[i];
        return NULL;
}

static const struct event *find(const struct watch *w, enum event_type type, uint64_t cookie) {
        return find_from(w, 0, type, cookie);
}

/* ---- Tests ---- */

static void test_start(void **state) {
        const struct event *ev;
        int listener, udp, autobound;
        struct watch w = { .n = 0 };
        struct pair p;

        needs_namespace(state);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        p = pair_make(listener);
        udp = socket_bound(AF_INET, SOCK_DGRAM, "127.0.0.1", 53);
        autobound = socket_make(AF_INET, SOCK_DGRAM);
        send_to(autobound, "127.0.0.1", 53);
        watch_begin(&w, 0);

        /* All of it is there when it has started: begin, everything, end. */
        assert_int_equal(w.events[0].type, EVENT_SNAPSHOT_BEGIN);
        assert_int_equal(w.events[0].netns, 0);
        assert_int_equal(w.events[0].flags, 0);
        assert_int_equal(w.events[w.n - 1].type, EVENT_SNAPSHOT_END);
        assert_int_equal(w.events[w.n - 1].netns, 0);
        assert_int_equal(w.events[w.n - 1].flags, 0);
        assert_false(w.open);
        assert_int_equal(w.n_batches, 1);
        for (unsigned i = 1; i + 1 < w.n; i++)
                assert_true(w.events[i].type == EVENT_FOUND || w.events[i].type == EVENT_DESTROYED);

        ev = find(&w, EVENT_FOUND, cookie_of(listener));
        assert_non_null(ev);
        assert_int_equal(ev->netns, netns_own());
        ev = find(&w, EVENT_FOUND, cookie_of(p.client));
        assert_non_null(ev);
        assert_int_equal(ev->remote_port, local_port(listener));
        assert_non_null(find(&w, EVENT_FOUND, cookie_of(p.server)));
        assert_int_equal(find(&w, EVENT_FOUND, cookie_of(udp))->flags, 0);
        assert_int_equal(find(&w, EVENT_FOUND, cookie_of(autobound))->flags, EVENT_AUTOBOUND);
        assert_non_null(strstr(source_netlink.limits(w.source), "processes"));

        pair_close(p.client, p.server);
        close(autobound);
        close(udp);
        close(listener);
        watch_end(&w);
}

/* A listener that opens later is found by a poll, and its end is told by the destroy group. */
static void test_later(void **state) {
        int listener, client;
        uint64_t cookie;
        struct watch w = { .n = 0 };

        needs_namespace(state);
        watch_begin(&w, 0);
        listener = listener_make(AF_INET6, "::", 0);
        cookie = cookie_of(listener);
        wait_for(find(&w, EVENT_FOUND, cookie), run_once(&w));
        /* By now a poll is enough for a listener, but not for a connection. */
        client = socket_make(AF_INET6, SOCK_STREAM);
        assert_int_equal(socket_connect(client, AF_INET6, "::1", local_port(listener)), 0);
        wait_for(find(&w, EVENT_FOUND, cookie_of(client)), run_once(&w));

        close(listener);
        wait_for(find(&w, EVENT_DESTROYED, cookie), run_once(&w));
        cookie = cookie_of(client);
        close(client);
        wait_for(find(&w, EVENT_DESTROYED, cookie), run_once(&w));
        wait_for(!w.open, run_once(&w));
        watch_end(&w);
}

/* Whether the message of a listener that has gone came before the end of the snapshot without it.
 */
static bool gone_before_the_end(struct watch *w) {
        int listener = listener_make(AF_INET, "127.0.0.1", 0);
        uint64_t cookie = cookie_of(listener);
        unsigned first = w->n;

        assert_int_equal(source_netlink.resync(w->source), 0);
        wait_for(!w->open, run_once(w));
        assert_non_null(find_from(w, first, EVENT_FOUND, cookie));

        first = w->n;
        close(listener);
        assert_int_equal(source_netlink.resync(w->source), 0);
        wait_for(find_from(w, first, EVENT_DESTROYED, cookie), run_once(w));
        wait_for(!w->open, run_once(w));
        assert_null(find_from(w, first, EVENT_FOUND, cookie));
        for (unsigned i = first; i < w->n; i++)
                if (w->events[i].type == EVENT_SNAPSHOT_END)
                        return find_from(w, first, EVENT_DESTROYED, cookie) < &w->events[i];
        return false;
}

/* The source waits for it, but on a busy machine the kernel may take longer; not time and again. */
static void test_gone_before_the_end(void **state) {
        struct watch w = { .poll_usec = UINT64_C(3600) * 1000000 };
        bool before = false;

        needs_namespace(state);
        watch_begin(&w, 0);
        for (unsigned i = 0; i < 20 && !before; i++)
                before = gone_before_the_end(&w);
        watch_end(&w);
        assert_true(before);
}

/* Whether the listener of a connection that has gone was told before it. */
static bool listener_was_first(void) {
        struct watch w = { .poll_usec = UINT64_C(3600) * 1000000 };
        const struct event *found;
        uint64_t cookie;
        int listener;
        struct pair p;
        bool first;

        watch_begin(&w, 0);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        p = pair_make(listener);
        cookie = cookie_of(p.server);
        pair_close(p.client, p.server);
        wait_for(find(&w, EVENT_DESTROYED, cookie), run_once(&w));
        found = find(&w, EVENT_FOUND, cookie_of(listener));
        first = found && found < find(&w, EVENT_DESTROYED, cookie);
        close(listener);
        watch_end(&w);
        return first;
}

/*
 * Though no poll has seen the listener yet. Such looks are rationed, and a stranger's connection
 * may have used up the ration just before; not time and again.
 */
static void test_listener_first(void **state) {
        bool first = false;

        needs_namespace(state);
        for (unsigned i = 0; i < 10 && !first; i++)
                first = listener_was_first();
        assert_true(first);
}

#define CONNECTIONS 10000

/* In a child: connections one after the other, each closed by both sides. */
static void make_connections(int listener) {
        for (unsigned i = 0; i < CONNECTIONS; i++) {
                struct sockaddr_storage ss;
                socklen_t size = address_make(&ss, AF_INET, "127.0.0.1", local_port(listener));
                int client = socket(AF_INET, SOCK_STREAM, 0), server;
                char byte;

                child_require(connect(client, (struct sockaddr *) &ss, size) == 0);
                server = accept(listener, NULL, NULL);
                child_require(server >= 0);
                close(client);
                child_require(recv(server, &byte, 1, 0) == 0);
                close(server);
        }
}

static void test_every_connection(void **state) {
        int listener, status;
        struct watch w = { .n = 0 };
        pid_t pid;

        needs_namespace(state);
        listener = listener_make(AF_INET, "127.0.0.1", 0);
        watch_begin(&w, 0);
        w.count_only = true;
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                make_connections(listener);
                _exit(0);
        }
        wait_for(w.n_destroyed >= 2 * CONNECTIONS, run_once(&w));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        source_netlink.drain(w.source);
        assert_int_equal(w.n_destroyed, 2 * CONNECTIONS);
        assert_int_equal(w.lost, 0);
        close(listener);
        watch_end(&w);
}

/* More than the buffer holds: exactly the rest is missing, and a full snapshot follows. */
static void test_loss(void **state) {
        enum { SOCKETS = 3000 };
        struct watch w = { .n = 0 };

        needs_namespace(state);
        do {
                w = (struct watch){ .n = 0 };
                watch_begin(&w, 1 << 15);
                w.count_only = true;
                for (unsigned i = 0; i < SOCKETS; i++)
                        close(socket_make(AF_INET, SOCK_STREAM));
                wait_for(w.n_unused + w.lost >= SOCKETS, run_once(&w));
                assert_int_equal(w.n_unused + w.lost, SOCKETS);
                if (w.lost > 0)
                        wait_for(w.n_resyncs > 0, run_once(&w));
                watch_end(&w);
                /* The messages come when the kernel likes: now and then they all find room. */
        } while (w.lost == 0);
}

/* A process in a namespace of its own with a listener, until it is killed. */
static pid_t stranger(uint32_t *ret_netns, uint64_t *ret_cookie) {
        int fds[2];
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(7) };
                socklen_t size = sizeof(*ret_cookie);
                uint32_t netns;
                uint64_t cookie;
                int fd;

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                child_require(unshare(CLONE_NEWNET) == 0);
                fd = socket(AF_INET, SOCK_STREAM, 0);
                child_require(bind(fd, (struct sockaddr *) &any, sizeof(any)) == 0);
                child_require(listen(fd, 1) == 0);
                child_require(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0);
                netns = netns_own();
                child_require(write(fds[1], &netns, sizeof(netns)) == sizeof(netns));
                child_require(write(fds[1], &cookie, sizeof(cookie)) == sizeof(cookie));
                for (;;)
                        pause();
        }
        close(fds[1]);
        assert_int_equal(read(fds[0], ret_netns, sizeof(*ret_netns)), sizeof(*ret_netns));
        assert_int_equal(read(fds[0], ret_cookie, sizeof(*ret_cookie)), sizeof(*ret_cookie));
        close(fds[0]);
        return pid;
}

static void kill_and_wait(pid_t pid) {
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_namespaces(void **state) {
        const struct event *ev;
        uint64_t cookie, later_cookie;
        uint32_t netns, later_netns;
        struct watch w = { .n = 0 };
        unsigned n = 0;
        pid_t pid, later;

        needs_namespace(state);
        pid = stranger(&netns, &cookie);
        w.also[0] = netns;
        watch_begin(&w, 0);
        ev = find(&w, EVENT_FOUND, cookie);
        assert_non_null(ev);
        assert_int_equal(ev->netns, netns);
        assert_int_not_equal(netns, netns_own());

        /* One that comes later is found by the next look through /proc. */
        later = stranger(&later_netns, &later_cookie);
        w.also[1] = later_netns;
        wait_for(find(&w, EVENT_FOUND, later_cookie), run_once(&w));
        assert_int_equal(find(&w, EVENT_FOUND, later_cookie)->netns, later_netns);

        /* What its last process did is still told; then all that is left of it ends. */
        kill_and_wait(pid);
        wait_for(find(&w, EVENT_DESTROYED, cookie), run_once(&w));
        assert_int_equal(find(&w, EVENT_DESTROYED, cookie)->netns, netns);
        wait_for(!w.open, run_once(&w));
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(source_netlink.resync(w.source), 0);
                wait_for(!w.open, run_once(&w));
        }
        for (unsigned i = 0; i < w.n; i++)
                n += w.events[i].type == EVENT_SNAPSHOT_END && w.events[i].netns == netns;
        assert_int_equal(n, 1);
        kill_and_wait(later);
        watch_end(&w);
}

/* The set alone: whom it keeps, and whom it lets go. */
static void test_netns_scan(void **state) {
        struct netns_set set = { .entries = NULL };
        uint64_t cookie;
        uint32_t netns;
        pid_t pid;
        bool found = false;

        needs_namespace(state);
        pid = stranger(&netns, &cookie);
        assert_int_equal(netns_scan(&set, false, 0), 0);
        assert_int_equal(set.entries[0].inode, netns_own());
        for (unsigned i = 0; i < set.n_entries; i++) {
                for (unsigned k = 0; k < i; k++)
                        assert_int_not_equal(set.entries[i].inode, set.entries[k].inode);
                found |= set.entries[i].inode == netns;
                assert_true(set.entries[i].diag_fd >= 0);
                assert_int_equal(set.entries[i].destroy_fd, -1);
                assert_true(set.entries[i].ephemeral_first > 0);
                assert_true(set.entries[i].ephemeral_first <= set.entries[i].ephemeral_last);
        }
        assert_true(found);

        kill_and_wait(pid);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(netns_scan(&set, false, 0), 0);
        assert_int_equal(set.entries[0].inode, netns_own());
        for (unsigned i = 0; i < set.n_entries; i++)
                assert_int_not_equal(set.entries[i].inode, netns);
        netns_done(&set);
        netns_done(&set);
        assert_null(source_netlink.stop(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_start),
                cmocka_unit_test(test_later),
                cmocka_unit_test(test_gone_before_the_end),
                cmocka_unit_test(test_listener_first),
                cmocka_unit_test(test_every_connection),
                cmocka_unit_test(test_loss),
                cmocka_unit_test(test_namespaces),
                cmocka_unit_test(test_netns_scan),
        };

        return cmocka_run_group_tests_name("netlink", tests, sockets_setup, NULL);
}

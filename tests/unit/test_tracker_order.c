/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "desk.h"
#include "script.h"

/*
 * Events of one socket come in their order; those of different sockets come as the processors
 * happen to hand them in. The records must be the same, in whatever order the sockets are mixed.
 */

#define ORDERS      1000U
#define COPIES      12U /* of each life, with a cookie and a port of its own */
#define STREAMS_MAX 256U
#define EVENTS_EACH 12U
#define RECORDS_MAX 2048U
#define TEXT_MAX    560U

/*
 * A life of a socket: its events, where %c is its cookie, %p a port of its own and %t its time.
 * Only the children of the servers look at another socket: at their listener, for the owner.
 */
struct life {
        const char *name;
        const char *events[EVENTS_EACH];
};

static const struct life servers[] = {
        { "server", { "%t state %c close>listen 0.0.0.0:80 - pid=1", NULL } },
        { "server of both families", { "%t state %c close>listen [::]:8080 - pid=2", NULL } },
        { "server on one address", { "%t state %c close>listen 10.0.0.9:80 - pid=3", NULL } },
};

static const struct life lives[] = {
        { "outbound",
          { "%t state %c close>syn-sent 10.0.0.1:0 10.0.0.2:443 pid=10",
            "%t state %c syn-sent>established 10.0.0.1:%p 10.0.0.2:443",
            "%t state %c established>fin-wait-1 10.0.0.1:%p 10.0.0.2:443 pid=11",
            "%t state %c fin-wait-2>close 10.0.0.1:%p 10.0.0.2:443 rx=10 tx=20", NULL } },
        { "outbound by IPv6 to IPv4",
          { "%t state %c close>syn-sent [::]:0 [::ffff:10.0.0.2]:443 pid=12",
            "%t state %c syn-sent>established [::ffff:10.0.0.1]:%p [::ffff:10.0.0.2]:443",
            "%t state %c last-ack>close [::ffff:10.0.0.1]:%p [::ffff:10.0.0.2]:443", NULL } },
        { "refused",
          { "%t state %c close>syn-sent 127.0.0.1:0 127.0.0.1:81 pid=13",
            "%t state %c syn-sent>close 127.0.0.1:%p 127.0.0.1:81 error=refused", NULL } },
        { "timed out, then tried again",
          { "%t state %c close>syn-sent 10.0.0.1:0 10.0.0.3:443 pid=14",
            "%t state %c syn-sent>close 10.0.0.1:%p 10.0.0.3:443 error=timed-out",
            "%t state %c close>syn-sent 10.0.0.1:0 10.0.0.3:443 pid=14",
            "%t state %c syn-sent>established 10.0.0.1:%p 10.0.0.3:443",
            "%t state %c established>close 10.0.0.1:%p 10.0.0.3:443 error=reset", NULL } },
        { "connected to itself",
          { "%t state %c close>syn-sent 127.0.0.1:%p 127.0.0.1:%p pid=15",
            "%t state %c syn-sent>syn-recv 127.0.0.1:%p 127.0.0.1:%p",
            "%t state %c syn-recv>established 127.0.0.1:%p 127.0.0.1:%p",
            "%t state %c closing>close 127.0.0.1:%p 127.0.0.1:%p", NULL } },
        { "disconnected and connected anew",
          { "%t state %c close>syn-sent 10.0.0.1:0 10.0.0.2:443 pid=16",
            "%t state %c syn-sent>established 10.0.0.1:%p 10.0.0.2:443",
            "%t state %c established>close 10.0.0.1:%p 10.0.0.2:443 pid=16",
            "%t state %c close>syn-sent 10.0.0.1:0 10.0.0.4:443 pid=17",
            "%t state %c syn-sent>established 10.0.0.1:%p 10.0.0.4:443",
            "%t state %c fin-wait-2>close 10.0.0.1:%p 10.0.0.4:443", NULL } },
        { "an end that was missed",
          { "%t state %c close>syn-sent 10.0.0.1:0 10.0.0.2:443 pid=18",
            "%t state %c syn-sent>established 10.0.0.1:%p 10.0.0.2:443",
            "%t state %c close>syn-sent 10.0.0.1:0 10.0.0.2:444 pid=19",
            "%t state %c syn-sent>close 10.0.0.1:%p 10.0.0.2:444 error=refused", NULL } },
        { "a beginning that was missed",
          { "%t state %c syn-sent>established 10.0.0.1:%p 10.0.0.2:443",
            "%t state %c last-ack>close 10.0.0.1:%p 10.0.0.2:443 pid=20", NULL } },
        { "only an end",
          { "%t state %c last-ack>close 10.0.0.1:%p 10.0.0.5:443 rx=1 tx=1", NULL } },
        { "a listener that listens again",
          { "%t state %c close>listen [::1]:%p - pid=21",
            "%t state %c listen>close [::1]:%p - pid=21",
            "%t state %c close>listen [::1]:%p - pid=22", "%t owner %c pid=23",
            "%t state %c listen>close [::1]:%p - pid=22", NULL } },
        { "a listener without bind",
          { "%t state %c close>listen 0.0.0.0:0 - pid=24 netns=2",
            "%t state %c listen>close 0.0.0.0:%p - pid=24 netns=2", NULL } },
        { "UDP server", { "%t bind %c 0.0.0.0:%p pid=25", "%t release %c pid=26", NULL } },
        { "UDP client",
          { "%t connect %c 10.0.0.2:53 pid=27", "%t connect %c 10.0.0.3:53 pid=27",
            "%t release %c pid=27", NULL } },
        { "UDP server that becomes a client",
          { "%t bind %c [::1]:%p pid=28", "%t connect %c [::1]:53 pid=28", "%t release %c pid=28",
            NULL } },
        { "child that is closed by its worker",
          { "%t state %c syn-recv>established 10.0.0.1:80 10.0.0.6:%p",
            "%t state %c close-wait>last-ack 10.0.0.1:80 10.0.0.6:%p pid=30",
            "%t state %c last-ack>close 10.0.0.1:80 10.0.0.6:%p rx=7 tx=8", NULL } },
        { "child that is reset",
          { "%t state %c syn-recv>established [::ffff:10.0.0.1]:8080 [::ffff:10.0.0.6]:%p",
            "%t state %c established>close [::ffff:10.0.0.1]:8080 [::ffff:10.0.0.6]:%p error=reset",
            NULL } },
        { "child that a look names",
          { "%t state %c syn-recv>established 10.0.0.9:80 10.0.0.6:%p", "%t owner %c pid=31",
            "%t state %c fin-wait-2>close 10.0.0.9:80 10.0.0.6:%p", NULL } },
        { "child that stays",
          { "%t state %c syn-recv>established [2001:db8::1]:8080 [2001:db8::6]:%p", NULL } },
        { "outbound that stays",
          { "%t state %c close>syn-sent 10.0.0.1:0 10.0.0.2:443 pid=32",
            "%t state %c syn-sent>established 10.0.0.1:%p 10.0.0.2:443", NULL } },
};

#define N_SERVERS (sizeof(servers) / sizeof(servers[0]))
#define N_LIVES   (sizeof(lives) / sizeof(lives[0]))
_Static_assert(N_SERVERS + N_LIVES * COPIES <= STREAMS_MAX, "each has a stream");

struct stream {
        struct event events[EVENTS_EACH];
        unsigned n;
        unsigned at;
};

static struct stream streams[STREAMS_MAX];
static unsigned n_streams;

static void expand(const char *pattern, uint64_t cookie, uint64_t time, struct event *ret) {
        char line[256];
        size_t n = 0;
        const char *wrong;

        for (const char *p = pattern; *p; p++) {
                if (*p != '%') {
                        line[n++] = *p;
                        continue;
                }
                p++;
                n += (size_t) snprintf(line + n, sizeof(line) - n, "%" PRIu64,
                                       *p == 'c'   ? cookie
                                       : *p == 't' ? time
                                                   : 10000 + cookie);
        }
        line[n] = 0;
        wrong = script_parse(line, ret);
        if (wrong)
                fail_msg("%s: %s", pattern, wrong);
}

static void add_stream(const struct life *life) {
        struct stream *s = &streams[n_streams++];
        uint64_t cookie = n_streams;

        for (s->n = 0; life->events[s->n]; s->n++)
                expand(life->events[s->n], cookie, 1000 * cookie + s->n, &s->events[s->n]);
}

static int make_streams(void **state) {
        (void) state;
        n_streams = 0;
        for (size_t i = 0; i < N_SERVERS; i++)
                add_stream(&servers[i]);
        for (unsigned copy = 0; copy < COPIES; copy++)
                for (size_t i = 0; i < N_LIVES; i++)
                        add_stream(&lives[i]);
        return 0;
}

/* ---- What came of it, without what hangs on the order ---- */

struct outcome_set {
        char lines[RECORDS_MAX][TEXT_MAX];
        size_t n;
};

static int compare_lines(const void *a, const void *b) {
        return strcmp(a, b);
}

/* Without the sequence numbers; owners of children can be left out as well. */
static void collect(const struct desk *d, bool owners_of_children, struct outcome_set *ret) {
        assert_true(d->n_records <= RECORDS_MAX);
        ret->n = d->n_records;
        for (size_t i = 0; i < d->n_records; i++) {
                struct record r = d->records[i];
                const struct record *opened = &d->records[r.id - 1];
                char text[512];

                assert_int_equal(opened->cookie, r.cookie);
                if (!owners_of_children && r.direction == DIRECTION_INBOUND &&
                    r.attribution == ATTRIBUTION_LISTENER)
                        r.owner = OWNER_NONE;
                desk_print(d, &r, text);
                snprintf(ret->lines[i], TEXT_MAX, "%" PRIu64 " %s", r.cookie, text);
                if (strstr(ret->lines[i], " id="))
                        snprintf(strstr(ret->lines[i], " id="), 64, " of=%" PRIu64,
                                 opened->time_usec);
        }
        qsort(ret->lines, ret->n, TEXT_MAX, compare_lines);
}

/* Hands the events of streams from first on in, one at a time from a stream that is drawn. */
static void hand_in(struct desk *d, unsigned first, uint64_t *seed) {
        unsigned ready[STREAMS_MAX], n = 0;

        for (unsigned i = first; i < n_streams; i++) {
                streams[i].at = 0;
                ready[n++] = i;
        }
        while (n > 0) {
                unsigned k = (unsigned) unit_below(seed, n);
                struct stream *s = &streams[ready[k]];

                tracker_handle(d->tracker, &s->events[s->at++]);
                if (s->at == s->n)
                        ready[k] = ready[--n];
        }
}

static void play(uint64_t seed, bool servers_first, struct outcome_set *ret) {
        struct desk d;
        uint64_t s = seed;
        const char *wrong;

        assert_int_equal(desk_init(&d, 256, 1024), 0);
        for (unsigned i = 0; servers_first && i < N_SERVERS; i++)
                tracker_handle(d.tracker, &streams[i].events[0]);
        hand_in(&d, servers_first ? N_SERVERS : 0, &s);
        wrong = desk_check(&d);
        if (wrong)
                fail_msg("seed %" PRIu64 ": %s", seed, wrong);
        assert_int_equal(d.live.header->counters[LIVE_LOST_TRACKER], 0);
        assert_int_equal(desk_count(&d, LIVE_LISTENERS, false), N_SERVERS);
        assert_int_equal(desk_count(&d, LIVE_CONNECTIONS, false), 2 * COPIES);
        assert_int_equal(desk_count(&d, LIVE_CONNECTIONS, true), 0);
        collect(&d, servers_first, ret);
        assert_null(desk_done(&d));
}

static void compare_orders(bool servers_first) {
        struct outcome_set *first = malloc(sizeof(*first)), *other = malloc(sizeof(*other));

        assert_non_null(first);
        assert_non_null(other);
        play(0, servers_first, first);
        assert_true(first->n > 30 * COPIES);
        for (uint64_t seed = 1; seed <= ORDERS; seed++) {
                play(seed, servers_first, other);
                for (size_t i = 0; i < first->n && i < other->n; i++)
                        if (strcmp(first->lines[i], other->lines[i]) != 0)
                                fail_msg("seed %" PRIu64 ": %s, before: %s", seed, other->lines[i],
                                         first->lines[i]);
                assert_int_equal(other->n, first->n);
        }
        free(first);
        free(other);
}

/* A child comes after its listener, in every order: then even the owner is the same. */
static void test_servers_first(void **state) {
        (void) state;
        compare_orders(true);
}

/* A listener that is told late can stand in for nobody; nothing else may change for that. */
static void test_any_order(void **state) {
        (void) state;
        compare_orders(false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_servers_first, make_streams),
                cmocka_unit_test_setup(test_any_order, make_streams),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

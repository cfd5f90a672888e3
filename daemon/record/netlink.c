/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The source without programs in the kernel: sock_diag's dumps tell what is open, its destroy
 * groups tell each socket that has gone (sock_diag(7)). Nothing tells that one was opened; the next
 * dump does.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "diag.h"
#include "holders.h"
#include "feeds.h"
#include "netns.h"

#define DEFAULT_BUFFER_BYTES (32U << 20)
#define MAX_BUFFER_BYTES     (1U << 30) /* the kernel doubles it, into an int */
#define PROBE_BUFFER_BYTES   (64 << 10)
#define DEFAULT_POLL_USEC    (500 * 1000U)

/*
 * A socket leaves the dumps before its message is sent. The end of a snapshot that misses some
 * waits for their messages, so that they are not taken for missed ones.
 */
#define SETTLE_USEC (100 * 1000U)

#define TICK_ACCURACY_USEC (10 * 1000U)

#define FAILURES_MAX 10

/* What is done again and again. Each takes at most one part in share of a processor's time. */
enum job {
        JOB_SCAN,
        JOB_DUMP,
        JOB_POLL,
        JOB_MAX,
};

static const struct {
        uint64_t usec; /* between two; 0: as configured */
        unsigned share;
} jobs[JOB_MAX] = {
        [JOB_SCAN] = { .usec = 2000 * 1000, .share = 300 },
        [JOB_DUMP] = { .usec = 1000 * 1000, .share = 100 },
        [JOB_POLL] = { .share = 150 },
};
/* Dumps become so rare when nothing goes. */
#define DUMP_IDLE_USEC (5000 * 1000U)
/* A dump after a loss, or for a new namespace, may take more. */
#define REPAIR_SHARE 10
/* A walk through /proc for the holders of sockets: so much of a processor's time, and so rarely. */
#define WALK_SHARE 50
#define WALK_USEC  (200 * 1000U)
/* The same, where all that is not known is who serves what the service manager has opened. */
#define WALK_IDLE_SHARE 500
#define WALK_IDLE_USEC  (5000 * 1000U)
/* A glance at the listeners before the last words of connections to them. */
#define GLANCE_SHARE 100

/* The kernel's, include/net/tcp_states.h. */
#define STATE_LISTEN 10

struct source {
        struct source_args args;
        sd_event_source *tick_timer;
        struct feeds feeds; /* one for each entry of the set, as its userdata */
        struct netns_set set;
        uint64_t due_usec[JOB_MAX];  /* CLOCK_MONOTONIC */
        uint64_t cost_usec[JOB_MAX]; /* of the last time, processor time */
        uint64_t dump_usec;          /* between full dumps, as it is now */
        struct holders holders;      /* by inode, of the last walk */
        uint64_t next_walk_usec;     /* CLOCK_MONOTONIC */
        uint64_t next_idle_walk_usec;
        uint64_t next_glance_usec;
        uint64_t missed[2];   /* digests of inodes without a holder: of listeners, of a full dump */
        uint64_t hopeless[2]; /* the same, right after a walk */
        unsigned n_denied;    /* processes that the last walk could not look into */
        uint64_t digest[2];   /* of the last listeners, of the last full dump */
        uint64_t n_destroyed; /* since the last full dump */
        uint64_t n_emitted;   /* since batch_done */
        unsigned n_failures[2]; /* in a row: of drains, of the own namespace's dumps */
        uint8_t snapshot_flags;
        bool snapshot_open; /* begun and not ended */
        bool without_udp;
        bool stopping;
        char limits[640];
};

static uint64_t clock_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

static uint64_t max_usec(uint64_t a, uint64_t b) {
        return a > b ? a : b;
}

static uint64_t boottime_ns(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

static void emit(struct source *s, const struct event *ev) {
        s->n_emitted++;
        s->args.emit(ev, sizeof(*ev), s->args.userdata);
}

static void emit_mark(struct source *s, enum event_type type, uint32_t netns, uint8_t flags,
                      uint64_t count) {
        struct event ev = {
                .time_ns = boottime_ns(),
                .type = (uint8_t) type,
                .netns = netns,
                .flags = flags,
                .count = count,
        };

        emit(s, &ev);
}

static void batch_done(struct source *s) {
        if (s->n_emitted == 0)
                return;
        s->n_emitted = 0;
        s->args.batch_done(s->args.userdata);
}

/* sock_diag cannot tell bind() from a port that the kernel chose at the first send. */
static void emit_socket(struct source *s, const struct feed *f, const struct event *ev) {
        struct event copy;

        if (ev->transport != IPPROTO_UDP || ev->flags & EVENT_CONNECTED ||
            ev->local_port < f->ephemeral_first || ev->local_port > f->ephemeral_last) {
                emit(s, ev);
                return;
        }
        copy = *ev;
        copy.flags |= EVENT_AUTOBOUND;
        emit(s, &copy);
}

static void job_hasten(struct source *s, enum job job, uint64_t usec) {
        uint64_t due = clock_usec(CLOCK_MONOTONIC) + usec;

        if (due < s->due_usec[job])
                s->due_usec[job] = due;
}

static int tick_arm(struct source *s) {
        uint64_t due = s->due_usec[0];
        int r;

        for (unsigned i = 1; i < JOB_MAX; i++)
                due = s->due_usec[i] < due ? s->due_usec[i] : due;
        r = sd_event_source_set_time(s->tick_timer, due);
        return r < 0 ? r : sd_event_source_set_enabled(s->tick_timer, SD_EVENT_ONESHOT);
}

/* ---- Destroy groups ---- */

static void on_lost(struct feed *f, uint64_t count, void *userdata) {
        struct source *s = userdata;

        emit_mark(s, EVENT_LOST, f->netns, 0, count);
        job_hasten(s, JOB_DUMP, s->cost_usec[JOB_DUMP] * REPAIR_SHARE);
}

static void drain_all(struct source *s) {
        for (unsigned i = 0; i < s->set.n_entries; i++)
                if (s->set.entries[i].userdata)
                        (void) feed_drain(s->set.entries[i].userdata);
}

/* ---- Snapshots ---- */

struct dump {
        struct source *source;
        struct feed *feed;
        uint64_t digest;
        uint64_t missed;
        bool unserved; /* a listener that systemd alone holds */
};

/* Fibonacci hashing: a plain sum of numbers would not notice two that change places. */
static uint64_t digest_of(uint64_t number) {
        return number * 0x9E3779B97F4A7C15U;
}

static void listens_set(struct feed *f, uint16_t port) {
        f->listens[port / 64] |= UINT64_C(1) << port % 64;
}

static bool listens(const struct feed *f, uint16_t port) {
        return f->listens[port / 64] >> port % 64 & 1;
}

static void on_found(const struct event *ev, size_t size, void *userdata) {
        struct dump *d = userdata;
        struct event found = *ev, other;

        (void) size;
        if (ev->transport == IPPROTO_TCP && ev->new_state == STATE_LISTEN)
                listens_set(d->feed, ev->local_port);
        d->digest += digest_of(ev->cookie ^ ev->local_port);
        if (!holders_fill(&d->source->holders, &found))
                d->missed += digest_of(ev->inode);
        emit_socket(d->source, d->feed, &found);
        /* systemd's socket units: the service has the listener as well. */
        if (found.pid == 1 && holders_next(&d->source->holders, &found, &other))
                emit(d->source, &other);
}

/* ---- Holders ---- */

static void on_look(const struct event *ev, size_t size, void *userdata) {
        struct dump *d = userdata;
        struct event found = *ev, other;

        (void) size;
        if (!holders_fill(&d->source->holders, &found))
                d->missed += digest_of(ev->inode);
        else if (found.pid == 1 && !holders_next(&d->source->holders, &found, &other))
                d->unserved = true;
}

/*
 * Before a dump: are there sockets that the last walk did not know? A dump of the listeners costs
 * next to nothing, so that a new one is told with its process at once; connections are known from
 * the dump before. What a walk did not find is not looked for again, but for services that start on
 * sockets of systemd's. Returns whether one was taken.
 */
static bool look_for_holders(struct source *s, bool full) {
        uint64_t now = clock_usec(CLOCK_MONOTONIC), begin, cost;
        struct dump d = { .source = s };

        if (now < s->next_walk_usec)
                return false;
        for (unsigned i = 0; i < s->set.n_entries; i++)
                (void) diag_dump(s->set.entries[i].diag_fd, s->set.entries[i].inode, DIAG_LISTENERS,
                                 on_look, &d);
        if (d.missed == s->hopeless[0] && (!full || s->missed[1] == s->hopeless[1]) &&
            !(d.unserved && now >= s->next_idle_walk_usec))
                return false;

        begin = clock_usec(CLOCK_THREAD_CPUTIME_ID);
        holders_clear(&s->holders);
        (void) holders_walk(&s->holders, &s->n_denied);
        holders_sort(&s->holders);
        cost = clock_usec(CLOCK_THREAD_CPUTIME_ID) - begin;
        s->next_walk_usec = now + max_usec(cost * WALK_SHARE, WALK_USEC);
        s->next_idle_walk_usec = now + max_usec(cost * WALK_IDLE_SHARE, WALK_IDLE_USEC);

        d.missed = 0;
        for (unsigned i = 0; i < s->set.n_entries; i++)
                (void) diag_dump(s->set.entries[i].diag_fd, s->set.entries[i].inode, DIAG_LISTENERS,
                                 on_look, &d);
        s->hopeless[0] = d.missed;
        return true;
}

/* ---- Last words ---- */

/*
 * A connection that has gone may have come in by a listener that no poll has seen yet: without it
 * it would be taken for an outbound one. Where neither port is known to listen, the listeners are
 * looked at before it is told, but not all the time.
 */
static void glance(struct source *s, struct feed *f) {
        uint64_t now = clock_usec(CLOCK_MONOTONIC), begin;
        struct dump d = { .source = s, .feed = f };

        if (now < s->next_glance_usec)
                return;
        /* Which has a share of its own. */
        (void) look_for_holders(s, false);
        begin = clock_usec(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned i = 0; i < s->set.n_entries; i++)
                if (s->set.entries[i].userdata == f)
                        (void) diag_dump(s->set.entries[i].diag_fd, f->netns, DIAG_LISTENERS,
                                         on_found, &d);
        s->next_glance_usec = now + (clock_usec(CLOCK_THREAD_CPUTIME_ID) - begin) * GLANCE_SHARE;
}

static void on_destroyed(const struct event *ev, struct feed *f, void *userdata) {
        struct source *s = userdata;

        s->n_destroyed++;
        if (ev->transport == IPPROTO_TCP && ev->remote_port != 0 && !listens(f, ev->local_port) &&
            !listens(f, ev->remote_port))
                glance(s, f);
        emit_socket(s, f, ev);
}

/* Says which namespaces the snapshot is the truth for: those whose dump had no error. */
static void snapshot_end(struct source *s) {
        unsigned n_dumped = 0;

        for (unsigned i = 0; i < s->set.n_entries; i++) {
                const struct feed *f = s->set.entries[i].userdata;

                n_dumped += f && f->dumped;
        }
        if (n_dumped == s->set.n_entries)
                emit_mark(s, EVENT_SNAPSHOT_END, 0, s->snapshot_flags, 0);
        else
                for (unsigned i = 0; i < s->set.n_entries; i++) {
                        const struct feed *f = s->set.entries[i].userdata;

                        if (f && f->dumped)
                                emit_mark(s, EVENT_SNAPSHOT_END, f->netns, s->snapshot_flags, 0);
                }
        s->snapshot_open = false;
}

/* Leaves the snapshot open. The result is that of the recorder's own namespace. */
static int snapshot_begin(struct source *s, unsigned what, uint64_t *ret_digest) {
        bool full = what & DIAG_CONNECTIONS, walked = look_for_holders(s, full);
        uint64_t digest = 0, missed = 0;
        int error = 0;

        s->snapshot_flags = full ? 0 : EVENT_LISTENERS_ONLY;
        s->snapshot_open = true;
        emit_mark(s, EVENT_SNAPSHOT_BEGIN, 0, s->snapshot_flags, 0);

        for (unsigned i = 0; i < s->set.n_entries; i++) {
                const struct netns_entry *e = &s->set.entries[i];
                struct dump d = { .source = s, .feed = e->userdata };
                int r;

                if (!d.feed)
                        continue;
                memset(d.feed->listens, 0, sizeof(d.feed->listens));
                r = diag_dump(e->diag_fd, e->inode, what, on_found, &d);
                if (r == -EPROTONOSUPPORT) {
                        s->without_udp = true;
                        r = 0;
                }
                d.feed->dumped = r >= 0;
                digest += d.digest;
                missed += d.missed;
                if (r < 0) {
                        job_hasten(s, JOB_SCAN, 0);
                        error = i == 0 ? r : error;
                }
        }
        s->missed[full] = missed;
        if (full && walked)
                s->hopeless[1] = missed;
        *ret_digest = digest;
        return error;
}

/* Ends it now when nothing has gone since the last one of its kind, else when all has settled. */
static int snapshot(struct source *s, unsigned what) {
        bool full = what & DIAG_CONNECTIONS;
        uint64_t digest;
        int r, k;

        r = snapshot_begin(s, what, &digest);
        if (digest == s->digest[full])
                snapshot_end(s);
        s->digest[full] = digest;
        if (full)
                s->n_destroyed = 0;
        if (s->snapshot_open) {
                k = feeds_delay(&s->feeds, SETTLE_USEC);
                if (k < 0) {
                        snapshot_end(s);
                        return k;
                }
        }
        return r;
}

/* What is left of the snapshot that is open, without waiting. */
static void snapshot_finish(struct source *s) {
        if (!s->snapshot_open)
                return;
        drain_all(s);
        snapshot_end(s);
}

/* ---- Jobs ---- */

/* A namespace has gone: its last messages, then whatever is left ends with it. */
static void on_closing(struct netns_entry *e, void *userdata) {
        struct source *s = userdata;
        struct feed *f = e->userdata;

        if (f && !s->stopping) {
                (void) feed_drain(f);
                emit_mark(s, EVENT_SNAPSHOT_BEGIN, e->inode, 0, 0);
                emit_mark(s, EVENT_SNAPSHOT_END, e->inode, 0, 0);
        }
        e->userdata = feed_free(f);
}

static int scan(struct source *s) {
        int r = netns_scan(&s->set, true, (int) s->args.ring_bytes);

        for (unsigned i = 0; i < s->set.n_entries; i++) {
                struct netns_entry *e = &s->set.entries[i];
                struct feed *f;

                if (!e->userdata) {
                        int k = feed_new(&f, &s->feeds, e->destroy_fd, e->inode);

                        if (k < 0)
                                return k;
                        e->userdata = f;
                        job_hasten(s, JOB_DUMP, s->cost_usec[JOB_DUMP] * REPAIR_SHARE);
                }
                f = e->userdata;
                f->ephemeral_first = e->ephemeral_first;
                f->ephemeral_last = e->ephemeral_last;
        }
        return r;
}

static int dump_all(struct source *s) {
        s->dump_usec = s->n_destroyed > 0 ? jobs[JOB_DUMP].usec : s->dump_usec * 2;
        if (s->dump_usec > DUMP_IDLE_USEC)
                s->dump_usec = DUMP_IDLE_USEC;
        return snapshot(s, DIAG_LISTENERS | DIAG_CONNECTIONS);
}

static int poll_listeners(struct source *s) {
        return snapshot(s, DIAG_LISTENERS);
}

static int job_run(struct source *s, enum job job) {
        static int (*const run[JOB_MAX])(struct source *) = {
                [JOB_SCAN] = scan,
                [JOB_DUMP] = dump_all,
                [JOB_POLL] = poll_listeners,
        };
        uint64_t begin = clock_usec(CLOCK_THREAD_CPUTIME_ID), usec;
        int r;

        /* What runs may ask for itself to be run again. */
        s->due_usec[job] = UINT64_MAX;
        r = run[job](s);
        s->cost_usec[job] = clock_usec(CLOCK_THREAD_CPUTIME_ID) - begin;

        usec = job == JOB_DUMP   ? s->dump_usec
               : job == JOB_POLL ? s->args.poll_usec
                                 : jobs[job].usec;
        if (usec < s->cost_usec[job] * jobs[job].share)
                usec = s->cost_usec[job] * jobs[job].share;
        job_hasten(s, job, usec);
        /* A full dump has looked at the listeners as well. */
        if (job == JOB_DUMP)
                s->due_usec[JOB_POLL] = clock_usec(CLOCK_MONOTONIC) + s->args.poll_usec;
        return r;
}

/* Whatever goes wrong is tried again at the next turn, but not forever. */
static void judge_turn(struct source *s, unsigned *n_failures, int r) {
        if (r >= 0)
                *n_failures = 0;
        else if (++*n_failures >= FAILURES_MAX)
                s->args.broken(r, s->args.userdata);
}

static void on_drained(int error, void *userdata) {
        struct source *s = userdata;
        int r;

        snapshot_finish(s);
        batch_done(s);
        r = tick_arm(s);
        judge_turn(s, &s->n_failures[0], r < 0 ? r : error);
}

static int on_tick(sd_event_source *timer, uint64_t usec, void *userdata) {
        struct source *s = userdata;
        uint64_t soon = clock_usec(CLOCK_MONOTONIC) + s->args.poll_usec / 8;
        int r = 0, k;

        (void) timer;
        (void) usec;
        /* Its end comes with a drain, and arms this timer again. */
        if (s->snapshot_open)
                return 0;
        /* In this order: a scan may ask for a dump, and a dump spares a poll. */
        for (unsigned job = 0; job < JOB_MAX && !s->snapshot_open; job++)
                if (s->due_usec[job] <= soon) {
                        k = job_run(s, job);
                        /* A scan may fail for want of descriptors: all stays as it was. */
                        if (job != JOB_SCAN)
                                r = k < 0 ? k : r;
                }
        batch_done(s);
        k = tick_arm(s);
        judge_turn(s, &s->n_failures[1], k < 0 ? k : r);
        return 0;
}

static const struct feeds_ops feeds_ops = {
        .destroyed = on_destroyed,
        .lost = on_lost,
        .drained = on_drained,
};

/* ---- The table of operations ---- */

static void on_nothing(const struct event *ev, size_t size, void *userdata) {
        (void) ev;
        (void) size;
        (void) userdata;
}

static int netlink_probe(char ret_why[static 256]) {
        struct netns_set set = { 0 };
        int r;

        r = netns_scan(&set, true, PROBE_BUFFER_BYTES);
        if (r < 0) {
                (void) snprintf(ret_why, 256, "cannot listen to sock_diag: %s", strerror(-r));
                return r;
        }
        r = diag_dump(set.entries[0].diag_fd, set.entries[0].inode, DIAG_LISTENERS, on_nothing,
                      NULL);
        netns_done(&set);
        if (r == -EPROTONOSUPPORT)
                r = 0;
        if (r == -ENOENT)
                (void) snprintf(ret_why, 256, "the kernel has no tcp_diag");
        else if (r < 0)
                (void) snprintf(ret_why, 256, "cannot dump sockets: %s", strerror(-r));
        return r;
}

static struct source *netlink_stop(struct source *s) {
        if (!s)
                return NULL;
        s->stopping = true;
        netns_done(&s->set);
        sd_event_source_disable_unref(s->tick_timer);
        feeds_done(&s->feeds);
        holders_clear(&s->holders);
        free(s);
        return NULL;
}

/* The groups are joined before the dumps, so that a socket is in one or the other, or in both. */
static int first_snapshot(struct source *s) {
        uint64_t now = clock_usec(CLOCK_MONOTONIC);
        int r;

        r = scan(s);
        if (r < 0)
                return r;
        r = snapshot_begin(s, DIAG_LISTENERS | DIAG_CONNECTIONS, &s->digest[1]);
        if (r < 0)
                return r;
        snapshot_finish(s);
        batch_done(s);

        s->due_usec[JOB_SCAN] = now + jobs[JOB_SCAN].usec;
        s->due_usec[JOB_DUMP] = now + jobs[JOB_DUMP].usec;
        s->due_usec[JOB_POLL] = now + s->args.poll_usec;
        return tick_arm(s);
}

static int netlink_start(struct source **ret, const struct source_args *args) {
        struct source *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->args = *args;
        s->holders.key = HOLDERS_BY_INODE;
        if (s->args.ring_bytes == 0)
                s->args.ring_bytes = DEFAULT_BUFFER_BYTES;
        if (s->args.ring_bytes > MAX_BUFFER_BYTES)
                s->args.ring_bytes = MAX_BUFFER_BYTES;
        if (s->args.poll_usec == 0)
                s->args.poll_usec = DEFAULT_POLL_USEC;
        s->dump_usec = jobs[JOB_DUMP].usec;
        s->set.closing = on_closing;
        s->set.userdata = s;
        r = feeds_init(&s->feeds, s->args.event, &feeds_ops, s);
        if (r >= 0)
                r = sd_event_add_time(args->event, &s->tick_timer, CLOCK_MONOTONIC, UINT64_MAX,
                                      TICK_ACCURACY_USEC, on_tick, s);
        if (r >= 0)
                r = first_snapshot(s);
        if (r < 0) {
                netlink_stop(s);
                return r;
        }
        *ret = s;
        return 0;
}

static void netlink_drain(struct source *s) {
        drain_all(s);
        batch_done(s);
        judge_turn(s, &s->n_failures[1], tick_arm(s));
}

static int netlink_resync(struct source *s) {
        int r, k;

        snapshot_finish(s);
        r = job_run(s, JOB_SCAN);
        k = job_run(s, JOB_DUMP);
        r = k < 0 ? k : r;
        batch_done(s);
        k = tick_arm(s);
        return k < 0 ? k : r;
}

static void __attribute__((format(printf, 3, 4)))
append(struct source *s, size_t *length, const char *format, ...) {
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(s->limits + *length, sizeof(s->limits) - *length, format, args);
        va_end(args);
        if (n > 0)
                *length += (size_t) n < sizeof(s->limits) - *length
                                   ? (size_t) n
                                   : sizeof(s->limits) - *length - 1;
}

static const char *netlink_limits(struct source *s) {
        size_t length = 0;
        int bytes = 0;
        socklen_t size = sizeof(bytes);

        append(s, &length, "%s",
               "sock_diag tells no processes: owners are looked up in /proc, for sockets that "
               "a dump saw (every 1 to 5 s); refused attempts are not seen; of connections too "
               "short for a dump those that failed or that this host reset lack the remote port; "
               "UDP sockets on ephemeral ports are not taken for listeners; UDP-Lite, SCTP, vsock, "
               "raw and packet sockets are not seen");
        if (s->without_udp)
                append(s, &length, "; no UDP: the kernel has no udp_diag");
        if (s->set.n_skipped > 0)
                append(s, &length, "; %u network namespaces could not be entered",
                       s->set.n_skipped);
        if (s->n_denied > 0)
                append(s, &length, "; the files of %u processes are hidden", s->n_denied);
        if (s->set.n_hidden > 0)
                append(s, &length, "; namespaces of %u processes are hidden", s->set.n_hidden);
        /* The kernel doubles what it is asked for. */
        if (getsockopt(s->set.entries[0].destroy_fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size) >= 0 &&
            (size_t) bytes / 2 < s->args.ring_bytes)
                append(s, &length, "; receive buffer of %d KiB only", bytes / 2 / 1024);
        return s->limits;
}

const struct source_ops source_netlink = {
        .name = "netlink",
        .probe = netlink_probe,
        .start = netlink_start,
        .drain = netlink_drain,
        .resync = netlink_resync,
        .stop = netlink_stop,
        .limits = netlink_limits,
};

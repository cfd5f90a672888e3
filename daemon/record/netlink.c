/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The source without programs in the kernel: sock_diag's dumps tell what is open, its destroy
 * groups tell each socket that has gone (sock_diag(7)). Nothing tells that one was opened; the next
 * dump does.
 */

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "diag.h"
#include "netns.h"

#define DEFAULT_BUFFER_BYTES (32U << 20)
#define MAX_BUFFER_BYTES     (1U << 30) /* the kernel doubles it, into an int */
#define PROBE_BUFFER_BYTES   (64 << 10)
#define DEFAULT_POLL_USEC    (500 * 1000U)

/* Wakeups cost more than messages do, so messages gather for so long. */
#define DRAIN_USEC (10 * 1000U)
/*
 * A socket leaves the dumps before its message is sent. The end of a snapshot that misses some
 * waits for their messages, so that they are not taken for missed ones.
 */
#define SETTLE_USEC (30 * 1000U)

/* A sixteenth of a poll's time would do for ticks, but drains are to be on time. */
#define TIMER_ACCURACY_USEC 1000

/* One destroy message takes 380 bytes on Linux 6.18; the odd line keeps them apart in the cache. */
#define MESSAGE_SIZE      (2048 + 64)
#define MESSAGE_ALIGNMENT 64
#define MESSAGES_ONCE     64
/* So many messages of one namespace at a stretch; the rest waits for the next turn of the loop. */
#define MESSAGES_MAX 65536

#define FAILURES_MAX 10

/* What is done again and again. Each takes at most one part in share of a processor's time. */
enum job {
        JOB_SCAN,
        JOB_DUMP,
        JOB_POLL,
        JOB_MAX,
};

static const struct {
        uint64_t usec; /* 0: as configured */
        uint64_t idle_usec;
        unsigned share;
} jobs[JOB_MAX] = {
        [JOB_SCAN] = { .usec = 2000 * 1000, .idle_usec = 2000 * 1000, .share = 300 },
        [JOB_DUMP] = { .usec = 1000 * 1000, .idle_usec = 5000 * 1000, .share = 100 },
        [JOB_POLL] = { .share = 150 },
};
/* A dump after a loss may take more. */
#define REPAIR_SHARE 10

struct source {
        struct source_args args;
        sd_event_source *drain_timer;
        sd_event_source *tick_timer;
        struct netns_set set;
        struct feed *ready;          /* feeds to be drained, linked by next_ready */
        uint64_t due_usec[JOB_MAX];  /* CLOCK_MONOTONIC */
        uint64_t cost_usec[JOB_MAX]; /* of the last time, processor time */
        uint64_t dump_usec;          /* between full dumps, as it is now */
        uint64_t digest[2];          /* of the last listeners, of the last full dump */
        uint64_t n_destroyed;        /* since the last full dump */
        uint64_t n_emitted;          /* since batch_done */
        unsigned n_failures;         /* of the own namespace, in a row */
        uint8_t snapshot_flags;
        bool snapshot_open; /* begun and not ended */
        bool drain_armed;
        bool without_udp;
        bool stopping;
        char limits[512];
        struct mmsghdr messages[MESSAGES_ONCE];
        struct iovec iovs[MESSAGES_ONCE];
        struct sockaddr_nl senders[MESSAGES_ONCE];
        uint8_t *buffers;
};

/* The destroy groups of one namespace. */
struct feed {
        struct source *source;
        struct feed *next_ready;
        sd_event_source *io;
        int fd;
        uint32_t netns;
        uint32_t drops; /* as the kernel counts them, modulo 2^32 */
        uint16_t ephemeral_first, ephemeral_last;
        bool ready;
        bool dumped; /* by the last snapshot, without an error */
};

static uint64_t clock_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
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
static void guess_autobound(const struct feed *f, struct event *ev) {
        if (ev->transport == IPPROTO_UDP && !(ev->flags & EVENT_CONNECTED) &&
            ev->local_port >= f->ephemeral_first && ev->local_port <= f->ephemeral_last)
                ev->flags |= EVENT_AUTOBOUND;
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

static int drain_arm(struct source *s, uint64_t usec) {
        int r;

        if (s->drain_armed)
                return 0;
        r = sd_event_source_set_time_relative(s->drain_timer, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->drain_timer, SD_EVENT_ONESHOT);
        s->drain_armed = r >= 0;
        return r;
}

static void feed_set_ready(struct feed *f) {
        if (f->ready)
                return;
        f->ready = true;
        f->next_ready = f->source->ready;
        f->source->ready = f;
}

static int on_readable(sd_event_source *io, int fd, uint32_t revents, void *userdata) {
        struct feed *f = userdata;
        int r;

        (void) io;
        (void) fd;
        (void) revents;
        feed_set_ready(f);
        r = drain_arm(f->source, DRAIN_USEC);
        if (r < 0)
                f->source->args.broken(r, f->source->args.userdata);
        return 0;
}

/* Messages that did not fit, of any reason: the kernel counts each one. */
static uint32_t feed_new_drops(struct feed *f) {
        uint32_t meminfo[SK_MEMINFO_VARS] = { 0 }, n;
        socklen_t size = sizeof(meminfo);

        if (getsockopt(f->fd, SOL_SOCKET, SO_MEMINFO, meminfo, &size) < 0 || size < sizeof(meminfo))
                return 0;
        n = meminfo[SK_MEMINFO_DROPS] - f->drops;
        f->drops = meminfo[SK_MEMINFO_DROPS];
        return n;
}

static void feed_message(struct feed *f, const struct mmsghdr *m, uint64_t time_ns,
                         uint32_t *lost) {
        const struct nlmsghdr *nlh = m->msg_hdr.msg_iov->iov_base;
        const struct sockaddr_nl *from = m->msg_hdr.msg_name;
        int left = (int) m->msg_len;

        if (from->nl_pid != 0)
                return;
        if (m->msg_hdr.msg_flags & MSG_TRUNC) {
                (*lost)++;
                return;
        }
        for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
                struct event ev;
                int r;

                if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY)
                        continue;
                r = diag_event(nlh, f->netns, 0, &ev);
                *lost += r < 0;
                if (r <= 0)
                        continue;
                ev.type = EVENT_DESTROYED;
                ev.time_ns = time_ns;
                guess_autobound(f, &ev);
                f->source->n_destroyed++;
                emit(f->source, &ev);
        }
}

/* Takes what has come for one namespace. Returns how many messages, or negative errno. */
static int feed_drain(struct feed *f) {
        struct source *s = f->source;
        uint32_t lost = 0;
        int n, taken = 0, error = 0;

        do {
                uint64_t time_ns;

                for (unsigned i = 0; i < MESSAGES_ONCE; i++)
                        s->messages[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_nl);
                n = recvmmsg(f->fd, s->messages, MESSAGES_ONCE, MSG_DONTWAIT, NULL);
                if (n < 0) {
                        if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
                                error = -errno;
                        break;
                }
                time_ns = boottime_ns();
                for (int i = 0; i < n; i++)
                        feed_message(f, &s->messages[i], time_ns, &lost);
                taken += n;
        } while (n == MESSAGES_ONCE && taken < MESSAGES_MAX);

        lost += feed_new_drops(f);
        if (lost > 0) {
                emit_mark(s, EVENT_LOST, f->netns, 0, lost);
                job_hasten(s, JOB_DUMP, s->cost_usec[JOB_DUMP] * REPAIR_SHARE);
        }
        return error < 0 ? error : taken;
}

/*
 * A feed that had something stays on the timer, without a wakeup for its next message; one that had
 * nothing goes back to waiting.
 */
static int drain_ready(struct source *s) {
        struct feed *f = s->ready;
        int error = 0;

        s->ready = NULL;
        while (f) {
                struct feed *next = f->next_ready;
                int r = feed_drain(f);

                f->ready = false;
                if (r != 0)
                        feed_set_ready(f);
                else
                        r = sd_event_source_set_enabled(f->io, SD_EVENT_ONESHOT);
                error = r < 0 ? r : error;
                f = next;
        }
        return error;
}

static void drain_all(struct source *s) {
        for (unsigned i = 0; i < s->set.n_entries; i++)
                if (s->set.entries[i].userdata)
                        (void) feed_drain(s->set.entries[i].userdata);
}

static struct feed *feed_free(struct feed *f) {
        if (!f)
                return NULL;
        for (struct feed **at = &f->source->ready; *at; at = &(*at)->next_ready)
                if (*at == f) {
                        *at = f->next_ready;
                        break;
                }
        sd_event_source_disable_unref(f->io);
        free(f);
        return NULL;
}

static int feed_new(struct source *s, struct netns_entry *e) {
        struct feed *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        f->source = s;
        f->fd = e->destroy_fd;
        f->netns = e->inode;
        r = sd_event_add_io(s->args.event, &f->io, f->fd, EPOLLIN, on_readable, f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f->io, SD_EVENT_ONESHOT);
        if (r < 0) {
                feed_free(f);
                return r;
        }
        e->userdata = f;
        return 0;
}

/* ---- Snapshots ---- */

struct dump {
        struct feed *feed;
        uint64_t digest;
};

static void on_found(const struct event *ev, size_t size, void *userdata) {
        struct dump *d = userdata;
        struct event copy = *ev;

        (void) size;
        guess_autobound(d->feed, &copy);
        /* Fibonacci hashing: a sum of cookies alone would not notice two that change places. */
        d->digest += (copy.cookie ^ copy.local_port) * 0x9E3779B97F4A7C15U;
        emit(d->feed->source, &copy);
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
        uint64_t digest = 0;
        int error = 0;

        s->snapshot_flags = what & DIAG_CONNECTIONS ? 0 : EVENT_LISTENERS_ONLY;
        s->snapshot_open = true;
        emit_mark(s, EVENT_SNAPSHOT_BEGIN, 0, s->snapshot_flags, 0);

        for (unsigned i = 0; i < s->set.n_entries; i++) {
                const struct netns_entry *e = &s->set.entries[i];
                struct dump d = { .feed = e->userdata };
                int r;

                if (!d.feed)
                        continue;
                r = diag_dump(e->diag_fd, e->inode, what, on_found, &d);
                if (r == -EPROTONOSUPPORT) {
                        s->without_udp = true;
                        r = 0;
                }
                d.feed->dumped = r >= 0;
                digest += d.digest;
                if (r < 0) {
                        job_hasten(s, JOB_SCAN, 0);
                        error = i == 0 ? r : error;
                }
        }
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
                s->drain_armed = false;
                k = drain_arm(s, SETTLE_USEC);
                if (k < 0)
                        return k;
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
                        int k = feed_new(s, e);

                        if (k < 0)
                                return k;
                        job_hasten(s, JOB_DUMP, 0);
                }
                f = e->userdata;
                f->ephemeral_first = e->ephemeral_first;
                f->ephemeral_last = e->ephemeral_last;
        }
        return r;
}

static int dump_all(struct source *s) {
        s->dump_usec = s->n_destroyed > 0 ? jobs[JOB_DUMP].usec : s->dump_usec * 2;
        if (s->dump_usec > jobs[JOB_DUMP].idle_usec)
                s->dump_usec = jobs[JOB_DUMP].idle_usec;
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
static void judge_turn(struct source *s, int r) {
        if (r >= 0)
                s->n_failures = 0;
        else if (++s->n_failures >= FAILURES_MAX)
                s->args.broken(r, s->args.userdata);
}

static int on_drain(sd_event_source *timer, uint64_t usec, void *userdata) {
        struct source *s = userdata;
        int r, k;

        (void) timer;
        (void) usec;
        s->drain_armed = false;
        r = drain_ready(s);
        snapshot_finish(s);
        batch_done(s);

        k = s->ready ? drain_arm(s, DRAIN_USEC) : 0;
        r = k < 0 ? k : r;
        k = tick_arm(s);
        judge_turn(s, k < 0 ? k : r);
        return 0;
}

static int on_tick(sd_event_source *timer, uint64_t usec, void *userdata) {
        struct source *s = userdata;
        uint64_t soon = clock_usec(CLOCK_MONOTONIC) + s->args.poll_usec / 8;
        int r = 0, k;

        (void) timer;
        (void) usec;
        snapshot_finish(s);
        /* In this order: a scan may ask for a dump, and a dump spares a poll. */
        for (unsigned job = 0; job < JOB_MAX && !s->snapshot_open; job++)
                if (s->due_usec[job] <= soon) {
                        k = job_run(s, job);
                        r = k < 0 ? k : r;
                }
        batch_done(s);
        k = tick_arm(s);
        judge_turn(s, k < 0 ? k : r);
        return 0;
}

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

static void messages_init(struct source *s) {
        for (unsigned i = 0; i < MESSAGES_ONCE; i++) {
                s->iovs[i] = (struct iovec){ .iov_base = s->buffers + i * MESSAGE_SIZE,
                                             .iov_len = MESSAGE_SIZE };
                s->messages[i].msg_hdr = (struct msghdr){
                        .msg_name = &s->senders[i],
                        .msg_namelen = sizeof(s->senders[i]),
                        .msg_iov = &s->iovs[i],
                        .msg_iovlen = 1,
                };
        }
}

static int timer_new(struct source *s, sd_event_source **ret, sd_event_time_handler_t callback) {
        int r = sd_event_add_time(s->args.event, ret, CLOCK_MONOTONIC, UINT64_MAX,
                                  TIMER_ACCURACY_USEC, callback, s);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static struct source *netlink_stop(struct source *s) {
        if (!s)
                return NULL;
        s->stopping = true;
        netns_done(&s->set);
        sd_event_source_disable_unref(s->tick_timer);
        sd_event_source_disable_unref(s->drain_timer);
        free(s->buffers);
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
        if (s->args.ring_bytes == 0)
                s->args.ring_bytes = DEFAULT_BUFFER_BYTES;
        if (s->args.ring_bytes > MAX_BUFFER_BYTES)
                s->args.ring_bytes = MAX_BUFFER_BYTES;
        if (s->args.poll_usec == 0)
                s->args.poll_usec = DEFAULT_POLL_USEC;
        s->dump_usec = jobs[JOB_DUMP].usec;
        s->set.closing = on_closing;
        s->set.userdata = s;
        s->buffers = aligned_alloc(MESSAGE_ALIGNMENT, MESSAGES_ONCE * MESSAGE_SIZE);
        if (!s->buffers) {
                netlink_stop(s);
                return -ENOMEM;
        }
        messages_init(s);

        r = timer_new(s, &s->drain_timer, on_drain);
        if (r >= 0)
                r = timer_new(s, &s->tick_timer, on_tick);
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
        judge_turn(s, tick_arm(s));
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

        append(s, &length,
               "no processes: owners are the user and control group of what a dump saw, every 1 to "
               "5 s; "
               "no refused attempts; without a dump in time, connections that this host reset and "
               "failed ones lose their port, listeners are missed; UDP sockets bound to ephemeral "
               "ports "
               "are not taken for listeners");
        if (s->without_udp)
                append(s, &length, "; no UDP: the kernel has no udp_diag");
        if (s->set.n_skipped > 0)
                append(s, &length, "; %u network namespaces could not be entered",
                       s->set.n_skipped);
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

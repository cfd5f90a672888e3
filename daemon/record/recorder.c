/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "alerts.h"
#include "answerer.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "lib/ports.h"
#include "judge.h"
#include "netns.h"
#include "notify.h"
#include "owner.h"
#include "recorder.h"
#include "selftest.h"
#include "source.h"
#include "files.h"
#include "sync.h"
#include "tracker.h"

#define SOCKET_NAME        "portwatch.sock"
#define SELFTEST_USEC      3000000U
#define SELFTEST_TURN_USEC 20000U
/*
 * To be sure, the table of open sockets is compared with the kernel's: when it has been quiet for a
 * moment, now and then while it is not, and seldom when nothing happens (of packet sockets nothing
 * else tells); at most one part in so many of the time.
 */
#define AUDIT_QUIET_USEC  2000000U
#define AUDIT_BUSY_USEC   30000000U
#define AUDIT_IDLE_USEC   60000000U
#define AUDIT_SHARE       100U
#define STATUS_USEC       1000000U /* STATUS= follows a change within this time */
#define PORT_LOOKUP_USEC  1000000U
#define PORT_LOOKUP_SHARE 50U /* of the time, at most: anybody can ask for one */
/* sched(7): its weight is 45 times that of an ordinary process. */
#define PRIORITY      (-17)
#define ARGUMENT_SIZE 512
#define FALLBACK_USER "nobody"

struct recorder {
        const struct recorder_options *options;
        struct config *config;
        sd_event *event;
        struct files files;
        struct owners *owners;
        struct tracker *tracker;
        struct judge *judge;
        struct alerts *alerts;
        char learned[4096]; /* path of the file of learnt rules */
        const struct source_ops *ops;
        struct source *source;
        struct answerer *answerer;
        struct sync *sync;
        struct selftest selftest;
        sd_event_source *sync_timer;
        sd_event_source *status_timer;
        sd_event_source *audit_timer;
        bool sync_armed;
        bool status_armed;
        uint64_t audit_latest_usec; /* CLOCK_MONOTONIC; 0: nothing has happened since the last */
        uint64_t next_audit_usec;
        bool offset_fresh;
        uint64_t appended; /* records since the last batch was told */
        uint64_t next_lookup_usec;
        int listen_fd;
        bool own_socket;
        int error;
};

static uint64_t now_ns(clockid_t clock) {
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

static void degrade(struct recorder *r, const char *reason) {
        struct live_header *h = r->files.live.header;
        char field[sizeof("REASON=") + sizeof(h->degraded_reason)];

        snprintf(h->degraded_reason, sizeof(h->degraded_reason), "%s", reason);
        snprintf(field, sizeof(field), "REASON=%s", reason);
        log_event(LOG_WARNING, MESSAGE_DEGRADED, reason, field, NULL);
}

/* ---- What the tracker asks for ---- */

static void on_refused(struct recorder *r, const struct record *record) {
        struct rule_rate rate = judge_refused_rate(r->judge);

        if (rate.attempts > 0)
                alerts_refused(r->alerts, record, &rate);
}

static uint64_t append(const struct record *record, uint32_t owner, void *userdata) {
        struct recorder *r = userdata;
        const struct owner *who = NULL;
        uint64_t key = 0, overwritten = 0, seq;

        if (selftest_takes(&r->selftest, record))
                return 0;
        if (owner != OWNER_NONE)
                who = owners_get(r->owners, owner, &key);
        if (record->kind == RECORD_REFUSE)
                on_refused(r, record);
        seq = history_append(r->files.history, record, who, key, judge_rule(r->judge, record->rule),
                             &overwritten);
        live_count(&r->files.live, LIVE_RECORDS, 1);
        if (overwritten > 0)
                live_count(&r->files.live, LIVE_OVERWRITTEN, overwritten);
        r->appended++;
        return seq;
}

static uint32_t owner_of(const struct event *ev, void *userdata) {
        struct recorder *r = userdata;

        return owners_of(r->owners, ev);
}

static void owner_ref(uint32_t owner, void *userdata) {
        struct recorder *r = userdata;

        owners_ref(r->owners, owner);
}

static void owner_unref(uint32_t owner, void *userdata) {
        struct recorder *r = userdata;

        owners_unref(r->owners, owner);
}

static bool is_selftest(const struct recorder *r, const struct record *record) {
        return r->selftest.port != 0 && record->netns == r->selftest.netns &&
               record->local_port == r->selftest.port;
}

static bool is_unexpected(const struct record *record) {
        return record->flags & RECORD_JUDGED && !(record->flags & RECORD_EXPECTED);
}

/* A verdict is told when it changes: a listener is judged again whenever more is known of it. */
static void judge(struct recorder *r, struct record *record, const struct owner *who) {
        bool was = is_unexpected(record), is;
        const struct owner *holder = NULL;
        uint64_t key;

        if (record->holder != OWNER_NONE)
                holder = owners_get(r->owners, record->holder, &key);
        judge_listener(r->judge, record, who, holder, now_ns(CLOCK_REALTIME) / 1000);
        is = is_unexpected(record);
        if (is && !was)
                alerts_raise(r->alerts, record, who);
        else if (is)
                alerts_refine(r->alerts, record, who);
        else if (was)
                alerts_forget(r->alerts, record);
}

static void on_listener(struct record *record, uint32_t owner, void *userdata) {
        struct recorder *r = userdata;
        const struct owner *who = NULL;
        bool evicted = false, opened;
        uint64_t key;

        if (is_selftest(r, record))
                return;
        if (owner != OWNER_NONE)
                who = owners_get(r->owners, owner, &key);
        opened = record->kind == RECORD_LISTEN && record->first_seen_usec == 0;
        record->first_seen_usec = known_seen(r->files.known, record, who, opened, &evicted);
        if (evicted)
                live_count(&r->files.live, LIVE_KNOWN_EVICTED, 1);
        if (record->kind == RECORD_LISTEN)
                judge(r, record, who);
        else if (is_unexpected(record))
                alerts_gone(r->alerts, record, who);
}

static void on_inbound(struct record *record, uint32_t owner, void *userdata) {
        struct recorder *r = userdata;
        const struct owner *who = NULL, *holder = NULL;
        bool was = is_unexpected(record);
        uint64_t key;

        if (owner != OWNER_NONE)
                who = owners_get(r->owners, owner, &key);
        if (record->holder != OWNER_NONE)
                holder = owners_get(r->owners, record->holder, &key);
        judge_connection(r->judge, record, who, holder);
        if (is_unexpected(record) && !was)
                alerts_peer(r->alerts, record, who);
}

static const struct tracker_ops tracker_ops = {
        .append = append,
        .owner_of = owner_of,
        .owner_ref = owner_ref,
        .owner_unref = owner_unref,
        .listener = on_listener,
        .inbound = on_inbound,
};

/* ---- What the source tells ---- */

static void on_lost(struct recorder *r, const struct event *ev) {
        char message[128], field[64];

        live_count(&r->files.live, r->ops == &source_netlink ? LIVE_LOST_NETLINK : LIVE_LOST_RING,
                   ev->count);
        live_count(&r->files.live, LIVE_RESYNCS, 1);
        snprintf(message, sizeof(message),
                 "%llu events were lost, the table of open sockets is being made anew.",
                 (unsigned long long) ev->count);
        snprintf(field, sizeof(field), "LOST=%llu", (unsigned long long) ev->count);
        log_event(LOG_WARNING, MESSAGE_LOST, message, field, NULL);
}

static void on_source_event(const struct event *ev, size_t size, void *userdata) {
        struct recorder *r = userdata;

        if (!r->offset_fresh) {
                /* The clock may be set at any time: each batch is told by the clock of its moment.
                 */
                tracker_set_offset(r->tracker,
                                   (int64_t) (now_ns(CLOCK_REALTIME) - now_ns(CLOCK_BOOTTIME)));
                r->offset_fresh = true;
        }
        if (ev->type == EVENT_PROCESS || ev->type == EVENT_CGROUP) {
                owners_learn(r->owners, ev, size);
                return;
        }
        if (ev->type == EVENT_LOST)
                on_lost(r, ev);
        tracker_handle(r->tracker, ev);
}

static void arm(sd_event_source *timer, bool *armed, uint64_t usec) {
        if (*armed)
                return;
        sd_event_source_set_time_relative(timer, usec);
        sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
        *armed = true;
}

static void set_audit(struct recorder *r, uint64_t due) {
        sd_event_source_set_time(r->audit_timer,
                                 due > r->next_audit_usec ? due : r->next_audit_usec);
        sd_event_source_set_enabled(r->audit_timer, SD_EVENT_ONESHOT);
}

/* Something has happened: the next audit comes when that is over. */
static void arm_audit(struct recorder *r, uint64_t now) {
        uint64_t due = now + AUDIT_QUIET_USEC;

        if (r->audit_latest_usec == 0)
                r->audit_latest_usec = now + AUDIT_BUSY_USEC;
        set_audit(r, due < r->audit_latest_usec ? due : r->audit_latest_usec);
}

static void on_batch_done(void *userdata) {
        struct recorder *r = userdata;
        uint64_t now = now_ns(CLOCK_MONOTONIC) / 1000;
        uint32_t netns;

        r->offset_fresh = false;
        if (r->appended > 0) {
                r->appended = 0;
                if (r->answerer)
                        answerer_ring(r->answerer);
                if (r->sync_timer)
                        arm(r->sync_timer, &r->sync_armed, r->config->sync_interval_usec);
                if (r->status_timer)
                        arm(r->status_timer, &r->status_armed, STATUS_USEC);
                if (r->audit_timer)
                        arm_audit(r, now);
        }
        if (r->source && now >= r->next_lookup_usec &&
            tracker_wants_listeners(r->tracker, &netns) > 0) {
                uint64_t took;

                /* It ends with a batch, too. */
                r->next_lookup_usec = UINT64_MAX;
                r->ops->resync(r->source);
                took = (now_ns(CLOCK_MONOTONIC) / 1000 - now) * PORT_LOOKUP_SHARE;
                r->next_lookup_usec = now + (took > PORT_LOOKUP_USEC ? took : PORT_LOOKUP_USEC);
        }
}

static void on_broken(int error, void *userdata) {
        struct recorder *r = userdata;

        log_error("The source %s cannot go on: %s", r->ops->name, strerror(-error));
        r->error = error;
        sd_event_exit(r->event, error);
}

/* ---- Marks in the history ---- */

static void append_mark(struct recorder *r, enum record_kind kind) {
        struct record mark = {
                .time_usec = now_ns(CLOCK_REALTIME) / 1000,
                .kind = (uint8_t) kind,
                .owner = OWNER_NONE,
                .holder = OWNER_NONE,
                .netns = r->selftest.netns,
        };

        mark.opened_usec = mark.time_usec;
        append(&mark, OWNER_NONE, r);
}

/* A record that does not end with a stop was cut off: what came after it is not known, nor how
 * much. */
static void mark_start(struct recorder *r) {
        unsigned last = history_last_kind(r->files.history);

        if (last != RECORD_NONE && last != RECORD_STOP)
                append_mark(r, RECORD_LOST);
        append_mark(r, RECORD_START);
}

/* ---- Start ---- */

/* The sockets that an earlier recorder of this boot knew, with their ids, times and owners. */
static void restore(struct recorder *r) {
        const struct live *earlier = &r->files.earlier;

        if (!earlier->header)
                return;
        for (unsigned extent = LIVE_LISTENERS; extent <= LIVE_CONNECTIONS; extent++)
                for (uint32_t slot = 0; slot < live_used(earlier, extent); slot++) {
                        struct record record;
                        struct owner owner, holder;
                        uint32_t to = OWNER_NONE, held = OWNER_NONE;

                        if (live_read(earlier, extent, slot, &record, &owner) <= 0)
                                continue;
                        if (record.owner != OWNER_NONE)
                                to = owners_adopt(r->owners, &owner);
                        if (extent == LIVE_LISTENERS &&
                            live_read_holder(earlier, slot, &record, &holder) > 0)
                                held = owners_adopt(r->owners, &holder);
                        tracker_restore(r->tracker, extent, &record, to, held);
                }
}

/* Waits in the event loop until the test has seen what it wants. */
static bool selftest_wait(struct recorder *r, bool (*seen)(const struct selftest *)) {
        uint64_t end = now_ns(CLOCK_MONOTONIC) / 1000 + SELFTEST_USEC;

        while (!seen(&r->selftest)) {
                r->ops->drain(r->source);
                if (seen(&r->selftest))
                        break;
                if (now_ns(CLOCK_MONOTONIC) / 1000 > end ||
                    sd_event_run(r->event, SELFTEST_TURN_USEC) < 0)
                        return false;
        }
        return true;
}

static int run_selftest(struct recorder *r) {
        int k;

        k = selftest_begin(&r->selftest, r->selftest.netns);
        if (k < 0)
                return k;
        r->ops->drain(r->source);
        if (!selftest_saw_open(&r->selftest))
                r->ops->resync(r->source);
        k = selftest_wait(r, selftest_saw_open) ? 0 : -ENODATA;
        selftest_close(&r->selftest);
        if (k >= 0 && !selftest_wait(r, selftest_saw_closed))
                k = -ENODATA;
        r->selftest.port = 0;
        return k;
}

static int start_source(struct recorder *r, const struct source_ops *ops, char why[static 256]) {
        const struct source_args args = {
                .event = r->event,
                .emit = on_source_event,
                .batch_done = on_batch_done,
                .broken = on_broken,
                .userdata = r,
                .ring_bytes = (size_t) (ops == &source_netlink ? r->config->receive_buffer_bytes
                                                               : r->config->ring_buffer_bytes),
                .udp_peers = r->config->udp_peers != 0,
                .poll_usec = r->config->poll_interval_usec,
        };
        int k;

        k = ops->probe(why);
        if (k < 0)
                return k;
        r->ops = ops;
        k = ops->start(&r->source, &args);
        if (k < 0) {
                snprintf(why, 256, "it could not be started: %s", strerror(-k));
                return k;
        }
        k = run_selftest(r);
        if (k < 0) {
                snprintf(why, 256, "its test of itself saw no events (%s)", strerror(-k));
                r->source = ops->stop(r->source);
        }
        return k;
}

static int choose_source(struct recorder *r) {
        uint64_t wanted =
                r->options->source >= 0 ? (uint64_t) r->options->source : r->config->source;
        char why[256] = "", message[512], field[300];
        int k = -EOPNOTSUPP;

        if (wanted != CONFIG_SOURCE_NETLINK) {
#ifdef HAVE_EBPF
                k = start_source(r, &source_ebpf, why);
                if (k >= 0)
                        return 0;
#else
                snprintf(why, sizeof(why), "portwatchd was built without it");
#endif
                if (wanted == CONFIG_SOURCE_EBPF) {
                        log_error("The source ebpf does not work here: %s", why);
                        return k;
                }
                snprintf(message, sizeof(message),
                         "Recording with the source netlink: ebpf does not work here, because %s.",
                         why);
                snprintf(field, sizeof(field), "REASON=%s", why);
                log_event(LOG_NOTICE, MESSAGE_SOURCE_FALLBACK, message, field, NULL);
        }
        k = start_source(r, &source_netlink, why);
        if (k < 0)
                log_error("The source netlink does not work here: %s", why);
        return k;
}

/* The socket from systemd, else one of our own in the runtime folder. */
static int open_socket(struct recorder *r) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int n, fd;

        n = sd_listen_fds(1);
        if (n < 0)
                return n;
        if (n > 1)
                return -E2BIG;
        if (n == 1) {
                if (sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
                        return -ENOTSOCK;
                r->listen_fd = SD_LISTEN_FDS_START;
                /* systemd's sockets are not, unless a unit says NonBlocking=. */
                n = fcntl(r->listen_fd, F_GETFL);
                return n < 0 || fcntl(r->listen_fd, F_SETFL, n | O_NONBLOCK) < 0 ? -errno : 0;
        }
        if ((size_t) snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s",
                              r->options->runtime, SOCKET_NAME) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        r->listen_fd = fd;
        /* The folder is locked: whatever has that name was left by a recorder that is gone. */
        if (unlink(address.sun_path) < 0 && errno != ENOENT)
                return -errno;
        if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        r->own_socket = true;
        if (chmod(address.sun_path, 0666) < 0 || listen(fd, SOMAXCONN) < 0)
                return -errno;
        return 0;
}

static void on_answerer_restarted(const char *why, void *userdata) {
        struct recorder *r = userdata;
        char message[256], field[160];

        live_count(&r->files.live, LIVE_ANSWER_RESTARTS, 1);
        snprintf(message, sizeof(message), "The answerer is started again: %s.", why);
        snprintf(field, sizeof(field), "REASON=%s", why);
        log_event(LOG_WARNING, MESSAGE_ANSWERER_RESTARTED, message, field, NULL);
}

/* Its own user comes with the installation; from a build tree there is one nearly as good. */
static const char *answerer_user(const struct config *c) {
        return getpwnam(c->user) ? c->user : FALLBACK_USER;
}

/* The answerer's arguments by the configuration; texts[] holds what argv points to. */
static void answerer_arguments(const struct recorder *r, char texts[static 6][ARGUMENT_SIZE],
                               const char *argv[static ANSWERER_ARGS_MAX]) {
        const struct config *c = r->config;
        unsigned n = 0;

        snprintf(texts[0], ARGUMENT_SIZE, "--user=%s", answerer_user(c));
        snprintf(texts[1], ARGUMENT_SIZE, "--group=%s", c->group);
        snprintf(texts[2], ARGUMENT_SIZE, "--max-connections=%llu",
                 (unsigned long long) c->max_clients);
        snprintf(texts[3], ARGUMENT_SIZE, "--max-connections-per-user=%llu",
                 (unsigned long long) c->max_clients_per_user);
        snprintf(texts[4], ARGUMENT_SIZE, "--max-followers=%llu",
                 (unsigned long long) c->max_followers);
        snprintf(texts[5], ARGUMENT_SIZE, "--services=%s", r->options->services);
        while (n < 6) {
                argv[n] = texts[n];
                n++;
        }
        argv[n] = NULL;
}

static int start_answerer(struct recorder *r) {
        struct answerer_args args = {
                .event = r->event,
                .path = r->options->answerer,
                .listen_fd = r->listen_fd,
                .live_fd = r->files.live_reader_fd,
                .history_fd = history_reader_fd(r->files.history),
                .known_fd = known_reader_fd(r->files.known),
                .restarted = on_answerer_restarted,
                .userdata = r,
        };
        char texts[6][ARGUMENT_SIZE];
        int k;

        if (strcmp(answerer_user(r->config), r->config->user) != 0)
                log_notice("There is no user %s: the answerer runs as %s.", r->config->user,
                           FALLBACK_USER);
        answerer_arguments(r, texts, args.argv);
        k = answerer_start(&r->answerer, &args);
        if (k < 0)
                log_error("The answerer %s could not be started: %s", args.path, strerror(-k));
        return k;
}

/* ---- The loop ---- */

static int on_sync_timer(sd_event_source *es, uint64_t usec, void *userdata) {
        struct recorder *r = userdata;

        (void) es;
        (void) usec;
        r->sync_armed = false;
        sync_request(r->sync);
        return 0;
}

static void tell_status(const struct recorder *r) {
        const struct live_header *h = r->files.live.header;
        char text[256];

        snprintf(text, sizeof(text),
                 "STATUS=Source %s; %llu listeners, %llu connections open; %llu events recorded, "
                 "%llu lost",
                 r->ops->name, (unsigned long long) atomic_load(&h->count[LIVE_LISTENERS]),
                 (unsigned long long) atomic_load(&h->count[LIVE_CONNECTIONS]),
                 (unsigned long long) atomic_load(&h->counters[LIVE_RECORDS]),
                 (unsigned long long) (atomic_load(&h->counters[LIVE_LOST_RING]) +
                                       atomic_load(&h->counters[LIVE_LOST_NETLINK])));
        (void) notify_try(text);
}

/*
 * A look at what is really open: whatever a source may have missed unawares is put right then, and
 * is counted as repaired.
 */
static int on_audit_timer(sd_event_source *es, uint64_t usec, void *userdata) {
        struct recorder *r = userdata;
        uint64_t begin, now;

        (void) es;
        (void) usec;
        r->audit_latest_usec = 0;
        begin = now_ns(CLOCK_MONOTONIC) / 1000;
        set_audit(r, begin + AUDIT_IDLE_USEC);
        r->ops->resync(r->source);
        now = now_ns(CLOCK_MONOTONIC) / 1000;
        r->next_audit_usec = now + (now - begin) * AUDIT_SHARE;
        live_count(&r->files.live, LIVE_AUDITS, 1);
        atomic_store(&r->files.live.header->audited_usec, now_ns(CLOCK_REALTIME) / 1000);
        /* What happened while it looked is followed by an audit as well. */
        on_batch_done(r);
        return 0;
}

static int on_status_timer(sd_event_source *es, uint64_t usec, void *userdata) {
        struct recorder *r = userdata;

        (void) es;
        (void) usec;
        r->status_armed = false;
        tell_status(r);
        return 0;
}

/* Has everything that listens judged by the rules as they are now. */
static void reload_rules(struct recorder *r) {
        uint64_t now = now_ns(CLOCK_REALTIME) / 1000;
        char *error = NULL, field[400];
        int k;

        k = judge_reload(r->judge, now, &error);
        if (k != 0) {
                const char *why = error ? error : strerror(k < 0 ? -k : ENOMEM);

                snprintf(field, sizeof(field), "ERROR=%s", why);
                log_event(LOG_ERR, MESSAGE_RULES_REFUSED, why, field, NULL);
                log_error(k < 0 ? "The rules stay as they were."
                                : "The rules that were learnt are not in force.");
        }
        free(error);
        tracker_judge_again(r->tracker);
        /* Whoever waits for this sees the new verdicts. */
        atomic_store(&r->files.live.header->rules_usec, now);
}

/* A new configuration: the answerer is started again only if it is about the answerer. */
static int take_config(struct recorder *r, const struct config *fresh) {
        char before[6][ARGUMENT_SIZE], after[6][ARGUMENT_SIZE];
        const char *argv[ANSWERER_ARGS_MAX];

        memset(before, 0, sizeof(before));
        memset(after, 0, sizeof(after));
        answerer_arguments(r, before, argv);
        *r->config = *fresh;
        answerer_arguments(r, after, argv);
        return memcmp(before, after, sizeof(before)) != 0 ? answerer_restart(r->answerer, argv) : 0;
}

static int on_reload(sd_event_source *es, const struct signalfd_siginfo *si, void *userdata) {
        struct recorder *r = userdata;
        struct config fresh;
        char *error = NULL;
        int k;

        (void) es;
        (void) si;
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                          (unsigned long long) (now_ns(CLOCK_MONOTONIC) / 1000));
        k = config_load(&fresh, r->options->config_dir, &error);
        if (k < 0) {
                log_error("%s", error ? error : strerror(-k));
                log_error("The configuration stays as it was.");
                free(error);
        } else {
                k = take_config(r, &fresh);
                if (k < 0)
                        on_broken(k, r);
                log_notice("The configuration was read again. Sizes and the source change at the "
                           "next start.");
        }
        reload_rules(r);
        (void) sd_notify(0, "READY=1");
        tell_status(r);
        return 0;
}

static int add_timer(struct recorder *r, sd_event_source **ret, sd_event_time_handler_t handler) {
        int k = sd_event_add_time(r->event, ret, CLOCK_MONOTONIC, 0, 0, handler, r);

        return k < 0 ? k : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int make_loop(struct recorder *r) {
        sigset_t signals;
        int k;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        sigaddset(&signals, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -errno;
        signal(SIGPIPE, SIG_IGN);

        k = sd_event_new(&r->event);
        if (k >= 0)
                k = sd_event_add_signal(r->event, NULL, SIGTERM, NULL, NULL);
        if (k >= 0)
                k = sd_event_add_signal(r->event, NULL, SIGINT, NULL, NULL);
        if (k >= 0)
                k = sd_event_add_signal(r->event, NULL, SIGHUP, on_reload, r);
        if (k >= 0)
                k = add_timer(r, &r->sync_timer, on_sync_timer);
        if (k >= 0)
                k = add_timer(r, &r->status_timer, on_status_timer);
        if (k >= 0)
                k = add_timer(r, &r->audit_timer, on_audit_timer);
        if (k >= 0)
                k = sd_event_set_watchdog(r->event, true);
        return k < 0 ? k : 0;
}

static int open_files(struct recorder *r) {
        const char *what = "";
        char reason[256];
        int k;

        k = files_open(&r->files, r->config, r->options->state, r->options->runtime, &what);
        if (k == -EBUSY)
                log_error(
                        "Another portwatchd is using %s. Stop it, or give this one folders of its "
                        "own (--state=, --runtime=).",
                        what);
        else if (k < 0)
                log_error("%s cannot be used: %s", what, strerror(-k));
        if (k < 0)
                return k;
        if (r->files.volatile_fallback) {
                snprintf(reason, sizeof(reason),
                         "The history is kept in memory only: %s cannot be used (%s).",
                         r->options->state, strerror(-r->files.error));
                degrade(r, reason);
        }
        if (r->files.history_set_aside)
                log_event(LOG_WARNING, MESSAGE_HISTORY_SET_ASIDE,
                          "The history had another size or was damaged. It was set aside as "
                          "history.damaged-N, a new one was begun.",
                          "FILE=history", NULL);
        if (r->files.known_set_aside)
                log_event(LOG_WARNING, MESSAGE_HISTORY_SET_ASIDE,
                          "The record of known listeners was damaged. It was set aside as "
                          "known.damaged, a new one was begun.",
                          "FILE=known", NULL);
        return 0;
}

static int make_tracker(struct recorder *r) {
        struct tracker_config config = {
                .live = &r->files.live,
                .ops = &tracker_ops,
                .userdata = r,
                .ephemeral_first = PORTS_EPHEMERAL_FIRST,
                .ephemeral_last = PORTS_EPHEMERAL_LAST,
        };
        int k;

        /* ip(7): the defaults above hold where the range cannot be read. */
        (void) ports_ephemeral_range(&config.ephemeral_first, &config.ephemeral_last);
        k = owners_new(&r->owners, &r->files.live);
        return k < 0 ? k : tracker_new(&r->tracker, &config);
}

static int make_judge(struct recorder *r) {
        int k;

        if ((size_t) snprintf(r->learned, sizeof(r->learned), "%s/learned.rules",
                              r->options->state) >= sizeof(r->learned))
                return -ENAMETOOLONG;
        k = judge_new(&r->judge, r->config, &r->files.live, r->options->config_dir, r->learned);
        return k < 0 ? k : alerts_new(&r->alerts, r->event, r->config, &r->files.live);
}

static int start(struct recorder *r) {
        struct live_header *h;
        int fds[2], k;

        k = make_loop(r);
        if (k < 0)
                return k;
        /* Behind hundreds of busy processes the buffers would overflow: it takes little, but in
         * time. */
        (void) setpriority(PRIO_PROCESS, 0, PRIORITY);
        k = open_files(r);
        if (k < 0)
                return k;
        h = r->files.live.header;
        r->selftest.netns = netns_own();
        atomic_store(&h->netns, r->selftest.netns);
        atomic_store(&h->pid, (uint32_t) getpid());
        atomic_store(&h->started_usec, now_ns(CLOCK_REALTIME) / 1000);

        fds[0] = history_sync_fd(r->files.history);
        fds[1] = known_sync_fd(r->files.known);
        k = sync_new(&r->sync, fds, 2);
        if (k >= 0)
                k = make_tracker(r);
        if (k >= 0)
                k = make_judge(r);
        if (k < 0)
                return k;
        k = open_socket(r);
        if (k < 0) {
                log_error("The socket %s/%s cannot be opened: %s", r->options->runtime, SOCKET_NAME,
                          strerror(-k));
                return k;
        }
        mark_start(r);
        restore(r);
        reload_rules(r);
        k = choose_source(r);
        if (k < 0)
                return k;

        snprintf(h->source_detail, sizeof(h->source_detail), "%s", r->ops->limits(r->source));
        atomic_store(&h->source,
                     r->ops == &source_netlink ? LIVE_SOURCE_NETLINK : LIVE_SOURCE_EBPF);
        atomic_store(&h->state, h->degraded_reason[0] ? LIVE_DEGRADED : LIVE_RUNNING);
        k = files_publish(&r->files);
        if (k < 0)
                return k;
        return start_answerer(r);
}

static void stop(struct recorder *r, bool started) {
        answerer_stop(r->answerer);
        if (r->source)
                r->ops->stop(r->source);
        if (started) {
                append_mark(r, RECORD_STOP);
                atomic_store(&r->files.live.header->pid, 0);
                sync_request(r->sync);
        }
        tracker_free(r->tracker);
        owners_free(r->owners);
        alerts_free(r->alerts);
        judge_free(r->judge);
        sync_free(r->sync);
        if (r->own_socket) {
                char path[sizeof(((struct sockaddr_un *) 0)->sun_path)];

                snprintf(path, sizeof(path), "%s/%s", r->options->runtime, SOCKET_NAME);
                unlink(path);
        }
        if (r->listen_fd >= 0)
                close(r->listen_fd);
        files_close(&r->files);
        sd_event_source_disable_unref(r->sync_timer);
        sd_event_source_disable_unref(r->status_timer);
        sd_event_source_disable_unref(r->audit_timer);
        sd_event_unref(r->event);
}

int recorder_run(const struct recorder_options *options, struct config *config) {
        struct recorder *r = calloc(1, sizeof(*r));
        char message[128], field[64];
        int k;

        if (!r)
                return -ENOMEM;
        *r = (struct recorder){
                .options = options,
                .config = config,
                .listen_fd = -1,
                .files = { .runtime_fd = -1, .lock_fd = -1, .live_fd = -1, .live_reader_fd = -1 },
        };
        k = start(r);
        if (k < 0) {
                stop(r, false);
                free(r);
                return k;
        }
        snprintf(message, sizeof(message), "Recording with the source %s.", r->ops->name);
        snprintf(field, sizeof(field), "SOURCE=%s", r->ops->name);
        log_event(LOG_INFO, MESSAGE_STARTED, message, field, NULL);
        set_audit(r, now_ns(CLOCK_MONOTONIC) / 1000 + AUDIT_IDLE_USEC);
        tell_status(r);
        (void) sd_notify(0, "READY=1");

        k = sd_event_loop(r->event);
        (void) sd_notify(0, "STOPPING=1");
        if (k >= 0 && r->error < 0)
                k = r->error;
        stop(r, true);
        log_event(LOG_INFO, MESSAGE_STOPPED, "The record was closed.", NULL);
        free(r);
        return k < 0 ? k : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "diag.h"
#include "holders.h"
#include "netns.h"
#include "rings.h"
#include "source.h"

#include "bpf/portwatch.skel.h"

/*
 * The programs wake us for the first event of a pause; the next look is a moment later, so that
 * under load there is one wakeup for thousands of events (a wakeup for each would halve the host's
 * rate).
 */
#define DRAIN_USEC 10000U
/*
 * After a loss: not more often than this, and once more when it is over. A snapshot of many
 * namespaces takes long, and anybody can make those: at most one part in so many of the time.
 */
#define RESYNC_USEC  1000000U
#define RESYNC_SHARE 10U
/* How long counted attempts of a source wait for their summary. */
#define REFUSED_USEC 1000000U
/* Summaries of single sources in one go; what more there are share one. */
#define REFUSED_SUMMARIES 64U

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* include/uapi/asm-generic/socket.h */
#endif

/* Of the ring of one processor. */
#define SMALL_RING_BYTES     ((size_t) 512 << 10)
#define SMALL_RING_BYTES_MIN ((size_t) 64 << 10)

#define READ_AT_ONCE 256U /* events of the iterator */
/* A look at the open files of all tasks takes no longer: the rest is not looked at. */
#define READ_USEC 2000000U

/* include/linux/proc_ns.h: the inode of the initial pid namespace, PROC_PID_INIT_INO. */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCU

struct source {
        struct source_args args;
        struct portwatch_bpf *skeleton;
        struct rings rings;
        int ring_fds[RINGS_MAX]; /* the common one last */
        unsigned n_rings;
        struct bpf_link *links[16];
        unsigned n_links;
        sd_event_source *wakeup;
        sd_event_source *drain_timer;
        sd_event_source *resync_timer;
        sd_event_source *refused_timer;
        bool refused;          /* an attempt was told since the last collection */
        int64_t refused_ahead; /* counted for a source, not yet in the sum of all */
        uint64_t lost_before;
        uint64_t next_resync_usec; /* CLOCK_MONOTONIC */
        char limits[512];
};

static uint64_t now_ns(clockid_t clock) {
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

/* libbpf explains itself at length on stderr; what a user needs is the sentence of probe(). */
static int print_nothing(enum libbpf_print_level level, const char *format, va_list args) {
        (void) level;
        (void) format;
        (void) args;
        return 0;
}

__attribute__((format(printf, 2, 0))) static int print_debug(enum libbpf_print_level level,
                                                             const char *format, va_list args) {
        (void) level;
        return vfprintf(stderr, format, args);
}

static uint32_t own_pid_namespace(void) {
        struct stat st;

        if (stat("/proc/self/ns/pid", &st) < 0 || st.st_ino == INITIAL_PID_NAMESPACE)
                return 0;
        return (uint32_t) st.st_ino;
}

/*
 * Of the room that was asked for, so much for the rings of the processors: they are read every few
 * milliseconds, and are quicker the less of the cache they take.
 */
static size_t small_ring_bytes(size_t ring_bytes, unsigned processors) {
        size_t bytes = SMALL_RING_BYTES;

        while (bytes > SMALL_RING_BYTES_MIN && bytes * processors * 2 > ring_bytes)
                bytes /= 2;
        return bytes;
}

/* A ring for each possible processor. One that there is no memory for does without. */
static int fill_rings(struct source *s, struct portwatch_bpf *skeleton, size_t bytes) {
        unsigned n = bpf_map__max_entries(skeleton->maps.rings);

        for (uint32_t i = 0; i < n; i++) {
                int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, (uint32_t) bytes, NULL);
                int r;

                if (fd < 0)
                        return 0;
                r = bpf_map_update_elem(bpf_map__fd(skeleton->maps.rings), &i, &fd, BPF_ANY);
                if (r < 0) {
                        close(fd);
                        return r;
                }
                s->ring_fds[s->n_rings++] = fd;
        }
        return 0;
}

static int open_rings(struct source *s, struct portwatch_bpf *skeleton) {
        size_t sizes[RINGS_MAX], small;
        int r;

        small = small_ring_bytes(s->args.ring_bytes, bpf_map__max_entries(skeleton->maps.rings));
        r = fill_rings(s, skeleton, small);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < s->n_rings; i++)
                sizes[i] = small;
        sizes[s->n_rings] = s->args.ring_bytes;
        s->ring_fds[s->n_rings] = bpf_map__fd(skeleton->maps.overflow);
        return rings_open(&s->rings, s->ring_fds, sizes, s->n_rings + 1);
}

/* with_accept: with the program that not every kernel takes. */
static int load_once(struct portwatch_bpf **ret, size_t ring_bytes, bool with_accept) {
        int processors = libbpf_num_possible_cpus(), r;
        struct portwatch_bpf *skeleton;

        if (processors < 0)
                return processors;
        libbpf_set_print(getenv("PORTWATCH_DEBUG_BPF") ? print_debug : print_nothing);
        skeleton = portwatch_bpf__open();
        if (!skeleton)
                return -errno;
        skeleton->rodata->own_pid_namespace = own_pid_namespace();
        r = bpf_program__set_autoload(skeleton->progs.accepted, with_accept);
        if (r >= 0)
                r = bpf_map__set_max_entries(skeleton->maps.overflow, (uint32_t) ring_bytes);
        if (r >= 0)
                r = bpf_map__set_max_entries(skeleton->maps.rings,
                                             (uint32_t) processors < RINGS_MAX - 1
                                                     ? (uint32_t) processors
                                                     : RINGS_MAX - 1);
        if (r >= 0)
                r = portwatch_bpf__load(skeleton);
        if (r < 0) {
                portwatch_bpf__destroy(skeleton);
                return r;
        }
        *ret = skeleton;
        return 0;
}

static int load(struct portwatch_bpf **ret, size_t ring_bytes) {
        int r = load_once(ret, ring_bytes, true);

        return r < 0 ? load_once(ret, ring_bytes, false) : r;
}

static int ebpf_probe(char ret_why[static 256]) {
        int fd, r;

        if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
                snprintf(ret_why, 256,
                         "the kernel has no type information (/sys/kernel/btf/vmlinux, "
                         "CONFIG_DEBUG_INFO_BTF)");
                return -EOPNOTSUPP;
        }
        /* Loading the programs takes the verifier a while; whether they may be loaded does not. */
        fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "probe", 0, 0, 4096, NULL);
        if (fd < 0) {
                r = -errno;
                if (r == -EPERM || r == -EACCES)
                        snprintf(ret_why, 256,
                                 "loading BPF programs is not permitted (needs CAP_BPF, "
                                 "CAP_PERFMON and CAP_NET_ADMIN)");
                else
                        snprintf(ret_why, 256, "the kernel has no BPF ring buffer: %s",
                                 strerror(-r));
                return r;
        }
        close(fd);
        return 0;
}

/* ---- Draining ---- */

static void on_ring_event(const struct event *ev, size_t size, void *userdata) {
        struct source *s = userdata;

        if (ev->type == EVENT_REFUSED && !s->refused) {
                s->refused = true;
                sd_event_source_set_time_relative(s->refused_timer, REFUSED_USEC);
                sd_event_source_set_enabled(s->refused_timer, SD_EVENT_ONESHOT);
        }
        s->args.emit(ev, size, s->args.userdata);
}

static int take_snapshot(struct source *s);

static int on_resync_timer(sd_event_source *es, uint64_t usec, void *userdata) {
        struct source *s = userdata;

        (void) es;
        (void) usec;
        take_snapshot(s);
        s->args.batch_done(s->args.userdata);
        return 0;
}

static void emit_untold(struct source *s, const struct refused_source *from,
                        const struct refused_count *c) {
        struct event ev = {
                .type = EVENT_REFUSED,
                .time_ns = now_ns(CLOCK_BOOTTIME),
                .count = c->untold,
                .netns = from->netns,
                .family = (__u8) from->family,
                .transport = (__u8) c->transport,
        };

        memcpy(ev.local, c->local, sizeof(ev.local));
        memcpy(ev.remote, from->address, sizeof(ev.remote));
        s->args.emit(&ev, sizeof(ev), s->args.userdata);
}

/*
 * A summary for sources whose attempts were counted and not told, and one for all others: those
 * that were pushed out, and those beyond so many. Senders can be made up: neither the work nor what
 * is recorded may grow with them. Goes on as long as there is something.
 */
static int on_refused_timer(sd_event_source *es, uint64_t usec, void *userdata) {
        struct source *s = userdata;
        struct refused_count rest = { .transport = IPPROTO_TCP };
        struct refused_source key, next, nobody = { .family = AF_INET };
        int fd = bpf_map__fd(s->skeleton->maps.refused);
        int64_t untold = (int64_t) __atomic_exchange_n(&s->skeleton->bss->refused_untold, 0,
                                                       __ATOMIC_RELAXED) -
                         s->refused_ahead;
        bool more = bpf_map_get_next_key(fd, NULL, &next) == 0;
        unsigned n = 0;

        (void) es;
        (void) usec;
        s->refused = false;
        for (unsigned i = 0; more && i < REFUSED_SOURCES; i++) {
                struct refused_count c;

                key = next;
                more = bpf_map_get_next_key(fd, &key, &next) == 0;
                if (bpf_map_lookup_and_delete_elem(fd, &key, &c) < 0 || c.untold == 0 ||
                    n == REFUSED_SUMMARIES)
                        continue;
                emit_untold(s, &key, &c);
                untold -= (int64_t) c.untold;
                n++;
        }
        s->refused_ahead = untold < 0 ? -untold : 0;
        if (untold > 0) {
                rest.untold = (__u64) untold;
                emit_untold(s, &nobody, &rest);
        }
        s->args.batch_done(s->args.userdata);
        return 0;
}

/*
 * State changes that neither program was called for, see sock_state in bpf/tcp.h. The
 * kernel counts first, the second program later, so a change on its way may look lost for a moment.
 */
static uint64_t passed_over(struct source *s) {
        struct bpf_prog_info info = {};
        uint32_t size = sizeof(info);
        uint64_t rescued;

        if (bpf_obj_get_info_by_fd(bpf_program__fd(s->skeleton->progs.sock_state), &info, &size) <
            0)
                return 0;
        rescued = __atomic_load_n(&s->skeleton->bss->rescued_events, __ATOMIC_RELAXED);
        return info.recursion_misses > rescued ? info.recursion_misses - rescued : 0;
}

/* Says what the ring buffer had to refuse, and has the truth looked up soon. */
static void check_loss(struct source *s) {
        uint64_t lost =
                __atomic_load_n(&s->skeleton->bss->lost_events, __ATOMIC_RELAXED) + passed_over(s);
        struct event ev = { .type = EVENT_LOST };
        uint64_t at;

        if (lost <= s->lost_before)
                return;
        ev.time_ns = now_ns(CLOCK_BOOTTIME);
        ev.count = lost - s->lost_before;
        s->lost_before = lost;
        s->args.emit(&ev, sizeof(ev), s->args.userdata);

        at = now_ns(CLOCK_MONOTONIC) / 1000;
        if (at < s->next_resync_usec)
                at = s->next_resync_usec;
        sd_event_source_set_time(s->resync_timer, at);
        sd_event_source_set_enabled(s->resync_timer, SD_EVENT_ONESHOT);
}

/*
 * Takes what the rings hold of the time before this call: those who fill them may be as quick as we
 * are. Returns how many events that were.
 */
static unsigned drain_rings(struct source *s) {
        unsigned n = rings_read(&s->rings, now_ns(CLOCK_BOOTTIME), on_ring_event, s);

        check_loss(s);
        return n;
}

static int on_wakeup(sd_event_source *es, int fd, uint32_t revents, void *userdata) {
        struct source *s = userdata;

        (void) es;
        (void) fd;
        (void) revents;
        sd_event_source_set_enabled(s->wakeup, SD_EVENT_OFF);
        sd_event_source_set_time_relative(s->drain_timer, DRAIN_USEC);
        sd_event_source_set_enabled(s->drain_timer, SD_EVENT_ONESHOT);
        return 0;
}

static int on_drain_timer(sd_event_source *es, uint64_t usec, void *userdata) {
        struct source *s = userdata;
        unsigned n;

        (void) es;
        (void) usec;
        n = drain_rings(s);
        s->args.batch_done(s->args.userdata);
        if (n == 0) {
                sd_event_source_set_enabled(s->wakeup, SD_EVENT_ON);
                return 0;
        }
        sd_event_source_set_time_relative(s->drain_timer, DRAIN_USEC);
        sd_event_source_set_enabled(s->drain_timer, SD_EVENT_ONESHOT);
        return 0;
}

static void ebpf_drain(struct source *s) {
        drain_rings(s);
        s->args.batch_done(s->args.userdata);
}

/* ---- Snapshots ---- */

/* Asks the kernel who holds which socket, by the iterator over the open files of all tasks. */
static int read_holders(struct source *s, struct holders *h) {
        struct event events[READ_AT_ONCE];
        struct bpf_link *link;
        size_t have = 0; /* bytes */
        uint64_t end = now_ns(CLOCK_MONOTONIC) / 1000 + READ_USEC;
        int fd, r = 0;

        link = bpf_program__attach_iter(s->skeleton->progs.socket_owners, NULL);
        if (!link)
                return -errno;
        fd = bpf_iter_create(bpf_link__fd(link));
        if (fd < 0) {
                bpf_link__destroy(link);
                return fd;
        }
        while (r >= 0) {
                ssize_t n = read(fd, (char *) events + have, sizeof(events) - have);
                size_t whole;

                /*
                 * So many files without a socket among them that the kernel pauses (after a
                 * million, bpf_seq_read()). The ring fills meanwhile.
                 */
                if (n < 0 && errno == EAGAIN && now_ns(CLOCK_MONOTONIC) / 1000 < end) {
                        drain_rings(s);
                        continue;
                }
                if (n < 0)
                        r = -errno;
                if (n <= 0)
                        break;
                have += (size_t) n;
                whole = have / sizeof(events[0]);
                for (size_t i = 0; i < whole && r >= 0; i++)
                        r = holders_add(h, &events[i]);
                have %= sizeof(events[0]);
                memmove(events, &events[whole], have);
        }
        close(fd);
        bpf_link__destroy(link);
        holders_sort(h);
        return r;
}

struct snapshot {
        struct source *source;
        const struct netns_entry *ns;
        struct holders holders;
        bool undumped; /* there are such among them */
};

/* A socket of a dump, with the process that the look before it has found. */
static void on_found(const struct event *ev, size_t size, void *userdata) {
        struct snapshot *snapshot = userdata;
        struct event found = *ev;

        (void) holders_fill(&snapshot->holders, &found);
        /* A dump cannot tell bind() from a port that the kernel chose at the first send. */
        if (ev->transport == IPPROTO_UDP && !(ev->flags & EVENT_CONNECTED) &&
            ev->local_port >= snapshot->ns->ephemeral_first &&
            ev->local_port <= snapshot->ns->ephemeral_last)
                found.flags |= EVENT_AUTOBOUND;
        snapshot->source->args.emit(&found, size, snapshot->source->args.userdata);
}

/* Tells the programs what stands for this namespace in their calls. Kernels before 5.14 do not
 * know. */
static void name_namespace(struct source *s, const struct netns_entry *e) {
        uint64_t cookie = 0;
        socklen_t size = sizeof(cookie);

        if (getsockopt(e->diag_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) >= 0)
                (void) bpf_map_update_elem(bpf_map__fd(s->skeleton->maps.namespaces), &cookie,
                                           &e->inode, BPF_ANY);
}

static bool is_dumped(const struct event *ev) {
        return ev->transport == IPPROTO_TCP || ev->transport == IPPROTO_UDP;
}

/* Sockets that are in no dump: what the look at the open files has found of them is all there is.
 */
static void emit_undumped(const struct snapshot *snapshot, uint32_t netns) {
        uint64_t last = 0;

        for (size_t i = 0; snapshot->undumped && i < snapshot->holders.n; i++) {
                struct event found = snapshot->holders.events[i];

                if (found.netns != netns || found.cookie == last || is_dumped(&found))
                        continue;
                /* Of several processes that hold it the first one. */
                last = found.cookie;
                found.type = EVENT_FOUND;
                snapshot->source->args.emit(&found, sizeof(found), snapshot->source->args.userdata);
        }
}

static void emit_mark(struct source *s, enum event_type type, uint32_t netns) {
        const struct event mark = {
                .type = (__u8) type,
                .netns = netns,
                .time_ns = now_ns(CLOCK_BOOTTIME),
        };

        s->args.emit(&mark, sizeof(mark), s->args.userdata);
}

/*
 * Waits until what the kernel is about on other CPUs has come to an end, so that the rings hold it
 * all. A socket that closes leaves the tables of the dumps before its event is told, and an event
 * that is still being written keeps what lies behind it from being read.
 */
static void let_events_finish(void) {
        (void) syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/*
 * Dumps each namespace, then takes what the ring holds: whatever happened up to the end of the dump
 * is in there by then, so that what the dump has not shown and no event has touched is really gone,
 * and what it has shown and is closed has its close behind it. An incomplete dump proves nothing of
 * what it does not show.
 */
static int dump_namespaces(struct snapshot *snapshot, const struct netns_set *set) {
        struct source *s = snapshot->source;
        int result = 0;

        emit_mark(s, EVENT_SNAPSHOT_BEGIN, 0);
        for (unsigned i = 0; i < set->n_entries; i++) {
                struct netns_entry *e = &set->entries[i];
                int r;

                snapshot->ns = e;
                name_namespace(s, e);
                r = diag_dump(e->diag_fd, e->inode, DIAG_LISTENERS | DIAG_CONNECTIONS, on_found,
                              snapshot);
                emit_undumped(snapshot, e->inode);
                drain_rings(s);
                /* Marked: it is the truth. */
                e->userdata = r >= 0 ? s : NULL;
                if (r < 0)
                        result = r;
        }
        let_events_finish();
        drain_rings(s);
        for (unsigned i = 0; i < set->n_entries; i++)
                if (set->entries[i].userdata)
                        emit_mark(s, EVENT_SNAPSHOT_END, set->entries[i].inode);
        return result;
}

static int take_snapshot(struct source *s) {
        struct snapshot snapshot = { .source = s };
        uint64_t begin = now_ns(CLOCK_MONOTONIC) / 1000, took;
        struct netns_set set = {};
        int r;

        r = netns_scan(&set, 0, 0);
        if (r < 0) {
                netns_done(&set);
                return r;
        }
        drain_rings(s);
        /* Without all of them the sockets are still what they are. */
        (void) read_holders(s, &snapshot.holders);
        for (size_t i = 0; i < snapshot.holders.n && !snapshot.undumped; i++)
                snapshot.undumped = !is_dumped(&snapshot.holders.events[i]);
        r = dump_namespaces(&snapshot, &set);
        /* Held any longer, their sockets would keep namespaces and all of their devices alive. */
        netns_done(&set);
        /* Sockets that were tracked before, as those whose owner was only guessed. */
        for (size_t i = 0; i < snapshot.holders.n; i++)
                s->args.emit(&snapshot.holders.events[i], sizeof(struct event), s->args.userdata);
        holders_clear(&snapshot.holders);

        took = (now_ns(CLOCK_MONOTONIC) / 1000 - begin) * RESYNC_SHARE;
        s->next_resync_usec = begin + (took > RESYNC_USEC ? took : RESYNC_USEC);
        return r;
}

/* ---- Start and stop ---- */

/* The programs for UDP hang at the root of the control groups, so they see every process. */
static int attach_cgroup_programs(struct source *s) {
        struct bpf_program *const programs[] = {
                s->skeleton->progs.udp_bind4,    s->skeleton->progs.udp_bind6,
                s->skeleton->progs.udp_connect4, s->skeleton->progs.udp_connect6,
                s->skeleton->progs.udp_release,  s->skeleton->progs.raw_made,
                s->skeleton->progs.udp_peer4,    s->skeleton->progs.udp_peer6,
        };
        /* The last two are a tax on every datagram: for those who want them. */
        size_t n = sizeof(programs) / sizeof(programs[0]) - (s->args.udp_peers ? 0 : 2);
        char root[PATH_MAX];
        int fd, r;

        r = cgroup_root(root, sizeof(root));
        if (r < 0)
                return r;
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        for (size_t i = 0; i < n; i++) {
                struct bpf_link *link = bpf_program__attach_cgroup(programs[i], fd);

                if (!link) {
                        r = -errno;
                        break;
                }
                s->links[s->n_links++] = link;
        }
        close(fd);
        return r;
}

static int attach(struct source *s) {
        struct portwatch_bpf *skeleton = s->skeleton;
        int r;

        skeleton->links.sock_state = bpf_program__attach(skeleton->progs.sock_state);
        if (!skeleton->links.sock_state)
                return -errno;
        /* Behind the other one: programs are called in the order in which they were attached. */
        skeleton->links.sock_state_missed = bpf_program__attach(skeleton->progs.sock_state_missed);
        if (!skeleton->links.sock_state_missed)
                return -errno;
        skeleton->links.process_ran = bpf_program__attach(skeleton->progs.process_ran);
        if (!skeleton->links.process_ran)
                return -errno;
        skeleton->links.cgroup_made = bpf_program__attach(skeleton->progs.cgroup_made);
        if (!skeleton->links.cgroup_made)
                return -errno;
        if (bpf_program__autoload(skeleton->progs.accepted))
                skeleton->links.accepted = bpf_program__attach(skeleton->progs.accepted);
        if (!skeleton->links.accepted)
                snprintf(s->limits, sizeof(s->limits),
                         "Who accepted a connection is known when it is closed. ");
        /* Kernels before 5.17 do not tell why a packet was dropped. */
        skeleton->links.packet_dropped = bpf_program__attach(skeleton->progs.packet_dropped);
        if (!skeleton->links.packet_dropped)
                snprintf(s->limits + strlen(s->limits), sizeof(s->limits) - strlen(s->limits),
                         "Refused attempts are not seen (%s). ", strerror(errno));
        r = attach_cgroup_programs(s);
        if (r < 0)
                snprintf(s->limits + strlen(s->limits), sizeof(s->limits) - strlen(s->limits),
                         "UDP is seen in snapshots only: no program could be attached to the "
                         "control groups (%s). ",
                         strerror(-r));
        return 0;
}

static struct source *ebpf_stop(struct source *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->wakeup);
        sd_event_source_disable_unref(s->drain_timer);
        sd_event_source_disable_unref(s->resync_timer);
        sd_event_source_disable_unref(s->refused_timer);
        for (unsigned i = 0; i < s->n_links; i++)
                bpf_link__destroy(s->links[i]);
        rings_close(&s->rings);
        for (unsigned i = 0; i < s->n_rings; i++)
                close(s->ring_fds[i]);
        portwatch_bpf__destroy(s->skeleton);
        free(s);
        return NULL;
}

static int add_timer(struct source *s, sd_event_source **ret, sd_event_time_handler_t handler) {
        int r = sd_event_add_time(s->args.event, ret, CLOCK_MONOTONIC, 0, 1000, handler, s);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_to_loop(struct source *s) {
        int r;

        r = sd_event_add_io(s->args.event, &s->wakeup, s->rings.epoll_fd, EPOLLIN, on_wakeup, s);
        if (r >= 0)
                r = add_timer(s, &s->drain_timer, on_drain_timer);
        if (r >= 0)
                r = add_timer(s, &s->resync_timer, on_resync_timer);
        if (r >= 0)
                r = add_timer(s, &s->refused_timer, on_refused_timer);
        return r;
}

/*
 * The programs know the types of modules that were there when they were loaded, and no others.
 * False where it cannot be told.
 */
static bool lacks_vsock(void) {
        char line[256];
        bool found = false;
        FILE *f = fopen("/proc/net/protocols", "re");

        if (!f)
                return false;
        while (!found && fgets(line, sizeof(line), f))
                found = strncmp(line, "AF_VSOCK", strlen("AF_VSOCK")) == 0;
        fclose(f);
        return !found;
}

static int ebpf_start(struct source **ret, const struct source_args *args) {
        struct source *s = calloc(1, sizeof(*s));
        size_t n;
        int r;

        if (!s)
                return -ENOMEM;
        s->args = *args;
        r = load(&s->skeleton, args->ring_bytes);
        if (r < 0)
                goto fail;
        r = open_rings(s, s->skeleton);
        if (r >= 0)
                r = add_to_loop(s);
        if (r >= 0)
                r = attach(s);
        if (r >= 0)
                r = take_snapshot(s);
        if (r < 0)
                goto fail;
        n = strlen(s->limits);
        if (lacks_vsock())
                snprintf(s->limits + n, sizeof(s->limits) - n,
                         "vsock is not seen: its module was not loaded at the start. ");
        n = strlen(s->limits);
        snprintf(s->limits + n, sizeof(s->limits) - n,
                 "The local port of a connected UDP socket that was not bound is unknown until a "
                 "snapshot shows it.");
        *ret = s;
        return 0;
fail:
        ebpf_stop(s);
        return r;
}

static const char *ebpf_limits(struct source *s) {
        return s->limits;
}

const struct source_ops source_ebpf = {
        .name = "ebpf",
        .probe = ebpf_probe,
        .start = ebpf_start,
        .drain = ebpf_drain,
        .resync = take_snapshot,
        .stop = ebpf_stop,
        .limits = ebpf_limits,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <linux/bpf.h>
#include <linux/types.h>
#include <pthread.h>
#include <sys/mman.h>

#include "daemon/record/rings.h"

/* Rings as the kernel makes them (kernel/bpf/ringbuf.c), in memory of our own: we are the writers.
 */

#define SMALL      4096U  /* of a ring; no number of events of one size fills it */
#define LARGE      65536U /* more than is read before room is given back */
#define GIVE_BACK  8192U  /* what a reader may be behind in giving room back */
#define STORY_SIZE 40000U

struct bench {
        struct rings rings;
        uint64_t consumer[RINGS_MAX];
        uint64_t producer[RINGS_MAX];
        uint8_t *data[RINGS_MAX];
};

/* What was told. */
struct story {
        size_t n;
        uint64_t stamp[STORY_SIZE];
        uint64_t id[STORY_SIZE];
        uint32_t size[STORY_SIZE];
        const struct bench *bench; /* its room is looked at while events are told */
        uint64_t most_behind;
};

static struct bench bench;
static struct story story;

static uint8_t *map_twice(size_t size) {
        int fd = memfd_create("ring", MFD_CLOEXEC);
        uint8_t *p = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        assert_true(fd >= 0);
        assert_ptr_not_equal(p, MAP_FAILED);
        assert_return_code(ftruncate(fd, (off_t) size), errno);
        for (unsigned i = 0; i < 2; i++)
                assert_ptr_not_equal(mmap(p + i * size, size, PROT_READ | PROT_WRITE,
                                          MAP_SHARED | MAP_FIXED, fd, 0),
                                     MAP_FAILED);
        close(fd);
        return p;
}

static void bench_up(unsigned n, size_t size) {
        bench = (struct bench){ .rings = { .n = n, .epoll_fd = -1 } };
        for (unsigned i = 0; i < n; i++) {
                bench.data[i] = map_twice(size);
                bench.rings.ring[i].consumer = &bench.consumer[i];
                bench.rings.ring[i].producer = &bench.producer[i];
                bench.rings.ring[i].data = bench.data[i];
                bench.rings.ring[i].size = size;
        }
        story = (struct story){ .bench = &bench };
}

static int bench_down(void **state) {
        (void) state;
        for (unsigned i = 0; i < bench.rings.n; i++)
                munmap(bench.data[i], 2 * bench.rings.ring[i].size);
        bench.rings.n = 0;
        return 0;
}

/* ---- Writing ---- */

static uint64_t step_of(size_t size) {
        return (BPF_RINGBUF_HDR_SZ + size + 7) & ~(uint64_t) 7;
}

static bool has_room(unsigned ring, size_t size) {
        uint64_t consumer = __atomic_load_n(&bench.consumer[ring], __ATOMIC_ACQUIRE);

        return bench.producer[ring] - consumer + step_of(size) < bench.rings.ring[ring].size;
}

/* As bpf_ringbuf_reserve(), which never fills it all: what is inside is still what was there
 * before. */
static uint32_t *take(unsigned ring, size_t size) {
        uint64_t at = bench.producer[ring], mask = bench.rings.ring[ring].size - 1;
        uint32_t *header = (uint32_t *) (void *) (bench.data[ring] + (at & mask));

        assert_true(has_room(ring, size));
        header[0] = (uint32_t) size | BPF_RINGBUF_BUSY_BIT;
        header[1] = 0;
        __atomic_store_n(&bench.producer[ring], at + step_of(size), __ATOMIC_RELEASE);
        return header;
}

/* Each byte behind the struct's beginning is known by the id: nothing may be cut or mixed up. */
static void fill(uint32_t *header, size_t size, uint64_t stamp, uint64_t id) {
        uint8_t *body = (uint8_t *) header + BPF_RINGBUF_HDR_SZ;
        const uint64_t words[] = { stamp, id };

        memset(body, (int) (id & 0xff), size);
        memcpy(body, words, size < sizeof(words) ? size : sizeof(words));
}

/* As bpf_ringbuf_submit(): seen by all processors before anything that comes next. */
static void commit(uint32_t *header) {
        (void) __atomic_exchange_n(header, *header & ~BPF_RINGBUF_BUSY_BIT, __ATOMIC_SEQ_CST);
}

static void discard(uint32_t *header) {
        uint32_t length = *header & ~BPF_RINGBUF_BUSY_BIT;

        (void) __atomic_exchange_n(header, length | BPF_RINGBUF_DISCARD_BIT, __ATOMIC_SEQ_CST);
}

static void put_sized(unsigned ring, size_t size, uint64_t stamp, uint64_t id) {
        uint32_t *header = take(ring, size);

        fill(header, size, stamp, id);
        commit(header);
}

static void put(unsigned ring, uint64_t stamp, uint64_t id) {
        put_sized(ring, sizeof(struct event), stamp, id);
}

static void put_discarded(unsigned ring, uint64_t stamp) {
        uint32_t *header = take(ring, sizeof(struct event));

        fill(header, sizeof(struct event), stamp, 0xdd);
        discard(header);
}

/* ---- Reading ---- */

static void on_event(const struct event *ev, size_t size, void *userdata) {
        const uint8_t *bytes = (const uint8_t *) ev;
        struct story *s = userdata;

        assert_true(s->n < STORY_SIZE);
        for (size_t i = offsetof(struct event, cgroup_id); i < size; i++)
                assert_int_equal(bytes[i], ev->cookie & 0xff);
        s->stamp[s->n] = ev->time_ns;
        s->id[s->n] = ev->cookie;
        s->size[s->n++] = (uint32_t) size;
        for (unsigned i = 0; i < s->bench->rings.n; i++) {
                uint64_t behind = s->bench->rings.ring[i].at - s->bench->consumer[i];

                if (behind > s->most_behind)
                        s->most_behind = behind;
        }
}

static unsigned listen_until(uint64_t limit_ns) {
        return rings_read(&bench.rings, limit_ns, on_event, &story);
}

static void assert_ids(const uint64_t *ids, size_t n) {
        assert_int_equal(story.n, n);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(story.id[i], ids[i]);
}

#define ASSERT_IDS(...)                                                                            \
        assert_ids((const uint64_t[]){ __VA_ARGS__ },                                              \
                   sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static void assert_all_given_back(void) {
        for (unsigned i = 0; i < bench.rings.n; i++)
                assert_int_equal(bench.consumer[i], bench.producer[i]);
}

/* ---- Order ---- */

static void test_order(void **state) {
        (void) state;
        bench_up(4, SMALL);
        assert_int_equal(listen_until(UINT64_MAX), 0);
        put(0, 50, 5);
        put(0, 60, 6);
        put(1, 10, 1);
        put(1, 70, 7);
        put(3, 20, 2);
        put(3, 30, 3);
        put(3, 40, 4);
        put(3, 80, 8);
        assert_int_equal(listen_until(UINT64_MAX), 8);
        ASSERT_IDS(1, 2, 3, 4, 5, 6, 7, 8);
        assert_all_given_back();
        assert_int_equal(listen_until(UINT64_MAX), 0);
        assert_int_equal(story.n, 8);
}

static void test_limit(void **state) {
        (void) state;
        bench_up(2, SMALL);
        put(0, 10, 1);
        put(0, 30, 3);
        put(1, 20, 2);
        put(1, 40, 4);
        assert_int_equal(listen_until(9), 0);
        assert_int_equal(bench.consumer[0], 0);
        assert_int_equal(listen_until(20), 2);
        ASSERT_IDS(1, 2);
        /* Room of those that were told only. */
        assert_int_equal(bench.consumer[0], step_of(sizeof(struct event)));
        assert_int_equal(bench.consumer[1], step_of(sizeof(struct event)));
        assert_int_equal(listen_until(29), 0);
        put(0, 35, 35);
        assert_int_equal(listen_until(39), 2);
        ASSERT_IDS(1, 2, 3, 35);
        assert_int_equal(listen_until(40), 1);
        ASSERT_IDS(1, 2, 3, 35, 4);
        assert_all_given_back();
}

/* Several processors write to one ring: stamped and then overtaken. Its order is that of taking. */
static void test_disorder_within_a_ring(void **state) {
        (void) state;
        bench_up(2, SMALL);
        put(0, 10, 1);
        put(0, 31, 3);
        put(0, 29, 4);
        put(0, 50, 6);
        put(1, 20, 2);
        put(1, 40, 5);
        assert_int_equal(listen_until(30), 2); /* what was overtaken waits for who did it */
        ASSERT_IDS(1, 2);
        assert_int_equal(listen_until(UINT64_MAX), 4);
        ASSERT_IDS(1, 2, 3, 4, 5, 6);
        assert_all_given_back();
}

/* ---- What is not there yet, or never will be ---- */

static void test_busy_at_the_head(void **state) {
        uint32_t *busy;

        (void) state;
        bench_up(3, SMALL);
        busy = take(1, sizeof(struct event));
        put(1, 40, 4);
        put(0, 30, 3);
        put(2, 50, 5);
        /* What is older than all that is hidden cannot have come of it. */
        assert_int_equal(listen_until(UINT64_MAX), 1);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(listen_until(UINT64_MAX), 0);
        fill(busy, sizeof(struct event), 20, 2); /* written, but not told to be */
        assert_int_equal(listen_until(UINT64_MAX), 0);
        assert_int_equal(bench.consumer[1], 0);
        assert_int_equal(bench.consumer[2], 0);
        commit(busy);
        assert_int_equal(listen_until(UINT64_MAX), 3);
        ASSERT_IDS(3, 2, 4, 5);
        assert_all_given_back();
}

static void test_busy_and_nothing_behind(void **state) {
        uint32_t *busy;

        (void) state;
        bench_up(3, SMALL);
        put(1, 10, 1);
        busy = take(1, sizeof(struct event));
        put_discarded(1, 5);
        (void) take(1, sizeof(struct event));
        put(0, 30, 3);
        put(2, 50, 5);
        assert_int_equal(listen_until(UINT64_MAX), 3);
        ASSERT_IDS(1, 3, 5);
        fill(busy, sizeof(struct event), 20, 2);
        commit(busy);
        assert_int_equal(listen_until(UINT64_MAX), 1);
        ASSERT_IDS(1, 3, 5, 2);
}

static void test_busy_behind_others(void **state) {
        uint32_t *busy, *other;

        (void) state;
        bench_up(3, SMALL);
        put(0, 10, 1);
        put(0, 20, 2);
        busy = take(0, sizeof(struct event));
        put(0, 60, 6);
        put(1, 15, 15);
        put(1, 45, 4);
        put(1, 70, 7);
        put(2, 65, 65);
        assert_int_equal(listen_until(UINT64_MAX), 4);
        ASSERT_IDS(1, 15, 2, 4);
        assert_int_equal(listen_until(UINT64_MAX), 0);
        /* The next one hides something as well, and is given up then. */
        fill(busy, sizeof(struct event), 40, 40);
        commit(busy);
        other = take(2, sizeof(struct event));
        put(2, 90, 9);
        put(0, 95, 95);
        assert_int_equal(listen_until(UINT64_MAX), 4);
        ASSERT_IDS(1, 15, 2, 4, 40, 6, 65, 7);
        discard(other);
        assert_int_equal(listen_until(UINT64_MAX), 2);
        ASSERT_IDS(1, 15, 2, 4, 40, 6, 65, 7, 9, 95);
        assert_all_given_back();
}

static void test_given_up(void **state) {
        (void) state;
        bench_up(3, SMALL);
        put_discarded(0, 5);
        put_discarded(0, 6);
        put(0, 30, 3);
        put_discarded(0, 31);
        put(1, 20, 2);
        put_discarded(1, 21);
        put(1, 40, 4);
        put_discarded(2, 1); /* nothing else */
        assert_int_equal(listen_until(UINT64_MAX), 3);
        ASSERT_IDS(2, 3, 4);
        assert_all_given_back();
        /* Of what was given up, room is given back without an event. */
        put_discarded(1, 50);
        assert_int_equal(listen_until(0), 0);
        assert_all_given_back();
}

/* ---- Size and place ---- */

static void test_sizes(void **state) {
        (void) state;
        bench_up(2, SMALL);
        put_sized(0, sizeof(struct event_process), 10, 1);
        put(0, 30, 3);
        put_sized(0, sizeof(struct event) + 1, 50, 5); /* the next one is aligned again */
        put(0, 60, 6);
        put_sized(1, sizeof(struct event_cgroup), 20, 2);
        put_sized(1, sizeof(struct event) + 7, 40, 4);
        put(1, 70, 7);
        assert_int_equal(listen_until(UINT64_MAX), 7);
        ASSERT_IDS(1, 2, 3, 4, 5, 6, 7);
        assert_int_equal(story.size[0], sizeof(struct event_process));
        assert_int_equal(story.size[1], sizeof(struct event_cgroup));
        assert_int_equal(story.size[2], sizeof(struct event));
        assert_int_equal(story.size[3], sizeof(struct event) + 7);
        assert_int_equal(story.size[4], sizeof(struct event) + 1);
        assert_all_given_back();
}

static void test_too_short(void **state) {
        (void) state;
        bench_up(2, SMALL);
        put_sized(0, sizeof(struct event) - 1, 1, 91);
        put_sized(0, 1, 2, 92);
        put_sized(0, 0, 3, 93);
        put(0, 20, 2);
        put_sized(0, 16, 21, 94);
        put(1, 10, 1);
        put_sized(1, sizeof(struct event) - 8, 11, 95);
        assert_int_equal(listen_until(UINT64_MAX), 2);
        ASSERT_IDS(1, 2);
        assert_all_given_back();
}

static void test_around_the_end(void **state) {
        uint64_t id = 0, stamp = 0, cut = 0;

        (void) state;
        bench_up(2, SMALL);
        for (unsigned round = 0; round < 100; round++) {
                for (unsigned i = 0; i < 9; i++) {
                        unsigned ring = i % 3 == 2;
                        size_t size = i == 4 ? sizeof(struct event_process) : sizeof(struct event);
                        uint64_t at = bench.producer[ring] % SMALL;

                        cut += at + step_of(size) > SMALL;
                        put_sized(ring, size, ++stamp, ++id);
                }
                assert_int_equal(listen_until(stamp), 9);
        }
        assert_true(cut > 20);
        assert_int_equal(story.n, id);
        for (size_t i = 0; i < story.n; i++)
                assert_int_equal(story.id[i], i + 1);
        assert_all_given_back();
}

/* Filled as far as the kernel does: all of it is seen, and then all of it is free. */
static void test_full(void **state) {
        size_t n = 0, rest;

        (void) state;
        bench_up(1, SMALL);
        for (unsigned lap = 0; lap < 100; lap++) {
                while (has_room(0, 2 * step_of(sizeof(struct event)))) {
                        n++;
                        put(0, n, n);
                }
                rest = SMALL - (bench.producer[0] - bench.consumer[0]) - 2 * BPF_RINGBUF_HDR_SZ;
                n++;
                put_sized(0, rest, n, n);
                assert_false(has_room(0, 0));
                (void) listen_until(UINT64_MAX);
                assert_int_equal(story.n, n);
                assert_int_equal(story.size[n - 1], rest);
                assert_all_given_back();
        }
}

/* Writers need room while a long read is under way. */
static void test_room_comes_back(void **state) {
        unsigned n = 0;

        (void) state;
        bench_up(2, LARGE);
        while (has_room(0, sizeof(struct event))) {
                n++;
                put(0, n, n);
        }
        put(1, 1, 1);
        assert_true((uint64_t) n * step_of(sizeof(struct event)) > 4 * GIVE_BACK);
        assert_int_equal(listen_until(UINT64_MAX), n + 1);
        assert_true(story.most_behind < GIVE_BACK);
        /* And not event by event. */
        assert_true(story.most_behind > GIVE_BACK / 2);
        assert_all_given_back();
}

/* ---- Many ---- */

struct crowd {
        uint64_t seed;
        uint64_t limit;
        uint64_t last[RINGS_MAX]; /* stamps */
        uint64_t next[RINGS_MAX]; /* numbers of events to be told */
        uint64_t written[RINGS_MAX];
        uint64_t *stamps; /* of all */
        size_t n;
};

static int compare_stamps(const void *a, const void *b) {
        uint64_t x, y;

        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        return x < y ? -1 : x > y;
}

/* An event, or what is none. False when there is no room, or the ring is at work on one. */
static bool crowd_write(struct crowd *c, unsigned ring, uint32_t **ret_busy) {
        static const size_t sizes[] = { sizeof(struct event), sizeof(struct event_process),
                                        sizeof(struct event) + 3 };
        size_t size = sizes[unit_below(&c->seed, 8) % 3];
        uint64_t stamp = c->last[ring] > c->limit ? c->last[ring] : c->limit + 1;
        uint64_t what = unit_below(&c->seed, 16);
        uint32_t *header;

        if (!has_room(ring, size))
                return false;
        c->last[ring] = stamp += unit_below(&c->seed, 40);
        if (what == 0) {
                put_discarded(ring, stamp);
                return true;
        }
        if (what == 1) {
                put_sized(ring, 24, stamp, 0xdd);
                return true;
        }
        header = take(ring, size);
        fill(header, size, stamp, (uint64_t) ring << 32 | c->written[ring]++);
        c->stamps[c->n++] = stamp;
        if (what == 2)
                *ret_busy = header;
        else
                commit(header);
        return true;
}

/* What one call has told, from this one on: in order, and of each ring what was due. */
static void crowd_check(struct crowd *c, size_t from) {
        for (size_t i = from; i < story.n; i++) {
                unsigned ring = (unsigned) (story.id[i] >> 32);

                assert_true(i == from || story.stamp[i] >= story.stamp[i - 1]);
                assert_true(ring < RINGS_MAX);
                assert_int_equal(story.id[i] & UINT32_MAX, c->next[ring]++);
        }
}

/* All that was written up to the limit has been told, and nothing else. */
static void crowd_check_all(struct crowd *c) {
        static uint64_t told[STORY_SIZE];

        memcpy(told, story.stamp, story.n * sizeof(told[0]));
        qsort(told, story.n, sizeof(told[0]), compare_stamps);
        qsort(c->stamps, c->n, sizeof(c->stamps[0]), compare_stamps);
        assert_memory_equal(told, c->stamps, story.n * sizeof(told[0]));
        assert_true(story.n == c->n || c->stamps[story.n] > c->limit);
        assert_true(story.n == 0 || c->stamps[story.n - 1] <= c->limit);
}

static void test_many(void **state) {
        static uint64_t stamps[STORY_SIZE];
        static struct crowd c;
        size_t from = 0, waited = 0;

        (void) state;
        bench_up(RINGS_MAX, SMALL);
        c = (struct crowd){ .seed = 20, .stamps = stamps };
        while (c.n < STORY_SIZE - 1000) {
                uint32_t *busy[RINGS_MAX] = { NULL };

                for (unsigned i = 0; i < 700; i++) {
                        unsigned ring = (unsigned) unit_below(&c.seed, RINGS_MAX);

                        if (!busy[ring] && !crowd_write(&c, ring, &busy[ring]))
                                break;
                }
                c.limit += unit_below(&c.seed, 60);
                /* What is still being written hides nothing here, and waits alone. */
                listen_until(c.limit);
                for (unsigned ring = 0; ring < RINGS_MAX; ring++)
                        if (busy[ring])
                                commit(busy[ring]);
                crowd_check(&c, from);
                from = story.n;
                listen_until(c.limit);
                crowd_check(&c, from);
                waited += story.n > from;
                from = story.n;
                crowd_check_all(&c);
        }
        c.limit = UINT64_MAX;
        listen_until(c.limit);
        crowd_check(&c, from);
        crowd_check_all(&c);
        assert_int_equal(story.n, c.n);
        assert_true(waited > 10);
        assert_all_given_back();
}

/* ---- While they are written ---- */

#define ENDLESS   200000U
#define PATIENCE  60000000000ULL
#define INTERRUPT 5U /* one event in so many is interrupted by two others */
/* The first and the last of many: between the looks at them is time for a cause and its effect. */
#define LAST (RINGS_MAX - 1)

struct endless {
        bool stop;
        uint64_t seed;
        uint64_t committed; /* the writer's: ids in the order of commits */
        /* The reader's: */
        uint64_t told;
        uint64_t next; /* all before it were told */
        uint64_t early;
        uint64_t twice;
        uint8_t seen[ENDLESS];
};

static uint64_t stamp_now(void) {
        struct timespec ts;

        clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

/* In both: one who waits while it holds room would wait for ever. */
static bool wait_for_room(struct endless *e) {
        while (!has_room(0, 3 * step_of(sizeof(struct event))) ||
               !has_room(LAST, 3 * step_of(sizeof(struct event)))) {
                if (__atomic_load_n(&e->stop, __ATOMIC_RELAXED))
                        return false;
                sched_yield();
        }
        return true;
}

/* All that was committed before the stamp may be its cause; it says up to where. */
static void write_effect(struct endless *e, unsigned ring, bool interrupted) {
        uint64_t stamp = stamp_now(), cause = e->committed;
        uint32_t *header = take(ring, sizeof(struct event));
        struct event *ev = (struct event *) (void *) (header + 2);

        fill(header, sizeof(*ev), stamp, 0);
        /* By a cause that lies behind it, and its effect in the other ring. */
        if (interrupted) {
                write_effect(e, ring, false);
                write_effect(e, LAST - ring, false);
        }
        ev->cookie = e->committed++;
        ev->cgroup_id = cause;
        commit(header);
}

static void *endless_writer(void *userdata) {
        struct endless *e = userdata;

        while (e->committed < ENDLESS && wait_for_room(e)) {
                bool interrupted =
                        e->committed + 3 <= ENDLESS && unit_below(&e->seed, INTERRUPT) == 0;

                write_effect(e, unit_below(&e->seed, 2) ? LAST : 0, interrupted);
        }
        return NULL;
}

/* Asserted when the writer has ended. */
static void on_effect(const struct event *ev, size_t size, void *userdata) {
        struct endless *e = userdata;

        e->told++;
        if (size != sizeof(*ev) || ev->cookie >= ENDLESS || e->seen[ev->cookie]) {
                e->twice++;
                return;
        }
        e->early += ev->cgroup_id > e->next;
        e->seen[ev->cookie] = 1;
        while (e->next < ENDLESS && e->seen[e->next])
                e->next++;
}

static void test_no_effect_before_its_cause(void **state) {
        static struct endless e;
        uint64_t deadline = unit_now_ns() + PATIENCE;
        pthread_t writer;

        (void) state;
        bench_up(RINGS_MAX, SMALL);
        e = (struct endless){ .seed = 21 };
        assert_int_equal(pthread_create(&writer, NULL, endless_writer, &e), 0);
        while (e.told < ENDLESS && unit_now_ns() < deadline)
                if (rings_read(&bench.rings, stamp_now(), on_effect, &e) == 0)
                        sched_yield();
        __atomic_store_n(&e.stop, true, __ATOMIC_RELAXED);
        assert_int_equal(pthread_join(writer, NULL), 0);
        assert_int_equal(e.early, 0);
        assert_int_equal(e.twice, 0);
        assert_int_equal(e.told, ENDLESS);
        assert_int_equal(e.next, ENDLESS);
        assert_all_given_back();
}

/* ---- Opening ---- */

static unsigned lowest_fd(void) {
        int fd = dup(STDOUT_FILENO);

        assert_true(fd >= 0);
        close(fd);
        return (unsigned) fd;
}

static void test_opening_fails(void **state) {
        const size_t sizes[] = { SMALL, SMALL };
        int fd = memfd_create("no ring", MFD_CLOEXEC), fds[] = { fd, fd };
        static struct rings r;
        unsigned free_fd;

        (void) state;
        assert_true(fd >= 0);
        free_fd = lowest_fd();
        rings_close(&r);
        assert_int_equal(lowest_fd(), free_fd);
        assert_int_equal(rings_open(&r, fds, sizes, RINGS_MAX + 1), -EINVAL);
        assert_int_equal(lowest_fd(), free_fd);
        /* Such a file can be mapped, but not be waited for. */
        assert_int_equal(rings_open(&r, fds, sizes, 2), -EPERM);
        rings_close(&r);
        assert_int_equal(lowest_fd(), free_fd);
        close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_order, bench_down),
                cmocka_unit_test_teardown(test_limit, bench_down),
                cmocka_unit_test_teardown(test_disorder_within_a_ring, bench_down),
                cmocka_unit_test_teardown(test_busy_at_the_head, bench_down),
                cmocka_unit_test_teardown(test_busy_and_nothing_behind, bench_down),
                cmocka_unit_test_teardown(test_busy_behind_others, bench_down),
                cmocka_unit_test_teardown(test_given_up, bench_down),
                cmocka_unit_test_teardown(test_sizes, bench_down),
                cmocka_unit_test_teardown(test_too_short, bench_down),
                cmocka_unit_test_teardown(test_around_the_end, bench_down),
                cmocka_unit_test_teardown(test_full, bench_down),
                cmocka_unit_test_teardown(test_room_comes_back, bench_down),
                cmocka_unit_test_teardown(test_many, bench_down),
                cmocka_unit_test_teardown(test_no_effect_before_its_cause, bench_down),
                cmocka_unit_test(test_opening_fails),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rings.h"

/* Room is given back after so many bytes: each time costs the writers a cache line. */
#define GIVE_BACK 8192U

static size_t page_size(void) {
        return (size_t) sysconf(_SC_PAGESIZE);
}

static int ring_open(struct ring *ring, int map_fd, size_t size) {
        size_t page = page_size();
        uint8_t *p;

        p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        ring->consumer = (uint64_t *) p;
        ring->size = size;
        p = mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, map_fd, (off_t) page);
        if (p == MAP_FAILED)
                return -errno;
        ring->producer = (const uint64_t *) p;
        ring->data = p + page;
        return 0;
}

int rings_open(struct rings *ret, const int *map_fds, const size_t *sizes, unsigned n) {
        *ret = (struct rings){ .epoll_fd = -1 };
        if (n == 0 || n > RINGS_MAX)
                return -EINVAL;
        ret->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (ret->epoll_fd < 0)
                return -errno;
        for (; ret->n < n; ret->n++) {
                struct epoll_event wish = { .events = EPOLLIN };
                int r = ring_open(&ret->ring[ret->n], map_fds[ret->n], sizes[ret->n]);

                if (r >= 0 && epoll_ctl(ret->epoll_fd, EPOLL_CTL_ADD, map_fds[ret->n], &wish) < 0)
                        r = -errno;
                if (r < 0) {
                        ret->n++; /* half of it may be mapped */
                        rings_close(ret);
                        return r;
                }
        }
        return 0;
}

void rings_close(struct rings *r) {
        size_t page = page_size();

        for (unsigned i = 0; i < r->n; i++) {
                struct ring *ring = &r->ring[i];

                if (ring->data)
                        munmap((void *) ((uintptr_t) ring->data - page), page + 2 * ring->size);
                if (ring->consumer)
                        munmap(ring->consumer, page);
        }
        if (r->n > 0 && r->epoll_fd >= 0)
                close(r->epoll_fd);
        *r = (struct rings){ .epoll_fd = -1 };
}

static const uint32_t *header_at(const struct ring *ring) {
        return (const uint32_t *) (const void *) (ring->data + (ring->at & (ring->size - 1)));
}

static const struct event *event_at(const uint32_t *header) {
        return (const struct event *) (const void *) ((const uint8_t *) header +
                                                      BPF_RINGBUF_HDR_SZ);
}

static uint64_t step_of(uint32_t header) {
        uint64_t length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

        return (length + BPF_RINGBUF_HDR_SZ + 7) & ~(uint64_t) 7;
}

/* Finished, not given up, and one of ours. */
static bool is_event(uint32_t header) {
        return !(header & (BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT)) &&
               header >= sizeof(struct event);
}

enum head { HEAD_NONE, HEAD_BUSY, HEAD_EVENT };

/* Finds the next event of a ring, behind what was given up. */
static enum head ring_head(struct ring *ring) {
        while (ring->at < ring->end) {
                const uint32_t *header = header_at(ring);
                uint32_t length = __atomic_load_n(header, __ATOMIC_ACQUIRE);

                if (length & BPF_RINGBUF_BUSY_BIT)
                        return HEAD_BUSY;
                if (is_event(length)) {
                        ring->head = event_at(header);
                        ring->head_size = length;
                        return HEAD_EVENT;
                }
                ring->at += step_of(length);
        }
        return HEAD_NONE;
}

/*
 * The oldest stamp of what lies finished behind something that is still being written; UINT64_MAX:
 * nothing does.
 */
static uint64_t hidden_since(const struct ring *busy) {
        struct ring ring = *busy;
        uint64_t oldest = UINT64_MAX;

        while (ring.at < ring.end) {
                const uint32_t *header = header_at(&ring);
                uint32_t length = __atomic_load_n(header, __ATOMIC_ACQUIRE);

                ring.at += step_of(length);
                if (is_event(length) && event_at(header)->time_ns < oldest)
                        oldest = event_at(header)->time_ns;
        }
        return oldest;
}

static void give_back(struct ring *ring) {
        __atomic_store_n(ring->consumer, ring->at, __ATOMIC_RELEASE);
}

/* Rings that have something, the one with the oldest event first: a binary heap. */
struct merge {
        struct ring *heap[RINGS_MAX];
        unsigned n;
        uint64_t limit_ns;
};

static void merge_sink(struct merge *m, unsigned i) {
        struct ring *ring = m->heap[i];

        for (;;) {
                unsigned child = 2 * i + 1;

                if (child >= m->n)
                        break;
                if (child + 1 < m->n &&
                    m->heap[child + 1]->head->time_ns < m->heap[child]->head->time_ns)
                        child++;
                if (ring->head->time_ns <= m->heap[child]->head->time_ns)
                        break;
                m->heap[i] = m->heap[child];
                i = child;
        }
        m->heap[i] = ring;
}

/*
 * Does the ring go on in the merge? One that has come to what is still being written does not. What
 * that may lead to is younger than the limit; but what is finished behind it may have led to events
 * in other rings, which have to wait for it.
 */
static bool merge_goes_on(struct merge *m, struct ring *ring) {
        enum head head = ring_head(ring);

        if (head == HEAD_BUSY) {
                uint64_t hidden = hidden_since(ring);

                if (hidden <= m->limit_ns)
                        m->limit_ns = hidden - 1;
        }
        return head == HEAD_EVENT;
}

static void merge_begin(struct merge *m, struct rings *r) {
        m->n = 0;
        for (unsigned i = 0; i < r->n; i++) {
                struct ring *ring = &r->ring[i];

                ring->at = *ring->consumer;
                ring->end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
                if (merge_goes_on(m, ring))
                        m->heap[m->n++] = ring;
        }
        for (unsigned i = m->n / 2; i > 0; i--)
                merge_sink(m, i - 1);
}

/* Goes on behind the oldest event. */
static void merge_next(struct merge *m) {
        struct ring *ring = m->heap[0];

        ring->at += step_of(ring->head_size);
        if (ring->at - *ring->consumer >= GIVE_BACK)
                give_back(ring);
        if (!merge_goes_on(m, ring))
                m->heap[0] = m->heap[--m->n];
        if (m->n > 0)
                merge_sink(m, 0);
}

unsigned rings_read(struct rings *r, uint64_t limit_ns,
                    void (*emit)(const struct event *ev, size_t size, void *userdata),
                    void *userdata) {
        struct merge m = { .limit_ns = limit_ns };
        unsigned count = 0;

        /* The limit was read before what the rings hold. */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        for (merge_begin(&m, r); m.n > 0 && m.heap[0]->head->time_ns <= m.limit_ns;
             merge_next(&m)) {
                emit(m.heap[0]->head, m.heap[0]->head_size, userdata);
                count++;
        }
        for (unsigned i = 0; i < r->n; i++)
                if (r->ring[i].at != *r->ring[i].consumer)
                        give_back(&r->ring[i]);
        return count;
}

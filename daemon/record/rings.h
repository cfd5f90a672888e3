/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../bpf/event.h"

/*
 * Reads several BPF ring buffers as if they were one: one for each processor, which no other one
 * writes to, and one for all that they have no room for. The layout is the kernel's
 * (kernel/bpf/ringbuf.c); libbpf reads ring after ring, which is not the order of the events.
 *
 * Every event is stamped before its room is taken. So what has led to an event, on whatever
 * processor, has an older stamp and lies in its ring by then: merged by their stamps, events of
 * several rings are in an order that can have been.
 */

/* That many processors and the common one; others write to that alone. */
#define RINGS_MAX 257U

struct ring {
        uint64_t *consumer; /* positions, in bytes since the beginning; shared with the kernel */
        const uint64_t *producer;
        const uint8_t *data; /* twice in a row: no event is cut at the end */
        uint64_t size;       /* of data, once; a power of two */
        /* In the course of a look: */
        uint64_t at;
        uint64_t end;
        const struct event *head;
        uint32_t head_size;
};

struct rings {
        struct ring ring[RINGS_MAX];
        unsigned n;
        int epoll_fd;
};

/* Maps the n rings behind map_fds (they stay the caller's), each of sizes[i] bytes. 0 or -errno. */
int rings_open(struct rings *ret, const int *map_fds, const size_t *sizes, unsigned n);
/* Of one that is zeroed or whose opening failed, too. */
void rings_close(struct rings *r);
/*
 * Calls emit for each event that was stamped no later than limit_ns (CLOCK_BOOTTIME, read before
 * this call) and can be read, the oldest first. What lies in a ring behind something that is still
 * being written is left for the next call, and with it all that may have come of it. Returns how
 * many there were.
 */
unsigned rings_read(struct rings *r, uint64_t limit_ns,
                    void (*emit)(const struct event *ev, size_t size, void *userdata),
                    void *userdata);

/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/helpers/uring.h"

/* The rings share one mapping on every kernel since 5.4 (IORING_FEAT_SINGLE_MMAP). */
static int accept_on(int ring_fd, const struct io_uring_params *p, int listener) {
        size_t ring_size = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
        size_t sqes_size = p->sq_entries * sizeof(struct io_uring_sqe);
        struct io_uring_sqe *sqes;
        _Atomic uint32_t *tail;
        uint8_t *ring;
        int r;

        if (p->sq_off.array + p->sq_entries * sizeof(uint32_t) > ring_size)
                ring_size = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
        ring = mmap(NULL, ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd,
                    IORING_OFF_SQ_RING);
        if (ring == MAP_FAILED)
                return -errno;
        sqes = mmap(NULL, sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd, IORING_OFF_SQES);
        if (sqes == MAP_FAILED) {
                r = -errno;
                munmap(ring, ring_size);
                return r;
        }

        sqes[0] = (struct io_uring_sqe){ .opcode = IORING_OP_ACCEPT, .fd = listener };
        ((uint32_t *) (void *) (ring + p->sq_off.array))[0] = 0;
        tail = (_Atomic uint32_t *) (void *) (ring + p->sq_off.tail);
        atomic_store_explicit(tail, 1, memory_order_release);

        do
                r = (int) syscall(SYS_io_uring_enter, ring_fd, 1, 1, IORING_ENTER_GETEVENTS, NULL,
                                  0);
        while (r < 0 && errno == EINTR);
        r = r < 0 ? -errno : ((struct io_uring_cqe *) (void *) (ring + p->cq_off.cqes))[0].res;
        munmap(sqes, sqes_size);
        munmap(ring, ring_size);
        return r;
}

int uring_accept(int listener) {
        struct io_uring_params p = {};
        int ring_fd, r;

        ring_fd = (int) syscall(SYS_io_uring_setup, 1, &p);
        if (ring_fd < 0)
                return -errno;
        r = p.features & IORING_FEAT_SINGLE_MMAP ? accept_on(ring_fd, &p, listener) : -ENOSYS;
        close(ring_fd);
        return r;
}

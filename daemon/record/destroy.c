/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "destroy.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "diag.h"

#define GROUP(group) (1U << ((group) -1))
#define DESTROY_GROUPS                                                                             \
        (GROUP(SKNLGRP_INET_TCP_DESTROY) | GROUP(SKNLGRP_INET6_TCP_DESTROY) |                      \
         GROUP(SKNLGRP_INET_UDP_DESTROY) | GROUP(SKNLGRP_INET6_UDP_DESTROY))

/* One message takes 380 bytes on Linux 6.18; the odd line keeps them apart in the cache. */
#define MESSAGE_SIZE      (2048 + 64)
#define MESSAGE_ALIGNMENT 64
#define MESSAGES_ONCE     64

struct destroy_reader {
        struct mmsghdr messages[MESSAGES_ONCE];
        struct iovec iovs[MESSAGES_ONCE];
        struct sockaddr_nl senders[MESSAGES_ONCE];
        uint8_t *buffers;
};

int destroy_open(int rcvbuf) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = DESTROY_GROUPS };
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
        int on = 1, r;

        if (fd < 0)
                return -errno;

        /* The size first, so that nothing meets the small default. Unprivileged: up to rmem_max. */
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)) < 0 &&
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) < 0)
                goto fail;
        /*
         * Without this the kernel drops everything from the first overrun on until the reader has
         * emptied the buffer. Overruns are seen in the count of drops instead.
         */
        if (setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)) < 0)
                goto fail;
        /* An unbound socket may join groups as well, and hears nothing. */
        if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                goto fail;
        return fd;

fail:
        r = -errno;
        (void) close(fd);
        return r;
}

int destroy_reader_new(struct destroy_reader **ret) {
        struct destroy_reader *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->buffers = aligned_alloc(MESSAGE_ALIGNMENT, MESSAGES_ONCE * MESSAGE_SIZE);
        if (!r->buffers) {
                free(r);
                return -ENOMEM;
        }
        for (size_t i = 0; i < MESSAGES_ONCE; i++) {
                r->iovs[i].iov_base = r->buffers + i * MESSAGE_SIZE;
                r->iovs[i].iov_len = MESSAGE_SIZE;
                r->messages[i].msg_hdr = (struct msghdr){
                        .msg_name = &r->senders[i],
                        .msg_iov = &r->iovs[i],
                        .msg_iovlen = 1,
                };
        }
        *ret = r;
        return 0;
}

struct destroy_reader *destroy_reader_free(struct destroy_reader *r) {
        if (!r)
                return NULL;
        free(r->buffers);
        free(r);
        return NULL;
}

static uint64_t now_ns(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

/* Returns how many sockets could not be told for a damaged message. */
static unsigned take_message(const struct mmsghdr *m, uint32_t netns, uint64_t time_ns,
                             source_emit_fn emit, void *userdata) {
        const struct nlmsghdr *nlh = m->msg_hdr.msg_iov->iov_base;
        const struct sockaddr_nl *from = m->msg_hdr.msg_name;
        int left = (int) m->msg_len;
        unsigned lost = 0;

        /* Whoever rules over a namespace may send to its groups, too. */
        if (from->nl_pid != 0)
                return 0;
        if (m->msg_hdr.msg_flags & MSG_TRUNC)
                return 1;
        for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
                struct event ev;
                int r;

                if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY)
                        continue;
                r = diag_event(nlh, netns, 0, &ev);
                if (r < 0)
                        lost++;
                if (r <= 0)
                        continue;
                ev.type = EVENT_DESTROYED;
                ev.time_ns = time_ns;
                emit(&ev, sizeof(ev), userdata);
        }
        return lost;
}

static uint32_t new_drops(int fd, uint32_t *drops) {
        uint32_t meminfo[SK_MEMINFO_VARS] = { 0 }, n;
        socklen_t size = sizeof(meminfo);

        if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, meminfo, &size) < 0 || size < sizeof(meminfo))
                return 0;
        /* It wraps around. */
        n = meminfo[SK_MEMINFO_DROPS] - *drops;
        *drops = meminfo[SK_MEMINFO_DROPS];
        return n;
}

int destroy_read(struct destroy_reader *r, int fd, uint32_t netns, uint32_t *drops,
                 source_emit_fn emit, void *userdata, uint64_t *ret_lost) {
        uint64_t lost = 0;
        int n, taken = 0, error = 0;

        do {
                uint64_t time_ns;

                for (unsigned i = 0; i < MESSAGES_ONCE; i++)
                        r->messages[i].msg_hdr.msg_namelen = sizeof(r->senders[i]);
                n = recvmmsg(fd, r->messages, MESSAGES_ONCE, MSG_DONTWAIT, NULL);
                if (n < 0) {
                        if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
                                error = -errno;
                        break;
                }
                time_ns = now_ns();
                for (int i = 0; i < n; i++)
                        lost += take_message(&r->messages[i], netns, time_ns, emit, userdata);
                taken += n;
        } while (n == MESSAGES_ONCE && taken < DESTROY_READ_MAX);

        *ret_lost = lost + new_drops(fd, drops);
        return error < 0 ? error : taken;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/sockdump.h"
#include "lib/record.h"

/* The kernel's, include/net/tcp_states.h. UDP sockets have the first if connected, else the second.
 */
#define STATE_ESTABLISHED 1
#define STATE_CLOSE       7
#define STATE_LISTEN      10

/* The kernel fills at most 32 KiB at a time. */
#define BUFFER_SIZE (64 * 1024)
#define TRIES       3
/* A kernel that is silent for so long will not answer. */
#define TIMEOUT_SECONDS 10

struct dump {
        struct sockset *sockets;
        uint16_t ephemeral_first, ephemeral_last;
        int fd;
};

static const struct pass {
        uint8_t family;
        uint8_t protocol;
        uint32_t states;
} passes[] = {
        { AF_INET, IPPROTO_TCP, UINT32_MAX },
        { AF_INET6, IPPROTO_TCP, UINT32_MAX },
        { AF_INET, IPPROTO_UDP, 1U << STATE_CLOSE },
        { AF_INET6, IPPROTO_UDP, 1U << STATE_CLOSE },
};

static int take_socket(const struct dump *d, const struct pass *p, const struct inet_diag_msg *m) {
        bool listens = p->protocol == IPPROTO_UDP || m->idiag_state == STATE_LISTEN;
        size_t size = p->family == AF_INET ? 4 : 16;
        struct sockid id = {
                .local_port = ntohs(m->id.idiag_sport),
                .remote_port = listens ? 0 : ntohs(m->id.idiag_dport),
                .transport = p->protocol == IPPROTO_UDP ? TRANSPORT_UDP : TRANSPORT_TCP,
                .family = p->family == AF_INET ? FAMILY_IPV4 : FAMILY_IPV6,
        };

        /* Not bound yet, or no longer. */
        if (id.local_port == 0 || (!listens && id.remote_port == 0))
                return 0;
        memcpy(id.local, m->id.idiag_src, size);
        if (!listens)
                memcpy(id.remote, m->id.idiag_dst, size);
        if (p->protocol == IPPROTO_UDP)
                id.loose =
                        id.local_port >= d->ephemeral_first && id.local_port <= d->ephemeral_last;
        else
                id.loose = !listens && m->idiag_state != STATE_ESTABLISHED;
        return sockset_add(d->sockets, &id);
}

static int send_request(int fd, const struct pass *p) {
        struct {
                struct nlmsghdr head;
                struct inet_diag_req_v2 body;
        } request = {
                .head = { .nlmsg_len = sizeof(request),
                          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
                .body = { .sdiag_family = p->family,
                          .sdiag_protocol = p->protocol,
                          .idiag_states = p->states },
        };

        return send(fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

/* One list of the kernel's. */
static int run_pass(const struct dump *d, const struct pass *p) {
        _Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
        bool interrupted = false;
        int r;

        r = send_request(d->fd, p);
        while (r >= 0) {
                ssize_t got = recv(d->fd, buffer, sizeof(buffer), MSG_TRUNC);
                struct nlmsghdr *h = (void *) buffer;
                size_t n = (size_t) got;

                if (got < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n > sizeof(buffer))
                        return -EMSGSIZE;
                for (; NLMSG_OK(h, n) && r >= 0; h = NLMSG_NEXT(h, n)) {
                        interrupted |= h->nlmsg_flags & NLM_F_DUMP_INTR;
                        if (h->nlmsg_type == NLMSG_DONE)
                                return interrupted ? -EAGAIN : 0;
                        if (h->nlmsg_type == NLMSG_ERROR) {
                                const struct nlmsgerr *e = NLMSG_DATA(h);

                                if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
                                        return -EBADMSG;
                                /* No such sockets: the kernel has no IPv6, or no udp_diag. */
                                return e->error == -ENOENT ? 0 : e->error;
                        }
                        if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
                                return -EBADMSG;
                        r = take_socket(d, p, NLMSG_DATA(h));
                }
        }
        return r;
}

int sockdump(struct sockset *ret, uint16_t ephemeral_first, uint16_t ephemeral_last) {
        const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
        struct dump d = { ret, ephemeral_first, ephemeral_last, -1 };
        int r = 0;

        d.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        if (d.fd < 0)
                return -errno;
        if (setsockopt(d.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
                r = -errno;
        for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]) && r >= 0; i++) {
                size_t before = ret->n;

                for (int try = 0; try < TRIES; try++) {
                        ret->n = before;
                        r = run_pass(&d, &passes[i]);
                        if (r != -EAGAIN)
                                break;
                }
        }
        (void) close(d.fd);
        return r;
}

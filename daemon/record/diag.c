/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diag.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "netns.h"

/* The kernel's, include/net/tcp_states.h: not in the headers for programs beside linux/tcp.h. */
enum {
        STATE_ESTABLISHED = 1,
        STATE_SYN_SENT = 2,
        STATE_FIN_WAIT1 = 4,
        STATE_FIN_WAIT2 = 5,
        STATE_CLOSE = 7,
        STATE_CLOSE_WAIT = 8,
        STATE_LAST_ACK = 9,
        STATE_LISTEN = 10,
        STATE_CLOSING = 11,
};

/* idiag_timer of what is left of a connection that has gone on to TIME_WAIT. */
#define TIMER_TIME_WAIT 3

/* Kernels fill at most 32 KiB at a time. */
#define DUMP_BUFFER_SIZE (64 * 1024)
#define DUMP_TRIES       3
#define INTERRUPTED_MAX  16

#define TCP_STATES                                                                                 \
        (1U << STATE_ESTABLISHED | 1U << STATE_SYN_SENT | 1U << STATE_FIN_WAIT1 |                  \
         1U << STATE_FIN_WAIT2 | 1U << STATE_CLOSE_WAIT | 1U << STATE_LAST_ACK |                   \
         1U << STATE_CLOSING)
#define EXT_INFO (1U << (INET_DIAG_INFO - 1))

/*
 * For TCP the old request (linux/inet_diag.h) tells both families in one pass over the table, the
 * new one needs a pass for each; for UDP there is only the new one.
 */
static const struct dump {
        unsigned what;
        uint16_t type;
        uint8_t family;
        uint8_t protocol;
        uint8_t ext;
        uint32_t states;
} dumps[] = {
        { DIAG_LISTENERS, TCPDIAG_GETSOCK, AF_UNSPEC, IPPROTO_TCP, 0, 1U << STATE_LISTEN },
        { DIAG_LISTENERS, SOCK_DIAG_BY_FAMILY, AF_INET, IPPROTO_UDP, 0, 1U << STATE_CLOSE },
        { DIAG_LISTENERS, SOCK_DIAG_BY_FAMILY, AF_INET6, IPPROTO_UDP, 0, 1U << STATE_CLOSE },
        { DIAG_CONNECTIONS, TCPDIAG_GETSOCK, AF_UNSPEC, IPPROTO_TCP, EXT_INFO, TCP_STATES },
        { DIAG_CONNECTIONS, SOCK_DIAG_BY_FAMILY, AF_INET, IPPROTO_UDP, 0, 1U << STATE_ESTABLISHED },
        { DIAG_CONNECTIONS, SOCK_DIAG_BY_FAMILY, AF_INET6, IPPROTO_UDP, 0,
          1U << STATE_ESTABLISHED },
};

int diag_open(int ns_fd) {
        int fd, own = -1, r = 0;

        if (ns_fd >= 0) {
                own = netns_enter(ns_fd);
                if (own < 0)
                        return own;
        }

        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
        if (fd < 0)
                r = -errno;

        if (own >= 0)
                netns_leave(own);
        return r < 0 ? r : fd;
}

/* tcpi_min_rtt of a socket that never measured a round trip. */
#define MIN_RTT_NONE UINT32_MAX

static uint64_t bytes_sent_once(const struct tcp_info *info) {
        return info->tcpi_bytes_sent > info->tcpi_bytes_retrans
                       ? info->tcpi_bytes_sent - info->tcpi_bytes_retrans
                       : 0;
}

/*
 * What the last words of a TCP socket tell of its end, where they leave no doubt: old_state is
 * SYN_SENT when it was never established, ESTABLISHED when it was, 0 when that cannot be told;
 * error is set for an end that was not a close by both sides.
 *
 * A socket that was disconnected (reset by this side, or a blocking connect() that failed) has lost
 * its remote port and nearly all of its counts, but neither the remote address nor min_rtt. All
 * others keep everything. There, the write queue is empty after a close by both sides, and
 * bytes_acked counts this side's SYN, if it was the one to connect, and its FIN.
 */
static void judge_end(const struct tcp_info *info, const struct inet_diag_msg *m, struct event *e) {
        static const uint8_t zero[16];
        uint64_t sent = bytes_sent_once(info);
        bool calm = info->tcpi_retransmits == 0 && info->tcpi_probes == 0 &&
                    info->tcpi_bytes_retrans == 0 && !(info->tcpi_options & TCPI_OPT_SYN_DATA);

        if (m->id.idiag_dport == 0) {
                /* Bound, listening or not used at all. */
                if (memcmp(m->id.idiag_dst, zero, sizeof(zero)) == 0)
                        return;
                if (info->tcpi_min_rtt == MIN_RTT_NONE)
                        e->old_state = STATE_SYN_SENT;
                else {
                        e->old_state = STATE_ESTABLISHED;
                        e->error = ECONNRESET;
                }
                return;
        }

        if (info->tcpi_delivered == 0 && info->tcpi_bytes_acked == 0 && info->tcpi_segs_out > 0 &&
            info->tcpi_min_rtt == MIN_RTT_NONE) {
                e->old_state = STATE_SYN_SENT;
                /* An answer that did not establish it was an RST. */
                if (info->tcpi_segs_in > 0)
                        e->error = ECONNREFUSED;
                return;
        }

        e->old_state = STATE_ESTABLISHED;
        if (!calm)
                return;
        if (m->idiag_wqueue > 0 || info->tcpi_bytes_acked == sent ||
            (sent == 0 && info->tcpi_bytes_acked == 1 && info->tcpi_delivered == 1))
                e->error = ECONNRESET;
}

/*
 * Whose SYN it was that opened the connection. bytes_acked counts this side's SYN, if it was the
 * one to connect, but not a SYN-ACK; and its FIN (tcp_snd_una_update(), net/ipv4/tcp_input.c).
 */
static enum event_opener judge_opener(const struct tcp_info *info, const struct inet_diag_msg *m,
                                      const struct event *e) {
        uint64_t sent = info->tcpi_bytes_sent, acked = info->tcpi_bytes_acked;

        /* Counts of a disconnected socket are gone; data in a SYN and retransmissions blur them. */
        if (m->id.idiag_dport == 0 || info->tcpi_bytes_retrans > 0 || acked < sent ||
            info->tcpi_options & TCPI_OPT_SYN_DATA)
                return OPENER_UNKNOWN;
        acked -= sent;
        switch (m->idiag_state) {
        case STATE_ESTABLISHED:
        case STATE_CLOSE_WAIT:
                if (info->tcpi_unacked > 0)
                        return OPENER_UNKNOWN;
                return acked > 0 ? OPENER_SELF : OPENER_PEER;
        case STATE_FIN_WAIT2:
                return acked > 1 ? OPENER_SELF : OPENER_PEER;
        case STATE_CLOSE:
                if (e->old_state != STATE_ESTABLISHED)
                        return OPENER_UNKNOWN;
                if (acked != 1)
                        return acked > 1 ? OPENER_SELF : OPENER_PEER;
                /* A SYN or a FIN? Of segments that arrived the first one was a SYN or a SYN-ACK. */
                return info->tcpi_delivered > info->tcpi_data_segs_out + 1 ? OPENER_PEER
                                                                           : OPENER_UNKNOWN;
        default:
                return OPENER_UNKNOWN;
        }
}

/*
 * The FIN of the other side counts as a byte received. In a dump the state says whether it came. At
 * the end nothing does, but a close by both sides had one, unless this side's socket was gone
 * before it came: then one byte too few is told.
 */
static bool received_fin(const struct inet_diag_msg *m, const struct event *e) {
        switch (m->idiag_state) {
        case STATE_CLOSE_WAIT:
        case STATE_LAST_ACK:
        case STATE_CLOSING:
                return true;
        case STATE_CLOSE:
                return e->error == 0;
        default:
                return false;
        }
}

static void fill_bytes(const struct tcp_info *info, const struct inet_diag_msg *m,
                       struct event *e) {
        /* Disconnected: the counts are gone. */
        if (m->id.idiag_dport == 0)
                return;
        e->bytes_sent = bytes_sent_once(info);
        e->bytes_received = info->tcpi_bytes_received;
        if (info->tcpi_data_segs_in == 0)
                e->bytes_received = 0;
        else if (received_fin(m, e) && e->bytes_received > 0)
                e->bytes_received--;
        e->flags |= EVENT_BYTES;
}

static int index_attribute(const struct nlattr *attr, void *userdata) {
        static const size_t least[INET_DIAG_MAX + 1] = {
                [INET_DIAG_PROTOCOL] = sizeof(uint8_t),
                [INET_DIAG_SKV6ONLY] = sizeof(uint8_t),
                [INET_DIAG_CGROUP_ID] = sizeof(uint64_t),
        };
        const struct nlattr **attrs = userdata;
        unsigned type = mnl_attr_get_type(attr);

        /* Newer kernels may have more. */
        if (type > INET_DIAG_MAX)
                return MNL_CB_OK;
        if (mnl_attr_get_payload_len(attr) < least[type])
                return MNL_CB_ERROR;
        attrs[type] = attr;
        return MNL_CB_OK;
}

int diag_event(const struct nlmsghdr *nlh, uint32_t netns, uint8_t transport, struct event *ret) {
        const struct inet_diag_msg *m;
        const struct nlattr *attrs[INET_DIAG_MAX + 1] = { NULL };
        struct event e = { .netns = netns };
        size_t address;

        if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
                return -EBADMSG;
        m = mnl_nlmsg_get_payload(nlh);

        switch (m->idiag_family) {
        case AF_INET:
                address = sizeof(struct in_addr);
                break;
        case AF_INET6:
                address = sizeof(struct in6_addr);
                break;
        default:
                return 0;
        }

        /* Such a socket is gone; the entry only bears its cookie. */
        if (m->idiag_timer == TIMER_TIME_WAIT)
                return 0;

        if (mnl_attr_parse(nlh, sizeof(*m), index_attribute, attrs) < 0)
                return -EBADMSG;
        if (attrs[INET_DIAG_PROTOCOL])
                transport = mnl_attr_get_u8(attrs[INET_DIAG_PROTOCOL]);
        if (transport != IPPROTO_TCP && transport != IPPROTO_UDP)
                return 0;

        e.transport = transport;
        e.family = m->idiag_family;
        e.new_state = m->idiag_state;
        e.cookie = (uint64_t) m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
        memcpy(e.local, m->id.idiag_src, address);
        memcpy(e.remote, m->id.idiag_dst, address);
        e.local_port = ntohs(m->id.idiag_sport);
        e.remote_port = ntohs(m->id.idiag_dport);
        e.ifindex = m->id.idiag_if;
        e.uid = m->idiag_uid;
        e.inode = m->idiag_inode;
        /* Without a descriptor (accept queues, orphans) older kernels say 0, which is not root. */
        if (m->idiag_inode == 0 && m->idiag_uid == 0)
                e.uid = UINT32_MAX;
        if (transport == IPPROTO_UDP && m->idiag_state == STATE_ESTABLISHED)
                e.flags |= EVENT_CONNECTED;
        if (attrs[INET_DIAG_SKV6ONLY] && mnl_attr_get_u8(attrs[INET_DIAG_SKV6ONLY]))
                e.flags |= EVENT_V6ONLY;
        if (attrs[INET_DIAG_CGROUP_ID])
                e.cgroup_id = mnl_attr_get_u64(attrs[INET_DIAG_CGROUP_ID]);
        if (transport == IPPROTO_TCP && attrs[INET_DIAG_INFO]) {
                struct tcp_info info = { 0 };
                size_t size = mnl_attr_get_payload_len(attrs[INET_DIAG_INFO]);

                /* The kernel's may be longer or shorter than ours, and is aligned to 4 bytes only.
                 */
                memcpy(&info, mnl_attr_get_payload(attrs[INET_DIAG_INFO]),
                       size < sizeof(info) ? size : sizeof(info));
                if (size >= offsetof(struct tcp_info, tcpi_dsack_dups)) {
                        /* Parts of dumps bear this flag, messages of destroy groups do not. */
                        if (!(nlh->nlmsg_flags & NLM_F_MULTI))
                                judge_end(&info, m, &e);
                        e.opener = judge_opener(&info, m, &e);
                        fill_bytes(&info, m, &e);
                }
        }

        *ret = e;
        return 1;
}

static uint64_t now_ns(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

static int request(int fd, const struct dump *d, uint32_t seq) {
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        struct {
                struct nlmsghdr header;
                union {
                        struct inet_diag_req old;
                        struct inet_diag_req_v2 v2;
                };
        } m = { .header = {
                        .nlmsg_type = d->type,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                        .nlmsg_seq = seq,
                } };

        if (d->type == TCPDIAG_GETSOCK) {
                m.header.nlmsg_len = NLMSG_LENGTH(sizeof(m.old));
                m.old.idiag_ext = d->ext;
                m.old.idiag_states = d->states;
        } else {
                m.header.nlmsg_len = NLMSG_LENGTH(sizeof(m.v2));
                m.v2.sdiag_family = d->family;
                m.v2.sdiag_protocol = d->protocol;
                m.v2.idiag_ext = d->ext;
                m.v2.idiag_states = d->states;
        }
        if (sendto(fd, &m, m.header.nlmsg_len, 0, (struct sockaddr *) &kernel, sizeof(kernel)) < 0)
                return -errno;
        return 0;
}

/* What ends a dump: 1 and *ret_error, or 0 to go on. */
static int ends_dump(const struct nlmsghdr *nlh, int *ret_error) {
        int error = 0;

        if (nlh->nlmsg_type != NLMSG_DONE && nlh->nlmsg_type != NLMSG_ERROR)
                return 0;
        /* Both begin with a negative errno or 0. */
        if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(error))
                memcpy(&error, mnl_nlmsg_get_payload(nlh), sizeof(error));
        else
                error = nlh->nlmsg_type == NLMSG_ERROR ? -EBADMSG : 0;
        *ret_error = error > 0 ? -EBADMSG : error;
        return 1;
}

/*
 * One request and all of its answer. The kernel has the next part ready whenever a part has been
 * taken and its end is that of the socket hash, so this neither waits nor goes on forever. The
 * answer is read to its end after an error too: the socket would refuse the next request otherwise.
 */
static int dump_once(int fd, const struct dump *d, uint32_t seq, uint32_t netns,
                     source_emit_fn emit, void *userdata) {
        uint8_t buffer[DUMP_BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
        unsigned interrupted = 0;
        bool inconsistent = false;
        int r, error = 0, end = 0;

        r = request(fd, d, seq);
        if (r < 0)
                return r;

        for (;;) {
                struct iovec iov = { .iov_base = buffer, .iov_len = sizeof(buffer) };
                struct sockaddr_nl from = { 0 };
                struct msghdr mh = { .msg_name = &from,
                                     .msg_namelen = sizeof(from),
                                     .msg_iov = &iov,
                                     .msg_iovlen = 1 };
                const struct nlmsghdr *nlh = (const struct nlmsghdr *) buffer;
                ssize_t n = recvmsg(fd, &mh, 0);
                uint64_t time_ns;
                int left;

                if (n < 0) {
                        if (errno == EINTR && interrupted++ < INTERRUPTED_MAX)
                                continue;
                        return error ? error : -errno;
                }
                if (from.nl_pid != 0)
                        continue;
                if (mh.msg_flags & MSG_TRUNC) {
                        error = error ? error : -EMSGSIZE;
                        continue;
                }

                time_ns = now_ns();
                left = (int) n;
                for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
                        struct event e;

                        if (nlh->nlmsg_seq != seq)
                                continue;
                        if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
                                inconsistent = true;
                        if (ends_dump(nlh, &end)) {
                                if (error || end < 0)
                                        return error ? error : end;
                                return inconsistent ? -EINTR : 0;
                        }
                        if (nlh->nlmsg_type != d->type)
                                continue;

                        r = diag_event(nlh, netns, d->protocol, &e);
                        if (r < 0)
                                error = error ? error : r;
                        if (r <= 0)
                                continue;
                        e.type = EVENT_FOUND;
                        e.time_ns = time_ns;
                        emit(&e, sizeof(e), userdata);
                }
        }
}

int diag_dump(int diag_fd, uint32_t netns, unsigned what, source_emit_fn emit, void *userdata) {
        /* Tells the answer to this request from what is left of an earlier one. */
        static uint32_t seq;
        int error = 0;

        for (size_t i = 0; i < sizeof(dumps) / sizeof(dumps[0]); i++) {
                int r = 0;

                if (!(dumps[i].what & what))
                        continue;
                for (unsigned try = 0; try < DUMP_TRIES; try++) {
                        r = dump_once(diag_fd, &dumps[i], ++seq, netns, emit, userdata);
                        if (r != -EINTR)
                                break;
                }
                if (r == -ENOENT && dumps[i].protocol == IPPROTO_UDP)
                        r = -EPROTONOSUPPORT;
                /* So says a kernel without any inet_diag to the old request. */
                if (r == -EOPNOTSUPP)
                        r = -ENOENT;
                /* Of two errors the one of TCP is worse. */
                if (r < 0 && (error == 0 || error == -EPROTONOSUPPORT))
                        error = r;
        }
        return error;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Real sockets on the loopback of a network namespace of the test's own. */

#define DEADLINE_NS (60 * UINT64_C(1000000000))

/* Waits for condition, doing work in between; fails the test at the deadline. */
#define wait_for(condition, work)                                                                  \
        do {                                                                                       \
                uint64_t wait_until = unit_now_ns() + DEADLINE_NS;                                 \
                                                                                                   \
                while (!(condition)) {                                                             \
                        assert_true(unit_now_ns() < wait_until);                                   \
                        work;                                                                      \
                }                                                                                  \
        } while (0)

/* Group setup. *state: NULL when this process may have no namespace; the tests then skip. */
static inline int sockets_setup(void **state) {
        struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
        static int entered = 1;
        int fd, r;

        if (unshare(CLONE_NEWNET) < 0) {
                print_message("# no network namespace of its own: %s\n", strerror(errno));
                return 0;
        }
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -1;
        r = ioctl(fd, SIOCSIFFLAGS, &ifr);
        close(fd);
        *state = &entered;
        return r;
}

#define needs_namespace(state)                                                                     \
        do {                                                                                       \
                if (!*(state))                                                                     \
                        skip();                                                                    \
        } while (0)

/* IPv4-mapped addresses go with AF_INET6. port 0: any. */
static inline socklen_t address_make(struct sockaddr_storage *ret, int family, const char *address,
                                     uint16_t port) {
        memset(ret, 0, sizeof(*ret));
        ret->ss_family = (sa_family_t) family;
        if (family == AF_INET) {
                struct sockaddr_in *in = (struct sockaddr_in *) ret;

                in->sin_port = htons(port);
                assert_int_equal(inet_pton(family, address, &in->sin_addr), 1);
                return sizeof(*in);
        } else {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) ret;

                in6->sin6_port = htons(port);
                assert_int_equal(inet_pton(family, address, &in6->sin6_addr), 1);
                return sizeof(*in6);
        }
}

static inline int socket_make(int family, int type) {
        int fd = socket(family, type | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        return fd;
}

static inline int socket_bound(int family, int type, const char *address, uint16_t port) {
        struct sockaddr_storage ss;
        socklen_t size = address_make(&ss, family, address, port);
        int fd = socket_make(family, type), on = 1;

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &ss, size), 0);
        return fd;
}

static inline int listener_make(int family, const char *address, uint16_t port) {
        int fd = socket_bound(family, SOCK_STREAM, address, port);

        assert_int_equal(listen(fd, 128), 0);
        return fd;
}

/* 0 or negative errno. */
static inline int socket_connect(int fd, int family, const char *address, uint16_t port) {
        struct sockaddr_storage ss;
        socklen_t size = address_make(&ss, family, address, port);

        return connect(fd, (struct sockaddr *) &ss, size) < 0 ? -errno : 0;
}

/* A datagram, to an IPv4 address. */
static inline void send_to(int fd, const char *address, uint16_t port) {
        struct sockaddr_storage ss;
        socklen_t size = address_make(&ss, AF_INET, address, port);

        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *) &ss, size), 1);
}

static inline uint16_t local_port(int fd) {
        struct sockaddr_storage ss;
        socklen_t size = sizeof(ss);

        assert_int_equal(getsockname(fd, (struct sockaddr *) &ss, &size), 0);
        return ntohs(ss.ss_family == AF_INET ? ((struct sockaddr_in *) &ss)->sin_port
                                             : ((struct sockaddr_in6 *) &ss)->sin6_port);
}

static inline uint64_t cookie_of(int fd) {
        uint64_t cookie;
        socklen_t size = sizeof(cookie);

        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
        return cookie;
}

/* Makes the next close() of a TCP socket a reset. */
static inline void reset_on_close(int fd) {
        struct linger linger = { .l_onoff = 1 };

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
}

struct pair {
        int client;
        int server;
};

/* Connects to a listener of 127.0.0.1. */
static inline struct pair pair_make(int listener) {
        struct pair p = { .client = socket_make(AF_INET, SOCK_STREAM) };

        assert_int_equal(socket_connect(p.client, AF_INET, "127.0.0.1", local_port(listener)), 0);
        p.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(p.server >= 0);
        return p;
}

static inline void send_bytes(int from, int to, size_t n) {
        char buffer[4096] = { 0 };

        assert_true(n <= sizeof(buffer));
        assert_int_equal(send(from, buffer, n, 0), n);
        assert_int_equal(recv(to, buffer, n, MSG_WAITALL), n);
}

/* Until the other side has closed. */
static inline void read_end(int fd) {
        char byte;

        assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

/* Closes both, the first to close first. */
static inline void pair_close(int first, int second) {
        close(first);
        read_end(second);
        close(second);
}

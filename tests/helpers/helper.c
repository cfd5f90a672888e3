/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/helpers/helper.h"

void helper_die(const char *format, ...) {
        int error = errno;
        va_list ap;

        fprintf(stderr, "%s[%d]: ", program_invocation_short_name, (int) getpid());
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        if (error)
                fprintf(stderr, ": %s", strerror(error));
        fputc('\n', stderr);
        exit(EXIT_FAILURE);
}

uint64_t helper_number(const char *what, const char *text, uint64_t min, uint64_t max) {
        unsigned long long value;
        char *end;

        errno = 0;
        value = strtoull(text, &end, 10);
        if (errno || end == text || *end || *text == '-' || value < min || value > max) {
                fprintf(stderr, "%s: %s is a number from %llu to %llu, not '%s'\n",
                        program_invocation_short_name, what, (unsigned long long) min,
                        (unsigned long long) max, text);
                exit(HELPER_USAGE);
        }
        return value;
}

uint64_t helper_now_ns(void) {
        struct timespec ts;

        if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
                helper_die("clock_gettime");
        return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

uint64_t helper_netns(void) {
        struct stat st;

        if (stat("/proc/self/ns/net", &st) < 0)
                helper_die("/proc/self/ns/net");
        return st.st_ino;
}

socklen_t helper_address(struct sockaddr_storage *ret, unsigned family, const char *address,
                         uint16_t port) {
        struct sockaddr_in *in = (struct sockaddr_in *) ret;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) ret;

        memset(ret, 0, sizeof(*ret));
        errno = 0;
        if (family == 4) {
                in->sin_family = AF_INET;
                in->sin_port = htons(port);
                if (inet_pton(AF_INET, address ?: "127.0.0.1", &in->sin_addr) != 1)
                        helper_die("'%s' is no IPv4 address", address);
                return sizeof(*in);
        }

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        if (family == 46) {
                in6->sin6_addr.s6_addr[10] = in6->sin6_addr.s6_addr[11] = 0xff;
                if (inet_pton(AF_INET, address ?: "127.0.0.1", &in6->sin6_addr.s6_addr[12]) != 1)
                        helper_die("'%s' is no IPv4 address", address);
        } else if (inet_pton(AF_INET6, address ?: "::1", &in6->sin6_addr) != 1)
                helper_die("'%s' is no IPv6 address", address);
        return sizeof(*in6);
}

uint16_t helper_port(const struct sockaddr_storage *a) {
        if (a->ss_family == AF_INET)
                return ntohs(((const struct sockaddr_in *) a)->sin_port);
        if (a->ss_family == AF_INET6)
                return ntohs(((const struct sockaddr_in6 *) a)->sin6_port);
        return 0;
}

void helper_set_port(struct sockaddr_storage *a, uint16_t port) {
        if (a->ss_family == AF_INET)
                ((struct sockaddr_in *) a)->sin_port = htons(port);
        else
                ((struct sockaddr_in6 *) a)->sin6_port = htons(port);
}

void helper_print_endpoint(FILE *f, const struct sockaddr_storage *a) {
        const void *address = a->ss_family == AF_INET
                                      ? (const void *) &((const struct sockaddr_in *) a)->sin_addr
                                      : &((const struct sockaddr_in6 *) a)->sin6_addr;
        char text[INET6_ADDRSTRLEN];

        if (a->ss_family == AF_PACKET) {
                fprintf(f, "{\"address\":\"*\",\"port\":%u}",
                        ntohs(((const struct sockaddr_ll *) a)->sll_protocol));
                return;
        }
        if (a->ss_family == AF_VSOCK) {
                const struct sockaddr_vm *vm = (const struct sockaddr_vm *) a;

                snprintf(text, sizeof(text), "%u", vm->svm_cid);
                fprintf(f, "{\"address\":\"%s\",\"port\":%u}",
                        vm->svm_cid == VMADDR_CID_ANY ? "*" : text, vm->svm_port);
                return;
        }
        if (a->ss_family != AF_INET && a->ss_family != AF_INET6) {
                fputs("null", f);
                return;
        }
        if (!inet_ntop(a->ss_family, address, text, sizeof(text)))
                helper_die("inet_ntop");
        fprintf(f, "{\"address\":\"%s\",\"port\":%u}", text, helper_port(a));
}

void helper_option(int fd, int level, int option, int value) {
        if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
                helper_die("socket option %d of level %d", option, level);
}

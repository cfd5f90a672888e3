/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

#define NSEC_PER_SEC 1000000000ULL

/* Reads a small file of /proc whole, NUL-terminated. Size read or negative errno. */
static ssize_t read_file(uint32_t pid, const char *name, char *buffer, size_t size) {
        char path[64];
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, buffer, size - 1);
        if (n < 0)
                n = -errno;
        else
                buffer[n] = 0;
        close(fd);
        return n;
}

int process_start(uint32_t pid, uint64_t *ret_start_ns) {
        char buffer[1024], *p;
        ssize_t n = read_file(pid, "stat", buffer, sizeof(buffer));
        unsigned long long ticks;

        if (n < 0)
                return (int) n;
        /* The name may hold anything; what follows its last parenthesis is well-formed. */
        p = strrchr(buffer, ')');
        if (!p)
                return -EBADMSG;
        /* Field 3 comes next; 22 is the nineteenth behind it. */
        for (unsigned field = 2; field < 22; field++) {
                p = strchr(p, ' ');
                if (!p)
                        return -EBADMSG;
                p++;
        }
        errno = 0;
        ticks = strtoull(p, NULL, 10);
        if (errno != 0)
                return -EBADMSG;
        *ret_start_ns = ticks * (NSEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK));
        return 0;
}

/* Still the process that started then? The kernel's clock is finer than /proc's. */
static int check_start(uint32_t pid, uint64_t start_ns) {
        uint64_t tick = NSEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK), now;
        int r;

        if (start_ns == 0)
                return 0;
        r = process_start(pid, &now);
        if (r < 0)
                return r;
        return now == start_ns / tick * tick ? 0 : -ESRCH;
}

int process_executable(uint32_t pid, uint64_t start_ns, char *path, size_t size) {
        char link[64];
        ssize_t n;
        int r;

        path[0] = 0;
        snprintf(link, sizeof(link), "/proc/%u/exe", pid);
        n = readlink(link, path, size - 1);
        if (n < 0)
                return -errno;
        path[n] = 0;
        r = check_start(pid, start_ns);
        if (r < 0)
                path[0] = 0;
        return r;
}

int process_cgroup(uint32_t pid, uint64_t start_ns, char *path, size_t size) {
        char buffer[4096];
        ssize_t n = read_file(pid, "cgroup", buffer, sizeof(buffer));
        char *line, *end;
        int r;

        if (n < 0)
                return (int) n;
        r = check_start(pid, start_ns);
        if (r < 0)
                return r;
        line = strncmp(buffer, "0::", 3) == 0 ? buffer : strstr(buffer, "\n0::");
        if (!line)
                return -ENODATA;
        line += *line == '\n' ? 4 : 3;
        end = strchr(line, '\n');
        if (end)
                *end = 0;
        if ((size_t) snprintf(path, size, "%s", line) >= size)
                return -ENAMETOOLONG;
        return 0;
}

int process_name(uint32_t pid, char *name, size_t size) {
        ssize_t n = read_file(pid, "comm", name, size);

        if (n < 0)
                return (int) n;
        if (n > 0 && name[n - 1] == '\n')
                name[n - 1] = 0;
        return 0;
}

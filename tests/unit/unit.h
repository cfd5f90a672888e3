/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What several unit tests need: numbers that can be had again, time, and a folder of one's own. */

/* A generator of which the seed is the whole state (splitmix64): a failure names it. */
static inline uint64_t unit_random(uint64_t *seed) {
        uint64_t z = *seed += 0x9E3779B97F4A7C15U;

        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
        return z ^ (z >> 31);
}

static inline uint64_t unit_below(uint64_t *seed, uint64_t n) {
        return unit_random(seed) % n;
}

static inline void unit_random_fill(uint64_t *seed, void *to, size_t size) {
        uint8_t *p = to;

        while (size > 0) {
                uint64_t word = unit_random(seed);
                size_t n = size < sizeof(word) ? size : sizeof(word);

                memcpy(p, &word, n);
                p += n;
                size -= n;
        }
}

static inline uint64_t unit_now_ns(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

struct scratch {
        char path[64];
        int fd;
};

/* In memory when there is such a place: these tests write and forget some hundred megabytes. */
static inline void scratch_make(struct scratch *ret) {
        const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

        snprintf(ret->path, sizeof(ret->path), "%s/portwatch-unit-XXXXXX", base);
        assert_non_null(mkdtemp(ret->path));
        ret->fd = open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(ret->fd >= 0);
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        return remove(path);
}

static inline void scratch_remove(struct scratch *s) {
        close(s->fd);
        assert_int_equal(nftw(s->path, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* For children: a failed assertion of cmocka would run the rest of the tests in there too. */
#define child_require(condition)                                                                   \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        fprintf(stderr, "# %s:%d: child: not %s\n", __FILE__, __LINE__,            \
                                #condition);                                                       \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)

/*
 * Runs use() in a child with the folder of a file system that has no more room than size. Skips the
 * test where one may not mount.
 */
static inline void on_small_tmpfs(const char *size, void (*use)(const char *path)) {
        struct scratch s;
        char options[64];
        int status;
        pid_t pid;

        scratch_make(&s);
        snprintf(options, sizeof(options), "size=%s,mode=700", size);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (unshare(CLONE_NEWNS) < 0 ||
                    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("tmpfs", s.path, "tmpfs", 0, options) < 0)
                        _exit(77);
                use(s.path);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        scratch_remove(&s);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                skip();
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

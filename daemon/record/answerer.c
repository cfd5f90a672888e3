/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "answerer.h"

/* The descriptors that portwatch-answer finds its things at. */
enum { FD_LISTEN = 3, FD_LIVE, FD_HISTORY, FD_DOORBELL, FD_READY, FD_KNOWN, FD_END };

#define DELAY_MIN_USEC   100000U
#define DELAY_MAX_USEC   5000000U
#define STABLE_USEC      10000000U /* having lived this long it may start anew at once */
#define STOP_TIMEOUT_MS  1000
#define READY_TIMEOUT_MS 10000

struct answerer {
        struct answerer_args args;
        char *path;
        char *argv[ANSWERER_ARGS_MAX + 2];
        int doorbell[2];
        pid_t pid; /* 0: not running */
        uint64_t started_usec;
        uint64_t delay_usec;
        sd_event_source *child;
        sd_event_source *restart_timer;
};

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

/*
 * In the child, between fork and exec: async-signal-safe calls alone. Does not return; the error,
 * if there is one, goes into the pipe: one that says nothing and is closed failed later.
 */
static void run_child(const struct answerer *a, pid_t parent, int ready_fd) {
        const int from[] = { a->args.listen_fd, a->args.live_fd, a->args.history_fd,
                             a->doorbell[0],    ready_fd,        a->args.known_fd };
        int moved[FD_END - FD_LISTEN], error;
        sigset_t none;

        /* The recorder's end is its end, however that comes. */
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
                goto fail;
        /* Out of the way first: one of them may lie where another one has to go. */
        for (unsigned i = 0; i < FD_END - FD_LISTEN; i++) {
                moved[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FD_END);
                if (moved[i] < 0)
                        goto fail;
        }
        ready_fd = moved[FD_READY - FD_LISTEN];
        for (unsigned i = 0; i < FD_END - FD_LISTEN; i++)
                if (dup2(moved[i], FD_LISTEN + (int) i) < 0)
                        goto fail;
        if (close_range(FD_END, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                goto fail;

        /* The haste is the recorder's. */
        (void) setpriority(PRIO_PROCESS, 0, 0);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv(a->path, a->argv);
fail:
        error = errno;
        (void) !write(ready_fd, &error, sizeof(error));
        _exit(127);
}

/*
 * Waits until the program is ready to accept: one byte. An int is the errno of what failed before
 * it ran; nothing at all means that it has ended, having said why on stderr.
 */
static int wait_ready(int fd) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        char said[sizeof(int)];
        ssize_t n;
        int error;

        if (poll(&pfd, 1, READY_TIMEOUT_MS) <= 0)
                return -ETIMEDOUT;
        n = read(fd, said, sizeof(said));
        if (n == 1)
                return 0;
        if (n < (ssize_t) sizeof(error))
                return -ECHILD;
        memcpy(&error, said, sizeof(error));
        return error > 0 ? -error : -EIO;
}

static int on_child(sd_event_source *es, const siginfo_t *si, void *userdata);

/* A restart does not wait: there are events to take, and an end is told by the signal. */
static int spawn(struct answerer *a, bool wait) {
        pid_t parent = getpid();
        int ready[2], r;

        if (pipe2(ready, O_CLOEXEC) < 0)
                return -errno;
        a->pid = fork();
        if (a->pid < 0) {
                r = -errno;
                a->pid = 0;
                close(ready[0]);
                close(ready[1]);
                return r;
        }
        if (a->pid == 0)
                run_child(a, parent, ready[1]);
        close(ready[1]);
        r = wait ? wait_ready(ready[0]) : 0;
        close(ready[0]);
        if (r < 0) {
                kill(a->pid, SIGKILL);
                waitpid(a->pid, NULL, 0);
                a->pid = 0;
                return r;
        }
        a->started_usec = now_usec();
        a->child = sd_event_source_disable_unref(a->child);
        return sd_event_add_child(a->args.event, &a->child, a->pid, WEXITED, on_child, a);
}

static void schedule_restart(struct answerer *a) {
        if (a->started_usec + STABLE_USEC < now_usec())
                a->delay_usec = DELAY_MIN_USEC;
        sd_event_source_set_time_relative(a->restart_timer, a->delay_usec);
        sd_event_source_set_enabled(a->restart_timer, SD_EVENT_ONESHOT);
        a->delay_usec = a->delay_usec * 2 < DELAY_MAX_USEC ? a->delay_usec * 2 : DELAY_MAX_USEC;
}

static int on_child(sd_event_source *es, const siginfo_t *si, void *userdata) {
        struct answerer *a = userdata;
        char why[64];

        (void) es;
        a->pid = 0;
        if (si->si_code == CLD_EXITED)
                snprintf(why, sizeof(why), "it exited with status %d", si->si_status);
        else
                snprintf(why, sizeof(why), "it was ended by signal %d", si->si_status);
        a->args.restarted(why, a->args.userdata);
        schedule_restart(a);
        return 0;
}

static int on_restart_timer(sd_event_source *es, uint64_t usec, void *userdata) {
        struct answerer *a = userdata;
        char why[128];
        int r;

        (void) es;
        (void) usec;
        r = spawn(a, false);
        if (r < 0) {
                snprintf(why, sizeof(why), "it could not be started: %s", strerror(-r));
                a->args.restarted(why, a->args.userdata);
                schedule_restart(a);
        }
        return 0;
}

static void free_argv(struct answerer *a) {
        for (unsigned i = 0; i < ANSWERER_ARGS_MAX + 1; i++) {
                free(a->argv[i]);
                a->argv[i] = NULL;
        }
}

static int set_argv(struct answerer *a, const char *const argv[static ANSWERER_ARGS_MAX]) {
        free_argv(a);
        a->argv[0] = strdup("portwatch-answer");
        if (!a->argv[0])
                return -ENOMEM;
        for (unsigned i = 0; i < ANSWERER_ARGS_MAX && argv[i]; i++) {
                a->argv[i + 1] = strdup(argv[i]);
                if (!a->argv[i + 1])
                        return -ENOMEM;
        }
        return 0;
}

int answerer_start(struct answerer **ret, const struct answerer_args *args) {
        struct answerer *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->args = *args;
        a->delay_usec = DELAY_MIN_USEC;
        a->doorbell[0] = a->doorbell[1] = -1;
        a->path = strdup(args->path);
        r = a->path ? set_argv(a, args->argv) : -ENOMEM;
        if (r >= 0 && pipe2(a->doorbell, O_CLOEXEC | O_NONBLOCK) < 0)
                r = -errno;
        if (r >= 0)
                r = sd_event_add_time(args->event, &a->restart_timer, CLOCK_MONOTONIC, 0, 0,
                                      on_restart_timer, a);
        if (r >= 0)
                r = sd_event_source_set_enabled(a->restart_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = spawn(a, true);
        if (r < 0) {
                answerer_stop(a);
                return r;
        }
        *ret = a;
        return 0;
}

void answerer_ring(struct answerer *a) {
        /* A full pipe has been heard, or nobody follows. */
        (void) !write(a->doorbell[1], "", 1);
}

/* Ends the process: asks, waits for a bounded time, kills. */
static void end_process(struct answerer *a) {
        struct pollfd pfd = { .events = POLLIN };

        a->child = sd_event_source_disable_unref(a->child);
        if (a->pid == 0)
                return;
        pfd.fd = pidfd_open(a->pid, 0);
        kill(a->pid, SIGTERM);
        if (pfd.fd < 0 || poll(&pfd, 1, STOP_TIMEOUT_MS) <= 0)
                kill(a->pid, SIGKILL);
        if (pfd.fd >= 0)
                close(pfd.fd);
        waitpid(a->pid, NULL, 0);
        a->pid = 0;
}

int answerer_restart(struct answerer *a, const char *const argv[static ANSWERER_ARGS_MAX]) {
        int r;

        end_process(a);
        sd_event_source_set_enabled(a->restart_timer, SD_EVENT_OFF);
        r = set_argv(a, argv);
        return r < 0 ? r : spawn(a, false);
}

struct answerer *answerer_stop(struct answerer *a) {
        if (!a)
                return NULL;
        end_process(a);
        sd_event_source_disable_unref(a->restart_timer);
        for (unsigned i = 0; i < 2; i++)
                if (a->doorbell[i] >= 0)
                        close(a->doorbell[i]);
        free_argv(a);
        free(a->path);
        free(a);
        return NULL;
}

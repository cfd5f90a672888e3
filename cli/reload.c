/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/cells.h"
#include "cli/json_print.h"
#include "cli/reload.h"

/* How long the daemon may take to read its rules, and how often it is asked meanwhile. */
#define RELOAD_MSEC 5000
#define PAUSE_MSEC  20

/* Is the process that is held by its number what it was said to be? */
static bool is_daemon(int64_t pid) {
        static const char wanted[] = "portwatchd\n";
        char path[64], name[32] = "";
        int fd;

        (void) snprintf(path, sizeof(path), "/proc/%" PRId64 "/comm", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        if (read(fd, name, sizeof(name) - 1) < 0)
                name[0] = '\0';
        (void) close(fd);
        return strcmp(name, wanted) == 0;
}

/* Its number may have gone to another process, or be one of another pid namespace. */
static int send_hangup(int64_t pid) {
        int fd, r = 0;

        if (pid <= 0 || pid > INT32_MAX)
                return -ESRCH;
        fd = pidfd_open((pid_t) pid, 0);
        if (fd < 0)
                return -errno;
        if (!is_daemon(pid))
                r = -ESRCH;
        else if (pidfd_send_signal(fd, SIGHUP, NULL, 0) < 0)
                r = -errno;
        (void) close(fd);
        return r;
}

static int hangup_failed(int64_t pid, int error) {
        if (error == -EPERM) {
                (void) fprintf(stderr, "portctl: not permitted to make portwatchd read its rules "
                                       "again; run this as root.\n");
                return STATUS_REFUSED;
        }
        (void) fprintf(stderr,
                       "portctl: portwatchd says that it is process %" PRId64
                       ", which is not to be found from here; the rules take effect with "
                       "systemctl reload portwatchd.\n",
                       pid);
        return STATUS_FAILURE;
}

/* The answer to a reload: what portwatchd has to say of the rules. */
static int tell_error(const struct json_string *error) {
        struct buf b = { 0 };

        if (!error->data || error->size == 0)
                return STATUS_FINE;
        json_show(&b, error, true, false);
        buf_char(&b, '\0');
        (void) fprintf(stderr,
                       "portctl: portwatchd did not take the rules, those from before are in "
                       "force: %s\n",
                       b.failed ? "" : b.data);
        buf_done(&b);
        return STATUS_FAILURE;
}

static int wait_for_rules(const struct args *args, int64_t before_usec) {
        const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };

        for (int waited = 0; waited < RELOAD_MSEC; waited += PAUSE_MSEC) {
                struct reply_status status;
                struct client *client;
                int r, verdict;

                /* It may have started its answerer anew meanwhile. */
                r = ask_status_quietly(args, &client, &status);
                if (r >= 0 && status.rules_usec != before_usec) {
                        verdict = tell_error(&status.rules_error);
                        client_close(client);
                        return verdict;
                }
                client_close(client);
                (void) nanosleep(&pause, NULL);
        }
        (void) fprintf(stderr, "portctl: portwatchd has not read its rules again within %d s.\n",
                       RELOAD_MSEC / 1000);
        return STATUS_FAILURE;
}

int reload_rules(const struct args *args) {
        struct reply_status status;
        struct client *client;
        int r;

        r = ask_status_quietly(args, &client, &status);
        if (r == -ENOENT || r == -ECONNREFUSED) {
                (void) fprintf(stderr, "portctl: portwatchd does not run; this takes effect when "
                                       "it is started.\n");
                return STATUS_FINE;
        }
        if (r < 0) {
                (void) fprintf(stderr,
                               "portctl: cannot ask portwatchd at %s: %s; this takes effect with "
                               "systemctl reload portwatchd.\n",
                               ask_socket(args), strerror(-r));
                return STATUS_FAILURE;
        }
        client_close(client);
        r = send_hangup(status.pid);
        if (r < 0)
                return hangup_failed(status.pid, r);
        return wait_for_rules(args, status.rules_usec);
}

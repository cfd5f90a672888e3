/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

/*
 * The recorder's side of portwatch-answer: starts it, starts it again when it ends (rate-limited),
 * rings its doorbell. Nothing comes back from it but one byte when it is ready, before it hears its
 * first client, and its exit.
 */
struct answerer;

#define ANSWERER_ARGS_MAX 16U

struct answerer_args {
        sd_event *event;
        const char *path;                    /* of the program */
        const char *argv[ANSWERER_ARGS_MAX]; /* from argv[1] on, NULL-terminated; copied */
        int listen_fd;                       /* these stay the caller's */
        int live_fd;
        int history_fd;
        int known_fd;
        void (*restarted)(const char *why, void *userdata);
        void *userdata;
};

/*
 * Returns once the program is ready to answer: 0, or negative errno of what failed, execve(2)
 * included; -ECHILD: it ended at once, and has said why.
 */
int answerer_start(struct answerer **ret, const struct answerer_args *args);
/* Other arguments from the next start on, which is now. */
int answerer_restart(struct answerer *a, const char *const argv[static ANSWERER_ARGS_MAX]);
/* New records are in the history. Never blocks. */
void answerer_ring(struct answerer *a);
/* Ends it and waits for it, for a second at most before it is killed. Accepts NULL, returns NULL.
 */
struct answerer *answerer_stop(struct answerer *a);

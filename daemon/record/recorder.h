/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/config.h"

/* The recorder: store, tracker, source and answerer, held together by one event loop. */

struct recorder_options {
        const char *state;      /* folder of the history */
        const char *runtime;    /* folder of the socket and the live table */
        const char *config_dir; /* NULL: the system's places, see config_load() */
        const char *answerer;   /* path of portwatch-answer */
        const char *services;   /* path of the registered service names, for the answerer */
        int source;             /* enum config_source from the command line, or -1 */
};

/*
 * Runs until SIGTERM or SIGINT: 0, or negative errno after what went wrong has been logged. config
 * is the caller's and is replaced at a reload.
 */
int recorder_run(const struct recorder_options *options, struct config *config);

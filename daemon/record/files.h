/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/config.h"
#include "known.h"
#include "lib/history.h"
#include "lib/live.h"

/*
 * The files of the recorder: history and known in the state folder, live in the runtime folder, and
 * the table that an earlier recorder of this boot has left there.
 */
struct files {
        struct history *history;
        struct known *known;
        struct live live;
        struct live earlier; /* header NULL: none, or of another boot */
        int runtime_fd;
        int lock_fd;
        int live_fd;        /* of the recorder, writable */
        int live_reader_fd; /* read-only, for the answerer */
        bool history_set_aside;
        bool known_set_aside;
        bool volatile_fallback; /* the state folder could not be used: error says why */
        int error;
        uint64_t history_bytes; /* of the ring */
};

/*
 * Opens or makes all of them; the folders are made if their parents are there. When the state
 * folder cannot be used, the history goes into the runtime folder (volatile_fallback). -EBUSY:
 * another recorder uses the folders. On failure *ret_what names what failed (static or one of the
 * arguments).
 */
int files_open(struct files *ret, const struct config *config, const char *state,
               const char *runtime, const char **ret_what);
/* The live table gets its name: what was there before is forgotten. 0 or negative errno. */
int files_publish(struct files *s);
void files_close(struct files *s);

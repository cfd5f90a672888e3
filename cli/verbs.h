/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/args.h"

/* What portctl can be asked. The table in main.c drives dispatch and help. Each returns an exit
 * status. */

int verb_listeners(const struct args *args);
int verb_connections(const struct args *args);
int verb_inbound(const struct args *args);
int verb_outbound(const struct args *args);
int verb_history(const struct args *args);
int verb_follow(const struct args *args);
int verb_counts(const struct args *args);
int verb_port(const struct args *args);
int verb_status(const struct args *args);
int verb_refused(const struct args *args);
int verb_check(const struct args *args);
int verb_expect(const struct args *args);

/* Which events, and how they look. */
struct event_view {
        unsigned kinds;        /* 1 << enum record_kind; 0: those of the command line */
        const char *direction; /* NULL: both */
        const char *columns;   /* NULL: those of history */
};

/*
 * Prints the last events of a view, as many as lines says (below 0: those of the command line's
 * time), and then those that happen from now on, until interrupted.
 */
int follow_events(const struct args *args, const struct event_view *view, int64_t lines);

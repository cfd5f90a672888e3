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

/*
 * Prints the last events of some kinds (1 << enum record_kind; 0: all) and direction (NULL: both),
 * as many as --lines says, and then those that happen from now on, until interrupted.
 */
int follow_events(const struct args *args, unsigned kinds, const char *direction, int64_t lines);

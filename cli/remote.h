/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/args.h"
#include "cli/buf.h"

/* Asking portctl on another host, through ssh. */

/*
 * Appends a word so that a POSIX shell reads it back as it is: ssh hands the words of a command to
 * the shell of the other side as one line.
 */
void remote_quote(struct buf *b, const char *word);

/*
 * Runs this command line there, without its --host. An exit status: that of the other side, or
 * STATUS_UNREACHABLE when ssh could not get there.
 */
int remote_run(const struct args *args, int argc, char **argv);

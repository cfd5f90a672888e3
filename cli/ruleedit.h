/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/buf.h"

/*
 * Changes of the one file of rules that portctl writes. It is replaced as a whole, so that a reader
 * sees the old one or the new one. What is wrong is said on standard error.
 */

#define RULEEDIT_FILE "50-portctl.rules"

/* A change of portctl's own file, whose text is that of the file until it is changed. */
struct ruleedit {
        char path[4096];
        char new_path[4096];
        int fd; /* of the new file, which is locked; -1: none */
        struct buf text;
};

/*
 * Reads the file; unless it is to be read alone, takes the lock before, so that of two changes none
 * is lost. An exit status, on which there is nothing to cancel; STATUS_REFUSED where the caller may
 * not write there.
 */
int ruleedit_begin(struct ruleedit *e, const char *config, bool read_only);
/* Writes the text, on disk and in the place of the old one at once, and ends it. An exit status. */
int ruleedit_commit(struct ruleedit *e);
/* Ends it without a change; no harm after it has ended. */
void ruleedit_cancel(struct ruleedit *e);

/* Puts a line at the end. */
void ruleedit_append(struct ruleedit *e, const char *rule);
/* Takes out the line of this number, counted from 1. */
void ruleedit_remove(struct ruleedit *e, unsigned line);

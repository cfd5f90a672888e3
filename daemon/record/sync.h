/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Writes files to the disk from a thread of its own: fdatasync(2) can take longer than the kernel's
 * buffers hold events.
 */
struct sync;

#define SYNC_FILES_MAX 4U

/* For n_fds descriptors, which stay the caller's and open until sync_free(). 0 or negative errno.
 */
int sync_new(struct sync **ret, const int *fds, unsigned n_fds);
/* Asks for a round; rounds asked for while one runs are one. Never blocks. */
void sync_request(struct sync *s);
/* Ends the thread, which finishes the round it is in. Accepts NULL, returns NULL. */
struct sync *sync_free(struct sync *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "entry.h"

/* What looks at the kernel's tables have found, and what sock_diag tells of sockets that are gone.
 */

/* EVENT_OWNER: who accepted a socket, or who holds it. */
void found_owner(struct tracker *t, const struct event *ev);
/* EVENT_FOUND: a socket that a dump has shown. */
void found_socket(struct tracker *t, const struct event *ev);
/*
 * EVENT_SNAPSHOT_END: ends sockets of the dumped namespaces that neither the dump nor an event
 * since its start has shown.
 */
void found_sweep(struct tracker *t, const struct event *ev);
/* EVENT_DESTROYED. */
void found_destroyed(struct tracker *t, const struct event *ev);

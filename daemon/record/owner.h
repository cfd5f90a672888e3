/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <linux/types.h>
#include <stddef.h>

#include "bpf/event.h"
#include "lib/live.h"

/*
 * Who is behind a socket: the owners' slots of the live table, each used by all sockets of the same
 * process image. Knows executables from the kernel's word (EVENT_PROCESS) and asks /proc only for
 * processes it was not told of, never trusting a pid without its start time.
 */
struct owners;

int owners_new(struct owners **ret, struct live *live); /* 0 or -ENOMEM */
struct owners *owners_free(struct owners *o);           /* accepts NULL, returns NULL */

/* EVENT_PROCESS and EVENT_CGROUP. */
void owners_learn(struct owners *o, const struct event *ev, size_t size);

/*
 * The slot of the owner that ev names, with a reference for the caller. OWNER_NONE: ev names
 * nobody, or the table is full (counted in LIVE_LOST_OWNERS).
 */
uint32_t owners_of(struct owners *o, const struct event *ev);

/* The slot for an owner from an earlier recorder's table, with a reference; OWNER_NONE: full. */
uint32_t owners_adopt(struct owners *o, const struct owner *owner);

void owners_ref(struct owners *o, uint32_t slot);
void owners_unref(struct owners *o, uint32_t slot);

/* The owner in a slot, and a number that stands for its content as long as the recorder runs. */
const struct owner *owners_get(const struct owners *o, uint32_t slot, uint64_t *ret_key);

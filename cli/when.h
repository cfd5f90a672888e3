/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cli/buf.h"

/* Times as people write and read them. On the wire they are microseconds since the epoch. */

/*
 * Reads a time in the syntax of systemd.time(7) that journalctl --since takes: "2026-11-23 02:00",
 * "2026-11-23T02:00:00Z", "02:00" (today), "now", "today", "yesterday", "tomorrow", "-2h",
 * "+5min", "2 hours ago", "1h 30min ago", "@1795399200". Local time unless it ends in UTC or Z.
 * now_usec is the present. Returns 0 or -EINVAL, or -ERANGE before 1970 or after 9999.
 */
int when_parse(const char *text, uint64_t now_usec, uint64_t *ret_usec);

uint64_t when_now(void);

/* "Nov 23 02:00:00", or further than half a year from now "2025-11-23". Local time. */
void when_show(struct buf *b, int64_t usec, uint64_t now_usec);
/* "2026-11-23 02:00:00" with the given character in the middle. Local time. */
void when_show_full(struct buf *b, int64_t usec, char between);
/*
 * A length of time in its two largest units: "350ms", "1.5s", "2min 10s", "3h 20min", "5d 2h";
 * dense leaves out the blank.
 */
void when_show_span(struct buf *b, uint64_t usec, bool dense);

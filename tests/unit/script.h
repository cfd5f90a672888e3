/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "bpf/event.h"

/*
 * Events as text, one a line, for the files in data/tracker:
 *
 *   TIME state COOKIE OLD>NEW LOCAL REMOTE   a TCP socket changes its state
 *   TIME bind COOKIE LOCAL                   UDP
 *   TIME connect COOKIE REMOTE               UDP
 *   TIME peer COOKIE LOCAL REMOTE            UDP: a datagram came in
 *   TIME release COOKIE                      UDP
 *   TIME owner COOKIE                        a later look
 *   TIME accept COOKIE                       TCP, the acceptor
 *   TIME found COOKIE STATE LOCAL REMOTE     a dump; STATE bound or connected: UDP
 *   TIME destroyed COOKIE LOCAL REMOTE
 *   TIME refused LOCAL REMOTE COUNT
 *   TIME lost COUNT
 *   TIME begin | TIME end                    of a snapshot
 *
 * TIME is in microseconds; an end is 10.0.0.1:80, [::1]:80 or - for one that is all zero. What may
 * follow: pid=N (of owner and found: as somebody else saw it; else in its own call), uid=N,
 * error=NAME, rx=N tx=N, netns=N (1 unless told otherwise), ifindex=N, v6only, autobound,
 * listeners-only; of what was destroyed also: udp, connected, was=STATE.
 */

/* Parses line, which it changes, into *ret; NULL or what is wrong with it. */
const char *script_parse(char *line, struct event *ret);

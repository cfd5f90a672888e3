/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "entry.h"

/* A TCP socket, or an SCTP listener, has changed its state (EVENT_STATE). */
void tcp_state(struct tracker *t, const struct event *ev);

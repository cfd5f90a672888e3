/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/answer/call.h"

/* What is open now: io.portwatch.Listeners, Connections and Port. */
extern const struct method method_listeners;
extern const struct method method_connections;
extern const struct method method_port;

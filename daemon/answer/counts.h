/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/answer/call.h"

/* Totals of what is open and what has happened: io.portwatch.Counts. */
extern const struct method method_counts;

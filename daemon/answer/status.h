/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/answer/call.h"

/* How the record is being made and what it lacks: io.portwatch.Status. */
extern const struct method method_status;

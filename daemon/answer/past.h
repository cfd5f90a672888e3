/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/answer/call.h"

/* What has happened: io.portwatch.History and Follow. */
extern const struct method method_history;
extern const struct method method_follow;

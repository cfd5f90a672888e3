/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/answer/call.h"

/* The method of that full name, such as "io.portwatch.Listeners"; NULL if there is none. */
const struct method *methods_find(const char *name);

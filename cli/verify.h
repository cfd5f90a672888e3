/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/args.h"

/*
 * status --verify: compares what the record says is open with what the kernel lists, which portctl
 * asks itself, and prints what only one of them has. An exit status: STATUS_FINE when they agree.
 */
int verify_record(const struct args *args);

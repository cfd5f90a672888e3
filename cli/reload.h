/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/args.h"

/*
 * Has portwatchd, if it runs, read its rules again, and waits until it has. Says what is wrong, and
 * if it does not run that the rules are for its next start. An exit status.
 */
int reload_rules(const struct args *args);

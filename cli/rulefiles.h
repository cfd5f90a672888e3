/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/buf.h"
#include "lib/rules.h"

/*
 * The files of rules: those of expected.d that end with .rules, in the order of their names; of the
 * installed folders the file in the most important one, and none of a name that is a link to
 * /dev/null there. portwatchd reads the same. What is wrong is said on standard error.
 */

#define RULEFILES_FOLDER "expected.d"
#define RULEFILES_MAX    256 /* files */

/*
 * All rules; config is the folder that holds expected.d, NULL for those of the installation. An
 * exit status; rules_free() frees *ret.
 */
int rulefiles_load(struct rules **ret, const char *config);

/*
 * Appends all of a regular file, or as much as is enough to be over RULES_FILE_SIZE. 0 or negative
 * errno.
 */
int rulefiles_read(struct buf *b, const char *path);

/* Says what is wrong with a file (negative errno). An exit status. */
int rulefiles_failed(const char *path, int error);

/*
 * Looks for mistakes in one file and prints each as file:line:column: what was expected. An exit
 * status; it is STATUS_FAILURE if there are some.
 */
int rulefiles_check(const char *path);

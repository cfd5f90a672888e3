/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "lib/rules.h"

/*
 * Reads the rules: all of expected.d that ends with .rules, in dir, or with NULL in the folders of
 * the installed configuration (of files of the same name the one in the most important folder, see
 * conffile.h); then the file at learned, unless that is NULL or not there. 0 or negative errno,
 * with "file:line:column: what was expected" (or "file: why") in *ret_error, allocated; NULL when
 * there was no memory for it. rules_free() frees *ret.
 */
int policy_load(struct rules **ret, const char *dir, const char *learned, char **ret_error);

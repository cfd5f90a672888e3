/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of users, longest as useradd(8) makes them. */
#define USER_NAME_MAX 32

/*
 * The name of a user in the text of a file in the format of passwd(5): true with it in ret, which
 * is left alone otherwise. Of two lines with one number the first counts.
 */
bool users_find(const char *text, size_t size, uint32_t uid, char ret[static USER_NAME_MAX + 1]);

/*
 * The name of a user, by /etc/passwd or else by whatever nsswitch.conf(5) names; empty if there is
 * none or it is longer. Stays until 16 others have been asked for.
 */
const char *users_name(uint32_t uid);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

#define NETNS_FOLDER "/run/netns" /* where ip-netns(8) names network namespaces */

/*
 * The name of a network namespace by its inode: that of ip-netns(8), "own" for portctl's own one,
 * or
 * "" for neither. The folder is read once, at most 1024 names; longer ones than 63 bytes are none.
 */
const char *netns_name(uint64_t inode);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Takes from this process whatever answering does not need, for good: it becomes another user where
 * it may, has no capability in any set, cannot gain any by exec (no_new_privs), has small resource
 * limits, and a list of system calls beside which there is nothing. What must be opened must be
 * open before.
 */
struct confinement {
        uid_t uid; /* to become; (uid_t) -1: stay who we are */
        gid_t gid;
        unsigned max_descriptors;
};

/*
 * Does so, and asks the kernel whether it is so. 0 or negative errno, then with the step that
 * failed in *ret_step (static).
 */
int confine(const struct confinement *c, const char **ret_step);

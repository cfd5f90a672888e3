/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * As sd_notify(3), without waiting: a service manager that does not read must not hold up the
 * recording. For what may be left out, as STATUS=. 0: sent, or nobody wants it; -EAGAIN: there is
 * no room; other negative errno.
 */
int notify_try(const char *state);

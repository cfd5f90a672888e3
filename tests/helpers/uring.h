/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Accepts one connection through a ring of io_uring(7). Returns the new descriptor or negative
 * errno; -ENOSYS or -EPERM where the kernel has none or forbids it.
 */
int uring_accept(int listener);

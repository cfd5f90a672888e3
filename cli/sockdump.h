/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/sockset.h"

/*
 * The TCP and UDP sockets of this process's network namespace, as the kernel lists them
 * (sock_diag(7)); needs no privilege. Sure are listeners and established connections of TCP, and
 * UDP sockets that are bound and have no peer; TCP sockets that are opening or closing are loose,
 * and so are UDP sockets without a peer whose port is from ephemeral_first to ephemeral_last, for
 * these may have been bound by sending. Connected UDP is left out. Adds to *ret. 0 or negative
 * errno: -EAGAIN when the lists changed too fast under the kernel, and those of sockset_add() and
 * of socket(2), send(2), recv(2).
 */
int sockdump(struct sockset *ret, uint16_t ephemeral_first, uint16_t ephemeral_last);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "source.h"

/* sock_diag's destroy groups: a message for each TCP and UDP socket that is gone (sock_diag(7)). */

/*
 * Opens a socket that has joined the groups of the network namespace that the calling thread is in.
 * rcvbuf: size of its receive buffer in bytes, up to 1 GiB; without CAP_NET_ADMIN not more than
 * net.core.rmem_max. Descriptor or negative errno.
 */
int destroy_open(int rcvbuf);

/* The buffers of many messages at once. One does for all namespaces. */
struct destroy_reader;

/* 0 or -ENOMEM. destroy_reader_free() accepts NULL, returns NULL. */
int destroy_reader_new(struct destroy_reader **ret);
struct destroy_reader *destroy_reader_free(struct destroy_reader *r);

/* So many messages at one call; the rest is for the next one. */
#define DESTROY_READ_MAX 65536

/*
 * Takes the messages that have come, without waiting, and emits each as EVENT_DESTROYED, filled in
 * as by diag_event(). *drops is the kernel's count of messages that did not fit, as of the last
 * call, 0 at first. Returns how many messages there were, or negative errno; *ret_lost is in any
 * case how many are missing since the last call: the kernel counts each one.
 */
int destroy_read(struct destroy_reader *r, int fd, uint32_t netns, uint32_t *drops,
                 source_emit_fn emit, void *userdata, uint64_t *ret_lost);

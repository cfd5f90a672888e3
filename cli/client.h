/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/buf.h"

/* The connection to portwatchd: varlink calls and answers, NUL-terminated, over a Unix stream
 * socket. */

/* No more than this of one answer, in bytes. */
#define CLIENT_REPLY_MAX ((size_t) 16 * 1024 * 1024)
/* How long one answer may take, unless it follows what happens. */
#define CLIENT_TIMEOUT_USEC (30 * UINT64_C(1000000))

struct client;

/*
 * Connects to the socket at path. Negative errno: of connect(2), or -ENAMETOOLONG.
 * client_close() accepts NULL and returns NULL.
 */
int client_connect(struct client **ret, const char *path);
struct client *client_close(struct client *c);

/*
 * Sends a call of a method (full name) with the parameters, a JSON object, or NULL for none; more
 * asks for any number of answers. Negative errno.
 */
int client_call(struct client *c, const char *method, const struct buf *parameters, bool more);

/*
 * Waits for the next answer for timeout_usec at the most (UINT64_MAX: for ever). *ret is the text,
 * which stays the client's, is followed by what json.h wants and lasts until the next call. 1: it
 * is there; 0: the server has closed the connection between two answers; -ECONNRESET in the middle
 * of one; -ETIMEDOUT; -EMSGSIZE it is over CLIENT_REPLY_MAX; -ENOMEM.
 */
int client_receive(struct client *c, uint64_t timeout_usec, char **ret);

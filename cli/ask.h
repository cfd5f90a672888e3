/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/args.h"
#include "cli/client.h"
#include "cli/reply.h"

/* Calls of io.portwatch, and what can go wrong with them, told on standard error. */

/* What a call asks for apart from what the command line says; zero is nothing. */
struct ask {
        const char *direction; /* inbound, outbound */
        unsigned kinds;        /* 1 << enum record_kind; 0: those of the command line */
        const char *by;
        int64_t limit; /* 0: none */
        bool newest_first;
        bool since; /* the command line's times */
        bool until;
        bool no_filter;    /* and none of what it says otherwise, but kinds */
        int64_t after_seq; /* 0: none */
        int64_t port;      /* of Port; 0: none */
};

/* More ports than this are not sent: what comes back is looked through here instead. */
#define ASK_PORTS_MAX 1024

/* Are rows to be looked through by ask_wants()? */
bool ask_filters(const struct args *args);
/* Does a row have one of the ports of the command line, where the server was not told them? */
bool ask_wants(const struct args *args, const struct reply_socket *socket);

/* Appends the parameters of a call: an object. Errors show in b->failed. */
void ask_parameters(struct buf *b, const struct args *args, const struct ask *ask,
                    enum reply_shape shape);

/* Where portwatchd answers, as the command line, the environment or the installation says. */
const char *ask_socket(const struct args *args);

/* Connects to portwatchd. An exit status; other than STATUS_FINE it has been said why. */
int ask_connect(struct client **ret, const struct args *args);

/* Sends a call of io.portwatch.METHOD. An exit status. */
int ask_send(struct client *c, const struct args *args, const char *method, const struct ask *ask,
             enum reply_shape shape);

/*
 * Reads one answer and says what is wrong with it. An exit status; errors that a reader returns are
 * given out as STATUS_FAILURE with a word on what ran out, -ECANCELED from a reader silently as
 * STATUS_FINE with ret->continues false.
 */
int ask_receive(struct client *c, const struct reply_reader *reader, bool follow,
                struct reply *ret);

/* Sends the call and reads all answers to it. An exit status. */
int ask_all(struct client *c, const struct args *args, const char *method, const struct ask *ask,
            const struct reply_reader *reader, struct reply *ret);

/*
 * Asks for the status without a word on what may be wrong: 0, or negative errno. *ret points into
 * the client, which the caller closes; it is NULL on failure.
 */
int ask_status_quietly(const struct args *args, struct client **ret_client,
                       struct reply_status *ret);

/* Says what ran out (negative errno of lines_add() and the like). STATUS_FAILURE. */
int ask_failed(int error);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "wire/jsonw.h"

/* The largest reply, and how many entries one of several holds at the most. */
#define REPLY_MAX_BYTES   (8U * 1024 * 1024)
#define REPLY_MAX_ENTRIES 256U

/*
 * So many replies hold no more than so many entries: who asked reads the first ones while the next
 * are written, and answers of a few hundred entries never leave the caches.
 */
#define REPLY_SMALL_REPLIES 16U
#define REPLY_SMALL_ENTRIES 64U

/* Whoever answers in several replies waits while so much is unsent, so that it takes no memory. */
#define REPLY_PAUSE_BYTES (1024U * 1024)

/*
 * What a client has yet to be sent: whole replies, then perhaps one that is being written. One
 * whole reply may follow on REPLY_PAUSE_BYTES of others, and an error must still fit.
 */
struct replies {
        struct jsonw w;
        size_t sent;  /* of w */
        size_t ready; /* whole replies end here */
        size_t limit; /* bytes that one reply may have, at most REPLY_MAX_BYTES */
        char end;     /* what the present call's replies end with, '\0' or '\n' */
        /* Called when a reply is whole and more of them follow, to send it; NULL: it can wait. */
        void (*send)(void *userdata);
        void *userdata;
};

static inline size_t replies_unsent(const struct replies *r) {
        return r->ready - r->sent;
}

/* Is a reply being written? */
static inline bool replies_open(const struct replies *r) {
        return r->w.size > r->ready;
}

/* Starts with an empty one; limit and end are set by whoever has the client. */
void replies_init(struct replies *r);
void replies_done(struct replies *r);
/* So many bytes were sent. */
void replies_sent(struct replies *r, size_t size);

/* Begins a reply; its parameters are then written to r->w as members of an object. */
void reply_begin(struct replies *r);
/*
 * Ends it; continues: more of them follow. -EMSGSIZE: it was too large or there is no memory for
 * it, and is taken back.
 */
int reply_end(struct replies *r, bool continues);
/* Does the reply that is being written have more bytes than it may? */
bool reply_is_too_large(const struct replies *r);

/* Like reply_begin(), for an error; anything that was being written is taken back. */
void reply_error(struct replies *r, const char *error);

/* A whole error with no parameters, and one with a single string. -EMSGSIZE: no memory. */
int reply_plain_error(struct replies *r, const char *error);
int reply_named_error(struct replies *r, const char *error, const char *parameter,
                      const char *value);

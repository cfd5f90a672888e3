/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/answer/call.h"

/* The entries of an answer, in one reply or, where the caller takes them, in several. */
struct batch {
        const struct batch_shape *shape;
        unsigned n;       /* entries in the reply that is being written */
        unsigned replies; /* given out before it */
};

/* What is around the entries in each reply. */
struct batch_shape {
        const char *name;             /* of the array */
        void (*head)(struct call *c); /* writes the members before it; NULL: none */
        void (*tail)(struct call *c); /* those behind it; NULL: none */
};

/*
 * Makes a place for the next entry, which the caller then writes to c->replies->w. 1; CALL_DONE:
 * the caller takes one reply and the answer is larger than that, which was said; or negative.
 */
int batch_add(struct call *c, struct batch *b);
/* Gives out what is there, be it nothing, with more to follow. 0 or negative. */
int batch_flush(struct call *c, struct batch *b);
/* Gives out the last reply. CALL_DONE or negative. */
int batch_end(struct call *c, struct batch *b);

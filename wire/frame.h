/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Cuts the byte stream of a client into messages. Varlink ends a message with NUL; people at a
 * shell end a line. A message therefore ends at NUL, or at the first newline where the brackets
 * that were opened are closed again. The framing looks at quotes and brackets only; whether a
 * message is JSON is validate.h's business.
 */

/* The longest message, in bytes, without what ends it. */
#define FRAME_MAX_BYTES (64U * 1024)

/* Start with a zeroed one. */
struct frame {
        char *data;
        size_t allocated;
        size_t start;   /* of the message that is being received */
        size_t scanned; /* looked at so far */
        size_t size;    /* received so far */
        unsigned depth; /* brackets open at scanned */
        bool begun;     /* something that is not white space was seen */
        bool in_string;
        bool escaped;
        bool unbalanced;    /* more was closed than had been opened */
        bool nul_ahead;     /* the NUL that ends it has been seen */
        bool after_newline; /* a NUL that comes next belongs to the message before */
};

/* Frees what was received; accepts NULL. The frame can be used again. */
void frame_done(struct frame *f);

/*
 * Where to receive the next bytes to, and how many fit: 0 of them when a whole request is there
 * already. Makes room; slices given out by frame_next() are no longer good. 0 or -ENOMEM.
 */
int frame_space(struct frame *f, char **ret, size_t *ret_size);

/* So many bytes were received there. */
void frame_received(struct frame *f, size_t size);

/*
 * The next whole message, without what ended it ('\0' or '\n', in *ret_end): 1; 0: more bytes are
 * needed; -EMSGSIZE: it is longer than FRAME_MAX_BYTES and there is no way to go on. drained: all
 * that was there has been received; before that a newline at the very end decides nothing, because
 * those before a NUL are white space. The slice is good until the next frame_space() or
 * frame_done().
 */
int frame_next(struct frame *f, bool drained, const char **ret, size_t *ret_size, char *ret_end);

/* Has a message begun that has not ended? */
static inline bool frame_is_partial(const struct frame *f) {
        return f->begun || f->scanned < f->size;
}

/* Is there room for another byte, were the messages that are there taken? */
static inline bool frame_has_room(const struct frame *f) {
        return f->size - f->start <= FRAME_MAX_BYTES;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

/* One byte more than a message, for what ends it. */
#define ROOM_MAX   (FRAME_MAX_BYTES + 1U)
#define ROOM_FIRST 4096U

void frame_done(struct frame *f) {
        if (!f)
                return;
        free(f->data);
        *f = (struct frame){};
}

static void move_down(struct frame *f) {
        memmove(f->data, f->data + f->start, f->size - f->start);
        f->size -= f->start;
        f->scanned -= f->start;
        f->start = 0;
}

int frame_space(struct frame *f, char **ret, size_t *ret_size) {
        if (f->start > 0 && (f->start == f->size || f->size == f->allocated))
                move_down(f);
        if (f->size == f->allocated && f->allocated < ROOM_MAX) {
                size_t allocated = f->allocated ? f->allocated * 4 : ROOM_FIRST;
                char *larger;

                if (allocated > ROOM_MAX)
                        allocated = ROOM_MAX;
                larger = realloc(f->data, allocated);
                if (!larger)
                        return -ENOMEM;
                f->data = larger;
                f->allocated = allocated;
        }
        *ret = f->data + f->size;
        *ret_size = f->allocated - f->size;
        return 0;
}

void frame_received(struct frame *f, size_t size) {
        f->size += size;
}

static int end_message(struct frame *f, size_t end, char with, const char **ret, size_t *ret_size,
                       char *ret_end) {
        size_t start = f->start;

        if (end - start > FRAME_MAX_BYTES)
                return -EMSGSIZE;
        f->start = f->scanned = end + 1;
        f->depth = 0;
        f->begun = f->in_string = f->escaped = f->unbalanced = false;
        f->after_newline = with == '\n';
        *ret = f->data + start;
        *ret_size = end - start;
        *ret_end = with;
        return 1;
}

static bool newline_ends(const struct frame *f, size_t at) {
        size_t left = f->size - at - 1;

        if (f->in_string)
                /*
                 * A quote was forgotten: JSON has no raw newlines in strings. The line is all there
                 * will be, unless this is a NUL-terminated message that is as wrong.
                 */
                return !memchr(f->data + at + 1, 0, left);
        /* Directly before a NUL it is white space. */
        return (f->depth == 0 || f->unbalanced) && !(left > 0 && f->data[at + 1] == 0);
}

/* Quotes and brackets; white space before a message is no part of it. */
static void take_byte(struct frame *f, char c) {
        if (f->in_string) {
                if (f->escaped)
                        f->escaped = false;
                else if (c == '\\')
                        f->escaped = true;
                else if (c == '"')
                        f->in_string = false;
                return;
        }
        switch (c) {
        case ' ':
        case '\t':
        case '\r':
        case '\n':
                if (!f->begun)
                        f->start = f->scanned + 1;
                return;
        case '"':
                f->in_string = true;
                break;
        case '{':
        case '[':
                f->depth++;
                break;
        case '}':
        case ']':
                if (f->depth == 0)
                        f->unbalanced = true;
                else
                        f->depth--;
                break;
        default:
                break;
        }
        f->begun = true;
}

/* Is a byte still to come that could be the NUL to the newline that was received last? */
static bool must_wait(const struct frame *f, bool drained) {
        return !drained && f->scanned + 1 == f->size && (f->start > 0 || f->size < ROOM_MAX);
}

int frame_next(struct frame *f, bool drained, const char **ret, size_t *ret_size, char *ret_end) {
        for (; f->scanned < f->size; f->scanned++) {
                char c = f->data[f->scanned];

                if (c == 0) {
                        if (!f->after_newline || f->begun)
                                return end_message(f, f->scanned, '\0', ret, ret_size, ret_end);
                        /* The newline came in a piece of its own and has ended the message. */
                        f->start = f->scanned + 1;
                        f->after_newline = false;
                        continue;
                }
                if (c == '\n' && f->begun && must_wait(f, drained))
                        return 0;
                if (c == '\n' && f->begun && newline_ends(f, f->scanned))
                        return end_message(f, f->scanned, '\n', ret, ret_size, ret_end);
                take_byte(f, c);
        }
        return f->size - f->start > FRAME_MAX_BYTES ? -EMSGSIZE : 0;
}

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
        f->begun = f->in_string = f->escaped = f->unbalanced = f->nul_ahead = false;
        f->after_newline = with == '\n';
        *ret = f->data + start;
        *ret_size = end - start;
        *ret_end = with;
        return 1;
}

/* What a newline at scanned is. */
enum newline {
        NEWLINE_ENDS,      /* the end of the message */
        NEWLINE_IS_SPACE,  /* white space within it, or before the NUL that ends it */
        NEWLINE_UNDECIDED, /* that NUL may be still to come */
};

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum newline newline_at(struct frame *f, bool drained) {
        const char *at = f->data + f->scanned + 1, *end = f->data + f->size;

        if (!f->begun || f->nul_ahead || (f->depth > 0 && !f->unbalanced && !f->in_string))
                return NEWLINE_IS_SPACE;
        if (f->in_string) {
                /*
                 * A quote was forgotten: JSON has no raw newlines in strings. The line is all there
                 * will be, unless this is a NUL-terminated message that is as wrong.
                 */
                f->nul_ahead = memchr(at, 0, (size_t) (end - at));
                return f->nul_ahead ? NEWLINE_IS_SPACE : NEWLINE_ENDS;
        }
        while (at < end && is_space(*at))
                at++;
        if (at < end) {
                f->nul_ahead = *at == 0;
                return f->nul_ahead ? NEWLINE_IS_SPACE : NEWLINE_ENDS;
        }
        /* A frame that is full gets no more, whatever is still to be received. */
        return drained || (f->start == 0 && f->size == ROOM_MAX) ? NEWLINE_ENDS : NEWLINE_UNDECIDED;
}

/* Quotes and brackets. */
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
        if (is_space(c))
                return;
        switch (c) {
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
                if (c == '\n') {
                        enum newline newline = newline_at(f, drained);

                        if (newline == NEWLINE_UNDECIDED)
                                return 0;
                        if (newline == NEWLINE_ENDS)
                                return end_message(f, f->scanned, '\n', ret, ret_size, ret_end);
                }
                take_byte(f, c);
        }
        return f->size - f->start > FRAME_MAX_BYTES ? -EMSGSIZE : 0;
}

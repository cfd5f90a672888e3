/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "known_format.h"

/* The biographies of listeners, for who reads them while the recorder writes. */
struct known_reader {
        const struct known_header *header; /* the mapped file; NULL: there is none */
        const struct biography *biographies;
        uint32_t capacity; /* places to look at */
};

/*
 * Maps them read-only; the descriptor may be closed afterwards. -EBADMSG when it is no such file,
 * or other negative errno. known_reader_close() unmaps, and accepts a zeroed one.
 */
int known_reader_open(struct known_reader *ret, int fd);
void known_reader_close(struct known_reader *r);

/*
 * Copies the biography at a place below r->capacity. 1, or 0 when none is there: the place is free,
 * what is there is damaged, or is just being replaced.
 */
int known_reader_get(const struct known_reader *r, uint32_t place, struct biography *ret);

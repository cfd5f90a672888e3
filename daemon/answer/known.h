/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "lib/known_reader.h"

#define KNOWN_LIST_MAX 256U /* biographies that one answer holds */

/* What was known of one port when it was looked up, copied. A zeroed one is empty. */
struct known_list {
        struct biography *biographies;
        unsigned n;
};

/*
 * The biographies of a port, transport 0: of any, that was seen last first. Looks at every place:
 * r->capacity glances. -ENOMEM. known_list_done() frees, and leaves it empty.
 */
int known_list_find(struct known_list *ret, const struct known_reader *r, uint16_t port,
                    uint8_t transport);
void known_list_done(struct known_list *l);

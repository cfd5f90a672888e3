/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/ports.h"

/* A set of port numbers. Start with a zeroed one. */
struct portset {
        uint64_t bits[65536 / 64];
        unsigned n;
};

void portset_add(struct portset *s, uint16_t port);

static inline bool portset_has(const struct portset *s, uint16_t port) {
        return s->bits[port / 64] >> (port % 64) & 1;
}

/*
 * Adds what a list says: "22,8000-8099,https", names by the registry of services (every
 * port that bears the name) or else by services(5). get_services is called when a name is met, and
 * returns NULL where there is no registry. Returns 0, or -EINVAL with what is wrong in why.
 */
int portset_parse(struct portset *s, const char *list, const struct services *(*get_services)(void),
                  char why[static 256]);

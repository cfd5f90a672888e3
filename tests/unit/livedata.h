/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "unit.h"

#include <sys/mman.h>

#include "lib/live.h"

/* Contents of a live table of which each follows from a number. For the tests of the table. */

/* A record of which each field follows from number; owner and id are the caller's. */
static inline struct record record_of(uint64_t number) {
        struct record r = { .kind = RECORD_OPEN, .owner = OWNER_NONE };
        uint64_t seed = number;

        r.cookie = number;
        r.time_usec = unit_random(&seed);
        r.opened_usec = unit_random(&seed);
        r.bytes_received = unit_random(&seed);
        unit_random_fill(&seed, r.local, sizeof(r.local));
        unit_random_fill(&seed, r.remote, sizeof(r.remote));
        r.local_port = (uint16_t) unit_random(&seed);
        r.remote_port = (uint16_t) unit_random(&seed);
        r.netns = (uint32_t) unit_random(&seed);
        return r;
}

static inline struct owner owner_of(uint64_t number) {
        struct owner o = { .start_ns = number,
                           .pid = (uint32_t) number,
                           .uid = (uint32_t) ~number };
        uint64_t seed = number;

        snprintf(o.name, sizeof(o.name), "n%" PRIu32, (uint32_t) number);
        for (unsigned i = 0; i < 4; i++) {
                size_t used = strlen(o.executable);

                snprintf(o.executable + used, sizeof(o.executable) - used, "/%" PRIx64,
                         unit_random(&seed));
        }
        snprintf(o.unit, sizeof(o.unit), "%" PRIx64 ".service", unit_random(&seed));
        snprintf(o.container, sizeof(o.container), "%" PRIx64, unit_random(&seed));
        return o;
}

static inline bool owner_is(const struct owner *o, uint64_t number) {
        struct owner expected = owner_of(number);

        return memcmp(o, &expected, sizeof(expected)) == 0;
}

static inline bool owner_is_none(const struct owner *o) {
        const struct owner none = { .uid = UID_UNKNOWN };

        return memcmp(o, &none, sizeof(none)) == 0;
}

static inline int table_file(void) {
        int fd = memfd_create("live", MFD_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdatomic.h>
#include <string.h>

#include "record.h"

/*
 * The biographies of listeners on disk: this header, then so many places of 512 bytes. One writer
 * (daemon/record/known.c), many readers (known_reader.c).
 */

#define KNOWN_MAGIC    0x314E4E4B57545250ULL /* "PRTWKNN1" */
#define KNOWN_VERSION  1
#define KNOWN_CAPACITY 4096U

struct known_header {
        uint64_t magic;
        uint32_t version;
        uint32_t capacity;
        uint8_t padding[496];
};
_Static_assert(sizeof(struct known_header) == 512, "the header takes a biography's place");

/*
 * What identifies a listener and when it was first seen never changes and is under the checksum;
 * the rest are single words that are each right at any moment. So a kill between any two
 * instructions leaves a biography that is whole or not yet there. One that makes room loses its
 * checksum before anything else.
 */
struct biography {
        _Atomic uint32_t checksum; /* of the bytes from transport up to last_usec; 0: free */
        uint8_t transport;
        uint8_t exposure;
        uint16_t port;
        uint32_t uid; /* of the first owner; UID_UNKNOWN */
        uint32_t reserved;
        uint64_t first_usec;
        char program[256]; /* unit, executable or name; empty: unknown */
        char container[80];
        _Atomic uint64_t last_usec;
        _Atomic uint64_t times_opened;
        uint8_t padding[136];
};
_Static_assert(sizeof(struct biography) == 512, "biographies are 512 bytes on disk");

#define KNOWN_SIZE (sizeof(struct known_header) + KNOWN_CAPACITY * sizeof(struct biography))

static inline bool known_header_valid(const struct known_header *h) {
        return h->magic == KNOWN_MAGIC && h->version == KNOWN_VERSION &&
               h->capacity == KNOWN_CAPACITY;
}

static inline uint32_t biography_checksum(const struct biography *b) {
        return record_checksum(&b->transport, offsetof(struct biography, last_usec) -
                                                      offsetof(struct biography, transport));
}

/* Is it one, with strings that end and numbers that the interface has? */
static inline bool biography_whole(const struct biography *b) {
        return b->checksum != 0 && b->checksum == biography_checksum(b) &&
               memchr(b->program, 0, sizeof(b->program)) &&
               memchr(b->container, 0, sizeof(b->container)) && b->first_usec <= INT64_MAX &&
               b->last_usec <= INT64_MAX && b->times_opened <= INT64_MAX;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "history.h"

/*
 * A segment on disk: this header, then records that grow upwards, then free room, then entries that
 * grow downwards from the end. Private to history.c, history_recover.c and history_reader.c.
 */
struct segment {
        uint64_t magic;
        uint32_t version;
        uint32_t size;
        uint32_t index;
        uint32_t n_segments;
        uint64_t first_seq;          /* of its first record; 0: never used */
        _Atomic uint64_t generation; /* odd while the segment is being recycled */
        _Atomic uint64_t count;      /* committed records */
        _Atomic uint64_t entries;    /* offset of the lowest entry */
        _Atomic uint64_t first_usec;
        _Atomic uint64_t last_usec;
        uint8_t reserved[52];
        uint32_t checksum; /* of magic to first_seq */
};
_Static_assert(sizeof(struct segment) == sizeof(struct record),
               "the header takes a record's place");

enum entry_type {
        ENTRY_OWNER = 0x4F57, /* "OW" */
        ENTRY_RULE = 0x5255,  /* "RU" */
};

/* Followed by the strings without their NULs, in the order of the lengths; padded to 8 bytes. */
struct entry {
        uint32_t checksum; /* of what follows, up to size, and of the segment's first_seq */
        uint16_t type;
        uint16_t size; /* of the entry, padding included */
        uint64_t start_ns;
        uint32_t pid;
        uint32_t uid;
        uint16_t name_size;
        uint16_t executable_size;
        uint16_t unit_size;
        uint16_t container_size;
};
_Static_assert(sizeof(struct entry) == 32, "no padding in an entry");

#define SEGMENT_RECORDS_MAX (HISTORY_SEGMENT_SIZE / sizeof(struct record) - 1)

static inline const struct record *segment_records(const struct segment *s) {
        return (const struct record *) (s + 1);
}

static inline uint32_t segment_checksum(const struct segment *s) {
        return record_checksum(s, offsetof(struct segment, generation));
}

/*
 * Bound to the segment by its first sequence number: after a power loss an entry of an earlier lap
 * may lie just where a record names one, whole, and somebody else's.
 */
static inline uint32_t entry_checksum(const struct entry *e, uint64_t first_seq) {
        return record_checksum((const uint8_t *) e + sizeof(e->checksum),
                               e->size - sizeof(e->checksum)) ^
               record_checksum(&first_seq, sizeof(first_seq));
}

/*
 * Is this the place of segment index of n? What does not change when a segment is recycled is
 * right, so that it may be recycled whatever the rest says.
 */
static inline bool segment_placed(const struct segment *s, uint32_t index, uint32_t n) {
        return s->magic == HISTORY_MAGIC && s->version == HISTORY_VERSION &&
               s->size == HISTORY_SEGMENT_SIZE && s->index == index && s->n_segments == n;
}

/* And is its header whole? Sequence numbers end where those of the interface do. */
static inline bool segment_valid(const struct segment *s, uint32_t index, uint32_t n) {
        return segment_placed(s, index, n) && s->checksum == segment_checksum(s) &&
               s->first_seq <= INT64_MAX;
}

static inline struct segment *segment_in(uint8_t *map, uint32_t index) {
        return (struct segment *) (map + (size_t) index * HISTORY_SEGMENT_SIZE);
}

/* Makes an empty segment of whatever is there. first_seq 0: not in use. */
void segment_format(struct segment *s, uint32_t index, uint32_t n, uint64_t first_seq);

/* Is record i of the segment the one that belongs there, and as it was written? */
bool segment_record_whole(const struct segment *s, uint64_t i);

struct recovered {
        uint32_t current;   /* the segment to go on in */
        unsigned last_kind; /* of the newest record */
        uint64_t next_seq;
};

/*
 * Finds the newest segment and cuts its tail behind the last record that is whole. The others are
 * full: each ends where the next one begins. io->next_seq is the first number of an empty history.
 * Returns 0, or -EBADMSG when a header is damaged.
 */
int history_recover(uint8_t *map, uint32_t n_segments, struct recovered *io);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdatomic.h>
#include "record.h"

/*
 * The history: a ring of segments in one mapped file, one writer, many readers. A segment holds its
 * records from the front and the owners they name from the back, so that recycling the oldest one
 * leaves nothing dangling. A record counts as committed when the segment's count says so; a killed
 * writer therefore loses no committed record. After a power loss the checksums tell what is whole.
 */

#define HISTORY_MAGIC        0x3153494857545250ULL /* "PRTWHIS1" */
#define HISTORY_VERSION      1
#define HISTORY_SEGMENT_SIZE (4U * 1024 * 1024)
#define HISTORY_SEGMENTS_MIN 3U

struct history; /* the writer's */

/*
 * Opens the history for writing in directory dir_fd under name, making it or, when its size or
 * format differs or it is damaged beyond its tail, setting it aside as NAME.damaged-N (N counts up
 * to 9, then the oldest is replaced). size_bytes is rounded down to whole segments. A lock keeps a
 * second writer out: -EBUSY. *ret_set_aside tells whether an earlier file was set aside.
 * history_close() accepts NULL and returns NULL.
 */
int history_open(struct history **ret, int dir_fd, const char *name, uint64_t size_bytes,
                 bool *ret_set_aside);
struct history *history_close(struct history *h);

/*
 * Appends a copy of *r with the next sequence number and its checksum, naming *owner (NULL: none)
 * and the text of the rule (NULL: none). owner_key is a number that stands for exactly this content
 * of *owner, 0 if there is no such number: equal keys are stored once a segment. Returns the
 * sequence number. Never fails: the file is allocated and mapped. *ret_overwritten (may be NULL) is
 * how many events had to make room.
 */
uint64_t history_append(struct history *h, const struct record *r, const struct owner *owner,
                        uint64_t owner_key, const char *rule, uint64_t *ret_overwritten);

/* A read-only descriptor of the file for the answerer; stays the history's. Negative errno. */
int history_reader_fd(struct history *h);
/* The descriptor to fdatasync(); stays the history's. */
int history_sync_fd(struct history *h);
uint64_t history_next_seq(const struct history *h);
/* The kind of the newest record, RECORD_NONE if there is none: tells a crash from a clean stop. */
unsigned history_last_kind(const struct history *h);

/* Readers' side. */

struct history_reader {
        const uint8_t *map;
        size_t size;
        uint32_t n_segments;
};

/* Maps a history read-only; -EBADMSG if it is none. history_reader_close() unmaps. */
int history_reader_open(struct history_reader *ret, int fd);
void history_reader_close(struct history_reader *r);

struct history_bounds {
        uint64_t oldest_seq; /* == next_seq when it is empty */
        uint64_t next_seq;
        uint64_t oldest_usec; /* 0 when it is empty */
};
void history_bounds(const struct history_reader *r, struct history_bounds *ret);

struct history_cursor {
        const struct history_reader *reader;
        uint64_t next;       /* seq of the record to read next */
        uint64_t limit;      /* forward: stop before this one; backward: stop after this one */
        uint64_t since_usec; /* segments entirely outside of these are skipped; 0 and UINT64_MAX:
                                all */
        uint64_t until_usec;
        uint64_t lost; /* records that were overwritten under this cursor; reset by the caller */
        bool backward;
        /* Private: the segment the cursor stands in. */
        uint32_t segment;
        uint64_t generation;
        uint64_t first_seq;
        uint64_t count;
};

/* Starts at seq (forward: the first not below it; backward: the last not above it). */
void history_seek(struct history_cursor *c, const struct history_reader *r, uint64_t seq,
                  bool backward);

/*
 * A quick look at a record in the map, before it is copied: false skips it. What it sees may be
 * torn, so it must not follow anything, only compare.
 */
typedef bool (*history_peek_fn)(const struct record *r, void *userdata);

/*
 * The next whole record that peek (NULL: all) lets through, with its owner (zeroed, uid
 * UID_UNKNOWN, when it has none) and its rule's text (empty: none; ret_rule takes 256 bytes). Looks
 * at *budget records at the most and takes what it looked at from *budget, so that a caller can
 * give others a turn: 1 found, 0 at the end, -EAGAIN budget used up. Records overwritten under the
 * cursor are counted in c->lost and passed over. At the end of a forward cursor later calls find
 * what has been appended since if the caller raises c->limit.
 */
int history_next(struct history_cursor *c, history_peek_fn peek, void *userdata, uint64_t *budget,
                 struct record *ret, struct owner *ret_owner, char ret_rule[static 256]);

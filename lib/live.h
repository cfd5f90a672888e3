/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdatomic.h>
#include "record.h"

/*
 * The live table: what is open now. One mapped file, written by the recorder alone. Four extents
 * (listeners, connections, owners, rules) at fixed places in a sparse file; each is allocated in
 * chunks as it grows and never shrinks, so that a reader cannot run into a hole. Each slot carries
 * a version that is odd while the slot is being written; readers copy and check.
 */

enum live_extent {
        LIVE_LISTENERS,
        LIVE_CONNECTIONS,
        LIVE_OWNERS,
        LIVE_RULES, /* texts of the rules in force: number n is in slot n - 1 */
        LIVE_EXTENT_MAX,
};

enum live_state {
        LIVE_STARTING,
        LIVE_RUNNING,
        LIVE_DEGRADED, /* records, but not all of it is kept or seen; degraded_reason says what */
};

enum live_source {
        LIVE_SOURCE_NONE,
        LIVE_SOURCE_EBPF,
        LIVE_SOURCE_NETLINK,
};

/* Hand-overs that can drop; each is counted where it happens. */
enum live_counter {
        LIVE_LOST_RING,       /* BPF ring buffer full */
        LIVE_LOST_NETLINK,    /* netlink receive buffer overrun */
        LIVE_LOST_TRACKER,    /* table of tracked sockets full: sockets that were not tracked */
        LIVE_LOST_OWNERS,     /* table of owners full: sockets recorded without an owner */
        LIVE_OVERWRITTEN,     /* events of the history that have made room for newer ones */
        LIVE_KNOWN_EVICTED,   /* biographies of listeners that have made room */
        LIVE_EVENTS,          /* source events handled */
        LIVE_RESYNCS,         /* snapshots taken after a loss */
        LIVE_ANSWER_RESTARTS, /* times the answerer had to be started again */
        LIVE_HISTORY_ERRORS,  /* records that could not be kept: see degraded_reason */
        LIVE_RECORDS,         /* records written to the history since the recorder started */
        LIVE_REPAIRS,         /* sockets a snapshot added or removed because an event was missed */
        LIVE_AUDITS,          /* snapshots taken without a known loss, to be sure */
        LIVE_ALERTS,          /* unexpected listeners and sources that were told to the journal */
        LIVE_ALERTS_HELD,     /* those that were not: the same again, or too many at once */
        LIVE_COUNTER_MAX = 32,
};

#define LIVE_MAGIC       0x3145564c57545250ULL /* "PRTWLVE1" */
#define LIVE_VERSION     2
#define LIVE_HEADER_SIZE 4096
#define LIVE_OWNER_SIZE  512

/* The owner's slot in the file. */
struct live_owner {
        _Atomic uint64_t version;
        struct owner owner;
        uint64_t reserved;
};
_Static_assert(sizeof(struct live_owner) == LIVE_OWNER_SIZE, "owner slots are 512 bytes");

#define LIVE_RULE_SIZE 256
#define LIVE_RULE_TEXT (LIVE_RULE_SIZE - 8) /* with its NUL */
#define LIVE_RULES_MAX 16384U

struct live_rule {
        _Atomic uint64_t version;
        char text[LIVE_RULE_TEXT];
};
_Static_assert(sizeof(struct live_rule) == LIVE_RULE_SIZE, "rule slots are 256 bytes");

/* The first page of the file. Numbers that change are single atomic words. */
struct live_header {
        uint64_t magic;
        uint32_t version;
        uint32_t header_size;
        char boot_id[40];                   /* as in /proc/sys/kernel/random/boot_id */
        uint64_t offset[LIVE_EXTENT_MAX];   /* of each extent, bytes */
        uint64_t capacity[LIVE_EXTENT_MAX]; /* slots */
        _Atomic uint64_t
                used[LIVE_EXTENT_MAX]; /* slots below this were used once and are allocated */
        _Atomic uint64_t
                count[LIVE_EXTENT_MAX]; /* slots in use; of connections without the pending */
        _Atomic uint64_t counters[LIVE_COUNTER_MAX];
        _Atomic uint64_t unexpected; /* listeners that no rule matches */
        _Atomic uint64_t started_usec;
        _Atomic uint64_t audited_usec;        /* the last snapshot of everything; 0: none yet */
        _Atomic uint64_t rules;               /* in force; 0: none */
        _Atomic uint64_t rules_usec;          /* when they were read; 0: never */
        _Atomic uint64_t learning_until_usec; /* 0: nothing is learnt */
        _Atomic uint32_t state;               /* enum live_state */
        _Atomic uint32_t source;              /* enum live_source */
        _Atomic uint32_t netns;               /* of the recorder: the host's */
        _Atomic uint32_t pid;                 /* of the recorder; 0 after a clean stop */
        char source_detail[640];   /* what the source cannot see, for people; written before RUNNING
                                    */
        char degraded_reason[256]; /* empty: none */
        char rules_error[256];     /* why newer rules were not taken; empty: they were */
        _Atomic uint32_t judging;  /* is it said which listeners are expected, but by learning? */
};
_Static_assert(sizeof(struct live_header) <= LIVE_HEADER_SIZE, "the header is one page");

struct live {
        struct live_header *header;
        struct record *slots[2]; /* by LIVE_LISTENERS, LIVE_CONNECTIONS */
        struct live_owner *owners;
        struct live_rule *rules;
        uint64_t allocated[LIVE_EXTENT_MAX];   /* writer: slots backed by storage */
        uint32_t *free_slots[LIVE_EXTENT_MAX]; /* writer: stacks of freed slots */
        uint64_t n_free[LIVE_EXTENT_MAX];
        size_t size; /* of the mapping */
        int fd;      /* writer: the file; -1 for a table in memory alone */
};

/* Recorder's side. */

/*
 * Makes an empty table for so many listeners, connections and owners on an empty file opened for
 * reading and writing, which stays the caller's; with fd -1 in memory alone (tests). Storage is
 * taken as the table grows. Returns 0 or negative errno; live_close() frees.
 */
int live_create(struct live *ret, int fd, uint64_t listeners, uint64_t connections,
                uint64_t owners);

/* Maps an earlier recorder's table read-only. -EBADMSG: not a live table, or damaged. */
int live_open(struct live *ret, int fd);
void live_close(struct live *l);

/* Takes a free slot; -ENOSPC: all in use or no storage. */
int live_take(struct live *l, enum live_extent extent, uint32_t *ret_slot);
/* Writes a record (all but seq, which is the slot's version) into a slot that was taken. */
void live_write(struct live *l, enum live_extent extent, uint32_t slot, const struct record *r);
void live_write_owner(struct live *l, uint32_t slot, const struct owner *o);
/*
 * Makes text (cut to LIVE_RULE_TEXT) the rule of that number, from 1 to LIVE_RULES_MAX. 0, -ERANGE,
 * or -ENOSPC when there is no storage.
 */
int live_write_rule(struct live *l, uint32_t number, const char *text);
/* Gives the slot back. */
void live_release(struct live *l, enum live_extent extent, uint32_t slot);

/* Adds to a number that this process alone writes: readers see it whole, without a locked bus. */
static inline void live_add(_Atomic uint64_t *number, uint64_t n) {
        atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + n,
                              memory_order_relaxed);
}

static inline void live_count(struct live *l, enum live_counter counter, uint64_t n) {
        live_add(&l->header->counters[counter], n);
}

/* Readers' side. */

/*
 * Copies slot number slot (below used) and its owner consistently. Returns 1 when it holds a
 * record, 0 when it is free, pending, or changed on every one of a bounded number of tries.
 * *ret_owner is zeroed with uid UID_UNKNOWN when the record has none.
 */
int live_read(const struct live *l, enum live_extent extent, uint32_t slot, struct record *ret,
              struct owner *ret_owner);

/* Slots of an extent that a reader must look at. */
static inline uint64_t live_used(const struct live *l, enum live_extent extent) {
        uint64_t used = atomic_load_explicit(&l->header->used[extent], memory_order_acquire);
        return used < l->header->capacity[extent] ? used : l->header->capacity[extent];
}

/*
 * The process that serves a listener that live_read() gave, where it is not the owner. 1, or 0 when
 * there is none or the table has changed since.
 */
int live_read_holder(const struct live *l, uint32_t slot, const struct record *r,
                     struct owner *ret_holder);

/* The text of the rule of that number (0: none); empty when there is none. */
void live_read_rule(const struct live *l, uint32_t number, char ret[static LIVE_RULE_TEXT]);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history_format.h"

/* Owners already stored in the current segment, by key. Direct-mapped: a miss stores one again. */
#define INTERNED      4096U
#define SET_ASIDE_MAX 9
/* Headers that are looked at in a file that may be anything: those of a history of 256 GiB. */
#define SEGMENTS_MAX 65536U

struct interned {
        uint64_t key;
        uint64_t first_seq; /* of the segment that offset is good for */
        uint32_t offset;
};

/*
 * Pages are made ready to be written so many bytes at a time: one call costs a fraction of what a
 * page fault for each of them does.
 */
#define READY_STEP (256U * 1024)

struct history {
        int fd;
        int reader_fd;
        int lock_fd;
        uint8_t *map;
        size_t size;
        uint32_t n_segments;
        uint32_t current;
        uint64_t next_seq;
        uint32_t ready; /* bytes of the current segment that are made ready */
        unsigned last_kind;
        uint64_t rule_first_seq; /* the last rule that was stored, where, and in which segment */
        uint32_t rule_offset;
        char rule_text[256];
        struct interned interned[INTERNED];
};

static struct segment *segment_at(const struct history *h, uint32_t index) {
        return segment_in(h->map, index);
}

static int recover(struct history *h) {
        struct recovered r = { .next_seq = h->next_seq };
        int error = history_recover(h->map, h->n_segments, &r);

        if (error < 0)
                return error;
        h->current = r.current;
        h->next_seq = r.next_seq;
        h->last_kind = r.last_kind;
        return 0;
}

static int map_file(struct history *h) {
        void *map = mmap(NULL, h->size, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd, 0);

        if (map == MAP_FAILED)
                return -errno;
        h->map = map;
        return 0;
}

static void unmap_file(struct history *h) {
        if (h->map)
                munmap(h->map, h->size);
        h->map = NULL;
        if (h->fd >= 0)
                close(h->fd);
        h->fd = -1;
}

/* The file that is there: -ENOENT none, -EBADMSG not usable as it is, else mapped and recovered. */
static int open_existing(struct history *h, int dir_fd, const char *name) {
        struct stat st;
        int r;

        h->fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (h->fd < 0)
                /* A link, a folder, a socket: in the way like a file that is none of ours. */
                return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -EBADMSG : -errno;
        if (fstat(h->fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size != h->size)
                r = -EBADMSG;
        else
                r = map_file(h);
        if (r >= 0)
                r = recover(h);
        if (r < 0)
                unmap_file(h);
        return r;
}

/* The sequence number behind a segment's last one, in a file that may be anything; 0: unknown. */
static uint64_t segment_end(int fd, uint32_t index) {
        struct {
                struct segment head;
                struct record first;
        } s;
        uint64_t count;

        if (pread(fd, &s, sizeof(s), (off_t) index * HISTORY_SEGMENT_SIZE) != (ssize_t) sizeof(s))
                return 0;
        count = atomic_load(&s.head.count);
        if (segment_valid(&s.head, index, s.head.n_segments) && count <= SEGMENT_RECORDS_MAX)
                return s.head.first_seq != 0 ? s.head.first_seq + count : 1;
        /* The header is damaged; its first record knows where it began. */
        s.head.first_seq = s.first.seq;
        return segment_record_whole(&s.head, 0) && s.first.seq <= INT64_MAX
                       ? s.first.seq + SEGMENT_RECORDS_MAX
                       : 0;
}

/*
 * Where the sequence goes on over a file that cannot be gone on with, of whatever size: behind all
 * that its segments tell. One that tells nothing may have been the newest, so a segment's worth of
 * numbers is left out for it. 1 when it is no history at all.
 */
static uint64_t next_seq_of(int dir_fd, const char *name) {
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        uint64_t next = 1, known = 0, unknown = 0;
        struct stat st;

        if (fd < 0)
                return 1;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                st.st_size = 0;
        for (uint32_t i = 0; i < SEGMENTS_MAX && (off_t) i * HISTORY_SEGMENT_SIZE < st.st_size;
             i++) {
                uint64_t end = segment_end(fd, i);

                if (end > next)
                        next = end;
                known += end != 0;
                unknown += end == 0;
        }
        close(fd);
        return known ? next + unknown * SEGMENT_RECORDS_MAX : 1;
}

/* A free name for a file that is set aside, or that of the oldest one, which has to go. */
static int aside_name(int dir_fd, const char *name, char ret[static NAME_MAX + 1]) {
        char candidate[NAME_MAX + 1];
        struct timespec oldest = {};

        ret[0] = 0;
        for (unsigned i = 1; i <= SET_ASIDE_MAX; i++) {
                struct stat st;

                if (snprintf(candidate, sizeof(candidate), "%s.damaged-%u", name, i) >=
                    (int) sizeof(candidate))
                        return -ENAMETOOLONG;
                if (fstatat(dir_fd, candidate, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                        strcpy(ret, candidate);
                        return 0;
                }
                if (ret[0] == 0 || st.st_mtim.tv_sec < oldest.tv_sec ||
                    (st.st_mtim.tv_sec == oldest.tv_sec && st.st_mtim.tv_nsec < oldest.tv_nsec)) {
                        oldest = st.st_mtim;
                        strcpy(ret, candidate);
                }
        }
        if (unlinkat(dir_fd, ret, 0) < 0 && unlinkat(dir_fd, ret, AT_REMOVEDIR) < 0)
                return -errno;
        return 0;
}

static int set_aside(int dir_fd, const char *name) {
        char aside[NAME_MAX + 1];
        int r = aside_name(dir_fd, name, aside);

        if (r < 0)
                return r;
        return renameat(dir_fd, name, dir_fd, aside) < 0 ? -errno : 0;
}

/* Makes the file under its temporary name, allocated, formatted and mapped. */
static int create_new(struct history *h, int dir_fd, const char *temporary) {
        int r;

        (void) unlinkat(dir_fd, temporary, 0);
        h->fd = openat(dir_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        if (h->fd < 0)
                return -errno;
        r = -posix_fallocate(h->fd, 0, (off_t) h->size);
        if (r == 0)
                r = map_file(h);
        if (r >= 0) {
                for (uint32_t i = 0; i < h->n_segments; i++)
                        segment_format(segment_at(h, i), i, h->n_segments, 0);
                r = recover(h);
        }
        if (r < 0) {
                unlinkat(dir_fd, temporary, 0);
                unmap_file(h);
        }
        return r;
}

/*
 * Puts a new file in the place of what is there (in_the_way) or not. It appears under its name only
 * when it is whole, and what is there goes only when the new one has got its room. A kill between
 * the two leaves the new file under its temporary name: the next open takes the sequence from it.
 */
static int replace(struct history *h, int dir_fd, const char *name, bool in_the_way) {
        char temporary[NAME_MAX + 1];
        int r;

        if (snprintf(temporary, sizeof(temporary), "%s.new", name) >= (int) sizeof(temporary))
                return -ENAMETOOLONG;
        h->next_seq = next_seq_of(dir_fd, in_the_way ? name : temporary);
        r = create_new(h, dir_fd, temporary);
        if (r < 0)
                return r;
        r = in_the_way ? set_aside(dir_fd, name) : 0;
        if (r >= 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
                r = -errno;
        if (r < 0)
                unlinkat(dir_fd, temporary, 0);
        return r;
}

int history_open(struct history **ret, int dir_fd, const char *name, uint64_t size_bytes,
                 bool *ret_set_aside) {
        struct history *h = calloc(1, sizeof(*h));
        bool aside = false;
        int r;

        if (!h)
                return -ENOMEM;
        h->fd = h->reader_fd = -1;
        h->next_seq = 1;
        h->n_segments = (uint32_t) (size_bytes / HISTORY_SEGMENT_SIZE);
        if (h->n_segments < HISTORY_SEGMENTS_MIN)
                h->n_segments = HISTORY_SEGMENTS_MIN;
        h->size = (size_t) h->n_segments * HISTORY_SEGMENT_SIZE;

        /* The folder is locked, not the file: the file may be replaced below. */
        h->lock_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (h->lock_fd < 0 || flock(h->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                r = errno == EWOULDBLOCK ? -EBUSY : -errno;
                goto fail;
        }

        r = open_existing(h, dir_fd, name);
        if (r == -EBADMSG || r == -ENOENT) {
                aside = r == -EBADMSG;
                r = replace(h, dir_fd, name, aside);
        }
        if (r < 0)
                goto fail;

        h->reader_fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (h->reader_fd < 0) {
                r = -errno;
                goto fail;
        }
        *ret = h;
        *ret_set_aside = aside;
        return 0;
fail:
        history_close(h);
        return r;
}

struct history *history_close(struct history *h) {
        if (!h)
                return NULL;
        unmap_file(h);
        if (h->reader_fd >= 0)
                close(h->reader_fd);
        if (h->lock_fd >= 0)
                close(h->lock_fd);
        free(h);
        return NULL;
}

static uint16_t text_size(const char *text, size_t max) {
        return (uint16_t) strnlen(text, max - 1);
}

static uint32_t entry_size(const struct entry *e) {
        uint32_t size = (uint32_t) sizeof(*e) + e->name_size + e->executable_size + e->unit_size +
                        e->container_size;

        return (size + 7) & ~7U;
}

static void entry_of_owner(struct entry *e, const struct owner *o) {
        *e = (struct entry){
                .type = ENTRY_OWNER,
                .start_ns = o->start_ns,
                .pid = o->pid,
                .uid = o->uid,
                .name_size = text_size(o->name, sizeof(o->name)),
                .executable_size = text_size(o->executable, sizeof(o->executable)),
                .unit_size = text_size(o->unit, sizeof(o->unit)),
                .container_size = text_size(o->container, sizeof(o->container)),
        };
        e->size = (uint16_t) entry_size(e);
}

/* Writes an entry below the others; the caller has made sure that there is room. */
static uint32_t entry_store(struct segment *s, const struct entry *head,
                            const char *const text[4]) {
        uint64_t offset = atomic_load_explicit(&s->entries, memory_order_relaxed) - head->size;
        struct entry *e = (struct entry *) ((uint8_t *) s + offset);
        uint8_t *p = (uint8_t *) (e + 1);
        const uint16_t sizes[4] = { head->name_size, head->executable_size, head->unit_size,
                                    head->container_size };

        *e = *head;
        memset(p, 0, head->size - sizeof(*e));
        for (unsigned i = 0; i < 4; i++) {
                memcpy(p, text[i], sizes[i]);
                p += sizes[i];
        }
        e->checksum = entry_checksum(e, s->first_seq);
        atomic_store_explicit(&s->entries, offset, memory_order_relaxed);
        return (uint32_t) offset;
}

static struct interned *interned_slot(struct history *h, uint64_t key) {
        return &h->interned[(key * 0x9E3779B97F4A7C15ULL) >> 52];
}
_Static_assert(INTERNED == 1U << (64 - 52), "the hash above fills the table");

/* Only for speed: without it (before Linux 5.14) the pages fault one by one. */
static void make_ready(struct history *h, struct segment *s, uint64_t count) {
        size_t end = sizeof(*s) + (count + 1) * sizeof(struct record);

        if (end <= h->ready || h->ready >= HISTORY_SEGMENT_SIZE)
                return;
        (void) madvise((uint8_t *) s + h->ready, READY_STEP, MADV_POPULATE_WRITE);
        h->ready += READY_STEP;
}

uint64_t history_append(struct history *h, const struct record *r, const struct owner *owner,
                        uint64_t owner_key, const char *rule, uint64_t *ret_overwritten) {
        struct segment *s = segment_at(h, h->current);
        uint64_t count = atomic_load_explicit(&s->count, memory_order_relaxed);
        struct entry owner_entry = {}, rule_entry = {};
        struct interned *known = NULL;
        uint64_t room, overwritten = 0;
        struct record *to;

        if (owner) {
                if (owner_key != 0)
                        known = interned_slot(h, owner_key);
                entry_of_owner(&owner_entry, owner);
        }
        if (rule) {
                rule_entry = (struct entry){ .type = ENTRY_RULE,
                                             .name_size = text_size(rule, sizeof(h->rule_text)) };
                rule_entry.size = (uint16_t) entry_size(&rule_entry);
        }

        room = atomic_load_explicit(&s->entries, memory_order_relaxed) - sizeof(*s) -
               count * sizeof(struct record);
        /* Records are numbered from their segment's first: after a gap a new one begins. */
        if (room < sizeof(struct record) + owner_entry.size + rule_entry.size ||
            s->first_seq + count != h->next_seq) {
                h->current = (h->current + 1) % h->n_segments;
                s = segment_at(h, h->current);
                overwritten = atomic_load_explicit(&s->count, memory_order_relaxed);
                segment_format(s, h->current, h->n_segments, h->next_seq);
                count = 0;
                h->ready = 0;
        }
        make_ready(h, s, count);

        to = (struct record *) (s + 1) + count;
        *to = *r;
        to->seq = h->next_seq;
        to->holder = OWNER_NONE; /* comes and goes while it listens, and is not kept */
        to->reserved2 = 0;
        if (to->id == 0)
                to->id = to->seq;

        to->owner = OWNER_NONE;
        if (owner) {
                if (known && known->key == owner_key && known->first_seq == s->first_seq)
                        to->owner = known->offset;
                else {
                        const char *const text[4] = { owner->name, owner->executable, owner->unit,
                                                      owner->container };

                        to->owner = entry_store(s, &owner_entry, text);
                        if (known)
                                *known = (struct interned){ owner_key, s->first_seq, to->owner };
                }
        }
        to->rule = 0;
        if (rule) {
                if (h->rule_first_seq != s->first_seq || strcmp(h->rule_text, rule) != 0) {
                        const char *const text[4] = { rule, "", "", "" };

                        h->rule_offset = entry_store(s, &rule_entry, text);
                        h->rule_first_seq = s->first_seq;
                        memcpy(h->rule_text, rule, rule_entry.name_size);
                        h->rule_text[rule_entry.name_size] = 0;
                }
                to->rule = h->rule_offset;
        }
        to->checksum = record_checksum(to, offsetof(struct record, checksum));

        if (to->time_usec < atomic_load_explicit(&s->first_usec, memory_order_relaxed))
                atomic_store_explicit(&s->first_usec, to->time_usec, memory_order_relaxed);
        if (to->time_usec > atomic_load_explicit(&s->last_usec, memory_order_relaxed))
                atomic_store_explicit(&s->last_usec, to->time_usec, memory_order_relaxed);
        /* The commit: from here on the record is part of the history. */
        atomic_store_explicit(&s->count, count + 1, memory_order_release);

        h->last_kind = to->kind;
        if (ret_overwritten)
                *ret_overwritten = overwritten;
        return h->next_seq++;
}

int history_reader_fd(struct history *h) {
        return h->reader_fd;
}

int history_sync_fd(struct history *h) {
        return h->fd;
}

uint64_t history_next_seq(const struct history *h) {
        return h->next_seq;
}

unsigned history_last_kind(const struct history *h) {
        return h->last_kind;
}

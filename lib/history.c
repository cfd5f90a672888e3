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

struct interned {
        uint64_t key;
        uint64_t first_seq; /* of the segment that offset is good for */
        uint32_t offset;
};

struct history {
        int fd;
        int reader_fd;
        int lock_fd;
        uint8_t *map;
        size_t size;
        uint32_t n_segments;
        uint32_t current;
        uint64_t next_seq;
        unsigned last_kind;
        uint64_t rule_first_seq; /* the last rule that was stored, where, and in which segment */
        uint32_t rule_offset;
        char rule_text[256];
        struct interned interned[INTERNED];
};

static struct segment *segment_at(const struct history *h, uint32_t index) {
        return (struct segment *) (h->map + (size_t) index * HISTORY_SEGMENT_SIZE);
}

static void segment_format(struct segment *s, uint32_t index, uint32_t n, uint64_t first_seq) {
        uint64_t generation = atomic_load_explicit(&s->generation, memory_order_relaxed);

        /* Readers see an odd generation from before the first change to after the last. */
        atomic_store_explicit(&s->generation, generation | 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        atomic_store_explicit(&s->count, 0, memory_order_relaxed);
        s->magic = HISTORY_MAGIC;
        s->version = HISTORY_VERSION;
        s->size = HISTORY_SEGMENT_SIZE;
        s->index = index;
        s->n_segments = n;
        s->first_seq = first_seq;
        atomic_store_explicit(&s->entries, HISTORY_SEGMENT_SIZE, memory_order_relaxed);
        atomic_store_explicit(&s->first_usec, UINT64_MAX, memory_order_relaxed);
        atomic_store_explicit(&s->last_usec, 0, memory_order_relaxed);
        s->checksum = segment_checksum(s);
        atomic_store_explicit(&s->generation, (generation | 1) + 1, memory_order_release);
}

/* How many records from the first on are whole: what a crash or a power loss has left. */
static uint64_t segment_whole(const struct segment *s) {
        const struct record *records = segment_records(s);
        uint64_t i;

        for (i = 0; i < SEGMENT_RECORDS_MAX; i++)
                if (records[i].seq != s->first_seq + i ||
                    records[i].checksum !=
                            record_checksum(&records[i], offsetof(struct record, checksum)))
                        break;
        return i;
}

/*
 * After a power loss entries may lie lower than the header knows: the room that the records name is
 * what counts.
 */
static void segment_mend(struct segment *s, uint64_t count) {
        const struct record *records = segment_records(s);
        uint64_t entries = atomic_load(&s->entries), first = UINT64_MAX, last = 0;

        if (entries > HISTORY_SEGMENT_SIZE || entries < sizeof(*s))
                entries = HISTORY_SEGMENT_SIZE;
        for (uint64_t i = 0; i < count; i++) {
                const struct record *r = &records[i];

                if (r->owner != OWNER_NONE && r->owner < entries)
                        entries = r->owner;
                if (r->rule != 0 && r->rule < entries)
                        entries = r->rule;
                if (r->time_usec < first)
                        first = r->time_usec;
                if (r->time_usec > last)
                        last = r->time_usec;
        }
        if (entries < sizeof(*s) + count * sizeof(struct record))
                entries = sizeof(*s) + count * sizeof(struct record);
        atomic_store(&s->entries, entries & ~7ULL);
        atomic_store(&s->first_usec, first);
        atomic_store(&s->last_usec, last);
        atomic_store(&s->count, count);
}

/* Finds the newest segment and cuts its tail at the first record that is not whole. */
static int history_recover(struct history *h) {
        uint64_t newest_first = 0;

        for (uint32_t i = 0; i < h->n_segments; i++) {
                struct segment *s = segment_at(h, i);

                if (!segment_valid(s, i, h->n_segments))
                        return -EBADMSG;
                if (atomic_load(&s->generation) & 1)
                        /* Killed while recycling it: what it held was about to go anyway. */
                        segment_format(s, i, h->n_segments, 0);
                if (atomic_load(&s->count) > SEGMENT_RECORDS_MAX)
                        segment_mend(s, segment_whole(s));
                if (s->first_seq > newest_first) {
                        newest_first = s->first_seq;
                        h->current = i;
                }
        }

        if (newest_first == 0)
                segment_format(segment_at(h, 0), 0, h->n_segments, h->next_seq);
        else
                segment_mend(segment_at(h, h->current), segment_whole(segment_at(h, h->current)));

        for (uint32_t i = 0; i < h->n_segments; i++) {
                const struct segment *s = segment_at(h, i);
                uint64_t count = atomic_load(&s->count);

                if (s->first_seq == 0)
                        continue;
                if (s->first_seq + count > h->next_seq)
                        h->next_seq = s->first_seq + count;
                if (count > 0 && s->first_seq + count == h->next_seq)
                        h->last_kind = segment_records(s)[count - 1].kind;
        }
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

        h->fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (h->fd < 0)
                return errno == ELOOP ? -EBADMSG : -errno;
        if (fstat(h->fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size != h->size)
                r = -EBADMSG;
        else
                r = map_file(h);
        if (r >= 0)
                r = history_recover(h);
        if (r < 0)
                unmap_file(h);
        return r;
}

/* The sequence goes on over a file that had to be set aside, as far as it can be read. */
static uint64_t next_seq_of(int dir_fd, const char *name) {
        struct history_reader reader;
        struct history_bounds bounds = { .next_seq = 1 };
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return 1;
        if (history_reader_open(&reader, fd) >= 0) {
                history_bounds(&reader, &bounds);
                history_reader_close(&reader);
        }
        close(fd);
        return bounds.next_seq;
}

static int set_aside(int dir_fd, const char *name) {
        char aside[NAME_MAX + 1];

        for (unsigned i = 1; i <= SET_ASIDE_MAX; i++) {
                if (snprintf(aside, sizeof(aside), "%s.damaged-%u", name, i) >= (int) sizeof(aside))
                        return -ENAMETOOLONG;
                if (i == SET_ASIDE_MAX || faccessat(dir_fd, aside, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                        break;
        }
        return renameat(dir_fd, name, dir_fd, aside) < 0 ? -errno : 0;
}

/* A file appears under its name only when it is allocated and formatted. */
static int create_new(struct history *h, int dir_fd, const char *name) {
        char temporary[NAME_MAX + 1];
        int r;

        if (snprintf(temporary, sizeof(temporary), "%s.new", name) >= (int) sizeof(temporary))
                return -ENAMETOOLONG;
        h->fd = openat(dir_fd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                       0640);
        if (h->fd < 0)
                return -errno;
        r = -posix_fallocate(h->fd, 0, (off_t) h->size);
        if (r == 0)
                r = map_file(h);
        if (r >= 0) {
                for (uint32_t i = 0; i < h->n_segments; i++)
                        segment_format(segment_at(h, i), i, h->n_segments, 0);
                r = history_recover(h);
        }
        if (r >= 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
                r = -errno;
        if (r < 0) {
                unlinkat(dir_fd, temporary, 0);
                unmap_file(h);
        }
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
        if (r == -EBADMSG) {
                h->next_seq = next_seq_of(dir_fd, name);
                r = set_aside(dir_fd, name);
                if (r < 0)
                        goto fail;
                aside = true;
                r = -ENOENT;
        }
        if (r == -ENOENT)
                r = create_new(h, dir_fd, name);
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
        e->checksum = entry_checksum(e);
        atomic_store_explicit(&s->entries, offset, memory_order_relaxed);
        return (uint32_t) offset;
}

static struct interned *interned_slot(struct history *h, uint64_t key) {
        return &h->interned[(key * 0x9E3779B97F4A7C15ULL) >> 52];
}
_Static_assert(INTERNED == 1U << (64 - 52), "the hash above fills the table");

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
        }

        to = (struct record *) (s + 1) + count;
        *to = *r;
        to->seq = h->next_seq;
        to->reserved = to->reserved2 = 0;
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

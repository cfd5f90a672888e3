/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live.h"

/* Storage is taken this many slots at a time. */
#define CHUNK_SLOTS 256U
#define READ_TRIES  64U

static const size_t slot_size[LIVE_EXTENT_MAX] = {
        [LIVE_LISTENERS] = sizeof(struct record),
        [LIVE_CONNECTIONS] = sizeof(struct record),
        [LIVE_OWNERS] = sizeof(struct live_owner),
        [LIVE_RULES] = sizeof(struct live_rule),
};

static uint64_t round_up(uint64_t n, uint64_t unit) {
        return (n + unit - 1) / unit * unit;
}

static void point_at_extents(struct live *l, void *map) {
        l->header = map;
        l->slots[LIVE_LISTENERS] =
                (struct record *) ((uint8_t *) map + l->header->offset[LIVE_LISTENERS]);
        l->slots[LIVE_CONNECTIONS] =
                (struct record *) ((uint8_t *) map + l->header->offset[LIVE_CONNECTIONS]);
        l->owners = (struct live_owner *) ((uint8_t *) map + l->header->offset[LIVE_OWNERS]);
        l->rules = (struct live_rule *) ((uint8_t *) map + l->header->offset[LIVE_RULES]);
}

int live_create(struct live *ret, int fd, uint64_t listeners, uint64_t connections,
                uint64_t owners) {
        struct live l = { .fd = fd };
        uint64_t capacity[LIVE_EXTENT_MAX], offset[LIVE_EXTENT_MAX], end = LIVE_HEADER_SIZE;
        void *map;
        int r;

        capacity[LIVE_LISTENERS] = round_up(listeners, CHUNK_SLOTS);
        capacity[LIVE_CONNECTIONS] = round_up(connections, CHUNK_SLOTS);
        capacity[LIVE_OWNERS] = round_up(owners, CHUNK_SLOTS);
        capacity[LIVE_RULES] = LIVE_RULES_MAX;
        for (unsigned e = 0; e < LIVE_EXTENT_MAX; e++) {
                if (capacity[e] == 0 || capacity[e] >= UINT32_MAX)
                        return -EINVAL;
                offset[e] = end;
                end += capacity[e] * slot_size[e];
        }
        l.size = end;

        if (fd >= 0) {
                if (ftruncate(fd, (off_t) l.size) < 0)
                        return -errno;
                r = posix_fallocate(fd, 0, LIVE_HEADER_SIZE);
                if (r != 0)
                        return -r;
                map = mmap(NULL, l.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        } else
                map = mmap(NULL, l.size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
                return -errno;

        l.header = map;
        for (unsigned e = 0; e < LIVE_EXTENT_MAX; e++) {
                l.header->offset[e] = offset[e];
                l.header->capacity[e] = capacity[e];
                l.free_slots[e] = malloc(capacity[e] * sizeof(uint32_t));
                if (!l.free_slots[e]) {
                        live_close(&l);
                        return -ENOMEM;
                }
        }
        l.header->version = LIVE_VERSION;
        l.header->header_size = LIVE_HEADER_SIZE;
        point_at_extents(&l, map);
        /* The magic comes last: a file without it is not yet a table. */
        atomic_thread_fence(memory_order_release);
        l.header->magic = LIVE_MAGIC;
        *ret = l;
        return 0;
}

int live_open(struct live *ret, int fd) {
        struct live l = { .fd = -1 };
        struct stat st;
        void *map;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < (off_t) LIVE_HEADER_SIZE)
                return -EBADMSG;
        map = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return -errno;
        l.header = map;
        l.size = (size_t) st.st_size;

        if (l.header->magic != LIVE_MAGIC || l.header->version != LIVE_VERSION ||
            l.header->header_size != LIVE_HEADER_SIZE)
                goto bad;
        for (unsigned e = 0; e < LIVE_EXTENT_MAX; e++) {
                uint64_t offset = l.header->offset[e], capacity = l.header->capacity[e];

                if (offset < LIVE_HEADER_SIZE || offset % 64 != 0 || offset > l.size ||
                    capacity > UINT32_MAX || capacity > (l.size - offset) / slot_size[e])
                        goto bad;
        }
        point_at_extents(&l, map);
        *ret = l;
        return 0;
bad:
        munmap(map, l.size);
        return -EBADMSG;
}

void live_close(struct live *l) {
        if (l->header)
                munmap(l->header, l->size);
        for (unsigned e = 0; e < LIVE_EXTENT_MAX; e++)
                free(l->free_slots[e]);
        *l = (struct live){ .fd = -1 };
}

/* Backs the next chunk of an extent, so that writing to it can never raise SIGBUS. */
static int grow(struct live *l, enum live_extent extent) {
        uint64_t start = l->header->offset[extent] + l->allocated[extent] * slot_size[extent];
        int r;

        if (l->allocated[extent] >= l->header->capacity[extent])
                return -ENOSPC;
        if (l->fd >= 0) {
                r = posix_fallocate(l->fd, (off_t) start,
                                    (off_t) (CHUNK_SLOTS * slot_size[extent]));
                if (r != 0)
                        return -ENOSPC;
        }
        l->allocated[extent] += CHUNK_SLOTS;
        return 0;
}

int live_take(struct live *l, enum live_extent extent, uint32_t *ret_slot) {
        uint64_t used;

        if (l->n_free[extent] > 0) {
                *ret_slot = l->free_slots[extent][--l->n_free[extent]];
                return 0;
        }
        used = atomic_load_explicit(&l->header->used[extent], memory_order_relaxed);
        if (used >= l->allocated[extent]) {
                int r = grow(l, extent);

                if (r < 0)
                        return r;
        }
        atomic_store_explicit(&l->header->used[extent], used + 1, memory_order_release);
        *ret_slot = (uint32_t) used;
        return 0;
}

static uint64_t write_begin(_Atomic uint64_t *version) {
        uint64_t v = atomic_load_explicit(version, memory_order_relaxed);

        atomic_store_explicit(version, v + 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        return v + 2;
}

static void write_end(_Atomic uint64_t *version, uint64_t next) {
        atomic_store_explicit(version, next, memory_order_release);
}

static bool counts(const struct record *r) {
        return r->kind != RECORD_NONE && !(r->flags & RECORD_PENDING);
}

static bool is_unexpected(enum live_extent extent, const struct record *r) {
        return extent == LIVE_LISTENERS && counts(r) && r->flags & RECORD_JUDGED &&
               !(r->flags & RECORD_EXPECTED);
}

void live_write(struct live *l, enum live_extent extent, uint32_t slot, const struct record *r) {
        struct record *s = &l->slots[extent][slot];
        _Atomic uint64_t *version = (_Atomic uint64_t *) &s->seq;
        int delta = (int) counts(r) - (int) counts(s);
        int unexpected = (int) is_unexpected(extent, r) - (int) is_unexpected(extent, s);
        uint64_t next = write_begin(version);

        memcpy((uint8_t *) s + sizeof(s->seq), (const uint8_t *) r + sizeof(r->seq),
               sizeof(*r) - sizeof(r->seq));
        write_end(version, next);
        if (delta != 0)
                live_add(&l->header->count[extent], (uint64_t) (int64_t) delta);
        if (unexpected != 0)
                live_add(&l->header->unexpected, (uint64_t) (int64_t) unexpected);
}

void live_write_owner(struct live *l, uint32_t slot, const struct owner *o) {
        struct live_owner *s = &l->owners[slot];
        uint64_t next = write_begin(&s->version);

        s->owner = *o;
        write_end(&s->version, next);
}

int live_write_rule(struct live *l, uint32_t number, const char *text) {
        struct live_rule *s;
        uint64_t next;
        int r;

        if (number == 0 || number > LIVE_RULES_MAX)
                return -ERANGE;
        while (number > l->allocated[LIVE_RULES]) {
                r = grow(l, LIVE_RULES);
                if (r < 0)
                        return r;
        }
        s = &l->rules[number - 1];
        next = write_begin(&s->version);
        memset(s->text, 0, sizeof(s->text));
        memcpy(s->text, text, strnlen(text, sizeof(s->text) - 1));
        write_end(&s->version, next);
        /* Readers look no further than what has storage. */
        if (number > live_used(l, LIVE_RULES))
                atomic_store_explicit(&l->header->used[LIVE_RULES], number, memory_order_release);
        return 0;
}

void live_release(struct live *l, enum live_extent extent, uint32_t slot) {
        if (extent < LIVE_OWNERS) {
                struct record *s = &l->slots[extent][slot];
                _Atomic uint64_t *version = (_Atomic uint64_t *) &s->seq;
                uint64_t next = write_begin(version);

                if (counts(s))
                        live_add(&l->header->count[extent], -1ULL);
                if (is_unexpected(extent, s))
                        live_add(&l->header->unexpected, -1ULL);
                s->kind = RECORD_NONE;
                write_end(version, next);
        }
        l->free_slots[extent][l->n_free[extent]++] = slot;
}

/*
 * The fences pair with write_begin() and write_end(). The copy itself is plain: it may race with
 * the writer, and is thrown away when the version says that it did.
 */
__attribute__((no_sanitize("thread"))) static bool
copy_consistently(const _Atomic uint64_t *version, void *to, const void *from, size_t size,
                  uint64_t *ret_version) {
        uint64_t before = atomic_load_explicit(version, memory_order_acquire);

        if (before & 1)
                return false;
        memcpy(to, from, size);
        atomic_thread_fence(memory_order_acquire);
        *ret_version = before;
        return atomic_load_explicit(version, memory_order_relaxed) == before;
}

/* Whatever the file holds, they end. */
static void end_texts(struct owner *o) {
        o->name[sizeof(o->name) - 1] = 0;
        o->executable[sizeof(o->executable) - 1] = 0;
        o->unit[sizeof(o->unit) - 1] = 0;
        o->container[sizeof(o->container) - 1] = 0;
}

int live_read(const struct live *l, enum live_extent extent, uint32_t slot, struct record *ret,
              struct owner *ret_owner) {
        const struct record *s = &l->slots[extent][slot];
        const _Atomic uint64_t *version = (const _Atomic uint64_t *) &s->seq;

        for (unsigned i = 0; i < READ_TRIES; i++) {
                struct owner owner = { .uid = UID_UNKNOWN };
                struct record copy;
                uint64_t v, owner_version;

                if (!copy_consistently(version, &copy, s, sizeof(copy), &v))
                        continue;
                if (!counts(&copy))
                        return 0;
                /* Asked only now: the record may name an owner that is newer than this call. */
                if (copy.owner < live_used(l, LIVE_OWNERS)) {
                        const struct live_owner *o = &l->owners[copy.owner];

                        if (!copy_consistently(&o->version, &owner, &o->owner, sizeof(owner),
                                               &owner_version))
                                continue;
                        /*
                         * An owner's slot is kept while a socket names it: if the socket still is
                         * the one that was read, so is its owner.
                         */
                        if (atomic_load_explicit(version, memory_order_acquire) != v)
                                continue;
                        end_texts(&owner);
                }
                *ret = copy;
                *ret_owner = owner;
                return 1;
        }
        return 0;
}

int live_read_holder(const struct live *l, uint32_t slot, const struct record *r,
                     struct owner *ret_holder) {
        const struct record *s = &l->slots[LIVE_LISTENERS][slot];
        const struct live_owner *o;
        struct owner holder;
        uint64_t v;

        if (r->holder >= live_used(l, LIVE_OWNERS))
                return 0;
        o = &l->owners[r->holder];
        for (unsigned i = 0; i < READ_TRIES; i++) {
                if (!copy_consistently(&o->version, &holder, &o->owner, sizeof(holder), &v))
                        continue;
                /* As for owners: it is the right one if the socket still is what it was. */
                if (atomic_load_explicit((const _Atomic uint64_t *) &s->seq,
                                         memory_order_acquire) != r->seq)
                        return 0;
                end_texts(&holder);
                *ret_holder = holder;
                return 1;
        }
        return 0;
}

void live_read_rule(const struct live *l, uint32_t number, char ret[static LIVE_RULE_TEXT]) {
        char text[LIVE_RULE_TEXT];
        uint64_t v;

        ret[0] = 0;
        if (number == 0 || number > live_used(l, LIVE_RULES))
                return;
        for (unsigned i = 0; i < READ_TRIES; i++)
                if (copy_consistently(&l->rules[number - 1].version, text,
                                      l->rules[number - 1].text, sizeof(text), &v)) {
                        text[sizeof(text) - 1] = 0;
                        memcpy(ret, text, sizeof(text));
                        return;
                }
}

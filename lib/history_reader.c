/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "history_format.h"

#define READ_TRIES 64U

static const struct segment *segment_at(const struct history_reader *r, uint32_t index) {
        return (const struct segment *) (r->map + (size_t) index * HISTORY_SEGMENT_SIZE);
}

int history_reader_open(struct history_reader *ret, int fd) {
        struct history_reader r = {};
        struct stat st;
        void *map;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < (off_t) HISTORY_SEGMENT_SIZE || st.st_size % HISTORY_SEGMENT_SIZE != 0 ||
            st.st_size / HISTORY_SEGMENT_SIZE > UINT32_MAX)
                return -EBADMSG;
        r.size = (size_t) st.st_size;
        r.n_segments = (uint32_t) (r.size / HISTORY_SEGMENT_SIZE);
        map = mmap(NULL, r.size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return -errno;
        r.map = map;
        for (uint32_t i = 0; i < r.n_segments; i++)
                if (segment_at(&r, i)->magic != HISTORY_MAGIC ||
                    segment_at(&r, i)->version != HISTORY_VERSION) {
                        munmap(map, r.size);
                        return -EBADMSG;
                }
        *ret = r;
        return 0;
}

void history_reader_close(struct history_reader *r) {
        if (r->map)
                munmap((void *) (uintptr_t) r->map, r->size);
        *r = (struct history_reader){};
}

/* What a segment held at one moment. */
struct glance {
        uint64_t generation;
        uint64_t first_seq;
        uint64_t count;
        uint64_t first_usec;
        uint64_t last_usec;
};

/*
 * False while it is being recycled, when it was never used, and when its header is damaged: what it
 * then says of its sequence would lead astray.
 */
static bool glance_at(const struct history_reader *r, uint32_t index, struct glance *ret) {
        const struct segment *s = segment_at(r, index);

        for (unsigned i = 0; i < READ_TRIES; i++) {
                uint64_t generation = atomic_load_explicit(&s->generation, memory_order_acquire);
                bool valid;

                if (generation & 1)
                        continue;
                valid = segment_valid(s, index, r->n_segments);
                ret->generation = generation;
                ret->first_seq = s->first_seq;
                ret->count = atomic_load_explicit(&s->count, memory_order_acquire);
                ret->first_usec = atomic_load_explicit(&s->first_usec, memory_order_relaxed);
                ret->last_usec = atomic_load_explicit(&s->last_usec, memory_order_relaxed);
                atomic_thread_fence(memory_order_acquire);
                if (atomic_load_explicit(&s->generation, memory_order_relaxed) == generation)
                        return valid && ret->first_seq != 0 && ret->count <= SEGMENT_RECORDS_MAX;
        }
        return false;
}

void history_bounds(const struct history_reader *r, struct history_bounds *ret) {
        struct history_bounds b = { .oldest_seq = UINT64_MAX, .next_seq = 1 };

        for (uint32_t i = 0; i < r->n_segments; i++) {
                struct glance g;

                if (!glance_at(r, i, &g))
                        continue;
                if (g.count > 0 && g.first_seq < b.oldest_seq) {
                        b.oldest_seq = g.first_seq;
                        b.oldest_usec = g.first_usec;
                }
                if (g.first_seq + g.count > b.next_seq)
                        b.next_seq = g.first_seq + g.count;
        }
        if (b.oldest_seq > b.next_seq)
                b.oldest_seq = b.next_seq;
        *ret = b;
}

void history_seek(struct history_cursor *c, const struct history_reader *r, uint64_t seq,
                  bool backward) {
        *c = (struct history_cursor){
                .reader = r,
                .next = seq,
                .limit = backward ? 1 : UINT64_MAX,
                .until_usec = UINT64_MAX,
                .backward = backward,
        };
}

static bool cursor_at_end(const struct history_cursor *c) {
        return c->backward ? c->next < c->limit || c->next == 0 : c->next >= c->limit;
}

/* The segment that holds the record to read next, or else the nearest one in the direction. */
static bool cursor_find(const struct history_cursor *c, uint32_t *ret_index, struct glance *ret) {
        bool found = false;

        for (uint32_t i = 0; i < c->reader->n_segments; i++) {
                struct glance g;
                bool nearer;

                if (!glance_at(c->reader, i, &g) || g.count == 0)
                        continue;
                if (c->backward)
                        nearer = g.first_seq <= c->next && (!found || g.first_seq > ret->first_seq);
                else
                        nearer = g.first_seq + g.count > c->next &&
                                 (!found || g.first_seq < ret->first_seq);
                if (nearer) {
                        *ret = g;
                        *ret_index = i;
                        found = true;
                }
        }
        return found;
}

/*
 * Stands the cursor in the segment to read from, counting what is missing on the way and passing
 * over those that hold nothing of the time that is asked for. False at the end.
 */
static bool cursor_enter(struct history_cursor *c) {
        while (!cursor_at_end(c)) {
                struct glance g = {};
                uint32_t index = 0;

                if (!cursor_find(c, &index, &g))
                        return false;
                if (!c->backward && c->next < g.first_seq) {
                        uint64_t to = g.first_seq < c->limit ? g.first_seq : c->limit;

                        c->lost += to - c->next;
                        c->next = to;
                        if (cursor_at_end(c))
                                return false;
                } else if (c->backward && c->next >= g.first_seq + g.count)
                        c->next = g.first_seq + g.count - 1;

                if (g.last_usec >= c->since_usec && g.first_usec <= c->until_usec) {
                        c->segment = index;
                        c->generation = g.generation;
                        c->first_seq = g.first_seq;
                        c->count = g.count;
                        return true;
                }
                /* None of it is wanted. */
                c->next = c->backward ? g.first_seq - 1 : g.first_seq + g.count;
        }
        return false;
}

static bool cursor_unchanged(const struct history_cursor *c) {
        const struct segment *s = segment_at(c->reader, c->segment);

        atomic_thread_fence(memory_order_acquire);
        return atomic_load_explicit(&s->generation, memory_order_relaxed) == c->generation;
}

/* Copies an entry's strings; leaves them empty when it is not whole. */
static const uint8_t *entry_at(const struct segment *s, uint64_t first_seq, uint32_t offset,
                               unsigned type, uint8_t buffer[static 1024]) {
        const struct entry *e;
        uint16_t size;

        if (offset % 8 != 0 || offset < sizeof(*s) || offset > HISTORY_SEGMENT_SIZE - sizeof(*e))
                return NULL;
        e = (const struct entry *) ((const uint8_t *) s + offset);
        /* Read once: it may change between the check and the copy. */
        size = *(const volatile uint16_t *) &e->size;
        if (size < sizeof(*e) || size > 1024 || size > HISTORY_SEGMENT_SIZE - offset)
                return NULL;
        memcpy(buffer, e, size);
        e = (const struct entry *) buffer;
        if (e->size != size || e->type != type || e->checksum != entry_checksum(e, first_seq) ||
            sizeof(*e) + e->name_size + e->executable_size + e->unit_size + e->container_size >
                    size)
                return NULL;
        return buffer + sizeof(*e);
}

static void copy_text(char *to, size_t to_size, const uint8_t **from, uint16_t size) {
        size_t n = size < to_size ? size : to_size - 1;

        memcpy(to, *from, n);
        to[n] = 0;
        *from += size;
}

static void read_owner(const struct segment *s, uint64_t first_seq, uint32_t offset,
                       struct owner *ret) {
        _Alignas(8) uint8_t buffer[1024];
        const struct entry *e = (const struct entry *) buffer;
        const uint8_t *text = entry_at(s, first_seq, offset, ENTRY_OWNER, buffer);

        *ret = (struct owner){ .uid = UID_UNKNOWN };
        if (!text)
                return;
        ret->start_ns = e->start_ns;
        ret->pid = e->pid;
        ret->uid = e->uid;
        copy_text(ret->name, sizeof(ret->name), &text, e->name_size);
        copy_text(ret->executable, sizeof(ret->executable), &text, e->executable_size);
        copy_text(ret->unit, sizeof(ret->unit), &text, e->unit_size);
        copy_text(ret->container, sizeof(ret->container), &text, e->container_size);
}

static void read_rule(const struct segment *s, uint64_t first_seq, uint32_t offset,
                      char ret[static 256]) {
        _Alignas(8) uint8_t buffer[1024];
        const uint8_t *text = entry_at(s, first_seq, offset, ENTRY_RULE, buffer);

        ret[0] = 0;
        if (text)
                copy_text(ret, 256, &text, ((const struct entry *) buffer)->name_size);
}

/* A record at the cursor that is whole, wanted and still there; the caller moves on otherwise. */
enum outcome_of_read { READ_GOOD, READ_SKIP, READ_DAMAGED, READ_RECYCLED };

__attribute__((no_sanitize("thread"))) static enum outcome_of_read
cursor_read(const struct history_cursor *c, history_peek_fn peek, void *userdata,
            struct record *ret, struct owner *ret_owner, char ret_rule[static 256]) {
        const struct segment *s = segment_at(c->reader, c->segment);
        const struct record *r = &segment_records(s)[c->next - c->first_seq];
        struct record copy;

        if (peek && !peek(r, userdata))
                return cursor_unchanged(c) ? READ_SKIP : READ_RECYCLED;
        copy = *r;
        if (copy.owner != OWNER_NONE)
                read_owner(s, c->first_seq, copy.owner, ret_owner);
        else
                *ret_owner = (struct owner){ .uid = UID_UNKNOWN };
        if (copy.rule != 0)
                read_rule(s, c->first_seq, copy.rule, ret_rule);
        else
                ret_rule[0] = 0;
        if (!cursor_unchanged(c))
                return READ_RECYCLED;
        if (copy.seq != c->next ||
            copy.checksum != record_checksum(&copy, offsetof(struct record, checksum)))
                return READ_DAMAGED;
        if (copy.time_usec < c->since_usec || copy.time_usec > c->until_usec)
                return READ_SKIP;
        *ret = copy;
        return READ_GOOD;
}

static bool cursor_inside(const struct history_cursor *c) {
        return c->next >= c->first_seq && c->next - c->first_seq < c->count;
}

int history_next(struct history_cursor *c, history_peek_fn peek, void *userdata, uint64_t *budget,
                 struct record *ret, struct owner *ret_owner, char ret_rule[static 256]) {
        for (;;) {
                enum outcome_of_read outcome;

                if (cursor_at_end(c))
                        return 0;
                if (!cursor_inside(c)) {
                        if (!cursor_enter(c))
                                return 0;
                        continue; /* it may stand behind the limit now */
                }
                if (*budget == 0)
                        return -EAGAIN;
                (*budget)--;

                outcome = cursor_read(c, peek, userdata, ret, ret_owner, ret_rule);
                if (outcome == READ_RECYCLED) {
                        c->count = 0;
                        continue;
                }
                if (outcome == READ_DAMAGED)
                        c->lost++;
                c->next += c->backward ? -1ULL : 1ULL;
                if (outcome == READ_GOOD)
                        return 1;
        }
}

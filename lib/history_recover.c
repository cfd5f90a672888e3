/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "history_format.h"

void segment_format(struct segment *s, uint32_t index, uint32_t n, uint64_t first_seq) {
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

bool segment_record_whole(const struct segment *s, uint64_t i) {
        const struct record *r = &segment_records(s)[i];

        return r->seq == s->first_seq + i &&
               r->checksum == record_checksum(r, offsetof(struct record, checksum));
}

/*
 * The number of records up to the last whole one: what a crash or a power loss has left. Of those
 * before it some may be damaged; they keep their numbers, so that none is given twice. The room of
 * the entries is not searched, for their text is others' to choose, unless the header contradicts
 * itself.
 */
static uint64_t segment_extent(const struct segment *s) {
        uint64_t entries = atomic_load(&s->entries), count = atomic_load(&s->count);
        uint64_t n = SEGMENT_RECORDS_MAX;

        if (count <= n && entries >= sizeof(*s) + count * sizeof(struct record) &&
            entries <= HISTORY_SEGMENT_SIZE)
                n = (entries - sizeof(*s)) / sizeof(struct record);
        while (n > 0 && !segment_record_whole(s, n - 1))
                n--;
        return n;
}

/*
 * Sets what the header says of the segment's contents to what the first count records say of them.
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

                if (!segment_record_whole(s, i))
                        continue;
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

/* The greatest number of all that looks like a record, whatever the header says; 0: nothing does.
 */
static uint64_t segment_greatest(const struct segment *s) {
        const struct record *records = segment_records(s);
        uint64_t greatest = 0;

        for (uint64_t i = 0; i < SEGMENT_RECORDS_MAX; i++)
                if (records[i].seq > greatest &&
                    records[i].checksum ==
                            record_checksum(&records[i], offsetof(struct record, checksum)))
                        greatest = records[i].seq;
        return greatest;
}

/*
 * A segment whose recycling was cut short by a kill, which left its header half written. Returns
 * the greatest number in it: if that is not long past, it was damage and no kill.
 */
static uint64_t segment_finish(struct segment *s, uint32_t index, uint32_t n) {
        uint64_t generation = atomic_load(&s->generation), greatest = 0;

        if (segment_valid(s, index, n) && atomic_load(&s->count) > 0)
                /* Nothing was changed yet. */
                atomic_store(&s->generation, generation + 1);
        else {
                /* What it held was about to go anyway. */
                greatest = segment_greatest(s);
                segment_format(s, index, n, 0);
        }
        return greatest;
}

int history_recover(uint8_t *map, uint32_t n_segments, struct recovered *io) {
        const struct segment *newest = NULL;
        uint64_t gone = 0;

        for (uint32_t i = 0; i < n_segments; i++) {
                struct segment *s = segment_in(map, i);

                if (segment_placed(s, i, n_segments) && atomic_load(&s->generation) & 1) {
                        uint64_t greatest = segment_finish(s, i, n_segments);

                        gone = greatest > gone ? greatest : gone;
                }
                if (!segment_valid(s, i, n_segments))
                        return -EBADMSG;
                if (s->first_seq != 0 && (!newest || s->first_seq > newest->first_seq)) {
                        newest = s;
                        io->current = i;
                }
        }

        if (!newest)
                segment_format(segment_in(map, 0), 0, n_segments, io->next_seq);
        else
                segment_mend(segment_in(map, io->current), segment_extent(newest));

        for (uint32_t i = 0; i < n_segments; i++) {
                struct segment *s = segment_in(map, i);
                const struct segment *next = segment_in(map, (i + 1) % n_segments);
                uint64_t count = atomic_load(&s->count), room = next->first_seq - s->first_seq;

                if (s->first_seq == 0)
                        continue;
                if (i != io->current && next->first_seq > s->first_seq && count != room)
                        segment_mend(s, room < SEGMENT_RECORDS_MAX ? room : SEGMENT_RECORDS_MAX);
                else if (count > SEGMENT_RECORDS_MAX)
                        segment_mend(s, segment_extent(s));
                count = atomic_load(&s->count);
                if (s->first_seq + count > io->next_seq)
                        io->next_seq = s->first_seq + count;
        }
        for (uint32_t i = 0; i < n_segments; i++) {
                const struct segment *s = segment_in(map, i);
                uint64_t count = atomic_load(&s->count);

                if (count > 0 && s->first_seq + count == io->next_seq)
                        io->last_kind = segment_records(s)[count - 1].kind;
        }
        /* The newest was damaged and is gone: its numbers are not given again. */
        if (gone >= io->next_seq && gone - io->next_seq < n_segments * SEGMENT_RECORDS_MAX)
                io->next_seq = gone + SEGMENT_RECORDS_MAX;
        return 0;
}

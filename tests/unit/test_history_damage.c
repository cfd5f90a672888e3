/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "chronicle.h"

#include <sys/mman.h>

/*
 * A small history over three segments, damaged at a place that is drawn, opened, read both ways and
 * written to; then the same again from what it was. Whatever is damaged, what is read is right.
 */

#define RECORDS_EACH 100U
#define RECORDS      (HISTORY_SEGMENTS_MIN * RECORDS_EACH)
#define NEW_RECORDS  3U

struct patient {
        struct scratch scratch;
        uint8_t *whole; /* the file as it was written */
        uint8_t *map;   /* the file */
        int fd;
};

static struct segment *segment_of(uint8_t *map, uint32_t index) {
        return (struct segment *) (map + (size_t) index * HISTORY_SEGMENT_SIZE);
}

static int make_patient(void **state) {
        struct patient *p = calloc(1, sizeof(*p));
        struct history *h = NULL;
        bool aside;

        assert_non_null(p);
        scratch_make(&p->scratch);
        for (uint32_t i = 0; i < HISTORY_SEGMENTS_MIN; i++) {
                assert_int_equal(
                        history_open(&h, p->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside), 0);
                for (unsigned k = 0; k < RECORDS_EACH; k++)
                        chronicle_append(h, NULL);
                h = history_close(h);
                if (i == 0) {
                        p->fd = openat(p->scratch.fd, CHRONICLE_NAME, O_RDWR | O_CLOEXEC);
                        p->map = mmap(NULL, CHRONICLE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                                      p->fd, 0);
                        assert_true(p->map != MAP_FAILED);
                }
                /* As if long strings had taken its room; some is left in the newest. */
                segment_of(p->map, i)->entries =
                        sizeof(struct segment) + (i == HISTORY_SEGMENTS_MIN - 1 ? 10 : 1) *
                                                         RECORDS_EACH * sizeof(struct record);
        }
        p->whole = malloc(CHRONICLE_SIZE);
        assert_non_null(p->whole);
        memcpy(p->whole, p->map, CHRONICLE_SIZE);
        *state = p;
        return 0;
}

static int remove_patient(void **state) {
        struct patient *p = *state;

        munmap(p->map, CHRONICLE_SIZE);
        close(p->fd);
        free(p->whole);
        scratch_remove(&p->scratch);
        free(p);
        return 0;
}

/* What opening and appending can have changed, and what the test has. */
static void restore(struct patient *p, size_t at, size_t size) {
        for (uint32_t i = 0; i < HISTORY_SEGMENTS_MIN; i++)
                memcpy(segment_of(p->map, i), segment_of(p->whole, i), sizeof(struct segment));
        memset(segment_of(p->map, HISTORY_SEGMENTS_MIN - 1) + 1 + RECORDS_EACH, 0,
               9 * RECORDS_EACH * sizeof(struct record));
        memcpy(p->map + at, p->whole + at, size);
}

struct finding {
        bool aside;
        uint64_t read;
        uint64_t lost;
        uint64_t nameless; /* without the owner or the rule that it had */
        uint64_t next_seq;
};

/* Each record is right, but for an owner or a rule that could not be read. NULL, or what is wrong.
 */
static const char *read_all(const struct history_reader *reader, bool backward, uint64_t first,
                            struct finding *f) {
        static const struct owner none = { .uid = UID_UNKNOWN };
        uint64_t budget = 1000000, last = 0;
        struct history_cursor c;
        struct record r;
        struct owner o;
        char rule[256];
        int found;

        history_seek(&c, reader, backward ? UINT64_MAX : first, backward);
        f->read = f->nameless = 0;
        while ((found = history_next(&c, NULL, NULL, &budget, &r, &o, rule)) > 0) {
                const char *wrong = chronicle_wrong(&r, &o, rule);

                if (wrong && strcmp(wrong, "owner") == 0 && memcmp(&o, &none, sizeof(o)) == 0) {
                        o = chronicle_owner(chronicle_owner_number(r.seq));
                        wrong = chronicle_wrong(&r, &o, rule);
                        f->nameless++;
                }
                if (wrong && strcmp(wrong, "rule") == 0 && rule[0] == 0) {
                        f->nameless++;
                        wrong = NULL;
                }
                if (wrong)
                        return wrong;
                if (last != 0 && (backward ? r.seq >= last : r.seq <= last))
                        return "order";
                last = r.seq;
                f->read++;
        }
        f->lost = c.lost;
        return found < 0 ? "no end" : NULL;
}

static struct finding examine(struct patient *p, const char *what, uint64_t seed) {
        struct finding f = {}, back = {};
        struct history_reader reader;
        struct history *h = NULL;
        const char *wrong;
        int r;

        r = history_open(&h, p->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &f.aside);
        if (r < 0)
                fail_msg("%s, seed %" PRIu64 ": %s", what, seed, strerror(-r));
        f.next_seq = history_next_seq(h);
        for (unsigned i = 0; i < NEW_RECORDS; i++)
                assert_int_equal(chronicle_append(h, NULL), f.next_seq + i);
        assert_int_equal(history_reader_open(&reader, history_reader_fd(h)), 0);
        wrong = read_all(&reader, false, f.aside ? f.next_seq : 1, &f);
        if (!wrong)
                wrong = read_all(&reader, true, 1, &back);
        if (wrong)
                fail_msg("%s, seed %" PRIu64 ": %s", what, seed, wrong);
        if (back.read != f.read)
                fail_msg("%s, seed %" PRIu64 ": %" PRIu64 " forward, %" PRIu64 " backward", what,
                         seed, f.read, back.read);
        history_reader_close(&reader);
        history_close(h);
        if (f.aside)
                assert_int_equal(renameat(p->scratch.fd, CHRONICLE_NAME ".damaged-1", p->scratch.fd,
                                          CHRONICLE_NAME),
                                 0);
        return f;
}

static void test_whole(void **state) {
        struct finding f = examine(*state, "whole", 0);

        restore(*state, 0, 0);
        assert_false(f.aside);
        assert_int_equal(f.read, RECORDS + NEW_RECORDS);
        assert_int_equal(f.lost, 0);
        assert_int_equal(f.nameless, 0);
        assert_int_equal(f.next_seq, RECORDS + 1);
}

static void flip(struct patient *p, const char *what, size_t at, unsigned bit, uint64_t seed) {
        struct finding f;

        p->map[at] ^= (uint8_t) (1U << bit);
        f = examine(p, what, seed);
        restore(p, at, 1);
        /*
         * One bit costs one record, or the names of those that share an entry, or nothing, unless
         * the whole has to be set aside; no number that had been given is given again, but for that
         * of a damaged last record.
         */
        if (f.aside ? f.read != NEW_RECORDS : f.read + 1 < RECORDS + NEW_RECORDS)
                fail_msg("%s, seed %" PRIu64 ": %" PRIu64 " read, %" PRIu64 " lost", what, seed,
                         f.read, f.lost);
        if (f.next_seq < RECORDS || (f.next_seq == RECORDS && f.read != RECORDS - 1 + NEW_RECORDS))
                fail_msg("%s, seed %" PRIu64 ": goes on with %" PRIu64, what, seed, f.next_seq);
}

/* Each bit of a header. */
static void test_header_bits(void **state) {
        for (uint32_t i = 0; i < HISTORY_SEGMENTS_MIN; i++)
                for (size_t bit = 0; bit < sizeof(struct segment) * 8; bit++)
                        flip(*state, "header", i * (size_t) HISTORY_SEGMENT_SIZE + bit / 8, bit % 8,
                             i * 10000 + bit);
}

static void test_record_bits(void **state) {
        for (uint64_t seed = 1; seed <= 4000; seed++) {
                uint64_t s = seed;
                size_t at = unit_below(&s, HISTORY_SEGMENTS_MIN) * HISTORY_SEGMENT_SIZE +
                            sizeof(struct segment) +
                            unit_below(&s, RECORDS_EACH * sizeof(struct record));

                flip(*state, "record", at, (unsigned) unit_below(&s, 8), seed);
        }
}

static void test_entry_bits(void **state) {
        struct patient *p = *state;

        for (uint64_t seed = 1; seed <= 3000; seed++) {
                uint64_t s = seed, i = unit_below(&s, HISTORY_SEGMENTS_MIN);
                size_t at = (i + 1) * HISTORY_SEGMENT_SIZE - 1 - unit_below(&s, 12000);

                flip(p, "entry", at, (unsigned) unit_below(&s, 8), seed);
        }
}

/* Blocks of a disk: lost, filled with something else, or some other block's. */
static void test_blocks(void **state) {
        struct patient *p = *state;
        uint64_t aside = 0, read = 0;

        for (uint64_t seed = 1; seed <= 3000; seed++) {
                uint64_t s = seed, i = unit_below(&s, HISTORY_SEGMENTS_MIN), from;
                size_t size = 512U << unit_below(&s, 4), at;
                struct finding f;

                /* Where something is: the front of a segment or its end. */
                at = i * HISTORY_SEGMENT_SIZE +
                     (unit_below(&s, 3) ? unit_below(&s, 16384)
                                        : HISTORY_SEGMENT_SIZE - 1 - unit_below(&s, 16384));
                at = at / 512 * 512;
                if (at + size > CHRONICLE_SIZE)
                        size = CHRONICLE_SIZE - at;
                switch (unit_below(&s, 3)) {
                case 0:
                        memset(p->map + at, 0, size);
                        break;
                case 1:
                        unit_random_fill(&s, p->map + at, size);
                        break;
                default:
                        from = unit_below(&s, (CHRONICLE_SIZE - size) / 512) * 512;
                        if (unit_below(&s, 2))
                                from = at % HISTORY_SEGMENT_SIZE; /* the same place elsewhere */
                        memcpy(p->map + at, p->whole + from, size);
                }
                f = examine(p, "block", seed);
                restore(p, at, size);
                aside += f.aside;
                read += f.read;
                if (f.next_seq > RECORDS + 1 + HISTORY_SEGMENTS_MIN * SEGMENT_RECORDS_MAX)
                        fail_msg("block, seed %" PRIu64 ": goes on with %" PRIu64, seed,
                                 f.next_seq);
        }
        assert_true(aside > 100 && aside < 2900);
        assert_true(read > 3000 * RECORDS / 4);
}

/* The mark of a power loss: newer pages of the newest segment are there and older ones are not. */
static void test_torn_tail(void **state) {
        struct patient *p = *state;
        struct segment *newest = segment_of(p->map, HISTORY_SEGMENTS_MIN - 1);
        const struct record *records = segment_records(newest);

        for (unsigned gone = 0; gone < RECORDS_EACH; gone++) {
                size_t at = (size_t) ((const uint8_t *) &records[gone] - p->map);
                struct finding f;

                memset(p->map + at, 0, sizeof(struct record));
                /* A count of long ago, and of a header that was written and contents that were not.
                 */
                newest->count = gone % 3 == 0 ? 5 : gone % 3 == 1 ? SEGMENT_RECORDS_MAX : 2000;
                newest->entries = HISTORY_SEGMENT_SIZE;
                f = examine(p, "power loss", gone);
                restore(p, at, sizeof(struct record));
                assert_false(f.aside);
                assert_int_equal(f.read, RECORDS - 1 + NEW_RECORDS);
                assert_int_equal(f.lost, gone < RECORDS_EACH - 1);
                /* What is new has not been written over the owners that are named. */
                assert_int_equal(f.nameless, 0);
                assert_int_equal(f.next_seq, gone < RECORDS_EACH - 1 ? RECORDS + 1 : RECORDS);
        }
}

/* A header that has its entries lie on the records: nothing is written over either. */
static void test_entries_on_records(void **state) {
        static const uint64_t places[] = { 0, 8, 100, 128, 136, 4096, 12800, 12920, 12927 };
        struct patient *p = *state;

        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
                struct finding f;

                segment_of(p->map, HISTORY_SEGMENTS_MIN - 1)->entries = places[i];
                f = examine(p, "entries", i);
                memcpy(p->map, p->whole, CHRONICLE_SIZE);
                assert_false(f.aside);
                assert_int_equal(f.next_seq, RECORDS + 1);
                assert_int_equal(f.nameless, 0);
                /* There was room for the new ones behind, or the oldest segment made room. */
                assert_true(f.read == RECORDS + NEW_RECORDS ||
                            f.read == RECORDS - RECORDS_EACH + NEW_RECORDS);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_header_bits),
                cmocka_unit_test(test_record_bits),
                cmocka_unit_test(test_entry_bits),
                cmocka_unit_test(test_blocks),
                cmocka_unit_test(test_torn_tail),
                cmocka_unit_test(test_entries_on_records),
        };

        return cmocka_run_group_tests(tests, make_patient, remove_patient);
}

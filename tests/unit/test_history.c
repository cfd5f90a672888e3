/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "chronicle.h"

#include <sys/stat.h>

/* Reading and writing of a history that nothing has happened to. */

struct book {
        struct scratch scratch;
        struct history *history;
        struct history_reader reader;
};

static int open_book(void **state) {
        struct book *b = calloc(1, sizeof(*b));
        bool aside = true;

        assert_non_null(b);
        scratch_make(&b->scratch);
        assert_int_equal(
                history_open(&b->history, b->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside),
                0);
        assert_false(aside);
        assert_int_equal(history_reader_open(&b->reader, history_reader_fd(b->history)), 0);
        *state = b;
        return 0;
}

static int close_book(void **state) {
        struct book *b = *state;

        history_reader_close(&b->reader);
        history_close(b->history);
        scratch_remove(&b->scratch);
        free(b);
        return 0;
}

static uint64_t append_many(struct book *b, uint64_t n) {
        uint64_t overwritten, sum = 0;

        for (uint64_t i = 0; i < n; i++) {
                uint64_t seq = history_next_seq(b->history);

                overwritten = 4711;
                assert_int_equal(chronicle_append(b->history, &overwritten), seq);
                assert_int_not_equal(overwritten, 4711);
                sum += overwritten;
        }
        return sum;
}

static void assert_tour(struct history_cursor *c, uint64_t first, uint64_t last) {
        struct chronicle_tour t = {};
        const char *wrong = chronicle_read(c, &t);

        if (wrong)
                fail_msg("%s wrong after %" PRIu64, wrong, c->next);
        assert_int_equal(t.first, first);
        assert_int_equal(t.last, last);
        assert_int_equal(t.read, first == 0     ? 0
                                 : last > first ? last - first + 1
                                                : first - last + 1);
}

static void test_empty(void **state) {
        struct book *b = *state;
        struct history_bounds bounds;
        struct history_cursor c;

        assert_int_equal(history_next_seq(b->history), 1);
        assert_int_equal(history_last_kind(b->history), RECORD_NONE);
        history_bounds(&b->reader, &bounds);
        assert_int_equal(bounds.oldest_seq, 1);
        assert_int_equal(bounds.next_seq, 1);
        assert_int_equal(bounds.oldest_usec, 0);
        history_seek(&c, &b->reader, 1, false);
        assert_tour(&c, 0, 0);
        history_seek(&c, &b->reader, UINT64_MAX, true);
        assert_tour(&c, 0, 0);
        assert_int_equal(c.lost, 0);
}

static void test_one(void **state) {
        struct book *b = *state;
        struct record in = { .kind = RECORD_START,
                             .time_usec = 5,
                             .holder = 1,
                             .reserved2 = 2,
                             .checksum = 3,
                             .seq = 99,
                             .owner = 7,
                             .rule = 8 };
        struct history_bounds bounds;
        struct history_cursor c;
        uint64_t budget = 10;
        struct record out;
        struct owner owner;
        char rule[256];

        assert_int_equal(history_append(b->history, &in, NULL, 0, NULL, NULL), 1);
        assert_int_equal(history_next_seq(b->history), 2);
        assert_int_equal(history_last_kind(b->history), RECORD_START);
        history_bounds(&b->reader, &bounds);
        assert_int_equal(bounds.oldest_seq, 1);
        assert_int_equal(bounds.next_seq, 2);
        assert_int_equal(bounds.oldest_usec, 5);

        history_seek(&c, &b->reader, 1, false);
        memset(&owner, 0xAA, sizeof(owner));
        memset(rule, 0xAA, sizeof(rule));
        assert_int_equal(history_next(&c, NULL, NULL, &budget, &out, &owner, rule), 1);
        assert_int_equal(budget, 9);
        /* seq, id, owner and rule are given by the history, what is reserved is zero. */
        assert_int_equal(out.seq, 1);
        assert_int_equal(out.id, 1);
        assert_int_equal(out.owner, OWNER_NONE);
        assert_int_equal(out.rule, 0);
        assert_int_equal(out.holder, OWNER_NONE);
        assert_int_equal(out.reserved2, 0);
        assert_int_equal(owner.uid, UID_UNKNOWN);
        assert_int_equal(owner.pid, 0);
        assert_string_equal(owner.name, "");
        assert_string_equal(rule, "");
        assert_int_equal(history_next(&c, NULL, NULL, &budget, &out, &owner, rule), 0);

        /* The same cursor goes on with what has come since. */
        in.id = 1;
        assert_int_equal(history_append(b->history, &in, NULL, 0, "tcp/22", NULL), 2);
        assert_int_equal(history_next(&c, NULL, NULL, &budget, &out, &owner, rule), 1);
        assert_int_equal(out.seq, 2);
        assert_int_equal(out.id, 1);
        assert_string_equal(rule, "tcp/22");
}

static void test_both_ways(void **state) {
        struct book *b = *state;
        struct history_cursor c;

        assert_int_equal(append_many(b, 3000), 0);
        history_seek(&c, &b->reader, 1, false);
        assert_tour(&c, 1, 3000);
        history_seek(&c, &b->reader, 0, false);
        assert_tour(&c, 1, 3000);
        history_seek(&c, &b->reader, 1777, false);
        assert_tour(&c, 1777, 3000);
        history_seek(&c, &b->reader, 3001, false);
        assert_tour(&c, 0, 0);
        history_seek(&c, &b->reader, UINT64_MAX, true);
        assert_tour(&c, 3000, 1);
        history_seek(&c, &b->reader, 1777, true);
        assert_tour(&c, 1777, 1);
        history_seek(&c, &b->reader, 0, true);
        assert_tour(&c, 0, 0);
        assert_int_equal(c.lost, 0);
}

static void test_limits(void **state) {
        struct book *b = *state;
        struct history_cursor c;

        append_many(b, 1000);
        history_seek(&c, &b->reader, 1, false);
        c.limit = 500;
        assert_tour(&c, 1, 499);
        assert_tour(&c, 0, 0);
        c.limit = 900;
        assert_tour(&c, 500, 899);
        history_seek(&c, &b->reader, 700, false);
        c.limit = 700;
        assert_tour(&c, 0, 0);

        history_seek(&c, &b->reader, UINT64_MAX, true);
        c.limit = 300;
        assert_tour(&c, 1000, 300);
        assert_tour(&c, 0, 0);
        c.limit = 0;
        assert_tour(&c, 299, 1);
}

static bool is_open(const struct record *r, void *userdata) {
        (*(unsigned *) userdata)++;
        return r->kind == RECORD_OPEN;
}

static void test_peek_and_budget(void **state) {
        struct book *b = *state;
        uint64_t budget = 0, n = 0, opens = 0, calls = 0;
        unsigned peeked = 0;
        struct history_cursor c;
        struct record r;
        struct owner o;
        char rule[256];
        int found;

        append_many(b, 5000);
        for (uint64_t seq = 1; seq <= 5000; seq++)
                opens += chronicle_record(seq).kind == RECORD_OPEN;
        assert_true(opens > 100);

        history_seek(&c, &b->reader, 1, false);
        assert_int_equal(history_next(&c, is_open, &peeked, &budget, &r, &o, rule), -EAGAIN);
        assert_int_equal(peeked, 0);
        do {
                budget = 7;
                while ((found = history_next(&c, is_open, &peeked, &budget, &r, &o, rule)) > 0) {
                        assert_int_equal(r.kind, RECORD_OPEN);
                        assert_null(chronicle_wrong(&r, &o, rule));
                        n++;
                }
                calls++;
                if (found == -EAGAIN)
                        assert_int_equal(budget, 0);
        } while (found == -EAGAIN);
        assert_int_equal(found, 0);
        assert_int_equal(n, opens);
        assert_int_equal(peeked, 5000);
        assert_in_range(calls, 5000 / 7, 5000 / 7 + 1);
}

/* Owners are stored once a segment, by key; the same key in a new segment is stored again. */
static void test_interning(void **state) {
        struct book *b = *state;
        struct owner a = chronicle_owner(11), other = chronicle_owner(12);
        struct record r = { .kind = RECORD_OPEN };
        const struct segment *s = (const struct segment *) b->reader.map;
        uint64_t entries;

        history_append(b->history, &r, &a, 1, NULL, NULL);
        entries = s->entries;
        assert_true(entries < HISTORY_SEGMENT_SIZE);
        for (unsigned i = 0; i < 100; i++)
                history_append(b->history, &r, &a, 1, NULL, NULL);
        assert_int_equal(s->entries, entries);
        /* A key of the same place in the table of keys, then the first again: right, if not once.
         */
        history_append(b->history, &r, &other, 1 + 4096, NULL, NULL);
        assert_true(s->entries < entries);
        history_append(b->history, &r, &a, 1, NULL, NULL);
        entries = s->entries;
        /* Without a key each is stored for itself. */
        history_append(b->history, &r, &a, 0, NULL, NULL);
        assert_true(s->entries < entries);
        entries = s->entries;
        history_append(b->history, &r, NULL, 0, "a rule", NULL);
        assert_true(s->entries < entries);
        entries = s->entries;
        history_append(b->history, &r, NULL, 0, "a rule", NULL);
        assert_int_equal(s->entries, entries);

        for (uint64_t seq = 1; seq <= 106; seq++) {
                struct history_cursor c;
                uint64_t budget = 1;
                struct record out;
                struct owner got;
                char rule[256];

                history_seek(&c, &b->reader, seq, false);
                assert_int_equal(history_next(&c, NULL, NULL, &budget, &out, &got, rule), 1);
                if (seq == 102)
                        assert_memory_equal(&got, &other, sizeof(got));
                else if (seq <= 104)
                        assert_memory_equal(&got, &a, sizeof(got));
                else
                        assert_string_equal(rule, "a rule");
        }
}

/* The longest strings there can be, and a rule that is longer than there can be. */
static void test_longest(void **state) {
        struct book *b = *state;
        struct record r = { .kind = RECORD_LISTEN }, out;
        struct owner o = { .pid = 1 }, got;
        char rule[400], got_rule[256];
        struct history_cursor c;
        uint64_t budget = UINT64_MAX;

        memset(o.name, 'n', sizeof(o.name) - 1);
        memset(o.executable, 'e', sizeof(o.executable) - 1);
        memset(o.unit, 'u', sizeof(o.unit) - 1);
        memset(o.container, 'c', sizeof(o.container) - 1);
        memset(rule, 'r', sizeof(rule) - 1);
        rule[sizeof(rule) - 1] = 0;
        /* Enough of them for a segment and a half: the room must be reckoned right at the end too.
         */
        for (unsigned i = 0; i < 8000; i++) {
                rule[0] = (char) ('a' + i % 26);
                history_append(b->history, &r, &o, 0, rule, NULL);
        }
        history_seek(&c, &b->reader, 1, false);
        for (unsigned i = 0; i < 8000; i++) {
                assert_int_equal(history_next(&c, NULL, NULL, &budget, &out, &got, got_rule), 1);
                assert_memory_equal(&o, &got, sizeof(o));
                assert_int_equal(strlen(got_rule), 255);
                assert_int_equal(got_rule[0], 'a' + i % 26);
        }
        assert_int_equal(history_next(&c, NULL, NULL, &budget, &out, &got, got_rule), 0);
        assert_int_equal(c.lost, 0);

        /* Strings without their NUL (which an owner should not have) are cut, not run over. */
        memset(&o, 'x', sizeof(o));
        history_append(b->history, &r, &o, 0, "", NULL);
        assert_int_equal(history_next(&c, NULL, NULL, &budget, &out, &got, got_rule), 1);
        assert_int_equal(strlen(got.name), sizeof(o.name) - 1);
        assert_int_equal(strlen(got.container), sizeof(o.container) - 1);
        assert_string_equal(got_rule, "");
}

static void test_since_until(void **state) {
        static const struct {
                uint64_t since, until;
        } cases[] = {
                { 0, UINT64_MAX },    { 1000500, UINT64_MAX }, { 0, 1000500 },
                { 1005000, 1005000 }, { 1100000, 1200000 },    { 1300000, 1700000 },
                { 0, 999000 },        { 9000000, UINT64_MAX }, { 1200000, 1100000 },
        };
        struct book *b = *state;
        const uint64_t n = 60000;

        append_many(b, n);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                for (int backward = 0; backward < 2; backward++) {
                        struct history_bounds bounds;
                        struct history_cursor c;
                        struct chronicle_tour t = {};
                        uint64_t expected = 0;

                        history_bounds(&b->reader, &bounds);
                        for (uint64_t seq = bounds.oldest_seq; seq <= n; seq++) {
                                uint64_t time = chronicle_record(seq).time_usec;

                                expected += time >= cases[i].since && time <= cases[i].until;
                        }
                        history_seek(&c, &b->reader, backward ? n : bounds.oldest_seq, backward);
                        c.since_usec = cases[i].since;
                        c.until_usec = cases[i].until;
                        assert_null(chronicle_read(&c, &t));
                        assert_int_equal(t.read, expected);
                        assert_int_equal(t.lost, 0);
                }
}

static void test_wrap(void **state) {
        struct book *b = *state;
        uint64_t next = 1, overwritten = 0, read = 0, lost = 0;
        struct history_bounds bounds;
        struct history_cursor c;

        /* One cursor that comes by seldom, over several laps; what it missed it says. */
        history_seek(&c, &b->reader, 1, false);
        for (unsigned round = 1; round <= 12; round++) {
                struct chronicle_tour t = {};

                overwritten += append_many(b, 4000 * round);
                next = history_next_seq(b->history);
                history_bounds(&b->reader, &bounds);
                assert_int_equal(bounds.next_seq, next);
                assert_int_equal(bounds.oldest_seq, overwritten + 1);
                c.lost = 0;
                assert_null(chronicle_read(&c, &t));
                read += t.read;
                lost += t.lost;
                assert_int_equal(read + lost, next - 1);
                if (t.read > 0)
                        assert_int_equal(t.last, next - 1);

                /* Both ways through all that is there. */
                history_seek(&c, &b->reader, UINT64_MAX, true);
                assert_tour(&c, next - 1, bounds.oldest_seq);
                history_seek(&c, &b->reader, 1, false);
                assert_tour(&c, bounds.oldest_seq, next - 1);
                assert_int_equal(c.lost, bounds.oldest_seq - 1);
        }
        assert_true(overwritten > 3 * SEGMENT_RECORDS_MAX);
        assert_true(lost > 0 && read > 0);
}

/* Only what the caller asked for can be lost to it. */
static void test_lost_within_limit(void **state) {
        struct book *b = *state;
        struct history_bounds bounds;
        struct history_cursor c;

        append_many(b, 100000);
        history_bounds(&b->reader, &bounds);
        assert_true(bounds.oldest_seq > 1000);
        history_seek(&c, &b->reader, 101, false);
        c.limit = 201;
        assert_tour(&c, 0, 0);
        assert_int_equal(c.lost, 100);

        history_seek(&c, &b->reader, bounds.oldest_seq - 10, false);
        c.limit = bounds.oldest_seq + 10;
        assert_tour(&c, bounds.oldest_seq, bounds.oldest_seq + 9);
        assert_int_equal(c.lost, 10);
}

/* A cursor whose segment is taken from under it, either way. */
static void test_overtaken(void **state) {
        struct book *b = *state;
        struct history_cursor forward, backward;
        struct history_bounds bounds;
        uint64_t budget = 10;
        struct record r;
        struct owner o;
        char rule[256];

        append_many(b, 20000);
        history_seek(&forward, &b->reader, 100, false);
        history_seek(&backward, &b->reader, 5000, true);
        assert_int_equal(history_next(&forward, NULL, NULL, &budget, &r, &o, rule), 1);
        assert_int_equal(history_next(&backward, NULL, NULL, &budget, &r, &o, rule), 1);
        assert_int_equal(r.seq, 5000);
        append_many(b, 60000);
        history_bounds(&b->reader, &bounds);
        assert_true(bounds.oldest_seq > 5000);
        assert_int_equal(history_next(&forward, NULL, NULL, &budget, &r, &o, rule), 1);
        assert_int_equal(r.seq, bounds.oldest_seq);
        assert_int_equal(forward.lost, bounds.oldest_seq - 101);
        assert_null(chronicle_wrong(&r, &o, rule));
        assert_int_equal(history_next(&backward, NULL, NULL, &budget, &r, &o, rule), 0);
}

static void test_reader_refuses(void **state) {
        struct book *b = *state;
        struct history_reader reader = { .n_segments = 4711 };
        uint64_t magic = __builtin_bswap64(HISTORY_MAGIC);
        int fd = openat(b->scratch.fd, "other", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct segment head;

        assert_true(fd >= 0);
        assert_int_equal(history_reader_open(&reader, fd), -EBADMSG);
        assert_int_equal(history_reader_open(&reader, -1), -EBADF);
        assert_int_equal(history_reader_open(&reader, b->scratch.fd), -EBADMSG);
        assert_int_equal(ftruncate(fd, HISTORY_SEGMENT_SIZE - 1), 0);
        assert_int_equal(history_reader_open(&reader, fd), -EBADMSG);
        assert_int_equal(ftruncate(fd, HISTORY_SEGMENT_SIZE), 0);
        assert_int_equal(history_reader_open(&reader, fd), -EBADMSG);
        memcpy(&head, b->reader.map, sizeof(head));
        assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
        assert_int_equal(history_reader_open(&reader, fd), 0);
        history_reader_close(&reader);
        history_reader_close(&reader);
        reader.n_segments = 4711;
        assert_int_equal(pwrite(fd, &magic, sizeof(magic), 0), sizeof(magic));
        assert_int_equal(history_reader_open(&reader, fd), -EBADMSG);
        head.version++;
        assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
        assert_int_equal(history_reader_open(&reader, fd), -EBADMSG);
        assert_int_equal(ftruncate(fd, 2 * HISTORY_SEGMENT_SIZE + 4096), 0);
        assert_int_equal(history_reader_open(&reader, fd), -EBADMSG);
        assert_int_equal(reader.n_segments, 4711);
        close(fd);
}

/* The answerer gets a descriptor that it cannot write through. */
static void test_reader_fd(void **state) {
        struct book *b = *state;
        int fd = history_reader_fd(b->history);
        struct stat ours, theirs;

        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(write(fd, "x", 1), -1);
        assert_int_equal(fstat(fd, &theirs), 0);
        assert_int_equal(fstat(history_sync_fd(b->history), &ours), 0);
        assert_int_equal(ours.st_ino, theirs.st_ino);
        assert_int_equal(ours.st_size, CHRONICLE_SIZE);
        assert_int_equal(ours.st_mode & 07777 & ~0640U, 0);
        /* All of it is there: writing can never run out of room. */
        assert_true(ours.st_blocks * 512 >= (off_t) CHRONICLE_SIZE);
}

#define BOOK(test) cmocka_unit_test_setup_teardown(test, open_book, close_book)

int main(void) {
        const struct CMUnitTest tests[] = {
                BOOK(test_empty),
                BOOK(test_one),
                BOOK(test_both_ways),
                BOOK(test_limits),
                BOOK(test_peek_and_budget),
                BOOK(test_interning),
                BOOK(test_longest),
                BOOK(test_since_until),
                BOOK(test_wrap),
                BOOK(test_lost_within_limit),
                BOOK(test_overtaken),
                BOOK(test_reader_refuses),
                BOOK(test_reader_fd),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "livedata.h"

#include <sys/wait.h>

/* A reader in another process, while the table changes under it. */

#define CHURN_ROUNDS 300000U
#define CHURN_SLOTS  40U

/* What the reader says when it ends; in memory that both share. */
struct report {
        _Atomic uint32_t stop;
        _Atomic uint64_t read;
        _Atomic uint64_t with_owner;
        _Atomic uint64_t torn;
        _Atomic uint64_t mixed;
        _Atomic uint64_t ownerless; /* a record that has an owner, shown without */
};

/* opened_usec is the number of the owner, bytes_sent the checksum of the rest. */
static uint32_t content_of(const struct record *r) {
        struct record copy = *r;

        copy.seq = copy.bytes_sent = 0;
        return record_checksum(&copy, sizeof(copy));
}

static void read_all(const struct live *l, struct report *report) {
        uint64_t used = live_used(l, LIVE_CONNECTIONS);

        for (uint32_t slot = 0; slot < used; slot++) {
                struct record r;
                struct owner o;

                if (live_read(l, LIVE_CONNECTIONS, slot, &r, &o) <= 0)
                        continue;
                report->read++;
                if (content_of(&r) != r.bytes_sent)
                        report->torn++;
                else if (r.owner == OWNER_NONE)
                        report->mixed += !owner_is_none(&o);
                else if (owner_is_none(&o))
                        report->ownerless++;
                else {
                        report->mixed += !owner_is(&o, r.opened_usec);
                        report->with_owner++;
                }
        }
}

static _Noreturn void reader_process(int fd, struct report *report) {
        struct live l;

        if (live_open(&l, fd) < 0)
                _exit(1);
        while (!report->stop)
                read_all(&l, report);
        read_all(&l, report);
        live_close(&l);
        _exit(0);
}

/* Sockets come and go, each with an owner of its own that goes with it. */
static void churn(struct live *l, uint64_t rounds) {
        uint32_t slots[CHURN_SLOTS], owners[CHURN_SLOTS];
        bool there[CHURN_SLOTS] = { false };

        for (uint64_t round = 1, seed = 99; round <= rounds; round++) {
                unsigned i = (unsigned) unit_below(&seed, CHURN_SLOTS);
                struct record r = record_of(round);
                struct owner o = owner_of(round);
                uint32_t old = OWNER_NONE;

                if (there[i] && unit_below(&seed, 2)) {
                        live_release(l, LIVE_CONNECTIONS, slots[i]);
                        if (owners[i] != OWNER_NONE)
                                live_release(l, LIVE_OWNERS, owners[i]);
                        there[i] = false;
                        continue;
                }
                if (there[i])
                        old = owners[i];
                else
                        assert_int_equal(live_take(l, LIVE_CONNECTIONS, &slots[i]), 0);
                owners[i] = OWNER_NONE;
                if (unit_below(&seed, 8)) {
                        assert_int_equal(live_take(l, LIVE_OWNERS, &owners[i]), 0);
                        live_write_owner(l, owners[i], &o);
                }
                r.owner = owners[i];
                r.opened_usec = round;
                r.bytes_sent = content_of(&r);
                live_write(l, LIVE_CONNECTIONS, slots[i], &r);
                /* The old owner's slot is free as soon as no socket names it. */
                if (old != OWNER_NONE)
                        live_release(l, LIVE_OWNERS, old);
                there[i] = true;
        }
}

/* One socket whose owner is always a slot that was never used before. */
static void grow_owners(struct live *l, uint64_t rounds) {
        uint32_t slot, owner;

        assert_int_equal(live_take(l, LIVE_CONNECTIONS, &slot), 0);
        for (uint64_t round = 1; round <= rounds; round++) {
                struct record r = record_of(round);
                struct owner o = owner_of(round);

                assert_int_equal(live_take(l, LIVE_OWNERS, &owner), 0);
                live_write_owner(l, owner, &o);
                r.owner = owner;
                r.opened_usec = round;
                r.bytes_sent = content_of(&r);
                live_write(l, LIVE_CONNECTIONS, slot, &r);
        }
}

/*
 * One socket that changes its owner as fast as can be between two slots, so that the one a reader
 * is about to look at is somebody else's by then.
 */
static void swap_owners(struct live *l, uint64_t rounds) {
        enum { PREPARED = 64 };
        static struct record records[PREPARED];
        static struct owner prepared[PREPARED];
        uint32_t slot, owners[2];

        assert_int_equal(live_take(l, LIVE_CONNECTIONS, &slot), 0);
        assert_int_equal(live_take(l, LIVE_OWNERS, &owners[0]), 0);
        assert_int_equal(live_take(l, LIVE_OWNERS, &owners[1]), 0);
        for (unsigned i = 0; i < PREPARED; i++) {
                prepared[i] = owner_of(i + 1);
                records[i] = record_of(i + 1);
                records[i].owner = owners[i % 2];
                records[i].opened_usec = i + 1;
                records[i].bytes_sent = content_of(&records[i]);
        }
        for (uint64_t round = 0; round < rounds; round++) {
                live_write_owner(l, owners[round % 2], &prepared[round % PREPARED]);
                live_write(l, LIVE_CONNECTIONS, slot, &records[round % PREPARED]);
        }
}

static void run_beside_reader(void (*writer)(struct live *l, uint64_t rounds), uint64_t rounds) {
        struct report *report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int fd = table_file(), status;
        struct live l;
        pid_t pid;

        assert_true(report != MAP_FAILED);
        assert_int_equal(live_create(&l, fd, 1, CHURN_SLOTS, CHURN_ROUNDS), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                reader_process(fd, report);
        writer(&l, rounds);
        report->stop = 1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        print_message("# %" PRIu64 " read, %" PRIu64 " with owners\n", report->read,
                      report->with_owner);
        assert_int_equal(report->torn, 0);
        assert_int_equal(report->mixed, 0);
        assert_int_equal(report->ownerless, 0);
        assert_true(report->with_owner > 0);
        live_close(&l);
        close(fd);
        munmap(report, sizeof(*report));
}

static void test_reader_beside_churn(void **state) {
        (void) state;
        run_beside_reader(churn, CHURN_ROUNDS);
}

static void test_reader_beside_growth(void **state) {
        (void) state;
        run_beside_reader(grow_owners, CHURN_ROUNDS / 4);
}

static void test_reader_beside_swaps(void **state) {
        (void) state;
        run_beside_reader(swap_owners, 10 * CHURN_ROUNDS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reader_beside_churn),
                cmocka_unit_test(test_reader_beside_growth),
                cmocka_unit_test(test_reader_beside_swaps),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

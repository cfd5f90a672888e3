/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "chronicle.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/*
 * A writer that is killed, and one that is read while it writes, in processes of their own. What a
 * child has to say it says in memory that it shares with the test.
 */

#define DEADLINE_NS 20000000000U

struct report {
        _Atomic uint64_t committed; /* the newest sequence number that was returned */
        _Atomic uint32_t done;
        _Atomic uint32_t failed;
        char why[128];
};

struct crash {
        struct scratch scratch;
        struct report *report;
};

static int begin(void **state) {
        struct crash *c = calloc(1, sizeof(*c));

        assert_non_null(c);
        scratch_make(&c->scratch);
        c->report = mmap(NULL, sizeof(*c->report), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(c->report != MAP_FAILED);
        *state = c;
        return 0;
}

static int end(void **state) {
        struct crash *c = *state;

        munmap(c->report, sizeof(*c->report));
        scratch_remove(&c->scratch);
        free(c);
        return 0;
}

/*
 * Everything that the history says it holds is there and right (of the newest so many it is read),
 * and nothing that was committed is missing at its end: what is new may be one that the writer
 * could not report any more.
 */
static void assert_survived(struct history *h, uint64_t newest, uint64_t committed,
                            const char *when, uint64_t at) {
        struct history_reader reader;
        struct history_bounds bounds;
        struct history_cursor c;
        struct chronicle_tour t = {};
        const char *wrong;
        uint64_t from;

        assert_int_equal(history_reader_open(&reader, history_reader_fd(h)), 0);
        history_bounds(&reader, &bounds);
        from = bounds.next_seq - bounds.oldest_seq > newest ? bounds.next_seq - newest
                                                            : bounds.oldest_seq;
        history_seek(&c, &reader, from, false);
        wrong = chronicle_read(&c, &t);
        history_reader_close(&reader);
        if (wrong)
                fail_msg("%s %" PRIu64 ": %s wrong at %" PRIu64, when, at, wrong, c.next);
        if (history_next_seq(h) <= committed || history_next_seq(h) > committed + 2)
                fail_msg("%s %" PRIu64 ": goes on with %" PRIu64 " after %" PRIu64, when, at,
                         history_next_seq(h), committed);
        if (t.lost != 0 || t.read != bounds.next_seq - from ||
            (t.read > 0 && t.last != history_next_seq(h) - 1) ||
            bounds.next_seq != history_next_seq(h))
                fail_msg("%s %" PRIu64 ": %" PRIu64 " read, %" PRIu64 " lost, of %" PRIu64
                         " to %" PRIu64,
                         when, at, t.read, t.lost, from, bounds.next_seq);
        /* No more than the segment that was being recycled may go: a lap has some 30,000. */
        if (bounds.next_seq > 40000)
                assert_true(bounds.next_seq - bounds.oldest_seq > 15000);
}

static struct history *reopen(struct crash *c, const char *when, uint64_t at) {
        struct history *h = NULL;
        bool aside = true;
        int r = history_open(&h, c->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside);

        if (r < 0)
                fail_msg("%s %" PRIu64 ": %s", when, at, strerror(-r));
        if (aside)
                fail_msg("%s %" PRIu64 ": set aside", when, at);
        return h;
}

static void kill_and_wait(pid_t pid) {
        int status;

        assert_int_equal(kill(pid, SIGKILL), 0);
        do
                assert_int_equal(waitpid(pid, &status, 0), pid);
        while (WIFSTOPPED(status));
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static const struct segment *segment_of(const struct history_reader *r, uint32_t index) {
        return (const struct segment *) (r->map + (size_t) index * HISTORY_SEGMENT_SIZE);
}

static void wait_for_commit(struct crash *c, uint64_t seq, uint64_t seed) {
        uint64_t deadline = unit_now_ns() + DEADLINE_NS;

        while (c->report->committed < seq) {
                if (c->report->failed)
                        fail_msg("seed %" PRIu64 ": %s", seed, c->report->why);
                if (unit_now_ns() > deadline)
                        fail_msg("seed %" PRIu64 ": the writer got no further than %" PRIu64, seed,
                                 c->report->committed);
        }
}

static _Noreturn void writer_process(struct crash *c, uint64_t limit) {
        struct history *h = NULL;
        bool aside;
        int r = history_open(&h, c->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside);

        if (r < 0 || aside) {
                snprintf(c->report->why, sizeof(c->report->why), "writer: %s",
                         r < 0 ? strerror(-r) : "set aside");
                c->report->failed = 1;
                _exit(1);
        }
        while (history_next_seq(h) < limit)
                c->report->committed = chronicle_append_as(h, false, NULL);
        c->report->done = 1;
        /* The test ends it. */
        for (;;)
                pause();
}

/* The moment is drawn: so many records, then so many looks at the clock. From 0: while it opens. */
static void test_killed_at_random(void **state) {
        struct crash *c = *state;
        uint64_t committed = 0;

        for (uint64_t seed = 1; seed <= 150; seed++) {
                uint64_t s = seed, n = unit_below(&s, 4) ? unit_below(&s, 2500) : 0;
                struct history *h;
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0)
                        writer_process(c, UINT64_MAX);
                wait_for_commit(c, committed + n, seed);
                for (uint64_t spins = unit_below(&s, n ? 100 : 40000); spins > 0; spins--)
                        unit_now_ns();
                kill_and_wait(pid);

                committed = c->report->committed;
                h = reopen(c, "seed", seed);
                assert_survived(h, UINT64_MAX, committed, "seed", seed);
                committed = history_next_seq(h) - 1;
                c->report->committed = committed;
                history_close(h);
        }
        assert_true(committed > 50000);
}

/* ---- Killed after any instruction of the append that recycles a segment ---- */

/* The segment that is written to: the one with the greatest first number. */
static uint32_t newest_segment(const struct history_reader *r) {
        uint32_t newest = 0;

        for (uint32_t i = 0; i < r->n_segments; i++)
                if (segment_of(r, i)->first_seq > segment_of(r, newest)->first_seq)
                        newest = i;
        return newest;
}

static uint64_t room_of(const struct history_reader *r) {
        const struct segment *s = segment_of(r, newest_segment(r));

        return s->entries - sizeof(*s) - s->count * sizeof(struct record);
}

/* Appends up to where the next one has no room, stops, and does it when it is let go. */
static _Noreturn void brink_process(struct crash *c) {
        struct history *h = NULL;
        struct history_reader reader;
        struct record r;
        struct owner o;
        uint64_t seq, number;
        char buffer[256];
        const char *rule;
        bool aside;

        if (history_open(&h, c->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside) < 0 || aside ||
            history_reader_open(&reader, history_reader_fd(h)) < 0 ||
            ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                _exit(1);
        for (;;) {
                seq = history_next_seq(h);
                number = chronicle_owner_number(seq);
                o = chronicle_owner(number);
                r = chronicle_record(seq);
                rule = chronicle_rule(seq, buffer);
                /* Reckoned as the history does, but for what it has stored before. */
                if (room_of(&reader) < 1000 &&
                    room_of(&reader) <
                            sizeof(r) +
                                    (number ? (sizeof(struct entry) + strlen(o.name) +
                                               strlen(o.executable) + strlen(o.unit) +
                                               strlen(o.container) + 7) &
                                                      ~7UL
                                            : 0) +
                                    (rule ? (sizeof(struct entry) + strlen(rule) + 7) & ~7UL : 0))
                        break;
                c->report->committed =
                        history_append(h, &r, number ? &o : NULL, seq % 3 ? number : 0, rule, NULL);
        }
        raise(SIGSTOP);
        c->report->committed = history_append(h, &r, number ? &o : NULL, 0, rule, NULL);
        c->report->done = 1;
        raise(SIGSTOP);
        _exit(1);
}

static pid_t start_traced(void (*child)(struct crash *c), struct crash *c) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                child(c);
                _exit(1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        /* Where one may not trace there is nothing to see here. */
        if (WIFEXITED(status))
                skip();
        assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
        return pid;
}

static void brink_child(struct crash *c) {
        brink_process(c);
}

/*
 * A kill leaves the file as it is at that instruction: so the writer is led on step by step, and at
 * each that matters a copy of the file is opened, as if it had gone no further.
 */
static void test_killed_while_recycling(void **state) {
        struct crash *c = *state, copy = { .report = c->report };
        uint64_t steps = 0, opened = 0, in_recycling = 0, close_by = 0;
        struct history_reader reader;
        const struct segment *next;
        struct history *h = NULL;
        bool aside;
        pid_t pid;
        int fd;

        assert_int_equal(history_open(&h, c->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside),
                         0);
        /* A full lap first, so that there is something to recycle. */
        while (history_next_seq(h) < 40000)
                c->report->committed = chronicle_append_as(h, false, NULL);
        assert_int_equal(history_reader_open(&reader, history_reader_fd(h)), 0);
        history_close(h);

        scratch_make(&copy.scratch);
        fd = openat(copy.scratch.fd, CHRONICLE_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        pid = start_traced(brink_child, c);
        next = segment_of(&reader, (newest_segment(&reader) + 1) % reader.n_segments);
        assert_true(next->count > 1000);

        for (uint64_t generation = next->generation; !c->report->done; steps++) {
                int status;

                assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSTOPPED(status));
                in_recycling += next->generation % 2;
                if (next->generation != generation)
                        close_by = 40;
                generation = next->generation;
                if (generation % 2 == 0 && (close_by == 0 || close_by-- == 0) && steps % 32 != 0)
                        continue;

                assert_int_equal(pwrite(fd, reader.map, CHRONICLE_SIZE, 0), CHRONICLE_SIZE);
                h = reopen(&copy, "step", steps);
                assert_survived(h, 1000, c->report->committed, "step", steps);
                chronicle_append(h, NULL);
                assert_survived(h, 2, history_next_seq(h) - 1, "after step", steps);
                history_close(h);
                opened++;
        }
        kill_and_wait(pid);
        print_message("# %" PRIu64 " steps, %" PRIu64 " in the recycling, %" PRIu64 " opened\n",
                      steps, in_recycling, opened);
        assert_true(in_recycling > 10 && opened > in_recycling);
        h = reopen(c, "step", steps);
        assert_survived(h, UINT64_MAX, c->report->committed, "step", steps);
        history_close(h);
        history_reader_close(&reader);
        close(fd);
        scratch_remove(&copy.scratch);
}

/* ---- Killed at each system call of an open that makes a new file ---- */

static void resize_child(struct crash *c) {
        struct history *h = NULL;
        bool aside;

        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                _exit(1);
        raise(SIGSTOP);
        if (history_open(&h, c->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside) < 0)
                _exit(2);
        c->report->done = 1;
        raise(SIGSTOP);
        _exit(1);
}

static void test_killed_while_replacing(void **state) {
        struct crash *c = *state;

        for (unsigned calls = 0; !c->report->done; calls++) {
                struct history *h = NULL;
                bool aside;
                pid_t pid;
                int status;

                assert_true(calls < 500);
                for (const char *const *name =
                             (const char *const[]){ CHRONICLE_NAME, CHRONICLE_NAME ".new",
                                                    CHRONICLE_NAME ".damaged-1", NULL };
                     *name; name++)
                        unlinkat(c->scratch.fd, *name, 0);
                assert_int_equal(history_open(&h, c->scratch.fd, CHRONICLE_NAME,
                                              4 * HISTORY_SEGMENT_SIZE, &aside),
                                 0);
                for (unsigned i = 0; i < 100; i++)
                        chronicle_append(h, NULL);
                history_close(h);

                pid = start_traced(resize_child, c);
                for (unsigned i = 0; i < calls && !c->report->done; i++) {
                        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
                        assert_int_equal(waitpid(pid, &status, 0), pid);
                        assert_true(WIFSTOPPED(status));
                }
                kill_and_wait(pid);

                h = NULL;
                assert_int_equal(
                        history_open(&h, c->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside), 0);
                if (history_next_seq(h) != 101)
                        fail_msg("killed at call %u: the sequence goes on with %" PRIu64, calls,
                                 history_next_seq(h));
                history_close(h);
        }
}

/* ---- A reader beside the writer ---- */

static void reader_fails(struct report *report, const char *what, uint64_t at) {
        snprintf(report->why, sizeof(report->why), "%s at %" PRIu64, what, at);
        report->failed = 1;
        _exit(1);
}

static bool bounds_pass(const struct history_reader *r, uint64_t seq, bool oldest) {
        struct history_bounds bounds;

        history_bounds(r, &bounds);
        return oldest ? bounds.oldest_seq > seq : bounds.next_seq > seq;
}

/* Until the oldest record, or the next one to be written, lies behind seq; or all is written. */
static void wait_until(struct report *report, const struct history_reader *r, uint64_t seq,
                       bool oldest) {
        uint64_t deadline = unit_now_ns() + DEADLINE_NS;

        while (!report->done && !bounds_pass(r, seq, oldest))
                if (unit_now_ns() > deadline)
                        reader_fails(report, "the writer does not come", seq);
}

static uint64_t read_one(struct report *report, struct history_cursor *c) {
        uint64_t budget = 1;
        struct record r;
        struct owner o;
        char rule[256];

        if (history_next(c, NULL, NULL, &budget, &r, &o, rule) != 1)
                reader_fails(report, "nothing there", c->next);
        if (chronicle_wrong(&r, &o, rule))
                reader_fails(report, chronicle_wrong(&r, &o, rule), r.seq);
        return 1;
}

static _Noreturn void reader_process(struct report *report, int fd, uint64_t total) {
        struct history_reader reader;
        struct history_cursor c, back;
        struct chronicle_tour t = {};
        uint64_t read = 0, backward = 0, last = 0;
        bool done;

        if (history_reader_open(&reader, fd) < 0)
                reader_fails(report, "open", 0);
        history_seek(&c, &reader, 1, false);
        /* Some of the first lap, then none until the writer has come round and overtaken it. */
        for (unsigned i = 0; i < 100; i++) {
                wait_until(report, &reader, c.next, false);
                read += read_one(report, &c);
        }
        last = c.next - 1;
        wait_until(report, &reader, c.next, true);
        do {
                const char *wrong;

                done = report->done;
                wrong = chronicle_read(&c, &t);
                if (wrong)
                        reader_fails(report, wrong, c.next);
                if (t.read > 0 && t.first <= last)
                        reader_fails(report, "order", t.first);
                if (t.read > 0)
                        last = t.last;
                read += t.read;
                if (read + c.lost != c.next - 1)
                        reader_fails(report, "count", c.next);
                /* Time for the writer to get ahead, and work of its own. */
                history_seek(&back, &reader, UINT64_MAX, true);
                wrong = chronicle_read(&back, &t);
                if (wrong)
                        reader_fails(report, wrong, back.next);
                backward += t.read;
        } while (!done);
        if (read + c.lost != total)
                reader_fails(report, "total", read + c.lost);
        printf("# reader: %" PRIu64 " forward, %" PRIu64 " lost, %" PRIu64 " backward\n", read,
               c.lost, backward);
        fflush(stdout);
        if (read == 0 || c.lost == 0)
                reader_fails(report, "not overtaken", c.lost);
        history_reader_close(&reader);
        _exit(0);
}

static void test_reader_beside_writer(void **state) {
        const uint64_t total = 12 * SEGMENT_RECORDS_MAX;
        struct crash *c = *state;
        struct history *h = NULL;
        bool aside;
        int status;
        pid_t pid;

        assert_int_equal(history_open(&h, c->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside),
                         0);
        fflush(stdout);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                reader_process(c->report, history_reader_fd(h), total);
        for (uint64_t i = 0; i < total; i++)
                chronicle_append(h, NULL);
        c->report->done = 1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (c->report->failed)
                fail_msg("%s", c->report->why);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        history_close(h);
}

#define CRASH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
        const struct CMUnitTest tests[] = {
                CRASH(test_killed_at_random),
                CRASH(test_killed_while_recycling),
                CRASH(test_killed_while_replacing),
                CRASH(test_reader_beside_writer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

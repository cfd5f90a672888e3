/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "chronicle.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* What history_open() finds in its place, and what it makes of it. */

struct place {
        struct scratch scratch;
        struct history *history;
        bool aside;
};

static int make_place(void **state) {
        struct place *p = calloc(1, sizeof(*p));

        assert_non_null(p);
        scratch_make(&p->scratch);
        *state = p;
        return 0;
}

static int remove_place(void **state) {
        struct place *p = *state;

        history_close(p->history);
        scratch_remove(&p->scratch);
        free(p);
        return 0;
}

static int try_open(struct place *p, uint64_t size) {
        p->history = history_close(p->history);
        p->aside = false;
        return history_open(&p->history, p->scratch.fd, CHRONICLE_NAME, size, &p->aside);
}

static void append_many(struct place *p, uint64_t n) {
        for (uint64_t i = 0; i < n; i++)
                chronicle_append(p->history, NULL);
}

static bool exists(const struct place *p, const char *name) {
        return faccessat(p->scratch.fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* All that the history holds is as it was written, from first to the end of its sequence. */
static void assert_whole(const struct place *p, uint64_t first) {
        struct history_reader reader;
        struct chronicle_tour t = {};
        struct history_cursor c;

        assert_int_equal(history_reader_open(&reader, history_reader_fd(p->history)), 0);
        history_seek(&c, &reader, first, false);
        assert_null(chronicle_read(&c, &t));
        assert_int_equal(t.lost, 0);
        assert_int_equal(t.read, history_next_seq(p->history) - first);
        history_reader_close(&reader);
}

static void test_reopen(void **state) {
        struct place *p = *state;
        uint64_t next = 1, seed = 5;

        assert_null(history_close(NULL));
        for (unsigned i = 0; i < 30; i++) {
                struct history_reader reader;
                struct history_bounds bounds;
                uint64_t n = unit_below(&seed, 4) ? unit_below(&seed, 4000) : 0;

                assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
                assert_false(p->aside);
                assert_int_equal(history_next_seq(p->history), next);
                assert_int_equal(history_last_kind(p->history),
                                 next == 1 ? RECORD_NONE : chronicle_record(next - 1).kind);
                append_many(p, n);
                next += n;
                assert_int_equal(history_reader_open(&reader, history_reader_fd(p->history)), 0);
                history_bounds(&reader, &bounds);
                assert_int_equal(bounds.next_seq, next);
                history_reader_close(&reader);
                assert_whole(p, bounds.oldest_seq);
        }
        assert_true(next > SEGMENT_RECORDS_MAX);
        assert_false(exists(p, CHRONICLE_NAME ".new"));
        assert_false(exists(p, CHRONICLE_NAME ".damaged-1"));
}

static void test_second_writer(void **state) {
        struct place *p = *state;
        struct history *second = NULL;
        bool aside = true;

        assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
        append_many(p, 10);
        assert_int_equal(
                history_open(&second, p->scratch.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &aside),
                -EBUSY);
        /* Another size is no way around the lock. */
        assert_int_equal(
                history_open(&second, p->scratch.fd, CHRONICLE_NAME, 2 * CHRONICLE_SIZE, &aside),
                -EBUSY);
        assert_null(second);
        assert_true(aside);
        append_many(p, 10);
        assert_whole(p, 1);
        assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
        assert_int_equal(history_next_seq(p->history), 21);
}

static void test_size_changes(void **state) {
        static const uint64_t sizes[] = { 5 * HISTORY_SEGMENT_SIZE, 3 * HISTORY_SEGMENT_SIZE,
                                          4 * HISTORY_SEGMENT_SIZE + 4711, 0 };
        struct place *p = *state;
        uint64_t next = 1;

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                struct stat st;
                uint64_t whole = sizes[i] / HISTORY_SEGMENT_SIZE;

                assert_int_equal(try_open(p, sizes[i]), 0);
                assert_int_equal(p->aside, i > 0);
                assert_int_equal(history_next_seq(p->history), next);
                assert_int_equal(fstat(history_sync_fd(p->history), &st), 0);
                whole = whole < HISTORY_SEGMENTS_MIN ? HISTORY_SEGMENTS_MIN : whole;
                assert_int_equal(st.st_size, whole * HISTORY_SEGMENT_SIZE);
                append_many(p, 1000);
                assert_whole(p, next);
                next += 1000;
                /* A remainder is not a change. */
                assert_int_equal(try_open(p, sizes[i] + 1), 0);
                assert_false(p->aside);
                assert_int_equal(history_next_seq(p->history), next);
        }
}

/* Set aside again and again: ten names at the most, and it is the oldest that goes. */
static void test_set_aside_bound(void **state) {
        struct place *p = *state;
        char name[64];

        for (unsigned i = 0; i <= 12; i++) {
                const struct timespec times[2] = { { .tv_sec = 1000 + i }, { .tv_sec = 1000 + i } };
                int fd =
                        openat(p->scratch.fd, CHRONICLE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

                assert_int_equal(dprintf(fd, "%u", i), i < 10 ? 1 : 2);
                assert_int_equal(futimens(fd, times), 0);
                close(fd);
                assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
                assert_true(p->aside);
                p->history = history_close(p->history);
                assert_int_equal(unlinkat(p->scratch.fd, CHRONICLE_NAME, 0), 0);
        }
        for (unsigned n = 1; n <= 9; n++) {
                unsigned expected = n <= 4 ? n + 8 : n - 1;
                char text[8] = "";
                int fd;

                snprintf(name, sizeof(name), CHRONICLE_NAME ".damaged-%u", n);
                fd = openat(p->scratch.fd, name, O_RDONLY | O_CLOEXEC);
                assert_true(fd >= 0);
                assert_true(read(fd, text, sizeof(text) - 1) > 0);
                assert_int_equal(atoi(text), expected);
                close(fd);
        }
        assert_false(exists(p, CHRONICLE_NAME ".damaged-10"));
}

/* ---- Not a history ---- */

static void put_nothing(int dir) {
        close(openat(dir, CHRONICLE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void put_text(int dir) {
        int fd = openat(dir, CHRONICLE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        dprintf(fd, "not a history\n");
        close(fd);
}

static void put_size(int dir, off_t size, uint8_t fill) {
        int fd = openat(dir, CHRONICLE_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        uint8_t block[4096];

        memset(block, fill, sizeof(block));
        assert_int_equal(ftruncate(fd, size), 0);
        for (off_t at = 0; fill && at < size; at += (off_t) sizeof(block))
                assert_int_equal(pwrite(fd, block, sizeof(block), at), sizeof(block));
        close(fd);
}

static void put_zeros(int dir) {
        put_size(dir, CHRONICLE_SIZE, 0);
}

static void put_ones(int dir) {
        put_size(dir, CHRONICLE_SIZE, 0xFF);
}

static void put_oversized(int dir) {
        put_size(dir, 1LL << 40, 0);
}

static void put_directory(int dir) {
        assert_int_equal(mkdirat(dir, CHRONICLE_NAME, 0700), 0);
}

static void put_symlink(int dir) {
        assert_int_equal(symlinkat("elsewhere", dir, CHRONICLE_NAME), 0);
}

static void put_symlink_to_nothing(int dir) {
        assert_int_equal(symlinkat("nowhere", dir, CHRONICLE_NAME), 0);
}

static void put_fifo(int dir) {
        assert_int_equal(mkfifoat(dir, CHRONICLE_NAME, 0600), 0);
}

static void put_socket(int dir) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" CHRONICLE_NAME, dir);
        assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
        close(fd);
}

static const struct {
        const char *what;
        void (*put)(int dir);
} strangers[] = {
        { "nothing", put_nothing },     { "text", put_text },
        { "zeros", put_zeros },         { "ones", put_ones },
        { "oversized", put_oversized }, { "directory", put_directory },
        { "symlink", put_symlink },     { "symlink to nothing", put_symlink_to_nothing },
        { "fifo", put_fifo },           { "socket", put_socket },
};

static void test_strangers(void **state) {
        struct place *p = *state;

        for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
                struct stat st, before;
                struct scratch s;
                int fd, r;

                scratch_make(&s);
                fd = openat(s.fd, "elsewhere", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                assert_int_equal(write(fd, "hands off", 9), 9);
                close(fd);
                strangers[i].put(s.fd);
                assert_int_equal(fstatat(s.fd, CHRONICLE_NAME, &before, AT_SYMLINK_NOFOLLOW), 0);

                /* Nothing that lies there may make it wait. */
                alarm(20);
                r = history_open(&p->history, s.fd, CHRONICLE_NAME, CHRONICLE_SIZE, &p->aside);
                alarm(0);
                if (r < 0)
                        fail_msg("%s: %s", strangers[i].what, strerror(-r));
                assert_true(p->aside);
                append_many(p, 100);
                assert_int_equal(history_next_seq(p->history), 101);
                assert_whole(p, 1);
                p->history = history_close(p->history);

                assert_int_equal(fstatat(s.fd, CHRONICLE_NAME, &st, AT_SYMLINK_NOFOLLOW), 0);
                assert_true(S_ISREG(st.st_mode));
                assert_int_equal(
                        fstatat(s.fd, CHRONICLE_NAME ".damaged-1", &st, AT_SYMLINK_NOFOLLOW), 0);
                assert_int_equal(st.st_ino, before.st_ino);
                assert_int_equal(st.st_size, before.st_size);
                assert_int_equal(fstatat(s.fd, "elsewhere", &st, 0), 0);
                assert_int_equal(st.st_size, 9);
                scratch_remove(&s);
        }
}

/* ---- A history that is not whole: cut, other format, bad header ---- */

static void patch(const struct place *p, off_t at, const void *bytes, size_t size) {
        int fd = openat(p->scratch.fd, CHRONICLE_NAME, O_WRONLY | O_CLOEXEC);

        assert_int_equal(pwrite(fd, bytes, size, at), size);
        close(fd);
}

static void begin_with(struct place *p, uint64_t n) {
        assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
        append_many(p, n);
        p->history = history_close(p->history);
}

static void test_truncated(void **state) {
        static const off_t cuts[] = { CHRONICLE_SIZE - 1, CHRONICLE_SIZE - HISTORY_SEGMENT_SIZE,
                                      HISTORY_SEGMENT_SIZE + 100, HISTORY_SEGMENT_SIZE - 1, 4096 };
        struct place *p = *state;
        uint64_t next = 1;

        for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
                int fd;

                begin_with(p, 500);
                fd = openat(p->scratch.fd, CHRONICLE_NAME, O_WRONLY | O_CLOEXEC);
                assert_int_equal(ftruncate(fd, cuts[i]), 0);
                close(fd);
                next += 500;
                assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
                assert_true(p->aside);
                /* The header that says how far it went is still there; half a header may be one. */
                if (cuts[i] % HISTORY_SEGMENT_SIZE != 100)
                        assert_int_equal(history_next_seq(p->history), next);
                else
                        assert_in_range(history_next_seq(p->history), next,
                                        next + SEGMENT_RECORDS_MAX);
                next = history_next_seq(p->history);
        }
}

static void test_other_format(void **state) {
        const uint64_t endian = __builtin_bswap64(HISTORY_MAGIC);
        const uint32_t version = HISTORY_VERSION + 1;
        struct place *p = *state;

        begin_with(p, 100);
        patch(p, 0, &endian, sizeof(endian));
        assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
        assert_true(p->aside);
        p->history = history_close(p->history);
        begin_with(p, 100);
        patch(p, HISTORY_SEGMENT_SIZE + 8, &version, sizeof(version));
        assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
        assert_true(p->aside);
}

/* No number is given twice, whatever header was damaged; nor does a wild one poison the sequence.
 */
static void test_bad_header(void **state) {
        struct place *p = *state;

        for (unsigned bit = 0; bit < 64; bit++) {
                uint64_t next, value;
                int fd;

                begin_with(p, 100);
                assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
                next = history_next_seq(p->history);
                p->history = history_close(p->history);
                fd = openat(p->scratch.fd, CHRONICLE_NAME, O_RDONLY | O_CLOEXEC);
                assert_int_equal(pread(fd, &value, 8, offsetof(struct segment, first_seq)), 8);
                close(fd);
                value ^= 1ULL << bit;
                patch(p, offsetof(struct segment, first_seq), &value, sizeof(value));

                assert_int_equal(try_open(p, CHRONICLE_SIZE), 0);
                assert_true(p->aside);
                assert_true(history_next_seq(p->history) >= next);
                assert_true(history_next_seq(p->history) <=
                            next + HISTORY_SEGMENTS_MIN * SEGMENT_RECORDS_MAX);
        }
}

/* ---- No room ---- */

static void fill_file_system(const char *path) {
        struct history *h = NULL;
        int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool aside = false;

        child_require(dir >= 0);
        /* 14 MiB: one of 12 fits, two of them do not, nor one of 16. */
        child_require(history_open(&h, dir, CHRONICLE_NAME, 4 * HISTORY_SEGMENT_SIZE, &aside) ==
                      -ENOSPC);
        child_require(!h && !aside);
        child_require(faccessat(dir, CHRONICLE_NAME, F_OK, 0) < 0);
        child_require(faccessat(dir, CHRONICLE_NAME ".new", F_OK, 0) < 0);

        child_require(history_open(&h, dir, CHRONICLE_NAME, CHRONICLE_SIZE, &aside) == 0);
        for (unsigned i = 0; i < 100; i++)
                chronicle_append(h, NULL);
        h = history_close(h);
        /* A change of size for which there is no room leaves what is there, under its name. */
        child_require(history_open(&h, dir, CHRONICLE_NAME, 4 * HISTORY_SEGMENT_SIZE, &aside) ==
                      -ENOSPC);
        child_require(!h && !aside);
        child_require(history_open(&h, dir, CHRONICLE_NAME, CHRONICLE_SIZE, &aside) == 0);
        child_require(!aside);
        child_require(history_next_seq(h) == 101);
        history_close(h);
}

static void test_no_room(void **state) {
        (void) state;
        on_small_tmpfs("14m", fill_file_system);
}

#define PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void) {
        const struct CMUnitTest tests[] = {
                PLACE(test_reopen),
                PLACE(test_second_writer),
                PLACE(test_size_changes),
                PLACE(test_set_aside_bound),
                PLACE(test_strangers),
                PLACE(test_truncated),
                PLACE(test_other_format),
                PLACE(test_bad_header),
                cmocka_unit_test(test_no_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

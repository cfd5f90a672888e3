/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <signal.h>
#include <sys/mman.h>

#include "daemon/record/known.h"
#include "lib/known_reader.h"

#define NAME "known"

/* A file that the recorder has made, and its bytes. */
struct fixture {
        struct scratch scratch;
        struct known *known;
        uint8_t *map;
        int fd;
};

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        bool aside;

        assert_non_null(f);
        scratch_make(&f->scratch);
        assert_int_equal(known_open(&f->known, f->scratch.fd, NAME, &aside), 0);
        assert_false(aside);
        f->fd = openat(f->scratch.fd, NAME, O_RDWR | O_CLOEXEC);
        assert_true(f->fd >= 0);
        f->map = mmap(NULL, KNOWN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
        assert_true(f->map != MAP_FAILED);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;

        known_close(f->known);
        munmap(f->map, KNOWN_SIZE);
        close(f->fd);
        scratch_remove(&f->scratch);
        free(f);
        return 0;
}

static struct biography *place_of(const struct fixture *f, uint32_t place) {
        return (struct biography *) (f->map + sizeof(struct known_header)) + place;
}

/* Each number is a listener of its own, of which all follows from the number. */
static uint64_t usec_of(unsigned number) {
        return 1000000 + number;
}

static void see(struct known *k, unsigned number, bool opened) {
        const struct record r = {
                .kind = RECORD_LISTEN,
                .transport = (uint8_t) (1 + number % 2),
                .exposure = (uint8_t) (1 + number % 3),
                .local_port = (uint16_t) number,
                .time_usec = usec_of(number),
        };
        struct owner o = { .uid = number };

        snprintf(o.name, sizeof(o.name), "%u", number);
        snprintf(o.executable, sizeof(o.executable), "/usr/bin/%0*u", (int) (number % 200), number);
        snprintf(o.container, sizeof(o.container), "lxc:%0*u", (int) (number % 60), number);
        known_seen(k, &r, &o, opened, NULL);
}

/* Is it the listener of a number, and nothing of another one? */
static bool is(const struct biography *b, unsigned number) {
        char executable[sizeof(b->program)], container[sizeof(b->container)];

        snprintf(executable, sizeof(executable), "/usr/bin/%0*u", (int) (number % 200), number);
        snprintf(container, sizeof(container), "lxc:%0*u", (int) (number % 60), number);
        return b->transport == 1 + number % 2 && b->exposure == 1 + number % 3 &&
               b->port == (uint16_t) number && strcmp(b->program, executable) == 0 &&
               strcmp(b->container, container) == 0 && b->first_usec == usec_of(number) &&
               b->last_usec == usec_of(number);
}

static unsigned count(const struct known_reader *r) {
        struct biography b;
        unsigned n = 0;

        for (uint32_t i = 0; i < r->capacity; i++)
                n += known_reader_get(r, i, &b) > 0;
        return n;
}

static void test_read(void **state) {
        struct fixture *f = *state;
        struct known_reader reader;
        struct biography b;
        bool seen[300] = {};

        assert_int_equal(known_reader_open(&reader, known_reader_fd(f->known)), 0);
        assert_int_equal(reader.capacity, KNOWN_CAPACITY);
        assert_int_equal(count(&reader), 0);
        for (unsigned i = 0; i < 300; i++) {
                see(f->known, i, true);
                if (i % 2)
                        see(f->known, i, false);
                if (i % 3 == 0)
                        see(f->known, i, true);
        }
        assert_int_equal(count(&reader), 300);
        for (uint32_t i = 0; i < reader.capacity; i++) {
                if (known_reader_get(&reader, i, &b) <= 0)
                        continue;
                assert_true(b.uid < 300 && !seen[b.uid]);
                seen[b.uid] = true;
                assert_true(is(&b, b.uid));
                assert_int_equal(b.times_opened, b.uid % 3 == 0 ? 2 : 1);
        }
        known_reader_close(&reader);
        known_reader_close(&reader);
}

/* The descriptor that is handed over: nothing can be written by it. */
static void test_read_only(void **state) {
        struct fixture *f = *state;
        int fd = known_reader_fd(f->known);

        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_ptr_equal(mmap(NULL, KNOWN_SIZE, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        assert_int_equal(errno, EACCES);
}

/* In memory alone there is no file to hand over. */
static void test_memory(void **state) {
        struct known *k;
        bool aside;

        (void) state;
        assert_int_equal(known_open(&k, -1, NAME, &aside), 0);
        assert_int_equal(known_reader_fd(k), -1);
        see(k, 1, true);
        known_close(k);
}

static void assert_refused(int fd, int error) {
        struct known_reader reader = { .capacity = 7 };

        assert_int_equal(known_reader_open(&reader, fd), error);
        assert_int_equal(reader.capacity, 7);
        assert_null(reader.header);
}

static void test_no_such_file(void **state) {
        static const off_t sizes[] = { 0, 1, 511, 512, KNOWN_SIZE - 1, KNOWN_SIZE + 1 };
        struct fixture *f = *state;
        struct known_header *h = (struct known_header *) f->map, good = *h;
        int pipes[2];

        assert_refused(-1, -EBADF);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_refused(pipes[0], -EBADMSG);
        close(pipes[0]);
        close(pipes[1]);
        assert_refused(f->scratch.fd, -EBADMSG);

        h->magic ^= 1;
        assert_refused(f->fd, -EBADMSG);
        *h = good;
        h->version++;
        assert_refused(f->fd, -EBADMSG);
        *h = good;
        h->capacity = UINT32_MAX;
        assert_refused(f->fd, -EBADMSG);
        *h = good;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                assert_int_equal(ftruncate(f->fd, sizes[i]), 0);
                assert_refused(f->fd, -EBADMSG);
        }
        assert_int_equal(ftruncate(f->fd, KNOWN_SIZE), 0);
}

/* Each bit of a biography: either it is noticed, or what it says of who it is stays right. */
static void test_damage(void **state) {
        struct fixture *f = *state;
        uint8_t *bytes = (uint8_t *) place_of(f, 0);
        struct known_reader reader;
        struct biography b;

        see(f->known, 2, true);
        see(f->known, 3, true);
        assert_int_equal(known_reader_open(&reader, f->fd), 0);
        assert_int_equal(known_reader_get(&reader, 0, &b), 1);
        for (size_t bit = 0; bit < sizeof(b) * 8; bit++) {
                bool summed = bit / 8 < offsetof(struct biography, last_usec);

                bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
                memset(&b, 0xA5, sizeof(b));
                if (known_reader_get(&reader, 0, &b) > 0) {
                        if (summed)
                                fail_msg("bit %zu of byte %zu was not noticed", bit % 8, bit / 8);
                        assert_int_equal(b.uid, 2);
                        assert_string_equal(b.program, "/usr/bin/02");
                        assert_int_equal(b.first_usec, usec_of(2));
                        assert_true(b.last_usec <= INT64_MAX && b.times_opened <= INT64_MAX);
                } else {
                        assert_int_equal(b.port, 0xA5A5);
                        assert_true(bit / 8 < offsetof(struct biography, padding));
                }
                assert_int_equal(known_reader_get(&reader, 1, &b), 1);
                assert_true(is(&b, 3));
                bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
        }
        assert_int_equal(known_reader_get(&reader, 0, &b), 1);
        assert_true(is(&b, 2));
        known_reader_close(&reader);
}

/* Whatever has the right checksum: strings end, numbers are those of the interface. */
static void test_wrong_with_a_right_checksum(void **state) {
        struct fixture *f = *state;
        struct biography *b = place_of(f, 0), good;
        struct known_reader reader;

        see(f->known, 2, true);
        memcpy(&good, b, sizeof(good));
        assert_int_equal(known_reader_open(&reader, f->fd), 0);

        memset(b->program, 'x', sizeof(b->program));
        b->checksum = biography_checksum(b);
        assert_int_equal(count(&reader), 0);
        memcpy(b, &good, sizeof(good));
        memset(b->container, 'x', sizeof(b->container));
        b->checksum = biography_checksum(b);
        assert_int_equal(count(&reader), 0);
        memcpy(b, &good, sizeof(good));
        b->first_usec = UINT64_MAX;
        b->checksum = biography_checksum(b);
        assert_int_equal(count(&reader), 0);
        memcpy(b, &good, sizeof(good));
        b->last_usec = UINT64_MAX;
        assert_int_equal(count(&reader), 0);
        memcpy(b, &good, sizeof(good));
        b->times_opened = UINT64_MAX;
        assert_int_equal(count(&reader), 0);
        memcpy(b, &good, sizeof(good));
        assert_int_equal(count(&reader), 1);
        known_reader_close(&reader);
}

/* A file of anything, with a header before it. */
static void test_rubbish(void **state) {
        struct fixture *f = *state;
        struct known_reader reader;
        uint64_t seed = 4711;

        assert_int_equal(known_reader_open(&reader, f->fd), 0);
        unit_random_fill(&seed, place_of(f, 0), KNOWN_CAPACITY * sizeof(struct biography));
        assert_int_equal(count(&reader), 0);
        known_reader_close(&reader);
}

#define REPLACED    20000U
#define DEADLINE_NS 30000000000U

/* In a full table each one that is new takes the place of another, while it is read. */
static void test_while_it_is_written(void **state) {
        uint64_t deadline_ns = unit_now_ns() + DEADLINE_NS;
        unsigned highest = 0, n;
        struct fixture *f = *state;
        struct known_reader reader;
        bool mixed = false;
        int status;
        pid_t pid;

        for (unsigned i = 0; i < KNOWN_CAPACITY; i++)
                see(f->known, i, true);
        assert_int_equal(known_reader_open(&reader, f->fd), 0);
        assert_int_equal(count(&reader), KNOWN_CAPACITY);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                for (unsigned i = KNOWN_CAPACITY;; i++)
                        see(f->known, i, true);
        while (highest < KNOWN_CAPACITY + REPLACED && !mixed && unit_now_ns() < deadline_ns)
                for (uint32_t i = 0; i < reader.capacity; i++) {
                        struct biography b;

                        if (known_reader_get(&reader, i, &b) <= 0)
                                continue;
                        mixed = mixed || !is(&b, b.uid) || b.times_opened > 1;
                        highest = b.uid > highest ? b.uid : highest;
                }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_false(mixed);
        assert_true(highest >= KNOWN_CAPACITY + REPLACED);
        /* It may have ended between two instructions. */
        n = count(&reader);
        assert_true(n == KNOWN_CAPACITY || n == KNOWN_CAPACITY - 1);
        known_reader_close(&reader);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_read),
                TEST(test_read_only),
                cmocka_unit_test(test_memory),
                TEST(test_no_such_file),
                TEST(test_damage),
                TEST(test_wrong_with_a_right_checksum),
                TEST(test_rubbish),
                TEST(test_while_it_is_written),
        };
#undef TEST

        return cmocka_run_group_tests(tests, NULL, NULL);
}

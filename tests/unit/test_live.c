/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "livedata.h"

#include <sys/stat.h>

#define CHUNK 256U /* slots: the grain of growth, and so of capacities */

static uint64_t count_of(const struct live *l, enum live_extent extent) {
        return atomic_load(&l->header->count[extent]);
}

/* The same but for seq, which is the slot's version. */
static void assert_same(struct record a, struct record b) {
        a.seq = b.seq = 0;
        assert_memory_equal(&a, &b, sizeof(a));
}

static void test_slots(void **state) {
        struct record in = record_of(7), out;
        struct owner owner = owner_of(70), got;
        uint32_t slot, owner_slot, again;
        struct live l;

        (void) state;
        assert_int_equal(live_create(&l, -1, 10, 10, 10), 0);
        assert_int_equal(live_used(&l, LIVE_LISTENERS), 0);
        assert_int_equal(live_take(&l, LIVE_OWNERS, &owner_slot), 0);
        live_write_owner(&l, owner_slot, &owner);

        for (enum live_extent e = LIVE_LISTENERS; e <= LIVE_CONNECTIONS; e++) {
                assert_int_equal(live_take(&l, e, &slot), 0);
                assert_int_equal(live_used(&l, e), 1);
                /* Taken and not written: nothing to see. */
                assert_int_equal(live_read(&l, e, slot, &out, &got), 0);
                assert_int_equal(count_of(&l, e), 0);

                in.owner = OWNER_NONE;
                live_write(&l, e, slot, &in);
                memset(&out, 0xAA, sizeof(out));
                memset(&got, 0xAA, sizeof(got));
                assert_int_equal(live_read(&l, e, slot, &out, &got), 1);
                assert_same(out, in);
                assert_true(owner_is_none(&got));
                assert_int_equal(count_of(&l, e), 1);

                in.owner = owner_slot;
                live_write(&l, e, slot, &in);
                assert_int_equal(live_read(&l, e, slot, &out, &got), 1);
                assert_same(out, in);
                assert_true(owner_is(&got, 70));
                assert_int_equal(count_of(&l, e), 1);

                live_release(&l, e, slot);
                assert_int_equal(count_of(&l, e), 0);
                assert_int_equal(live_read(&l, e, slot, &out, &got), 0);
                /* What was given back is taken first. */
                assert_int_equal(live_take(&l, e, &again), 0);
                assert_int_equal(again, slot);
                assert_int_equal(live_used(&l, e), 1);
        }
        live_close(&l);
        assert_null(l.header);
        live_close(&l);
}

static void test_version_moves(void **state) {
        struct record in = record_of(1), out;
        struct owner owner;
        uint64_t before;
        uint32_t slot;
        struct live l;

        (void) state;
        assert_int_equal(live_create(&l, -1, 1, 1, 1), 0);
        assert_int_equal(live_take(&l, LIVE_CONNECTIONS, &slot), 0);
        live_write(&l, LIVE_CONNECTIONS, slot, &in);
        assert_int_equal(live_read(&l, LIVE_CONNECTIONS, slot, &out, &owner), 1);
        before = out.seq;
        assert_int_equal(before % 2, 0);
        live_write(&l, LIVE_CONNECTIONS, slot, &in);
        assert_int_equal(live_read(&l, LIVE_CONNECTIONS, slot, &out, &owner), 1);
        assert_int_equal(out.seq, before + 2);

        /* A writer that died while it wrote: odd for ever. Nobody waits for it. */
        l.slots[LIVE_CONNECTIONS][slot].seq++;
        assert_int_equal(live_read(&l, LIVE_CONNECTIONS, slot, &out, &owner), 0);
        live_close(&l);
}

static void test_pending(void **state) {
        struct record r = record_of(3), out;
        struct owner owner;
        uint32_t slot;
        struct live l;

        (void) state;
        assert_int_equal(live_create(&l, -1, 1, 1, 1), 0);
        assert_int_equal(live_take(&l, LIVE_CONNECTIONS, &slot), 0);
        r.flags = RECORD_PENDING | RECORD_FOUND;
        live_write(&l, LIVE_CONNECTIONS, slot, &r);
        assert_int_equal(count_of(&l, LIVE_CONNECTIONS), 0);
        assert_int_equal(live_read(&l, LIVE_CONNECTIONS, slot, &out, &owner), 0);

        r.flags = RECORD_FOUND;
        live_write(&l, LIVE_CONNECTIONS, slot, &r);
        assert_int_equal(count_of(&l, LIVE_CONNECTIONS), 1);
        assert_int_equal(live_read(&l, LIVE_CONNECTIONS, slot, &out, &owner), 1);

        r.flags = RECORD_PENDING;
        live_write(&l, LIVE_CONNECTIONS, slot, &r);
        assert_int_equal(count_of(&l, LIVE_CONNECTIONS), 0);
        live_release(&l, LIVE_CONNECTIONS, slot);
        assert_int_equal(count_of(&l, LIVE_CONNECTIONS), 0);
        live_close(&l);
}

/* Over many chunks to the last slot, each still what it was; then full, and full again after use.
 */
static void test_growth(void **state) {
        const uint64_t capacity = 5 * CHUNK;
        struct live l;

        (void) state;
        assert_int_equal(live_create(&l, -1, capacity - 3, capacity, capacity), 0);
        /* That of the rules is fixed and written by number. */
        for (enum live_extent e = 0; e < LIVE_RULES; e++) {
                uint32_t slot = 4711;

                assert_int_equal(l.header->capacity[e], capacity);
                for (uint64_t i = 0; i < capacity; i++) {
                        struct record r = record_of(i + 1);
                        struct owner o = owner_of(i + 1);

                        assert_int_equal(live_take(&l, e, &slot), 0);
                        assert_int_equal(slot, i);
                        if (e == LIVE_OWNERS)
                                live_write_owner(&l, slot, &o);
                        else
                                live_write(&l, e, slot, &r);
                }
                assert_int_equal(live_take(&l, e, &slot), -ENOSPC);
                assert_int_equal(slot, capacity - 1);
                assert_int_equal(live_used(&l, e), capacity);
                for (uint32_t i = 0; i < capacity; i += 2)
                        live_release(&l, e, i);
                for (uint32_t i = 0; i < capacity; i += 2)
                        assert_int_equal(live_take(&l, e, &slot), 0);
                assert_int_equal(live_take(&l, e, &slot), -ENOSPC);
        }
        for (enum live_extent e = LIVE_LISTENERS; e <= LIVE_CONNECTIONS; e++) {
                assert_int_equal(count_of(&l, e), capacity / 2);
                for (uint32_t i = 0; i < capacity; i++) {
                        struct record out;
                        struct owner owner;

                        assert_int_equal(live_read(&l, e, i, &out, &owner), i % 2);
                        if (i % 2 == 1)
                                assert_same(out, record_of(i + 1));
                }
        }
        live_close(&l);
}

static void test_rules(void **state) {
        char text[LIVE_RULE_TEXT], longer[LIVE_RULE_TEXT + 20];
        struct live l;

        (void) state;
        assert_int_equal(live_create(&l, -1, 1, 1, 1), 0);
        live_read_rule(&l, 0, text);
        assert_string_equal(text, "");
        live_read_rule(&l, 1, text);
        assert_string_equal(text, "");
        assert_int_equal(live_write_rule(&l, 0, "tcp/22"), -ERANGE);
        assert_int_equal(live_write_rule(&l, LIVE_RULES_MAX + 1, "tcp/22"), -ERANGE);
        assert_int_equal(live_write_rule(&l, 1000, "tcp/22"), 0);
        live_read_rule(&l, 1000, text);
        assert_string_equal(text, "tcp/22");
        live_read_rule(&l, 999, text);
        assert_string_equal(text, "");
        live_read_rule(&l, 1001, text);
        assert_string_equal(text, "");
        memset(longer, 'x', sizeof(longer));
        longer[sizeof(longer) - 1] = 0;
        assert_int_equal(live_write_rule(&l, LIVE_RULES_MAX, longer), 0);
        live_read_rule(&l, LIVE_RULES_MAX, text);
        assert_int_equal(strlen(text), LIVE_RULE_TEXT - 1);
        live_close(&l);
}

static void test_holder(void **state) {
        struct owner owner = { .pid = 1, .uid = 0, .name = "systemd" }, holder = { .pid = 7 }, got;
        struct record r = { .kind = RECORD_LISTEN, .local_port = 22, .cookie = 1 }, out;
        uint32_t slot, owner_slot, holder_slot;
        struct live l;

        (void) state;
        assert_int_equal(live_create(&l, -1, 2, 1, 2), 0);
        assert_int_equal(live_take(&l, LIVE_OWNERS, &owner_slot), 0);
        assert_int_equal(live_take(&l, LIVE_OWNERS, &holder_slot), 0);
        live_write_owner(&l, owner_slot, &owner);
        live_write_owner(&l, holder_slot, &holder);
        assert_int_equal(live_take(&l, LIVE_LISTENERS, &slot), 0);
        r.owner = owner_slot;
        r.holder = OWNER_NONE;
        live_write(&l, LIVE_LISTENERS, slot, &r);
        assert_int_equal(live_read(&l, LIVE_LISTENERS, slot, &out, &got), 1);
        assert_int_equal(live_read_holder(&l, slot, &out, &got), 0);
        r.holder = holder_slot;
        live_write(&l, LIVE_LISTENERS, slot, &r);
        /* What was read is not what is there any more. */
        assert_int_equal(live_read_holder(&l, slot, &out, &got), 0);
        assert_int_equal(live_read(&l, LIVE_LISTENERS, slot, &out, &got), 1);
        assert_int_equal(live_read_holder(&l, slot, &out, &got), 1);
        assert_int_equal(got.pid, 7);
        live_close(&l);
}

static void test_bad_sizes(void **state) {
        struct live l = { .fd = 12345 };

        (void) state;
        assert_int_equal(live_create(&l, -1, 0, 1, 1), -EINVAL);
        assert_int_equal(live_create(&l, -1, 1, 0, 1), -EINVAL);
        assert_int_equal(live_create(&l, -1, 1, 1, 0), -EINVAL);
        assert_int_equal(live_create(&l, -1, UINT32_MAX, 1, 1), -EINVAL);
        assert_int_equal(live_create(&l, -1, 1, UINT64_MAX, 1), -EINVAL);
        assert_int_equal(live_create(&l, -1, 1, 1, UINT64_MAX - 100), -EINVAL);
        assert_int_equal(l.fd, 12345);
}

/* Against a model: random use, then everything that should be there is, and nothing else. */
static void test_model(void **state) {
        enum { SLOTS = 3 * CHUNK };
        static uint64_t model[SLOTS]; /* number of the record, 0: free, 1: taken or pending */
        static uint32_t taken[SLOTS];
        uint32_t n_taken = 0;
        struct live l;

        (void) state;
        memset(model, 0, sizeof(model));
        assert_int_equal(live_create(&l, -1, 1, SLOTS, 1), 0);
        for (uint64_t round = 0, seed = 1; round < 45000; round++) {
                uint32_t at = n_taken ? (uint32_t) unit_below(&seed, n_taken) : 0, slot;
                struct record r = record_of(round + 2);

                switch (unit_below(&seed, round / 5000 % 2 ? 5 : 3)) {
                case 0:
                        if (n_taken == SLOTS)
                                assert_int_equal(live_take(&l, LIVE_CONNECTIONS, &slot), -ENOSPC);
                        else {
                                assert_int_equal(live_take(&l, LIVE_CONNECTIONS, &slot), 0);
                                assert_int_equal(model[slot], 0);
                                model[slot] = 1;
                                taken[n_taken++] = slot;
                        }
                        break;
                case 1:
                        if (n_taken == 0)
                                break;
                        live_write(&l, LIVE_CONNECTIONS, taken[at], &r);
                        model[taken[at]] = round + 2;
                        break;
                case 2:
                        if (n_taken == 0)
                                break;
                        r.flags = RECORD_PENDING;
                        live_write(&l, LIVE_CONNECTIONS, taken[at], &r);
                        model[taken[at]] = 1;
                        break;
                default:
                        if (n_taken == 0)
                                break;
                        live_release(&l, LIVE_CONNECTIONS, taken[at]);
                        model[taken[at]] = 0;
                        taken[at] = taken[--n_taken];
                }
        }

        uint64_t shown = 0;
        for (uint32_t slot = 0; slot < live_used(&l, LIVE_CONNECTIONS); slot++) {
                struct record out;
                struct owner owner;
                int r = live_read(&l, LIVE_CONNECTIONS, slot, &out, &owner);

                assert_int_equal(r, model[slot] > 1);
                if (r)
                        assert_same(out, record_of(model[slot]));
                shown += (uint64_t) r;
        }
        assert_true(shown > 0);
        assert_int_equal(count_of(&l, LIVE_CONNECTIONS), shown);
        live_close(&l);
}

static void test_file(void **state) {
        struct record in = record_of(5), out;
        struct owner owner = owner_of(50), got;
        struct live writer, reader;
        uint32_t slot, owner_slot;
        int fd = table_file();

        (void) state;
        assert_int_equal(live_create(&writer, fd, 300, 1000, 1000), 0);
        strcpy(writer.header->source_detail, "seen by the reader");
        assert_int_equal(live_open(&reader, fd), 0);
        assert_ptr_not_equal(reader.header, writer.header);
        assert_string_equal(reader.header->source_detail, "seen by the reader");
        assert_int_equal(reader.header->capacity[LIVE_LISTENERS], 2 * CHUNK);
        assert_int_equal(live_used(&reader, LIVE_CONNECTIONS), 0);

        assert_int_equal(live_take(&writer, LIVE_OWNERS, &owner_slot), 0);
        live_write_owner(&writer, owner_slot, &owner);
        in.owner = owner_slot;
        /* Past the first chunk, which the reader has mapped before it was there. */
        for (unsigned i = 0; i < CHUNK + 1; i++)
                assert_int_equal(live_take(&writer, LIVE_CONNECTIONS, &slot), 0);
        live_write(&writer, LIVE_CONNECTIONS, slot, &in);
        live_count(&writer, LIVE_EVENTS, 3);
        assert_int_equal(live_used(&reader, LIVE_CONNECTIONS), CHUNK + 1);
        assert_int_equal(live_read(&reader, LIVE_CONNECTIONS, slot, &out, &got), 1);
        assert_same(out, in);
        assert_true(owner_is(&got, 50));
        assert_int_equal(count_of(&reader, LIVE_CONNECTIONS), 1);
        assert_int_equal(reader.header->counters[LIVE_EVENTS], 3);

        /* What the writer leaves behind is there for the next one. */
        live_close(&writer);
        live_close(&reader);
        assert_int_equal(live_open(&reader, fd), 0);
        assert_int_equal(live_read(&reader, LIVE_CONNECTIONS, slot, &out, &got), 1);
        assert_same(out, in);
        live_close(&reader);
        close(fd);
}

/* Storage is taken as the table grows: an empty one is small, and no storage is an error. */
static void test_file_storage(void **state) {
        struct live l;
        struct stat st;
        uint32_t slot;
        int fd = table_file();

        (void) state;
        assert_int_equal(live_create(&l, fd, 1 << 16, 1 << 20, 1 << 18), 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_size > 256 << 20);
        assert_true(st.st_blocks * 512 < 1 << 20);
        assert_int_equal(live_take(&l, LIVE_CONNECTIONS, &slot), 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_blocks * 512 >= (off_t) (CHUNK * sizeof(struct record)));

        live_close(&l);
        close(fd);
}

/* A full file system is an error that leaves the table as it was, not a SIGBUS at the next write.
 */
static void fill_file_system(const char *path) {
        struct record in = record_of(1), out;
        struct owner owner;
        char name[128];
        uint32_t slot, n = 0;
        struct live l;
        int fd, r;

        snprintf(name, sizeof(name), "%s/live", path);
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        child_require(fd >= 0);
        child_require(live_create(&l, fd, 1, 1 << 20, 1 << 20) == 0);
        while ((r = live_take(&l, LIVE_CONNECTIONS, &slot)) == 0) {
                live_write(&l, LIVE_CONNECTIONS, slot, &in);
                n++;
        }
        child_require(r == -ENOSPC);
        child_require(n >= CHUNK && n <= 32 * CHUNK);
        child_require(live_take(&l, LIVE_OWNERS, &slot) == -ENOSPC);
        child_require(live_used(&l, LIVE_CONNECTIONS) == n);
        child_require(live_used(&l, LIVE_OWNERS) == 0);
        child_require(count_of(&l, LIVE_CONNECTIONS) == n);
        child_require(live_read(&l, LIVE_CONNECTIONS, n - 1, &out, &owner) == 1);
        live_release(&l, LIVE_CONNECTIONS, n / 2);
        child_require(live_take(&l, LIVE_CONNECTIONS, &slot) == 0);
        child_require(slot == n / 2);
        live_close(&l);
        close(fd);
}

static void test_no_storage(void **state) {
        (void) state;
        on_small_tmpfs("512k", fill_file_system);
}

struct damage {
        const char *what;
        size_t offset;
        uint64_t value;
        size_t size;
};

static void test_refused(void **state) {
        static const struct damage damages[] = {
                { "magic", offsetof(struct live_header, magic), LIVE_MAGIC + 1, 8 },
                { "no magic", offsetof(struct live_header, magic), 0, 8 },
                { "other endian", offsetof(struct live_header, magic), 0x505254574C564531ULL, 8 },
                { "version", offsetof(struct live_header, version), LIVE_VERSION + 1, 4 },
                { "version 0", offsetof(struct live_header, version), 0, 4 },
                { "header size", offsetof(struct live_header, header_size), 8192, 4 },
                { "extent in the header", offsetof(struct live_header, offset), 0, 8 },
                { "extent in the header", offsetof(struct live_header, offset), 4032, 8 },
                { "odd extent", offsetof(struct live_header, offset) + 8, 4097, 8 },
                { "extent behind the end", offsetof(struct live_header, offset) + 8, 1ULL << 40,
                  8 },
                { "extent at 2^64", offsetof(struct live_header, offset) + 16, UINT64_MAX - 63, 8 },
                { "capacity", offsetof(struct live_header, capacity), 1ULL << 31, 8 },
                { "capacity", offsetof(struct live_header, capacity) + 8, 1ULL << 57, 8 },
                { "capacity", offsetof(struct live_header, capacity) + 16, UINT64_MAX, 8 },
                { "capacity by one", offsetof(struct live_header, capacity) + 24,
                  LIVE_RULES_MAX + 1, 8 },
        };
        struct live l, untouched = { .fd = 4711 };
        int fd = table_file();
        struct stat st;

        (void) state;
        assert_int_equal(live_create(&l, fd, 1, 1, 1), 0);
        live_close(&l);
        assert_int_equal(fstat(fd, &st), 0);
        for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
                const struct damage *d = &damages[i];
                uint64_t before;
                int r;

                assert_int_equal(pread(fd, &before, d->size, (off_t) d->offset), d->size);
                assert_int_equal(pwrite(fd, &d->value, d->size, (off_t) d->offset), d->size);
                r = live_open(&untouched, fd);
                if (r != -EBADMSG)
                        fail_msg("%s: %d", d->what, r);
                assert_int_equal(untouched.fd, 4711);
                assert_int_equal(pwrite(fd, &before, d->size, (off_t) d->offset), d->size);
        }
        assert_int_equal(live_open(&l, fd), 0);
        live_close(&l);

        /* Shorter than it says, down to nothing. */
        for (off_t size = st.st_size - 1; size > 0; size /= 2) {
                assert_int_equal(ftruncate(fd, size), 0);
                assert_int_equal(live_open(&untouched, fd), -EBADMSG);
        }
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(live_open(&untouched, fd), -EBADMSG);
        /* As long as it should be, and all zero: killed before the header was written. */
        assert_int_equal(ftruncate(fd, st.st_size), 0);
        assert_int_equal(live_open(&untouched, fd), -EBADMSG);
        close(fd);
        assert_int_equal(live_open(&untouched, -1), -EBADF);
        assert_int_equal(untouched.fd, 4711);
}

/* A file that lies about what is in use, or names owners that are not there, is read in bounds. */
static void test_lies(void **state) {
        struct record r = record_of(1), out;
        struct owner owner;
        struct live l, reader;
        uint32_t slot;
        int fd = table_file();

        (void) state;
        assert_int_equal(live_create(&l, fd, 1, 1, 1), 0);
        assert_int_equal(live_take(&l, LIVE_CONNECTIONS, &slot), 0);
        atomic_store(&l.header->used[LIVE_CONNECTIONS], UINT64_MAX);
        atomic_store(&l.header->used[LIVE_OWNERS], UINT64_MAX);
        assert_int_equal(live_open(&reader, fd), 0);
        assert_int_equal(live_used(&reader, LIVE_CONNECTIONS), CHUNK);
        for (uint32_t i = 0; i < CHUNK; i++)
                assert_int_equal(live_read(&reader, LIVE_CONNECTIONS, i, &out, &owner), 0);

        for (uint32_t number = CHUNK - 1; number <= CHUNK + 1; number++) {
                memset(&l.owners[CHUNK - 1], 0x41, sizeof(l.owners[0]));
                atomic_store(&l.owners[CHUNK - 1].version, 2);
                r.owner = number;
                live_write(&l, LIVE_CONNECTIONS, slot, &r);
                assert_int_equal(live_read(&reader, LIVE_CONNECTIONS, slot, &out, &owner), 1);
                if (number < CHUNK) {
                        /* Strings end within their room whatever the slot holds. */
                        assert_int_equal(strlen(owner.name), sizeof(owner.name) - 1);
                        assert_int_equal(strlen(owner.executable), sizeof(owner.executable) - 1);
                        assert_int_equal(strlen(owner.unit), sizeof(owner.unit) - 1);
                        assert_int_equal(strlen(owner.container), sizeof(owner.container) - 1);
                } else
                        assert_true(owner_is_none(&owner));
        }
        live_close(&reader);
        live_close(&l);
        close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_slots),      cmocka_unit_test(test_version_moves),
                cmocka_unit_test(test_pending),    cmocka_unit_test(test_growth),
                cmocka_unit_test(test_rules),      cmocka_unit_test(test_holder),
                cmocka_unit_test(test_bad_sizes),  cmocka_unit_test(test_model),
                cmocka_unit_test(test_file),       cmocka_unit_test(test_file_storage),
                cmocka_unit_test(test_no_storage), cmocka_unit_test(test_refused),
                cmocka_unit_test(test_lies),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

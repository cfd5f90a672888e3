/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/history.h"
#include "lib/history_format.h"

/*
 * Bytes as changes to the file of a history, for its readers and (when the first byte says so) for
 * the writer that opens it. The first byte also says whether checksums are made right again
 * afterwards, which chance never would.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum choice {
        CHOICE_HEADERS = 1 << 0, /* make the checksums of the headers right */
        CHOICE_RECORDS = 1 << 1, /* and those of the changed records and entries */
        CHOICE_BACKWARD = 1 << 2,
        CHOICE_TIMES = 1 << 3,
        CHOICE_WRITER = 7 << 4, /* all of them set: open it for writing as well */
};

#define FILE_SIZE    (HISTORY_SEGMENTS_MIN * (size_t) HISTORY_SEGMENT_SIZE)
#define CHANGE_MAX   128U
#define CHANGES_MAX  32U
#define RECORDS_EACH 40U
#define BUDGET       500000U

static char folder[64];
static int folder_fd = -1, fd;
static uint8_t *good, *map;

struct change {
        size_t at;
        size_t size;
};

static struct segment *segment_of(uint32_t index) {
        return (struct segment *) (map + index * (size_t) HISTORY_SEGMENT_SIZE);
}

static void remove_folder(void) {
        unlinkat(folder_fd, "history", 0);
        unlinkat(folder_fd, "history.damaged-1", 0);
        rmdir(folder);
}

static void append_some(struct history *h, unsigned n) {
        struct owner o = { .pid = 1, .name = "name", .executable = "/usr/bin/true" };

        for (unsigned i = 0; i < n; i++) {
                struct record r = { .kind = RECORD_OPEN, .time_usec = history_next_seq(h) };
                uint64_t next = history_next_seq(h);

                if (history_append(h, &r, i % 3 ? &o : NULL, 1 + i % 2, i % 4 ? "tcp/80" : NULL,
                                   NULL) != next ||
                    history_next_seq(h) != next + 1)
                        abort();
        }
}

static void make_good(void) {
        struct history *h;
        bool aside;

        snprintf(folder, sizeof(folder), "/dev/shm/portwatch-fuzz-XXXXXX");
        if (!mkdtemp(folder) || (folder_fd = open(folder, O_RDONLY | O_DIRECTORY)) < 0)
                abort();
        atexit(remove_folder);
        for (uint32_t i = 0; i < HISTORY_SEGMENTS_MIN; i++) {
                if (history_open(&h, folder_fd, "history", FILE_SIZE, &aside) < 0 || aside)
                        abort();
                append_some(h, RECORDS_EACH);
                history_close(h);
                if (i == 0) {
                        fd = openat(folder_fd, "history", O_RDWR);
                        map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                        if (map == MAP_FAILED)
                                abort();
                }
                /* As if it were full, so that the next one begins. */
                segment_of(i)->entries = sizeof(struct segment) +
                                         RECORDS_EACH * sizeof(struct record) + (i == 2 ? 4096 : 0);
        }
        good = malloc(FILE_SIZE);
        if (!good)
                abort();
        memcpy(good, map, FILE_SIZE);
}

/* ---- Reading ---- */

static bool peek_some(const struct record *r, void *userdata) {
        (void) userdata;
        return r->kind % 8 != 7;
}

static void read_all(const struct history_reader *reader, unsigned choice) {
        bool backward = choice & CHOICE_BACKWARD;
        uint64_t budget = BUDGET, last = 0, found = 0;
        struct history_bounds bounds;
        struct history_cursor c;
        struct record r;
        struct owner o;
        char rule[256];

        history_bounds(reader, &bounds);
        if (bounds.oldest_seq > bounds.next_seq)
                abort();
        history_seek(&c, reader, backward ? UINT64_MAX : 0, backward);
        if (choice & CHOICE_TIMES) {
                c.since_usec = RECORDS_EACH / 2;
                c.until_usec = 2 * RECORDS_EACH;
        }
        while (history_next(&c, choice & CHOICE_TIMES ? peek_some : NULL, NULL, &budget, &r, &o,
                            rule) > 0) {
                if (r.checksum != record_checksum(&r, offsetof(struct record, checksum)) ||
                    r.time_usec < c.since_usec || r.time_usec > c.until_usec)
                        abort();
                if (last != 0 && (backward ? r.seq >= last : r.seq <= last))
                        abort();
                if (!memchr(rule, 0, sizeof(rule)) || !memchr(o.name, 0, sizeof(o.name)) ||
                    !memchr(o.executable, 0, sizeof(o.executable)) ||
                    !memchr(o.unit, 0, sizeof(o.unit)) ||
                    !memchr(o.container, 0, sizeof(o.container)))
                        abort();
                last = r.seq;
                found++;
        }
        if (found > reader->n_segments * SEGMENT_RECORDS_MAX)
                abort();
}

static void read_file(int file, unsigned choice) {
        struct history_reader reader;

        if (history_reader_open(&reader, file) < 0)
                return;
        read_all(&reader, choice);
        history_reader_close(&reader);
}

/* ---- Writing ---- */

static void open_for_writing(unsigned choice) {
        struct history *h;
        uint64_t next;
        bool aside;

        if (history_open(&h, folder_fd, "history", FILE_SIZE, &aside) < 0)
                abort();
        next = history_next_seq(h);
        if (next == 0 || next > (uint64_t) INT64_MAX + 10 * SEGMENT_RECORDS_MAX)
                abort();
        append_some(h, 4);
        read_file(history_reader_fd(h), choice);
        h = history_close(h);
        /* It opens again and goes on where it was; whoever forges a header can have it otherwise.
         */
        if (history_open(&h, folder_fd, "history", FILE_SIZE, &(bool){ false }) < 0)
                abort();
        if (!aside && !(choice & CHOICE_HEADERS) && history_next_seq(h) != next + 4)
                abort();
        history_close(h);
        if (aside && renameat(folder_fd, "history.damaged-1", folder_fd, "history") < 0)
                abort();
}

/* ---- Changes ---- */

static void mend_checksums(const struct change *changes, unsigned n, unsigned choice) {
        for (uint32_t i = 0; i < HISTORY_SEGMENTS_MIN && choice & CHOICE_HEADERS; i++)
                segment_of(i)->checksum = segment_checksum(segment_of(i));
        for (unsigned i = 0; i < n && choice & CHOICE_RECORDS; i++) {
                struct segment *s = segment_of((uint32_t) (changes[i].at / HISTORY_SEGMENT_SIZE));
                size_t at = changes[i].at % HISTORY_SEGMENT_SIZE;

                if (at >= sizeof(struct segment) && at < HISTORY_SEGMENT_SIZE / 2) {
                        struct record *r = (struct record *) ((uint8_t *) s + at / 128 * 128);

                        r->checksum = record_checksum(r, offsetof(struct record, checksum));
                } else if (at >= HISTORY_SEGMENT_SIZE / 2) {
                        struct entry *e = (struct entry *) ((uint8_t *) s + at / 8 * 8);

                        if (e->size >= sizeof(*e) && e->size <= HISTORY_SEGMENT_SIZE - at / 8 * 8)
                                e->checksum = entry_checksum(e, s->first_seq);
                }
        }
}

/* Where something is: headers, records, entries; and anywhere. */
static size_t place_of(const uint8_t *data) {
        size_t segment = (data[0] & 3U) % HISTORY_SEGMENTS_MIN * (size_t) HISTORY_SEGMENT_SIZE;
        size_t n = (size_t) data[1] << 8 | data[2];

        switch (data[0] >> 2 & 3) {
        case 0:
                return segment + n % sizeof(struct segment);
        case 1:
                return segment + sizeof(struct segment) + n % ((RECORDS_EACH + 8) * 128);
        case 2:
                return segment + HISTORY_SEGMENT_SIZE - 1 - n % 512;
        default:
                return segment + n * 64 % HISTORY_SEGMENT_SIZE;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct change changes[CHANGES_MAX];
        unsigned n = 0, choice;

        if (folder_fd < 0)
                make_good();
        if (size == 0)
                return 0;
        choice = data[0];
        for (data++, size--; size >= 4 && n < CHANGES_MAX; n++) {
                struct change *c = &changes[n];

                c->at = place_of(data);
                c->size = data[3] % CHANGE_MAX;
                data += 4;
                size -= 4;
                c->size = c->size < size ? c->size : size;
                c->size = c->size < FILE_SIZE - c->at ? c->size : FILE_SIZE - c->at;
                memcpy(map + c->at, data, c->size);
                data += c->size;
                size -= c->size;
        }
        mend_checksums(changes, n, choice);

        read_file(fd, choice);
        if ((choice & CHOICE_WRITER) == CHOICE_WRITER) {
                open_for_writing(choice);
                memcpy(map, good, FILE_SIZE);
                return 0;
        }
        for (uint32_t i = 0; i < HISTORY_SEGMENTS_MIN; i++)
                memcpy(segment_of(i), good + i * (size_t) HISTORY_SEGMENT_SIZE,
                       sizeof(struct segment));
        /* With what is around it: a checksum may have been made right there. */
        for (unsigned i = 0; i < n; i++) {
                size_t from = changes[i].at / 128 * 128;
                size_t to = (changes[i].at + changes[i].size) / 128 * 128 + 128;

                to = to < FILE_SIZE ? to : FILE_SIZE;
                memcpy(map + from, good + from, to - from);
        }
        return 0;
}

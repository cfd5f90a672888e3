/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/live.h"

/*
 * Bytes as the file of a live table, for its readers. The first byte chooses: the bytes are the
 * file; or they are changes to a good one, each an offset and what is put there.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS      256U
#define CHANGE_MAX 64U

static int fd = -1;
static uint8_t *good, *map;
static size_t file_size;

static void make_good(void) {
        struct record r = { .kind = RECORD_OPEN, .cookie = 1 };
        struct owner o = { .pid = 1, .name = "name", .executable = "/bin/true" };
        uint32_t slot, owner;
        struct live l;

        fd = memfd_create("live", MFD_CLOEXEC);
        if (fd < 0 || live_create(&l, fd, SLOTS, SLOTS, SLOTS) < 0)
                abort();
        for (unsigned i = 0; i < 8; i++) {
                if (live_take(&l, LIVE_OWNERS, &owner) < 0)
                        abort();
                live_write_owner(&l, owner, &o);
                r.owner = owner;
                for (enum live_extent e = LIVE_LISTENERS; e <= LIVE_CONNECTIONS; e++) {
                        if (live_take(&l, e, &slot) < 0)
                                abort();
                        live_write(&l, e, slot, &r);
                }
        }
        file_size = l.size;
        good = malloc(file_size);
        if (!good)
                abort();
        memcpy(good, l.header, file_size);
        live_close(&l);
        map = mmap(NULL, file_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                abort();
}

static bool ends_within(const char *text, size_t size) {
        return memchr(text, 0, size);
}

static void read_all(int file) {
        struct live l;

        if (live_open(&l, file) < 0)
                return;
        for (enum live_extent e = LIVE_LISTENERS; e <= LIVE_CONNECTIONS; e++) {
                uint64_t used = live_used(&l, e);

                for (uint32_t slot = 0; slot < used && slot < 4 * SLOTS; slot++) {
                        struct record r;
                        struct owner o;

                        if (live_read(&l, e, slot, &r, &o) <= 0)
                                continue;
                        if (r.kind == RECORD_NONE || r.flags & RECORD_PENDING ||
                            !ends_within(o.name, sizeof(o.name)) ||
                            !ends_within(o.executable, sizeof(o.executable)) ||
                            !ends_within(o.unit, sizeof(o.unit)) ||
                            !ends_within(o.container, sizeof(o.container)))
                                abort();
                }
        }
        live_close(&l);
}

static void read_image(const uint8_t *data, size_t size) {
        int file = memfd_create("image", MFD_CLOEXEC);

        if (file < 0 || write(file, data, size) != (ssize_t) size)
                abort();
        read_all(file);
        close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (fd < 0)
                make_good();
        if (size == 0)
                return 0;
        if (data[0] & 1) {
                read_image(data + 1, size - 1);
                return 0;
        }
        memcpy(map, good, file_size);
        for (data++, size--; size >= 4;) {
                uint32_t offset = ((uint32_t) data[0] << 16 | (uint32_t) data[1] << 8 | data[2]);
                size_t n = data[3] % CHANGE_MAX;

                /* Half of the changes go to the header. */
                offset %= data[3] & 128 ? (uint32_t) file_size : 512U;
                data += 4;
                size -= 4;
                n = n < size ? n : size;
                n = n < file_size - offset ? n : file_size - offset;
                memcpy(map + offset, data, n);
                data += n;
                size -= n;
        }
        read_all(fd);
        return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "known_reader.h"

int known_reader_open(struct known_reader *ret, int fd) {
        const struct known_header *header;
        struct stat st;
        void *map;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size != (off_t) KNOWN_SIZE)
                return -EBADMSG;
        map = mmap(NULL, KNOWN_SIZE, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return -errno;
        header = map;
        if (!known_header_valid(header)) {
                munmap(map, KNOWN_SIZE);
                return -EBADMSG;
        }
        *ret = (struct known_reader){
                .header = header,
                .biographies = (const struct biography *) (header + 1),
                .capacity = KNOWN_CAPACITY,
        };
        return 0;
}

void known_reader_close(struct known_reader *r) {
        if (r->header)
                munmap((void *) (uintptr_t) r->header, KNOWN_SIZE);
        *r = (struct known_reader){};
}

/*
 * The copy is plain and may race with the writer. The checksum tells whether who it is was copied
 * whole; that it still stands afterwards, that the words behind it are of the same one.
 */
__attribute__((no_sanitize("thread"))) int known_reader_get(const struct known_reader *r,
                                                            uint32_t place, struct biography *ret) {
        const struct biography *b = &r->biographies[place];
        uint32_t checksum = atomic_load_explicit(&b->checksum, memory_order_acquire);
        struct biography copy;

        if (checksum == 0)
                return 0;
        memcpy(&copy, b, sizeof(copy));
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&b->checksum, memory_order_relaxed) != checksum ||
            !biography_whole(&copy))
                return 0;
        memcpy(ret, &copy, sizeof(copy));
        return 1;
}

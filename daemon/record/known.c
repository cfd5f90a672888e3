/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "known.h"
#include "lib/known_format.h"

#define NONE UINT32_MAX

struct known {
        struct known_header *header;
        struct biography *biographies;
        int fd;
        int reader_fd;
        uint64_t seen_usec[KNOWN_CAPACITY]; /* last_usec of each, close together; 0: free */
        uint32_t chains[KNOWN_CAPACITY];    /* next of the bucket */
        uint32_t buckets[KNOWN_CAPACITY];
};

static bool same_listener(const struct biography *a, const struct biography *b) {
        return a->transport == b->transport && a->exposure == b->exposure && a->port == b->port &&
               strcmp(a->program, b->program) == 0 && strcmp(a->container, b->container) == 0;
}

static uint32_t *bucket_of(struct known *k, const struct biography *b) {
        uint32_t h = record_checksum(b->program, sizeof(b->program)) ^
                     record_checksum(b->container, sizeof(b->container));

        h ^= (uint32_t) b->port << 16 ^ (uint32_t) b->transport << 8 ^ b->exposure;
        return &k->buckets[(h * 0x9E3779B1U) >> 20];
}
_Static_assert(KNOWN_CAPACITY == 1U << (32 - 20), "the hash above fills the table");

static void link_in(struct known *k, uint32_t i) {
        uint32_t *bucket = bucket_of(k, &k->biographies[i]);

        k->chains[i] = *bucket;
        *bucket = i;
}

static void link_out(struct known *k, uint32_t i) {
        uint32_t *link = bucket_of(k, &k->biographies[i]);

        while (*link != i)
                link = &k->chains[*link];
        *link = k->chains[i];
}

/* Copies text and fills the rest with zeros: the whole array is compared and summed. */
static void set_text(char *to, size_t size, const char *text) {
        size_t n = strnlen(text, size - 1);

        memset(to, 0, size);
        memcpy(to, text, n);
}

static bool is_service(const char *unit) {
        const char *dot = strrchr(unit, '.');

        /* Scopes are made up anew for each login or run: their names say nothing next time. */
        return dot && (strcmp(dot, ".service") == 0 || strcmp(dot, ".socket") == 0);
}

static void describe(struct biography *b, const struct record *r, const struct owner *o) {
        const char *program = "", *container = "";

        if (o) {
                program = is_service(o->unit) ? o->unit
                          : o->executable[0]  ? o->executable
                                              : o->name;
                container = o->container;
        }
        *b = (struct biography){
                .transport = r->transport,
                .exposure = r->exposure,
                .port = r->local_port,
                .uid = o ? o->uid : UID_UNKNOWN,
        };
        set_text(b->program, sizeof(b->program), program);
        set_text(b->container, sizeof(b->container), container);
}

static int map_file(struct known *k) {
        void *map;

        map = k->fd >= 0 ? mmap(NULL, KNOWN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0)
                         : mmap(NULL, KNOWN_SIZE, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED)
                return -errno;
        k->header = map;
        k->biographies = (struct biography *) (k->header + 1);
        return 0;
}

static void unmap_file(struct known *k) {
        if (k->header)
                munmap(k->header, KNOWN_SIZE);
        if (k->fd >= 0)
                close(k->fd);
        k->header = NULL;
        k->fd = -1;
}

static void format(struct known *k) {
        k->header->version = KNOWN_VERSION;
        k->header->capacity = KNOWN_CAPACITY;
        atomic_thread_fence(memory_order_release);
        k->header->magic = KNOWN_MAGIC;
}

static int open_existing(struct known *k, int dir_fd, const char *name) {
        struct stat st;
        int r;

        k->fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (k->fd < 0)
                return errno == ELOOP ? -EBADMSG : -errno;
        if (fstat(k->fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode) || st.st_size != (off_t) KNOWN_SIZE)
                r = -EBADMSG;
        else
                r = map_file(k);
        if (r >= 0 && !known_header_valid(k->header))
                r = -EBADMSG;
        if (r < 0)
                unmap_file(k);
        return r;
}

static int create_new(struct known *k, int dir_fd, const char *name) {
        char temporary[NAME_MAX + 1];
        int r;

        if (snprintf(temporary, sizeof(temporary), "%s.new", name) >= (int) sizeof(temporary))
                return -ENAMETOOLONG;
        k->fd = openat(dir_fd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                       0640);
        if (k->fd < 0)
                return -errno;
        r = -posix_fallocate(k->fd, 0, (off_t) KNOWN_SIZE);
        if (r == 0)
                r = map_file(k);
        if (r >= 0) {
                format(k);
                if (renameat(dir_fd, temporary, dir_fd, name) < 0)
                        r = -errno;
        }
        if (r < 0) {
                unlinkat(dir_fd, temporary, 0);
                unmap_file(k);
        }
        return r;
}

static int set_aside(int dir_fd, const char *name) {
        char aside[NAME_MAX + 1];

        if (snprintf(aside, sizeof(aside), "%s.damaged", name) >= (int) sizeof(aside))
                return -ENAMETOOLONG;
        return renameat(dir_fd, name, dir_fd, aside) < 0 ? -errno : 0;
}

int known_open(struct known **ret, int dir_fd, const char *name, bool *ret_set_aside) {
        struct known *k = calloc(1, sizeof(*k));
        bool aside = false;
        int r;

        if (!k)
                return -ENOMEM;
        k->fd = k->reader_fd = -1;
        memset(k->buckets, 0xFF, sizeof(k->buckets));

        if (dir_fd < 0) {
                r = map_file(k);
                if (r >= 0)
                        format(k);
        } else {
                r = open_existing(k, dir_fd, name);
                if (r == -EBADMSG) {
                        r = set_aside(dir_fd, name);
                        aside = r >= 0;
                        if (r >= 0)
                                r = -ENOENT;
                }
                if (r == -ENOENT)
                        r = create_new(k, dir_fd, name);
                if (r >= 0) {
                        k->reader_fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                        if (k->reader_fd < 0)
                                r = -errno;
                }
        }
        if (r < 0) {
                known_close(k);
                return r;
        }
        for (uint32_t i = 0; i < KNOWN_CAPACITY; i++) {
                struct biography *b = &k->biographies[i];

                if (b->checksum == 0)
                        continue;
                if (biography_whole(b)) {
                        uint64_t last_usec = atomic_load(&b->last_usec);

                        k->seen_usec[i] = last_usec ? last_usec : 1;
                        link_in(k, i);
                } else
                        memset(b, 0, sizeof(*b));
        }
        *ret = k;
        *ret_set_aside = aside;
        return 0;
}

struct known *known_close(struct known *k) {
        if (!k)
                return NULL;
        unmap_file(k);
        if (k->reader_fd >= 0)
                close(k->reader_fd);
        free(k);
        return NULL;
}

/* A free place, or that of the listener that was not seen for longest. */
static uint32_t find_room(struct known *k, bool *ret_evicted) {
        uint64_t oldest_usec = UINT64_MAX;
        uint32_t oldest = 0;

        for (uint32_t i = 0; i < KNOWN_CAPACITY; i++)
                if (k->seen_usec[i] < oldest_usec) {
                        oldest_usec = k->seen_usec[i];
                        oldest = i;
                }
        if (oldest_usec == 0)
                return oldest;
        link_out(k, oldest);
        k->biographies[oldest].checksum = 0;
        atomic_thread_fence(memory_order_release);
        *ret_evicted = true;
        return oldest;
}

uint64_t known_seen(struct known *k, const struct record *r, const struct owner *o, bool opened,
                    bool *ret_evicted) {
        struct biography wanted, *b;
        bool evicted = false, is_new;
        uint32_t i;

        describe(&wanted, r, o);
        for (i = *bucket_of(k, &wanted); i != NONE; i = k->chains[i])
                if (same_listener(&k->biographies[i], &wanted))
                        break;
        is_new = i == NONE;
        if (is_new) {
                i = find_room(k, &evicted);
                wanted.first_usec = r->first_seen_usec ? r->first_seen_usec : r->time_usec;
                wanted.last_usec = r->time_usec;
                b = &k->biographies[i];
                memcpy((uint8_t *) b + sizeof(b->checksum),
                       (const uint8_t *) &wanted + sizeof(wanted.checksum),
                       sizeof(wanted) - sizeof(wanted.checksum));
                atomic_store_explicit(&b->checksum, biography_checksum(&wanted),
                                      memory_order_release);
                link_in(k, i);
        }
        b = &k->biographies[i];
        /* Who it is may become known after it was opened: then it is his opening all the same. */
        opened = opened || (r->kind == RECORD_LISTEN &&
                            (is_new || atomic_load(&b->last_usec) < r->opened_usec));
        atomic_store(&b->last_usec, r->time_usec);
        k->seen_usec[i] = r->time_usec ? r->time_usec : 1;
        if (opened)
                atomic_fetch_add(&b->times_opened, 1);
        if (ret_evicted)
                *ret_evicted = evicted;
        return b->first_usec;
}

int known_reader_fd(const struct known *k) {
        return k->reader_fd;
}

int known_sync_fd(const struct known *k) {
        return k->fd;
}

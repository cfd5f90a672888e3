/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"

#define CACHE_SIZE 4096U /* direct-mapped: a place that was pushed out is looked up again */

/* include/linux/exportfs.h: what open_by_handle_at(2) takes for a kernfs file is its 64-bit id. */
#define FILEID_KERNFS 0xFE

enum cached { CACHED_NOTHING, CACHED_PATH, CACHED_PLACE };

struct cached_place {
        uint64_t id;
        enum cached what;
        struct cgroup_place place; /* by CACHED_PATH: from the path as it was told */
};

struct cgroups {
        int root_fd; /* of the mount, -1: none */
        char root[PATH_MAX];
        struct cached_place cache[CACHE_SIZE];
};

static bool has_suffix(const char *s, size_t size, const char *suffix) {
        size_t n = strlen(suffix);

        return size > n && memcmp(s + size - n, suffix, n) == 0;
}

/* systemd.unit(5): the kinds of units that can hold processes or sockets. */
static bool is_unit(const char *s, size_t size) {
        static const char *const suffixes[] = { ".service", ".scope", ".socket", ".mount",
                                                ".swap" };

        for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
                if (has_suffix(s, size, suffixes[i]))
                        return true;
        return false;
}

static size_t hex_length(const char *s, size_t size) {
        size_t n = 0;

        while (n < size && isxdigit((unsigned char) s[n]))
                n++;
        return n;
}

/*
 * How runtimes name their control groups. With "%" the rest up to the suffix is the id; ids of the
 * hexadecimal kind have 32 digits or more, so that an ordinary unit is not taken for one.
 */
static const struct runtime {
        const char *prefix;
        const char *suffix;
        const char *parent; /* NULL: any */
        const char *name;
        bool hexadecimal;
} runtimes[] = {
        { "docker-", ".scope", NULL, "docker", true },
        { "", "", "docker", "docker", true },
        { "libpod-", ".scope", NULL, "podman", true },
        { "libpod-", "", NULL, "podman", true },
        { "cri-containerd-", ".scope", NULL, "containerd", true },
        { "crio-", ".scope", NULL, "cri-o", true },
        { "systemd-nspawn@", ".service", NULL, "nspawn", false },
        { "machine-", ".scope", "machine.slice", "machine", false },
        { "lxc.payload.", "", NULL, "lxc", false },
        { "", "", "lxc", "lxc", false },
};

static void take(char *to, size_t to_size, const char *from, size_t size) {
        if (size >= to_size)
                size = to_size - 1;
        memcpy(to, from, size);
        to[size] = 0;
}

static bool parse_runtime(const char *parent, size_t parent_size, const char *name, size_t size,
                          char *ret, size_t ret_size) {
        for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
                const struct runtime *r = &runtimes[i];
                size_t prefix = strlen(r->prefix), suffix = strlen(r->suffix);

                if (size <= prefix + suffix || memcmp(name, r->prefix, prefix) != 0 ||
                    memcmp(name + size - suffix, r->suffix, suffix) != 0)
                        continue;
                if (r->parent && (strlen(r->parent) != parent_size ||
                                  memcmp(r->parent, parent, parent_size) != 0))
                        continue;
                if (r->hexadecimal &&
                    (size - prefix - suffix < 32 ||
                     hex_length(name + prefix, size - prefix - suffix) != size - prefix - suffix))
                        continue;
                snprintf(ret, ret_size, "%s:%.*s", r->name, (int) (size - prefix - suffix),
                         name + prefix);
                return true;
        }
        /* Kubernetes with the cgroupfs driver: kubepods/.../podUID/ID, of whichever runtime. */
        if (parent_size > 3 && memcmp(parent, "pod", 3) == 0 && size >= 32 &&
            hex_length(name, size) == size) {
                snprintf(ret, ret_size, "cri:%.*s", (int) size, name);
                return true;
        }
        return false;
}

void cgroup_parse(const char *path, struct cgroup_place *ret) {
        const char *parent = "";
        size_t parent_size = 0;

        *ret = (struct cgroup_place){};
        while (*path) {
                size_t size;

                path += strspn(path, "/");
                size = strcspn(path, "/");
                if (size == 0)
                        break;
                /* systemd puts '_' before names that the kernel keeps for its own files. */
                if (ret->unit[0] == 0 && ret->container[0] == 0 && is_unit(path, size))
                        take(ret->unit, sizeof(ret->unit), path + (*path == '_'),
                             size - (*path == '_'));
                /* The innermost container counts: that is where the process sees itself. */
                parse_runtime(parent, parent_size, path, size, ret->container,
                              sizeof(ret->container));
                parent = path;
                parent_size = size;
                path += size;
        }
}

int cgroup_root(char *path, size_t size) {
        char buffer[4 * PATH_MAX];
        struct mntent entry;
        int r = -ENOENT;
        FILE *f;

        f = setmntent("/proc/self/mounts", "re");
        if (!f)
                return -errno;
        while (getmntent_r(f, &entry, buffer, sizeof(buffer)))
                if (strcmp(entry.mnt_type, "cgroup2") == 0) {
                        r = (size_t) snprintf(path, size, "%s", entry.mnt_dir) < size
                                    ? 0
                                    : -ENAMETOOLONG;
                        break;
                }
        endmntent(f);
        return r;
}

int cgroups_new(struct cgroups **ret) {
        struct cgroups *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->root_fd = -1;
        if (cgroup_root(c->root, sizeof(c->root)) >= 0)
                c->root_fd = open(c->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *ret = c;
        return 0;
}

struct cgroups *cgroups_free(struct cgroups *c) {
        if (!c)
                return NULL;
        if (c->root_fd >= 0)
                close(c->root_fd);
        free(c);
        return NULL;
}

static struct cached_place *cached_at(struct cgroups *c, uint64_t id) {
        return &c->cache[(id * 0x9E3779B97F4A7C15ULL) >> 52];
}
_Static_assert(CACHE_SIZE == 1U << (64 - 52), "the hash above fills the cache");

void cgroups_learn(struct cgroups *c, uint64_t id, const char *path) {
        struct cached_place *cached = cached_at(c, id);

        cached->id = id;
        cached->what = CACHED_PATH;
        cgroup_parse(path, &cached->place);
}

/* The path of a group by its id, below the root of the hierarchy as this process sees it. */
static int resolve(const struct cgroups *c, uint64_t id, struct cgroup_place *ret) {
        union {
                struct file_handle handle;
                uint8_t bytes[sizeof(struct file_handle) + sizeof(uint64_t)];
        } h = { .handle = { .handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS } };
        char link[64], path[PATH_MAX];
        size_t root = strlen(c->root);
        ssize_t n;
        int fd;

        if (c->root_fd < 0)
                return -ENOENT;
        memcpy(h.handle.f_handle, &id, sizeof(id));
        fd = open_by_handle_at(c->root_fd, &h.handle, O_PATH | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        close(fd);
        if (n < 0)
                return -errno;
        path[n] = 0;
        if ((size_t) n < root || memcmp(path, c->root, root) != 0)
                return -ENOENT;
        cgroup_parse(path + root, ret);
        return 0;
}

const struct cgroup_place *cgroups_get(struct cgroups *c, uint64_t id) {
        struct cached_place *cached = cached_at(c, id);
        struct cgroup_place place;

        if (id == 0)
                return NULL;
        if (cached->id == id && cached->what == CACHED_PLACE)
                return &cached->place;
        if (resolve(c, id, &place) < 0) {
                /* Gone already: what was told when it was made is all there is. */
                if (cached->id != id || cached->what == CACHED_NOTHING)
                        return NULL;
                place = cached->place;
        }
        *cached = (struct cached_place){ .id = id, .what = CACHED_PLACE, .place = place };
        return &cached->place;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netns.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "destroy.h"
#include "diag.h"
#include "lib/ports.h"

#define OWN_PATH "/proc/thread-self/ns/net"

/* Descriptors that namespaces leave to the rest of the recorder. */
#define DESCRIPTORS_SPARED 256
#define DESCRIPTORS_EACH   2

/* How many scans in a row must miss a namespace. */
#define SCANS_MISSED 2

/* Where namespaces are bound to names, so that they last without a process. */
static const char *const named_folders[] = { "/run/netns", "/run/docker/netns" };

/* One look through the machine. */
struct scan {
        struct netns_set *set;
        int destroy;
        int rcvbuf;
        dev_t nsfs; /* device of all namespaces' inodes */
        unsigned max;
        unsigned hint; /* entry that was found last */
};

int netns_enter(int ns_fd) {
        int own = open(OWN_PATH, O_RDONLY | O_CLOEXEC), r;

        if (own < 0)
                return -errno;
        if (setns(ns_fd, CLONE_NEWNET) < 0) {
                r = -errno;
                (void) close(own);
                return r;
        }
        return own;
}

void netns_leave(int own_fd) {
        if (setns(own_fd, CLONE_NEWNET) < 0)
                abort();
        (void) close(own_fd);
}

uint32_t netns_own(void) {
        struct stat st;

        return stat(OWN_PATH, &st) < 0 ? 0 : (uint32_t) st.st_ino;
}

/* /proc/sys/net shows the namespace of whoever opens it. On failure the range stays. */
static void read_ephemeral_range(struct netns_entry *e) {
        unsigned first, last;
        char buffer[64];
        ssize_t n;
        int fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return;
        n = read(fd, buffer, sizeof(buffer) - 1);
        (void) close(fd);
        if (n <= 0)
                return;
        buffer[n] = '\0';
        if (sscanf(buffer, "%u %u", &first, &last) == 2 && first <= last && last <= UINT16_MAX) {
                e->ephemeral_first = (uint16_t) first;
                e->ephemeral_last = (uint16_t) last;
        }
}

static void entry_close(struct netns_entry *e) {
        if (e->diag_fd >= 0)
                (void) close(e->diag_fd);
        if (e->destroy_fd >= 0)
                (void) close(e->destroy_fd);
}

/* In the namespace that the thread is in. */
static int entry_open(struct netns_entry *ret, uint32_t inode, int destroy, int rcvbuf) {
        struct netns_entry e = {
                .inode = inode,
                .diag_fd = -1,
                .destroy_fd = -1,
                .ephemeral_first = PORTS_EPHEMERAL_FIRST,
                .ephemeral_last = PORTS_EPHEMERAL_LAST,
        };

        e.diag_fd = diag_open(-1);
        if (e.diag_fd < 0)
                return e.diag_fd;
        if (destroy) {
                e.destroy_fd = destroy_open(rcvbuf);
                if (e.destroy_fd < 0) {
                        int r = e.destroy_fd;

                        entry_close(&e);
                        return r;
                }
        }
        read_ephemeral_range(&e);
        *ret = e;
        return 0;
}

/* A place for one more entry, behind the used ones; NULL without memory. */
static struct netns_entry *set_reserve(struct netns_set *set) {
        struct netns_entry *entries;

        /* Powers of two are the sizes at which the array is full. */
        if ((set->n_entries & (set->n_entries - 1)) == 0) {
                size_t n = set->n_entries ? 2 * (size_t) set->n_entries : 1;

                entries = reallocarray(set->entries, n, sizeof(*entries));
                if (!entries)
                        return NULL;
                set->entries = entries;
        }
        return &set->entries[set->n_entries];
}

static bool scan_mark(struct scan *s, uint32_t inode) {
        struct netns_set *set = s->set;

        /* Neighbours in /proc mostly share a namespace. */
        if (s->hint < set->n_entries && set->entries[s->hint].inode == inode) {
                set->entries[s->hint].seen = SCANS_MISSED;
                return true;
        }
        for (unsigned i = 0; i < set->n_entries; i++)
                if (set->entries[i].inode == inode) {
                        set->entries[i].seen = SCANS_MISSED;
                        s->hint = i;
                        return true;
                }
        return false;
}

/* Opens the sockets of a namespace that is not in the set. */
static void scan_add(struct scan *s, int folder, const char *path) {
        struct netns_entry *e;
        struct stat st;
        int fd, own, r;

        if (s->set->n_entries >= s->max) {
                s->set->n_skipped++;
                return;
        }
        fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0) {
                /* Gone with its process: no namespace was passed over. */
                if (errno != ENOENT && errno != ESRCH)
                        s->set->n_skipped++;
                return;
        }
        /* It may be another one by now, even one that is known. */
        if (fstat(fd, &st) < 0 || st.st_dev != s->nsfs || scan_mark(s, (uint32_t) st.st_ino))
                goto finish;

        e = set_reserve(s->set);
        own = e ? netns_enter(fd) : -ENOMEM;
        if (own < 0) {
                s->set->n_skipped++;
                goto finish;
        }
        r = entry_open(e, (uint32_t) st.st_ino, s->destroy, s->rcvbuf);
        netns_leave(own);
        if (r < 0) {
                s->set->n_skipped++;
                goto finish;
        }
        e->seen = SCANS_MISSED;
        s->set->n_entries++;

finish:
        (void) close(fd);
}

static void scan_path(struct scan *s, int folder, const char *path) {
        struct stat st;

        if (fstatat(folder, path, &st, 0) < 0) {
                s->set->n_hidden += errno == EACCES || errno == EPERM;
                return;
        }
        if (st.st_dev == s->nsfs && !scan_mark(s, (uint32_t) st.st_ino))
                scan_add(s, folder, path);
}

static int scan_processes(struct scan *s) {
        char path[sizeof("/ns/net") + NAME_MAX];
        struct dirent *de;
        DIR *dir;

        dir = opendir("/proc");
        if (!dir)
                return -errno;
        while ((de = readdir(dir))) {
                if (!isdigit((unsigned char) de->d_name[0]))
                        continue;
                (void) snprintf(path, sizeof(path), "%s/ns/net", de->d_name);
                scan_path(s, dirfd(dir), path);
        }
        (void) closedir(dir);
        return 0;
}

static void scan_names(struct scan *s, const char *folder) {
        struct dirent *de;
        DIR *dir = opendir(folder);

        if (!dir)
                return;
        while ((de = readdir(dir)))
                if (de->d_name[0] != '.')
                        scan_path(s, dirfd(dir), de->d_name);
        (void) closedir(dir);
}

static void scan_forget(struct scan *s) {
        struct netns_set *set = s->set;
        unsigned kept = 1;

        for (unsigned i = 1; i < set->n_entries; i++) {
                struct netns_entry *e = &set->entries[i];

                if (--e->seen >= 0) {
                        set->entries[kept++] = *e;
                        continue;
                }
                if (set->closing)
                        set->closing(e, set->userdata);
                entry_close(e);
        }
        set->n_entries = kept;
}

static unsigned entries_max(void) {
        struct rlimit limit;
        rlim_t max;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
                return NETNS_MAX;
        if (limit.rlim_cur < DESCRIPTORS_SPARED + DESCRIPTORS_EACH)
                return 1;
        max = (limit.rlim_cur - DESCRIPTORS_SPARED) / DESCRIPTORS_EACH;
        return max < NETNS_MAX ? (unsigned) max : NETNS_MAX;
}

int netns_scan(struct netns_set *set, int destroy, int rcvbuf) {
        struct scan s = { .set = set, .destroy = destroy, .rcvbuf = rcvbuf, .max = entries_max() };
        struct stat own;
        int r;

        if (stat(OWN_PATH, &own) < 0)
                return -errno;
        s.nsfs = own.st_dev;

        if (set->n_entries == 0) {
                struct netns_entry *e = set_reserve(set);

                if (!e)
                        return -ENOMEM;
                r = entry_open(e, (uint32_t) own.st_ino, destroy, rcvbuf);
                if (r < 0) {
                        netns_done(set);
                        return r;
                }
                set->n_entries = 1;
        } else
                read_ephemeral_range(&set->entries[0]);

        set->n_skipped = 0;
        set->n_hidden = 0;
        r = scan_processes(&s);
        if (r < 0)
                return r;
        for (size_t i = 0; i < sizeof(named_folders) / sizeof(named_folders[0]); i++)
                scan_names(&s, named_folders[i]);
        scan_forget(&s);
        return 0;
}

void netns_done(struct netns_set *set) {
        for (unsigned i = 0; i < set->n_entries; i++) {
                if (set->closing)
                        set->closing(&set->entries[i], set->userdata);
                entry_close(&set->entries[i]);
        }
        free(set->entries);
        set->entries = NULL;
        set->n_entries = 0;
}

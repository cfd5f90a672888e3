/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "holders.h"
#include "process.h"

#define ROOM_MIN 256U

static uint64_t key_of(const struct holders *h, const struct event *ev) {
        return h->key == HOLDERS_BY_COOKIE ? ev->cookie : ev->inode;
}

int holders_add(struct holders *h, const struct event *ev) {
        if (h->n == HOLDERS_MAX)
                return -ENOBUFS;
        if (h->n == h->room) {
                size_t room = h->room ? h->room * 2 : ROOM_MIN;
                struct event *events = realloc(h->events, room * sizeof(*events));

                if (!events)
                        return -ENOMEM;
                h->events = events;
                h->room = room;
        }
        h->events[h->n++] = *ev;
        return 0;
}

static int compare_numbers(uint64_t a, uint64_t b) {
        return (a > b) - (a < b);
}

static int compare_cookies(const void *a, const void *b) {
        const struct event *x = a, *y = b;
        int r = compare_numbers(x->cookie, y->cookie);

        return r != 0 ? r : compare_numbers(x->pid, y->pid);
}

static int compare_inodes(const void *a, const void *b) {
        const struct event *x = a, *y = b;
        int r = compare_numbers(x->inode, y->inode);

        return r != 0 ? r : compare_numbers(x->pid, y->pid);
}

void holders_sort(struct holders *h) {
        if (h->n > 1)
                qsort(h->events, h->n, sizeof(*h->events),
                      h->key == HOLDERS_BY_COOKIE ? compare_cookies : compare_inodes);
}

/* The first holder of ev's socket, or h->n. */
static size_t find_first(const struct holders *h, const struct event *ev) {
        uint64_t key = key_of(h, ev);
        size_t low = 0, high = h->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (key_of(h, &h->events[middle]) < key)
                        low = middle + 1;
                else
                        high = middle;
        }
        return key != 0 && low < h->n && key_of(h, &h->events[low]) == key ? low : h->n;
}

int holders_fill(const struct holders *h, struct event *ev) {
        size_t low = find_first(h, ev);

        if (low == h->n)
                return 0;
        ev->pid = h->events[low].pid;
        ev->start_ns = h->events[low].start_ns;
        ev->exec_id = h->events[low].exec_id;
        /* /proc tells neither: what the dump knows of the socket stays. */
        if (h->key == HOLDERS_BY_COOKIE) {
                ev->uid = h->events[low].uid;
                /* systemd makes sockets in the control groups of their socket units. */
                if (ev->pid != 1 || ev->cgroup_id == 0)
                        ev->cgroup_id = h->events[low].cgroup_id;
        }
        ev->flags |= h->events[low].flags;
        memcpy(ev->name, h->events[low].name, sizeof(ev->name));
        return 1;
}

int holders_next(const struct holders *h, const struct event *ev, struct event *ret) {
        size_t i = find_first(h, ev) + 1;

        if (i >= h->n || key_of(h, &h->events[i]) != key_of(h, ev))
                return 0;
        *ret = h->events[i];
        ret->type = EVENT_OWNER;
        ret->time_ns = ev->time_ns;
        ret->cookie = ev->cookie;
        ret->netns = ev->netns;
        /* Its user is not looked up, and the socket's is not its own. */
        if (h->key == HOLDERS_BY_INODE)
                ret->uid = UINT32_MAX;
        return 1;
}

void holders_clear(struct holders *h) {
        free(h->events);
        h->events = NULL;
        h->n = h->room = 0;
}

/* ---- /proc ---- */

/* The number behind a name that is digits alone, 0 if it is none. */
static uint32_t number_of(const char *name) {
        char *end;
        unsigned long n = strtoul(name, &end, 10);

        return *end == 0 && n <= UINT32_MAX ? (uint32_t) n : 0;
}

/* The inode that a link "socket:[INODE]" names, 0 for other files. */
static uint32_t socket_of(int dir_fd, const char *name) {
        static const char prefix[] = "socket:[";
        char link[64];
        ssize_t n = readlinkat(dir_fd, name, link, sizeof(link) - 1);

        if (n < (ssize_t) sizeof(prefix))
                return 0;
        link[n] = 0;
        if (strncmp(link, prefix, sizeof(prefix) - 1) != 0)
                return 0;
        return (uint32_t) strtoul(link + sizeof(prefix) - 1, NULL, 10);
}

static int walk_process(struct holders *h, int proc_fd, const char *name) {
        struct event ev = { .type = EVENT_OWNER, .pid = number_of(name) };
        bool described = false;
        uint64_t start_ns;
        char path[32];
        DIR *dir;
        int fd, r = 0;

        snprintf(path, sizeof(path), "%.10s/fd", name);
        fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                close(fd);
                return -ENOMEM;
        }
        for (struct dirent *d; r >= 0 && (d = readdir(dir));) {
                ev.inode = socket_of(fd, d->d_name);
                if (ev.inode == 0)
                        continue;
                if (!described) {
                        /* Gone meanwhile: then so are its sockets, or they are somebody else's. */
                        if (process_start(ev.pid, &start_ns) < 0 ||
                            process_name(ev.pid, ev.name, sizeof(ev.name)) < 0)
                                break;
                        ev.start_ns = start_ns;
                        described = true;
                }
                r = holders_add(h, &ev);
        }
        closedir(dir);
        return r;
}

int holders_walk(struct holders *h, unsigned *ret_denied) {
        unsigned denied = 0;
        int r = 0;
        DIR *proc;

        proc = opendir("/proc");
        if (!proc)
                return -errno;
        for (struct dirent *d; (d = readdir(proc));) {
                if (number_of(d->d_name) == 0)
                        continue;
                r = walk_process(h, dirfd(proc), d->d_name);
                if (r == -EACCES || r == -EPERM)
                        denied++;
                if (r == -ENOMEM)
                        break;
        }
        closedir(proc);
        *ret_denied = denied;
        return r == -ENOMEM ? r : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/ruleedit.h"
#include "cli/rulefiles.h"

/* How long another change may take. */
#define LOCK_MSEC  5000
#define PAUSE_MSEC 20

#define HEADER "# Rules that portctl expect has added, see portwatch.rules(5).\n"

static int refuse(const char *path, int error) {
        if (error == -EACCES || error == -EPERM || error == -EROFS) {
                (void) fprintf(stderr,
                               "portctl: not permitted to write %s: %s. Run this as root.\n", path,
                               strerror(-error));
                return STATUS_REFUSED;
        }
        if (error == -ETIMEDOUT) {
                (void) fprintf(stderr, "portctl: %s is being written by another process.\n", path);
                return STATUS_FAILURE;
        }
        return rulefiles_failed(path, error);
}

/* -ETIMEDOUT after LOCK_MSEC. */
static int lock(int fd) {
        const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };

        for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += PAUSE_MSEC) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (waited >= LOCK_MSEC)
                        return -ETIMEDOUT;
                (void) nanosleep(&pause, NULL);
        }
        return 0;
}

/*
 * Makes the new file, or takes one that an interrupted change has left, and locks it. None but who
 * may write here can open it, and so hold the lock, until it is done. Whoever had it before may
 * have put it in its place meanwhile: then it is the new file no longer.
 */
static int open_new(const char *path, int *ret) {
        for (;;) {
                struct stat is, now;
                int fd, r;

                fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
                if (fd < 0)
                        return -errno;
                r = lock(fd);
                if (r >= 0 && fstat(fd, &is) < 0)
                        r = -errno;
                if (r < 0) {
                        (void) close(fd);
                        return r;
                }
                if (lstat(path, &now) == 0 && now.st_ino == is.st_ino && now.st_dev == is.st_dev) {
                        *ret = fd;
                        return 0;
                }
                (void) close(fd);
        }
}

int ruleedit_begin(struct ruleedit *e, const char *config, bool read_only) {
        char folder[4000];
        struct stat st;
        int r = 0;

        *e = (struct ruleedit){ .fd = -1 };
        if ((size_t) snprintf(folder, sizeof(folder), "%s/" RULEFILES_FOLDER,
                              config ? config : SYSCONFDIR "/portwatch") >= sizeof(folder))
                return refuse(config, -ENAMETOOLONG);
        (void) snprintf(e->path, sizeof(e->path), "%s/" RULEEDIT_FILE, folder);
        (void) snprintf(e->new_path, sizeof(e->new_path), "%s/." RULEEDIT_FILE ".new", folder);
        if (!read_only && mkdir(folder, 0755) < 0 && errno != EEXIST)
                return refuse(folder, -errno);
        if (!read_only)
                r = open_new(e->new_path, &e->fd);
        if (r < 0)
                return refuse(e->path, r);
        /* A link would not be replaced by what it leads to, and its target not be changed. */
        if (lstat(e->path, &st) == 0)
                r = S_ISREG(st.st_mode) ? rulefiles_read(&e->text, e->path) : -EINVAL;
        else if (errno == ENOENT)
                buf_text(&e->text, HEADER);
        else
                r = -errno;
        if (r >= 0 && e->text.size > RULES_FILE_SIZE)
                r = -EFBIG;
        if (r >= 0)
                return STATUS_FINE;
        ruleedit_cancel(e);
        return refuse(e->path, r);
}

static int write_all(int fd, const struct buf *b) {
        size_t at = 0;

        if (b->failed)
                return -ENOMEM;
        if (b->size > RULES_FILE_SIZE)
                return -EFBIG;
        if (ftruncate(fd, 0) < 0)
                return -errno;
        while (at < b->size) {
                ssize_t n = write(fd, b->data + at, b->size - at);

                if (n >= 0)
                        at += (size_t) n;
                else if (errno != EINTR)
                        return -errno;
        }
        return 0;
}

/* The name of a file is on disk once its folder is. */
static int sync_folder(const char *path) {
        char folder[4096];
        int fd, r = 0;

        (void) snprintf(folder, sizeof(folder), "%.*s", (int) (strrchr(path, '/') - path), path);
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fsync(fd) < 0)
                r = -errno;
        (void) close(fd);
        return r;
}

int ruleedit_commit(struct ruleedit *e) {
        int r;

        r = write_all(e->fd, &e->text);
        if (r >= 0 && (fchmod(e->fd, 0644) < 0 || fsync(e->fd) < 0))
                r = -errno;
        if (r >= 0 && rename(e->new_path, e->path) < 0)
                r = -errno;
        if (r < 0) {
                ruleedit_cancel(e);
                return refuse(e->path, r);
        }
        r = sync_folder(e->path);
        (void) close(e->fd);
        e->fd = -1;
        buf_done(&e->text);
        return r < 0 ? refuse(e->path, r) : STATUS_FINE;
}

void ruleedit_cancel(struct ruleedit *e) {
        if (e->fd >= 0) {
                (void) unlink(e->new_path);
                (void) close(e->fd);
        }
        e->fd = -1;
        buf_done(&e->text);
}

void ruleedit_append(struct ruleedit *e, const char *rule) {
        if (e->text.size > 0 && e->text.data[e->text.size - 1] != '\n')
                buf_char(&e->text, '\n');
        buf_text(&e->text, rule);
        buf_char(&e->text, '\n');
}

void ruleedit_remove(struct ruleedit *e, unsigned line) {
        struct buf *b = &e->text;
        size_t begin = 0, end = 0;

        for (unsigned i = 0; i < line && end < b->size; i++) {
                const char *stop = memchr(b->data + end, '\n', b->size - end);

                begin = end;
                end = stop ? (size_t) (stop - b->data) + 1 : b->size;
        }
        memmove(b->data + begin, b->data + end, b->size - end);
        b->size -= end - begin;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

#define LIVE_NAME     "live"
#define LIVE_NEW_NAME "live.new"
#define LOCK_NAME     "lock"

static int open_folder(const char *path, mode_t mode) {
        int fd;

        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return -errno;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int read_boot_id(char ret[static 40]) {
        int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, ret, 39);
        close(fd);
        if (n < 0)
                return -errno;
        ret[n] = 0;
        ret[strcspn(ret, "\n")] = 0;
        return 0;
}

static int lock_runtime(struct files *s) {
        s->lock_fd =
                openat(s->runtime_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (s->lock_fd < 0)
                return -errno;
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        return 0;
}

/* The sockets that an earlier recorder knew. Cookies are good for one boot only. */
static void open_earlier(struct files *s, const char *boot_id) {
        int fd = openat(s->runtime_fd, LIVE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return;
        if (live_open(&s->earlier, fd) >= 0 &&
            strncmp(s->earlier.header->boot_id, boot_id, sizeof(s->earlier.header->boot_id)) != 0)
                live_close(&s->earlier);
        close(fd);
}

static int open_live(struct files *s, const struct config *config) {
        char boot_id[40] = "";
        int r;

        r = read_boot_id(boot_id);
        if (r < 0)
                return r;
        open_earlier(s, boot_id);

        if (unlinkat(s->runtime_fd, LIVE_NEW_NAME, 0) < 0 && errno != ENOENT)
                return -errno;
        s->live_fd = openat(s->runtime_fd, LIVE_NEW_NAME,
                            O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (s->live_fd < 0)
                return -errno;
        s->live_reader_fd = openat(s->runtime_fd, LIVE_NEW_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (s->live_reader_fd < 0)
                return -errno;
        r = live_create(&s->live, s->live_fd, config->max_listeners, config->max_connections,
                        config->max_owners);
        if (r < 0)
                return r;
        memcpy(s->live.header->boot_id, boot_id, sizeof(boot_id));
        return 0;
}

static int open_history(struct files *s, const struct config *config, int dir_fd) {
        return history_open(&s->history, dir_fd, "history", config->history_size_bytes,
                            &s->history_set_aside);
}

static int open_persistent(struct files *s, const struct config *config, const char *state) {
        int fd = open_folder(state, 0750), r;

        if (fd < 0)
                return fd;
        r = open_history(s, config, fd);
        if (r >= 0) {
                r = known_open(&s->known, fd, "known", &s->known_set_aside);
                if (r < 0)
                        s->history = history_close(s->history);
        }
        close(fd);
        return r;
}

static int open_volatile(struct files *s, const struct config *config) {
        int r = open_history(s, config, s->runtime_fd);

        return r < 0 ? r : known_open(&s->known, s->runtime_fd, "known", &s->known_set_aside);
}

int files_open(struct files *ret, const struct config *config, const char *state,
               const char *runtime, const char **ret_what) {
        struct files s = { .runtime_fd = -1,
                           .lock_fd = -1,
                           .live_fd = -1,
                           .live_reader_fd = -1,
                           .earlier.fd = -1 };
        const char *what = runtime;
        int r;

        s.runtime_fd = r = open_folder(runtime, 0755);
        if (r >= 0)
                r = lock_runtime(&s);
        if (r < 0)
                goto fail;

        if (config->storage == CONFIG_STORAGE_PERSISTENT) {
                what = state;
                r = open_persistent(&s, config, state);
                if (r == -EBUSY)
                        goto fail;
                if (r < 0) {
                        /* Better a record in memory than none: the status says that it is. */
                        s.volatile_fallback = true;
                        s.error = r;
                }
        }
        what = runtime;
        if (!s.history) {
                r = open_volatile(&s, config);
                if (r < 0)
                        goto fail;
        }
        r = open_live(&s, config);
        if (r < 0)
                goto fail;
        s.history_bytes = config->history_size_bytes / HISTORY_SEGMENT_SIZE * HISTORY_SEGMENT_SIZE;
        *ret = s;
        return 0;
fail:
        files_close(&s);
        *ret_what = what;
        return r;
}

int files_publish(struct files *s) {
        live_close(&s->earlier);
        return renameat(s->runtime_fd, LIVE_NEW_NAME, s->runtime_fd, LIVE_NAME) < 0 ? -errno : 0;
}

void files_close(struct files *s) {
        const int fds[] = { s->live_fd, s->live_reader_fd, s->lock_fd, s->runtime_fd };

        history_close(s->history);
        known_close(s->known);
        live_close(&s->live);
        live_close(&s->earlier);
        for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
                if (fds[i] >= 0)
                        close(fds[i]);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "daemon/answer/store.h"

static int read_services(struct services **ret, const char *path) {
        int fd, r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        r = services_load(ret, fd, NULL);
        close(fd);
        return r;
}

int store_open(struct store *ret, int live_fd, int history_fd, int known_fd,
               const char *services_path, int *ret_services_error) {
        struct store s = {};
        int r;

        r = live_open(&s.live, live_fd);
        if (r < 0)
                return r;
        r = history_reader_open(&s.history, history_fd);
        if (r >= 0 && known_fd >= 0) {
                r = known_reader_open(&s.known, known_fd);
                if (r < 0)
                        history_reader_close(&s.history);
        }
        if (r < 0) {
                live_close(&s.live);
                return r;
        }
        *ret_services_error = read_services(&s.services, services_path);
        if (ports_ephemeral_range(&s.ephemeral_first, &s.ephemeral_last) < 0) {
                s.ephemeral_first = 1;
                s.ephemeral_last = 0;
        }
        *ret = s;
        return 0;
}

void store_close(struct store *s) {
        services_free(s->services);
        known_reader_close(&s->known);
        history_reader_close(&s->history);
        live_close(&s->live);
        *s = (struct store){};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "cli/users.h"

#define FILE_MAX 16384 /* of a longer one, the beginning */

/* Tables name few users: the last ones are remembered, and no more than that. */
#define KNOWN_MAX 16

static struct {
        uint32_t uid;
        char name[USER_NAME_MAX + 1];
} known[KNOWN_MAX];
static unsigned n_known, next_known;

/* Is the field, up to end, this number? */
static bool is_number(const char *p, const char *end, uint32_t number) {
        uint64_t value = 0;

        if (p == end)
                return false;
        for (; p < end; p++) {
                if (*p < '0' || *p > '9' || value > UINT32_MAX)
                        return false;
                value = value * 10 + (uint64_t) (*p - '0');
        }
        return value == number;
}

bool users_find(const char *text, size_t size, uint32_t uid, char ret[static USER_NAME_MAX + 1]) {
        const char *end = text + size;

        while (text < end) {
                const char *stop = memchr(text, '\n', (size_t) (end - text));
                const char *fields[4] = { text };
                unsigned n = 1;

                if (!stop)
                        return false;
                for (const char *p = text; p < stop && n < 4; p++)
                        if (*p == ':')
                                fields[n++] = p + 1;
                if (n == 4 && is_number(fields[2], fields[3] - 1, uid)) {
                        size_t length = (size_t) (fields[1] - 1 - text);

                        if (length == 0 || length > USER_NAME_MAX)
                                return false;
                        memcpy(ret, text, length);
                        ret[length] = '\0';
                        return true;
                }
                text = stop + 1;
        }
        return false;
}

/*
 * The users of the system itself, and most others, are in this file, and to read it takes a sixth
 * of the time that the C library needs to find out where to look.
 */
static bool in_file(uint32_t uid, char ret[static USER_NAME_MAX + 1]) {
        static char text[FILE_MAX];
        static ssize_t size = -1;

        if (size < 0) {
                int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

                size = 0;
                if (fd >= 0) {
                        size = read(fd, text, sizeof(text));
                        if (size < 0)
                                size = 0;
                        (void) close(fd);
                }
        }
        return users_find(text, (size_t) size, uid, ret);
}

const char *users_name(uint32_t uid) {
        char *name;

        for (unsigned i = 0; i < n_known; i++)
                if (known[i].uid == uid)
                        return known[i].name;
        known[next_known].uid = uid;
        name = known[next_known].name;
        next_known = (next_known + 1) % KNOWN_MAX;
        if (n_known < KNOWN_MAX)
                n_known++;
        name[0] = '\0';
        if (!in_file(uid, name)) {
                const struct passwd *pw = getpwuid(uid);

                if (pw && strlen(pw->pw_name) <= USER_NAME_MAX)
                        memcpy(name, pw->pw_name, strlen(pw->pw_name) + 1);
        }
        return name;
}

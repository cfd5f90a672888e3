/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/conffile.h"

/* Puts a sentence into *ret_error, NULL if there is no memory for it, and returns error. */
__attribute__((format(printf, 3, 4))) static int fail(char **ret_error, int error,
                                                      const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vasprintf(ret_error, format, ap) < 0)
                *ret_error = NULL;
        va_end(ap);
        return error;
}

void conffile_list_done(struct conffile_list *list) {
        for (size_t i = 0; i < list->n_paths; i++)
                free(list->paths[i]);
        list->n_paths = 0;
}

static bool is_link_to_null(const char *path) {
        char target[sizeof("/dev/null")];
        ssize_t n = readlink(path, target, sizeof(target));

        return n == (ssize_t) strlen("/dev/null") && memcmp(target, "/dev/null", (size_t) n) == 0;
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* Adds dir/name unless a file of that name is there already, from a more important folder. */
static int list_add(struct conffile_list *list, const char *dir, const char *name,
                    char **ret_error) {
        char *path;

        for (size_t i = 0; i < list->n_paths; i++)
                if (strcmp(base_name(list->paths[i]), name) == 0)
                        return 0;
        if (list->n_paths >= CONFFILE_FILES_MAX)
                return fail(ret_error, -E2BIG, "%s: expected at most %u configuration files", dir,
                            CONFFILE_FILES_MAX);
        if (asprintf(&path, "%s/%s", dir, name) < 0)
                return fail(ret_error, -ENOMEM, "%s: %s", dir, strerror(ENOMEM));
        list->paths[list->n_paths++] = path;
        return 0;
}

static int list_add_dir(struct conffile_list *list, const char *dir, const char *suffix,
                        char **ret_error) {
        DIR *d = opendir(dir);
        int r = 0;

        if (!d)
                return errno == ENOENT ? 0
                                       : fail(ret_error, -errno, "%s: %s", dir, strerror(errno));
        for (struct dirent *e; r == 0 && (e = readdir(d));) {
                size_t n = strlen(e->d_name), end = strlen(suffix);

                if (e->d_name[0] != '.' && n > end && strcmp(e->d_name + n - end, suffix) == 0)
                        r = list_add(list, dir, e->d_name, ret_error);
        }
        closedir(d);
        return r;
}

static int compare_base_names(const void *a, const void *b) {
        char *const *x = a, *const *y = b;

        return strcmp(base_name(*x), base_name(*y));
}

static void list_drop_masked(struct conffile_list *list) {
        size_t n = 0;

        for (size_t i = 0; i < list->n_paths; i++)
                if (is_link_to_null(list->paths[i]))
                        free(list->paths[i]);
                else
                        list->paths[n++] = list->paths[i];
        list->n_paths = n;
}

int conffile_find(struct conffile_list *ret, const char *const *dirs, const char *name,
                  char **ret_error) {
        struct conffile_list drop_ins = { .n_paths = 0 }, list = { .n_paths = 0 };
        int r = 0;

        for (size_t i = 0; dirs[i] && r == 0; i++) {
                char path[4096];
                int n = snprintf(path, sizeof(path), "%s/%s", dirs[i], name);

                if (n < 0 || (size_t) n + strlen(".d") >= sizeof(path)) {
                        r = fail(ret_error, -ENAMETOOLONG, "%s: %s", dirs[i],
                                 strerror(ENAMETOOLONG));
                        break;
                }
                if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                        r = list_add(&list, dirs[i], name, ret_error);
                else if (errno != ENOENT && errno != ENOTDIR)
                        r = fail(ret_error, -errno, "%s: %s", path, strerror(errno));
                if (r < 0)
                        break;
                strcat(path, ".d");
                r = list_add_dir(&drop_ins, path, ".conf", ret_error);
        }
        qsort(drop_ins.paths, drop_ins.n_paths, sizeof(char *), compare_base_names);
        for (size_t i = 0; i < drop_ins.n_paths && r == 0; i++) {
                if (list.n_paths >= CONFFILE_FILES_MAX) {
                        r = fail(ret_error, -E2BIG, "%s: expected at most %u configuration files",
                                 name, CONFFILE_FILES_MAX);
                        break;
                }
                list.paths[list.n_paths++] = drop_ins.paths[i];
                drop_ins.paths[i] = NULL;
        }
        conffile_list_done(&drop_ins);
        if (r < 0) {
                conffile_list_done(&list);
                return r;
        }
        list_drop_masked(&list);
        *ret = list;
        return 0;
}

int conffile_find_all(struct conffile_list *ret, const char *const *dirs, const char *folder,
                      const char *suffix, char **ret_error) {
        struct conffile_list list = { .n_paths = 0 };
        int r = 0;

        for (size_t i = 0; dirs[i] && r == 0; i++) {
                char path[4096];
                int n = snprintf(path, sizeof(path), "%s/%s", dirs[i], folder);

                if (n < 0 || (size_t) n >= sizeof(path))
                        r = fail(ret_error, -ENAMETOOLONG, "%s: %s", dirs[i],
                                 strerror(ENAMETOOLONG));
                else
                        r = list_add_dir(&list, path, suffix, ret_error);
        }
        if (r < 0) {
                conffile_list_done(&list);
                return r;
        }
        list_drop_masked(&list);
        qsort(list.paths, list.n_paths, sizeof(char *), compare_base_names);
        *ret = list;
        return 0;
}

/* Reads what fd has into text, at most max_size + 1 bytes; how many, or negative errno. */
static ssize_t read_all(int fd, char *text, size_t max_size) {
        size_t size = 0;
        ssize_t n;

        do {
                n = read(fd, text + size, max_size + 1 - size);
                if (n < 0)
                        return -errno;
                size += (size_t) n;
        } while (n > 0 && size <= max_size);
        return (ssize_t) size;
}

int conffile_read(char **ret, size_t *ret_size, const char *path, size_t max_size,
                  char **ret_error) {
        struct stat st;
        char *text;
        ssize_t n;
        int fd;

        /* A FIFO in the place of a file must not keep us waiting. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return fail(ret_error, -errno, "%s: %s", path, strerror(errno));
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                close(fd);
                return fail(ret_error, -EINVAL, "%s: expected a regular file", path);
        }
        text = malloc(max_size + 2);
        if (!text) {
                close(fd);
                return fail(ret_error, -ENOMEM, "%s: %s", path, strerror(ENOMEM));
        }
        n = read_all(fd, text, max_size);
        close(fd);
        if (n < 0 || n > (ssize_t) max_size) {
                free(text);
                return n < 0 ? fail(ret_error, (int) n, "%s: %s", path, strerror((int) -n))
                             : fail(ret_error, -EINVAL, "%s: expected at most %zu bytes", path,
                                    max_size);
        }
        text[n] = '\0';
        *ret = text;
        *ret_size = (size_t) n;
        return 0;
}

/* Where the scan stands. */
struct scan {
        const char *path;
        conffile_known_fn known;
        struct conffile_keys *keys;
        char section[32]; /* empty before the first one */
        unsigned line;
};

static size_t span_blank(const char *s) {
        return strspn(s, " \t\r");
}

/* The length of s without blanks at its end. */
static size_t trimmed(const char *s, size_t n) {
        while (n > 0 && strchr(" \t\r", s[n - 1]))
                n--;
        return n;
}

/*
 * Copies a name; what does not fit is no name we know, and the error about it need not be longer.
 * What is not printable must not reach a terminal.
 */
static void copy_name(char ret[static 32], const char *s, size_t n) {
        size_t i;

        for (i = 0; i < n && i < 31; i++)
                ret[i] = isprint((unsigned char) s[i]) ? s[i] : '?';
        ret[i] = '\0';
}

static int scan_section(struct scan *s, const char *line, size_t start, char **ret_error) {
        char expected[CONFFILE_EXPECTED_SIZE];
        const char *name = line + start + 1;
        size_t n = strcspn(name, "]");
        const char *rest = name + n + (name[n] == ']');

        if (name[n] != ']')
                return fail(ret_error, -EINVAL,
                            "%s:%u:%zu: expected \"]\" after the section's name", s->path, s->line,
                            start + 2 + trimmed(name, n));
        rest += span_blank(rest);
        if (*rest && *rest != '#')
                return fail(ret_error, -EINVAL, "%s:%u:%zu: expected nothing after the section",
                            s->path, s->line, (size_t) (rest - line) + 1);
        copy_name(s->section, name, n);
        if (!s->known(s->section, NULL, expected))
                return fail(ret_error, -EINVAL, "%s:%u:%zu: expected %s, not \"%s\"", s->path,
                            s->line, start + 2, expected, s->section);
        return 0;
}

static int scan_key(struct scan *s, const char *line, size_t start, char **ret_error) {
        char expected[CONFFILE_EXPECTED_SIZE];
        const char *name = line + start;
        size_t length = strcspn(name, "="), n = trimmed(name, length);
        const char *value = name + length + (name[length] == '=');
        struct conffile_key *k;

        if (s->section[0] == '\0')
                return fail(ret_error, -EINVAL, "%s:%u:%zu: expected a section first", s->path,
                            s->line, start + 1);
        if (name[length] != '=' || n == 0)
                return fail(ret_error, -EINVAL, "%s:%u:%zu: expected %s", s->path, s->line,
                            start + 1 + n, n == 0 ? "a key before \"=\"" : "\"=\" after the key");
        if (s->keys->n_keys >= CONFFILE_KEYS_MAX)
                return fail(ret_error, -EINVAL, "%s:%u:%zu: expected at most %u keys in a file",
                            s->path, s->line, start + 1, CONFFILE_KEYS_MAX);
        k = &s->keys->keys[s->keys->n_keys];
        copy_name(k->key, name, n);
        memcpy(k->section, s->section, sizeof(k->section));
        if (!s->known(s->section, k->key, expected))
                return fail(ret_error, -EINVAL, "%s:%u:%zu: expected %s, not \"%s\"", s->path,
                            s->line, start + 1, expected, k->key);
        /* libeconf would take the first and pass over the others. */
        for (size_t i = 0; i < s->keys->n_keys; i++)
                if (strcmp(s->keys->keys[i].key, k->key) == 0 &&
                    strcmp(s->keys->keys[i].section, k->section) == 0)
                        return fail(ret_error, -EINVAL,
                                    "%s:%u:%zu: expected %s once in a file, it is in line %u too",
                                    s->path, s->line, start + 1, k->key, s->keys->keys[i].line);
        k->line = s->line;
        k->key_column = (unsigned) start + 1;
        k->value_column = (unsigned) ((size_t) (value - line) + span_blank(value)) + 1;
        s->keys->n_keys++;
        return 0;
}

int conffile_scan(struct conffile_keys *ret, const char *path, conffile_known_fn known,
                  char **ret_error) {
        struct scan s = { .path = path, .known = known, .keys = ret };
        char *text = NULL;
        size_t size = 0;
        int r;

        ret->n_keys = 0;
        r = conffile_read(&text, &size, path, CONFFILE_SIZE_MAX, ret_error);
        if (r < 0)
                return r;
        for (char *line = text, *end; r == 0 && line < text + size; line = end + 1) {
                size_t start, n;

                end = memchr(line, '\n', (size_t) (text + size - line));
                if (!end)
                        end = text + size;
                *end = '\0';
                s.line++;
                n = strlen(line);
                start = span_blank(line);
                if (line + n != end)
                        r = fail(ret_error, -EINVAL, "%s:%u:%zu: expected text, not a NUL byte",
                                 path, s.line, n + 1);
                else if (line[start] == '\0' || line[start] == '#')
                        continue;
                else if (line[start] == '[')
                        r = scan_section(&s, line, start, ret_error);
                else
                        r = scan_key(&s, line, start, ret_error);
        }
        free(text);
        return r;
}

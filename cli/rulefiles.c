/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/out.h"
#include "cli/rulefiles.h"

#define SUFFIX ".rules"

/* Of one file; whoever has more will look at it again anyway. */
#define MISTAKES_MAX 100

/* The most important first. */
static const char *const installed[] = { SYSCONFDIR "/portwatch", RUNSTATEDIR "/portwatch",
                                         VENDORCONFDIR };

struct file_list {
        char *paths[RULEFILES_MAX];
        size_t n;
};

int rulefiles_failed(const char *path, int error) {
        (void) fprintf(stderr, "portctl: %s: %s\n", path,
                       error == -EINVAL ? "is no regular file" : strerror(-error));
        return error == -EACCES || error == -EPERM ? STATUS_REFUSED : STATUS_FAILURE;
}

static void list_done(struct file_list *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->paths[i]);
        list->n = 0;
}

static const char *base_name(const char *path) {
        return strrchr(path, '/') + 1;
}

static int list_add(struct file_list *list, const char *folder, const char *name) {
        char *path;

        for (size_t i = 0; i < list->n; i++)
                if (strcmp(base_name(list->paths[i]), name) == 0)
                        return 0;
        if (list->n == RULEFILES_MAX)
                return -E2BIG;
        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return -ENOMEM;
        list->paths[list->n++] = path;
        return 0;
}

static int list_folder(struct file_list *list, const char *config) {
        char folder[4096];
        DIR *d;
        int r = 0;

        if ((size_t) snprintf(folder, sizeof(folder), "%s/" RULEFILES_FOLDER, config) >=
            sizeof(folder))
                return rulefiles_failed(config, -ENAMETOOLONG);
        d = opendir(folder);
        if (!d)
                return errno == ENOENT ? STATUS_FINE : rulefiles_failed(folder, -errno);
        for (const struct dirent *e; r >= 0 && (e = readdir(d));) {
                size_t n = strlen(e->d_name), end = strlen(SUFFIX);

                if (e->d_name[0] != '.' && n > end && strcmp(e->d_name + n - end, SUFFIX) == 0)
                        r = list_add(list, folder, e->d_name);
        }
        (void) closedir(d);
        return r < 0 ? rulefiles_failed(folder, r) : STATUS_FINE;
}

static bool is_masked(const char *path) {
        char target[sizeof("/dev/null")];
        ssize_t n = readlink(path, target, sizeof(target));

        return n == (ssize_t) strlen("/dev/null") && memcmp(target, "/dev/null", (size_t) n) == 0;
}

static int compare_names(const void *a, const void *b) {
        char *const *x = a, *const *y = b;

        return strcmp(base_name(*x), base_name(*y));
}

static int find(struct file_list *list, const char *config) {
        size_t n = sizeof(installed) / sizeof(installed[0]), kept = 0;
        int status = STATUS_FINE;

        list->n = 0;
        if (config)
                status = list_folder(list, config);
        else
                for (size_t i = 0; i < n && status == STATUS_FINE; i++)
                        status = list_folder(list, installed[i]);
        for (size_t i = 0; i < list->n; i++)
                if (is_masked(list->paths[i]))
                        free(list->paths[i]);
                else
                        list->paths[kept++] = list->paths[i];
        list->n = kept;
        if (list->n > 0)
                qsort(list->paths, list->n, sizeof(list->paths[0]), compare_names);
        return status;
}

int rulefiles_read(struct buf *b, const char *path) {
        struct stat st;
        int fd, r = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode))
                r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        while (r >= 0) {
                char part[16 * 1024];
                ssize_t n = read(fd, part, sizeof(part));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        r = n < 0 ? -errno : 0;
                        break;
                }
                buf_put(b, part, (size_t) n);
                if (b->failed)
                        r = -ENOMEM;
                else if (b->size > RULES_FILE_SIZE)
                        break;
        }
        (void) close(fd);
        return r;
}

static int load(struct rules *rules, const char *path) {
        struct rule_error error = { .line = 0 };
        struct buf b = { 0 };
        int r;

        r = rulefiles_read(&b, path);
        if (r >= 0)
                r = rules_parse(rules, b.size ? b.data : "", b.size, path, &error);
        buf_done(&b);
        if (r == -EINVAL || r == -E2BIG) {
                (void) fprintf(stderr, "portctl: %s:%u:%u: %s\n", path, error.line, error.column,
                               error.message);
                return STATUS_FAILURE;
        }
        return r < 0 ? rulefiles_failed(path, r) : STATUS_FINE;
}

int rulefiles_load(struct rules **ret, const char *config) {
        struct rules *rules = NULL;
        struct file_list list;
        int status, r;

        status = find(&list, config);
        r = status == STATUS_FINE ? rules_new(&rules) : 0;
        if (r < 0)
                status = rulefiles_failed(RULEFILES_FOLDER, r);
        for (size_t i = 0; i < list.n && status == STATUS_FINE; i++)
                status = load(rules, list.paths[i]);
        list_done(&list);
        if (status == STATUS_FINE)
                *ret = rules;
        else
                rules_free(rules);
        return status;
}

int rulefiles_check(const char *path) {
        struct rules *rules = NULL;
        struct buf b = { 0 };
        unsigned before = 0;
        size_t at = 0;
        int n = 0, r;

        r = rulefiles_read(&b, path);
        if (r >= 0)
                r = rules_new(&rules);
        /* A text is taken whole or not at all: what is behind a mistake is a text of its own. */
        while (r >= 0 && n < MISTAKES_MAX) {
                struct rule_error error = { .line = 0 };

                r = rules_parse(rules, b.size ? b.data + at : "", b.size - at, path, &error);
                if (r != -EINVAL && r != -E2BIG)
                        break;
                out_format("%s:%u:%u: %s\n", path, before + error.line, error.column,
                           error.message);
                n++;
                for (unsigned i = 0; i < error.line && at < b.size; i++) {
                        const char *end = memchr(b.data + at, '\n', b.size - at);

                        at = end ? (size_t) (end - b.data) + 1 : b.size;
                }
                before += error.line;
                r = r == -EINVAL && at < b.size ? 0 : -ECANCELED;
        }
        rules_free(rules);
        buf_done(&b);
        if (n > 0)
                return STATUS_FAILURE;
        return r < 0 ? rulefiles_failed(path, r) : STATUS_FINE;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/conffile.h"
#include "daemon/config.h"
#include "daemon/policy.h"

#define FOLDER "expected.d"
#define SUFFIX ".rules"

static int load_file(struct rules *rules, const char *path, char **ret_error) {
        struct rule_error error = { .line = 0 };
        size_t size;
        char *text;
        int r;

        r = conffile_read(&text, &size, path, RULES_FILE_SIZE, ret_error);
        if (r < 0)
                return r;
        r = rules_parse(rules, text, size, path, &error);
        free(text);
        if (r < 0 && asprintf(ret_error, "%s:%u:%u: %s", path, error.line, error.column,
                              r == -ENOMEM ? "out of memory" : error.message) < 0)
                *ret_error = NULL;
        return r;
}

int policy_load(struct rules **ret, const char *dir, const char *learned, char **ret_error) {
        const char *const given[] = { dir, NULL };
        struct conffile_list files;
        struct rules *rules;
        int r;

        *ret_error = NULL;
        r = conffile_find_all(&files, dir ? given : config_dirs(), FOLDER, SUFFIX, ret_error);
        if (r < 0)
                return r;
        r = rules_new(&rules);
        if (r < 0) {
                conffile_list_done(&files);
                return r;
        }
        for (size_t i = 0; i < files.n_paths && r == 0; i++)
                r = load_file(rules, files.paths[i], ret_error);
        conffile_list_done(&files);
        if (r < 0) {
                rules_free(rules);
                return r;
        }
        *ret = rules;
        /* It is written by a program and edited by people: a mistake in it costs what it says. */
        if (learned && access(learned, F_OK) == 0)
                return load_file(rules, learned, ret_error) < 0 ? 1 : 0;
        return 0;
}

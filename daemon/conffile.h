/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Which configuration files there are, and where in a file its sections, keys and values stand. */

#define CONFFILE_SIZE_MAX  (256U * 1024)
#define CONFFILE_FILES_MAX 256U
#define CONFFILE_KEYS_MAX  256U

/* Paths in the order in which they are read; a later one overrides an earlier one. */
struct conffile_list {
        char *paths[CONFFILE_FILES_MAX];
        size_t n_paths;
};

/*
 * Looks in dirs (a NULL-terminated array, the most important one first; missing ones are passed
 * over) for name and for name.d/ *.conf. Of files of the same name only the one in the most
 * important folder counts, and not even that when it is a link to /dev/null; drop-ins are sorted by
 * name and come after name itself. Returns 0 or negative errno (-E2BIG: more than
 * CONFFILE_FILES_MAX) with what it was about in *ret_error, allocated. conffile_list_done() frees
 * what a list holds.
 */
int conffile_find(struct conffile_list *ret, const char *const *dirs, const char *name,
                  char **ret_error);
void conffile_list_done(struct conffile_list *list);

/*
 * The same for a folder of files that stand by themselves: those in folder (in each of dirs) whose
 * names end with suffix, sorted by name.
 */
int conffile_find_all(struct conffile_list *ret, const char *const *dirs, const char *folder,
                      const char *suffix, char **ret_error);

/*
 * Reads a regular file of at most max_size bytes. The caller frees *ret, which ends with a NUL that
 * *ret_size does not count. 0 or negative errno with "path: why" in *ret_error, allocated.
 */
int conffile_read(char **ret, size_t *ret_size, const char *path, size_t max_size,
                  char **ret_error);

/* One "key = value" of a file; positions count from 1, columns in bytes. */
struct conffile_key {
        char section[32];
        char key[32];
        unsigned line;
        unsigned key_column;
        unsigned value_column;
};

struct conffile_keys {
        struct conffile_key keys[CONFFILE_KEYS_MAX];
        size_t n_keys;
};

#define CONFFILE_EXPECTED_SIZE 512

/*
 * Is there such a section (key NULL), or such a key in it? If not, *ret_expected is what there is
 * instead, as it follows "expected ".
 */
typedef bool (*conffile_known_fn)(const char *section, const char *key,
                                  char ret_expected[static CONFFILE_EXPECTED_SIZE]);

/*
 * Reads the file at path by lines and checks what libeconf lets pass in silence: lines that are
 * neither a section, a key nor a comment, keys before the first section or given twice in the file,
 * NUL bytes, a file that is no regular one or too large, unknown sections and keys. Returns 0 or
 * negative errno (-EINVAL: bad contents) with "path:line:column: what was expected" in *ret_error,
 * allocated.
 */
int conffile_scan(struct conffile_keys *ret, const char *path, conffile_known_fn known,
                  char **ret_error);

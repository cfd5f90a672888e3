/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* From a control group of the unified hierarchy to the systemd unit and the container it stands
 * for. */

struct cgroup_place {
        char unit[128]; /* the system unit, "" if none: that of the outermost unit in the path */
        char container[80]; /* RUNTIME:ID, "" if none */
};

/*
 * Reads a path as in /proc/PID/cgroup. The outermost unit counts, because whoever has a subtree
 * delegated to him may name groups below it as he likes (sd_pid_get_unit(3) does the same).
 */
void cgroup_parse(const char *path, struct cgroup_place *ret);

struct cgroups;

/*
 * A bounded cache of places by id. Needs the unified hierarchy mounted and CAP_DAC_READ_SEARCH for
 * groups that it was not told about; without them it knows those alone. 0 or -ENOMEM.
 */
int cgroups_new(struct cgroups **ret);
struct cgroups *cgroups_free(struct cgroups *c); /* accepts NULL, returns NULL */

/* Keeps the path of a group that was just made: it may be gone when somebody asks. */
void cgroups_learn(struct cgroups *c, uint64_t id, const char *path);

/* The place of a group, or NULL if it cannot be told. Good until the next call. */
const struct cgroup_place *cgroups_get(struct cgroups *c, uint64_t id);

/* The folder where the unified hierarchy is mounted, into path[size]. 0 or negative errno. */
int cgroup_root(char *path, size_t size);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * What /proc says of a process. start_ns (nanoseconds since boot, 0: any) guards against a reused
 * pid: -ESRCH when the process with that pid is another one, checked after the look.
 */

/* The target of /proc/PID/exe, cut to size. 0 or negative errno; path is "" on failure. */
int process_executable(uint32_t pid, uint64_t start_ns, char *path, size_t size);

/* Its group in the unified hierarchy. 0 or negative errno (-ENODATA: it is in none). */
int process_cgroup(uint32_t pid, uint64_t start_ns, char *path, size_t size);

/* When it started, to the clock tick: proc_pid_stat(5), field 22. 0 or negative errno. */
int process_start(uint32_t pid, uint64_t *ret_start_ns);

/* Its name, /proc/PID/comm. 0 or negative errno. */
int process_name(uint32_t pid, char *name, size_t size);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 6335, section 6: system 0-1023, user 1024-49151, dynamic 49152-65535. */
enum category {
        CATEGORY_SYSTEM,
        CATEGORY_USER,
        CATEGORY_DYNAMIC,
        CATEGORY_MAX,
};

enum category category_of(uint16_t port);
const char *category_name(unsigned category);
int category_parse(const char *name); /* -EINVAL for what is no category */

/* The IANA registry as shipped in service-names.tsv, indexed by port. */
struct services;

/*
 * Reads the registry from an open file of lines "port<TAB>transport[,transport]<TAB>name", sorted
 * or not; '#' begins a comment line. Malformed lines are skipped and counted in *ret_skipped (may
 * be NULL). Returns 0 or negative errno; the caller frees with services_free(), which accepts NULL
 * and returns NULL. The descriptor stays the caller's.
 */
int services_load(struct services **ret, int fd, unsigned *ret_skipped);
struct services *services_free(struct services *s);

/* The registered name of a port for a transport of record.h (0: any), or NULL. s may be NULL. */
const char *services_lookup(const struct services *s, uint16_t port, unsigned transport);

/* All distinct names of a port for a transport (0: any) into names[max]; returns how many. */
size_t services_list(const struct services *s, uint16_t port, unsigned transport,
                     const char **names, size_t max);

/* What the kernel begins with, for where its range cannot be read: net/ipv4/af_inet.c. */
#define PORTS_EPHEMERAL_FIRST 32768
#define PORTS_EPHEMERAL_LAST  60999

/*
 * The range that the kernel takes local ports of outgoing connections from
 * (/proc/sys/net/ipv4/ip_local_port_range). Returns 0 or negative errno.
 */
int ports_ephemeral_range(uint16_t *ret_first, uint16_t *ret_last);

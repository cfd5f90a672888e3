/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>
#include <stdio.h>

/* The configuration of portwatchd: portwatch.conf and its drop-ins, see portwatch.conf(5). */

enum config_source {
        CONFIG_SOURCE_AUTO, /* the best that works */
        CONFIG_SOURCE_EBPF,
        CONFIG_SOURCE_NETLINK,
        CONFIG_SOURCE_MAX,
};

enum config_storage {
        CONFIG_STORAGE_PERSISTENT, /* the history is kept in the state folder */
        CONFIG_STORAGE_VOLATILE,   /* and in the runtime folder: gone with the next boot */
        CONFIG_STORAGE_MAX,
};

#define CONFIG_NAME_SIZE 32 /* of a user's or group's name with its NUL, as useradd has it */

#define CONFIG_UNIT_SIZE 64 /* of a unit's name with its NUL */

/* Numbers are uint64_t throughout, so that one table of offsets sets them all. */
struct config {
        /* [Recorder] */
        uint64_t source;  /* enum config_source */
        uint64_t storage; /* enum config_storage */
        uint64_t history_size_bytes;
        uint64_t max_listeners;
        uint64_t max_connections;
        uint64_t max_owners;
        uint64_t sync_interval_usec;
        uint64_t ring_buffer_bytes;    /* a power of two */
        uint64_t receive_buffer_bytes; /* fits into an int twice, as SO_RCVBUFFORCE needs it */
        uint64_t udp_peers;            /* 0 or 1 */
        uint64_t poll_interval_usec;
        /* [Policy] */
        uint64_t learn_usec;         /* how long from the first start on listeners are learnt */
        uint64_t trust_socket_units; /* 0 or 1 */
        char on_unexpected[CONFIG_UNIT_SIZE]; /* a template unit, or empty */
        /* [Answerer] */
        char user[CONFIG_NAME_SIZE];
        char group[CONFIG_NAME_SIZE];
        uint64_t max_clients;
        uint64_t max_clients_per_user;
        uint64_t max_followers;
};

/* What holds without any file. */
void config_defaults(struct config *ret);

/*
 * Reads the configuration: the defaults, changed by portwatch.conf, changed by the drop-ins in
 * portwatch.conf.d/ in the order of their names. With a dir these are looked for in there alone;
 * dir itself must exist, the files need not. With NULL they are looked for in the installed folders
 * as systemd does: of portwatch.conf the first of /etc, /run and the package's own counts, and so
 * for each name of a drop-in (a link to /dev/null takes it away).
 *
 * Returns 0 or negative errno: -EINVAL when a file says something it must not, else why it could
 * not be read. Then *ret is untouched, and *ret_error is a sentence "file:line:column: what was
 * expected" (just "file: why" when it cannot be read) that the caller frees; NULL when there was no
 * memory for it.
 */
int config_load(struct config *ret, const char *dir, char **ret_error);

/*
 * The folders that the installed configuration is read from, the most important one first, for
 * whatever else lies beside portwatch.conf; NULL-terminated.
 */
const char *const *config_dirs(void);

/* The number of a word as Source= takes it, -EINVAL for another; for the command line. */
int config_source_parse(const char *word);
const char *config_source_name(uint64_t source);

/* Writes portwatch.conf as it is shipped: every key with its default, commented out. */
void config_print_defaults(FILE *f);

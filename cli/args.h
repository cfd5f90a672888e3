/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli/portset.h"

/* The command line: one table of options drives the parser, the help, and what goes with which
 * verb. */

enum exit_status {
        STATUS_FINE = 0,
        STATUS_FAILURE = 1, /* or a finding */
        STATUS_USAGE = 2,
        STATUS_UNREACHABLE = 3,
        STATUS_REFUSED = 4, /* not permitted, or unknown to the daemon */
};

/* For the options that go with some verbs alone. */
enum verb_bit {
        VERB_LISTENERS = 1 << 0,
        VERB_CONNECTIONS = 1 << 1,
        VERB_INBOUND = 1 << 2,
        VERB_OUTBOUND = 1 << 3,
        VERB_HISTORY = 1 << 4,
        VERB_FOLLOW = 1 << 5,
        VERB_COUNTS = 1 << 6,
        VERB_PORT = 1 << 7,
        VERB_STATUS = 1 << 8,
        VERB_REFUSED = 1 << 9,
        VERB_CHECK = 1 << 10,
        VERB_EXPECT = 1 << 11,
        VERB_ALL = (1 << 12) - 1,
};

enum json_mode {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY,
};

struct args {
        /* Which sockets and events. A pointer is NULL, a number below 0 when not given. */
        bool tcp;
        bool udp;
        bool ipv4;
        bool ipv6;
        struct portset ports;
        const char *peer;
        const char *process;
        int64_t pid;
        const char *unit;
        int64_t uid;
        const char *container;
        int64_t netns;
        const char *category;
        bool unexpected;
        unsigned kinds;          /* 1 << enum record_kind */
        uint64_t new_since_usec; /* 0: not asked */
        uint64_t since_usec;     /* 0: from the beginning */
        uint64_t until_usec;     /* UINT64_MAX: to the end */
        /* How many, and in which order. */
        int64_t lines;
        bool follow;
        bool reverse;
        const char *by;
        /* How it looks. */
        const char *columns;
        bool no_legend;
        bool no_pager;
        enum json_mode json;
        /* Where to ask. */
        const char *host;
        const char *socket;
        /* What check, expect and status are to do. */
        bool monitoring;
        bool verify;
        bool current;
        bool dry_run;
        bool remove;
        bool list;
        bool check;
        const char *config; /* the folder */
        bool help;
        bool version;
        uint64_t given; /* 1 << the place in the table of options */
        /* What is left: the verb and its operands. */
        char **operands;
        int n_operands;
};

/*
 * Reads the command line. Says on standard error what is wrong with it: -EINVAL. The arguments are
 * reordered, and must outlast *ret.
 */
int args_parse(struct args *ret, int argc, char **argv);

/* Gives the words of a command line that args_parse() has read, one by one, without --host. */
void args_walk(int argc, char **argv, void (*word)(const char *word, void *userdata),
               void *userdata);

/* Says so and returns -EINVAL if an option was given that a verb of this bit does not take. */
int args_check(const struct args *args, enum verb_bit verb, const char *name);

/* The options as the help shows them. */
void args_help(void);

/* The registry of services, read when it is first asked for; NULL if there is none. */
const struct services *args_services(void);

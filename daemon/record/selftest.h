/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/record.h"

/*
 * Proves at the start that events really come: listens, connects and closes on loopback and looks
 * whether the tracker's records show it. They are withheld from the history.
 */
struct selftest {
        uint16_t port; /* 0: no test is running */
        uint32_t netns;
        int listener;
        int client;
        int server;
        bool connected; /* loopback is up: a connection has to be seen as well */
        unsigned saw;   /* enum selftest_saw */
};

enum selftest_saw {
        SELFTEST_LISTEN = 1 << 0,
        SELFTEST_INBOUND = 1 << 1,
        SELFTEST_OUTBOUND = 1 << 2,
        SELFTEST_UNLISTEN = 1 << 3,
        SELFTEST_INBOUND_END = 1 << 4,
        SELFTEST_OUTBOUND_END = 1 << 5,
};

/* Listens and connects in the caller's namespace, whose inode is netns. 0 or negative errno. */
int selftest_begin(struct selftest *s, uint32_t netns);
/* Closes what was opened. */
void selftest_close(struct selftest *s);

/* Is r of the test? If so, it is noted and must not be kept. */
bool selftest_takes(struct selftest *s, const struct record *r);

/* Has all that was opened been seen? And all of that closed? */
bool selftest_saw_open(const struct selftest *s);
bool selftest_saw_closed(const struct selftest *s);

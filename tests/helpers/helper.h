/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

/* What the test helpers share. A helper that fails says so on stderr and exits with 1. */

#define HELPER_USAGE 2 /* exit status for a command line that makes no sense */

/* Says what failed, with the text of errno when it is not 0, and exits. */
_Noreturn void helper_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A number between min and max from text, or exit with HELPER_USAGE. */
uint64_t helper_number(const char *what, const char *text, uint64_t min, uint64_t max);

/* CLOCK_MONOTONIC, nanoseconds. */
uint64_t helper_now_ns(void);

/* The inode of the caller's network namespace. */
uint64_t helper_netns(void);

/*
 * Fills *ret for the address (NULL: the loopback address of the family) and port; family is 4, 6 or
 * 46 (a v4-mapped IPv6 address, from an IPv4 one). Returns its length.
 */
socklen_t helper_address(struct sockaddr_storage *ret, unsigned family, const char *address,
                         uint16_t port);

uint16_t helper_port(const struct sockaddr_storage *a);
void helper_set_port(struct sockaddr_storage *a, uint16_t port);

/*
 * {"address":"127.0.0.1","port":80}, or null when the address has no family. Of a packet socket the
 * port is its protocol, and what it receives on is "*", as with vsock's any context.
 */
void helper_print_endpoint(FILE *f, const struct sockaddr_storage *a);

/* A socket option with an int for a value, or death. */
void helper_option(int fd, int level, int option, int value);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets of sockets that may hold the same one several times (SO_REUSEPORT), to be compared. */

/* A socket as both the kernel and the record know it. All bytes that are not used are zero. */
struct sockid {
        uint8_t local[16]; /* network order; of IPv4 the first four bytes */
        uint8_t remote[16];
        uint16_t local_port;  /* host order */
        uint16_t remote_port; /* 0: a listener */
        uint8_t transport;    /* of record.h */
        uint8_t family;
        uint8_t loose; /* may be missing from the other set; no part of what it is */
        uint8_t zero;
};
_Static_assert(sizeof(struct sockid) == 40, "no padding: compared as bytes");

#define SOCKSET_MAX ((size_t) 4 * 1000 * 1000)

/* Start with a zeroed one. */
struct sockset {
        struct sockid *list;
        size_t n;
        size_t allocated;
};

/* Adds a copy, an IPv4 address within IPv6 as IPv4. 0, -ENOMEM, or -E2BIG at SOCKSET_MAX. */
int sockset_add(struct sockset *s, const struct sockid *id);
/* Forgets all and keeps the storage. */
void sockset_clear(struct sockset *s);
/* Frees all; accepts NULL. */
void sockset_done(struct sockset *s);
void sockset_sort(struct sockset *s);

/*
 * Adds to ret what a has and b has not, each as often as a has it more often; what is loose in a is
 * not missing from b, and what is loose in b stands for its like in a. Both are sorted. As
 * sockset_add().
 */
int sockset_subtract(struct sockset *ret, const struct sockset *a, const struct sockset *b);

/* Keeps in a what b has as well. Both are sorted. */
void sockset_intersect(struct sockset *a, const struct sockset *b);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/answer/params.h"
#include "lib/record.h"

/* What the Filter of the interface says; all that is given must match. A zeroed one matches all. */
struct filter {
        uint32_t given; /* a bit for each row of the table in query.c */
        uint8_t transport;
        uint8_t family;
        uint8_t direction;
        uint8_t category;
        bool expected;
        uint8_t peer_family;
        uint8_t peer_bits; /* of peer that must match */
        uint8_t peer[16];
        uint16_t kinds;  /* a bit for each */
        uint64_t *ports; /* 65536 bits, allocated; NULL: not given */
        uint64_t pid;
        uint64_t uid;
        uint64_t netns;
        uint64_t first_seen_since_usec;
        char name[16]; /* longer ones are cut as those of struct owner are */
        char unit[128];
        char container[80];
};

/*
 * A row of a method's table of parameters for its Filter; field is a struct filter. Free with
 * filter_done(), also after an error.
 */
int filter_take(json_object *value, void *field, const char **ret_bad);
void filter_done(struct filter *f);

/* Restricts a filter that names no ports to one. -ENOMEM. */
int filter_add_port(struct filter *f, uint16_t port);
/* Restricts it to a transport. */
void filter_add_transport(struct filter *f, uint8_t transport);

/*
 * Does what the record itself says match? Compares only, so that it can look at a record that is
 * being written.
 */
bool filter_matches_record(const struct filter *f, const struct record *r);
/* The other half: does what is said of the owner match? Of records without sockets, nothing is. */
bool filter_matches_owner(const struct filter *f, const struct owner *o);

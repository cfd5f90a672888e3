/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "cli/portset.h"

#define NAMES_MAX 32 /* of one port */

void portset_add(struct portset *s, uint16_t port) {
        if (portset_has(s, port))
                return;
        s->bits[port / 64] |= UINT64_C(1) << (port % 64);
        s->n++;
}

/* A port number at p, up to end; -EINVAL if it is none. */
static int parse_number(const char *p, const char *end, uint16_t *ret) {
        unsigned value = 0;

        if (p == end)
                return -EINVAL;
        for (; p < end; p++) {
                if (!isdigit((unsigned char) *p))
                        return -EINVAL;
                value = value * 10 + (unsigned) (*p - '0');
                if (value > UINT16_MAX)
                        return -EINVAL;
        }
        *ret = (uint16_t) value;
        return 0;
}

/* By the registry, which may be NULL. */
static bool add_named(struct portset *s, const char *name, size_t n,
                      const struct services *services) {
        const char *names[NAMES_MAX];
        bool found = false;

        if (!services)
                return false;

        for (unsigned port = 0; port <= UINT16_MAX; port++) {
                size_t n_names = services_list(services, (uint16_t) port, 0, names, NAMES_MAX);

                for (size_t i = 0; i < n_names; i++)
                        if (strncasecmp(names[i], name, n) == 0 && names[i][n] == '\0') {
                                portset_add(s, (uint16_t) port);
                                found = true;
                                break;
                        }
        }
        return found;
}

/* By the system's own list, services(5), which has aliases too. */
static bool add_system(struct portset *s, const char *name, size_t n) {
        const struct servent *entry;
        char copy[65];

        memcpy(copy, name, n);
        copy[n] = '\0';
        entry = getservbyname(copy, NULL);
        if (!entry)
                return false;
        portset_add(s, ntohs((uint16_t) entry->s_port));
        return true;
}

/* One part of the list, from p to end; no longer than 64. */
static int parse_part(struct portset *s, const char *p, const char *end,
                      const struct services *(*get_services)(void), char why[static 256]) {
        const char *dash = memchr(p, '-', (size_t) (end - p));
        int n = (int) (end - p);
        uint16_t first, last;

        if (n == 0 || n > 64) {
                (void) snprintf(why, 256,
                                n == 0 ? "a port is missing" : "a port's name is too long");
                return -EINVAL;
        }
        if (parse_number(p, end, &first) >= 0) {
                portset_add(s, first);
                return 0;
        }
        if (dash && parse_number(p, dash, &first) >= 0 && parse_number(dash + 1, end, &last) >= 0) {
                if (first > last) {
                        (void) snprintf(why, 256, "the range %.*s ends before it begins", n, p);
                        return -EINVAL;
                }
                for (unsigned port = first; port <= last; port++)
                        portset_add(s, (uint16_t) port);
                return 0;
        }
        /* Every registered name has a letter. */
        if (strcspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") >= (size_t) n) {
                (void) snprintf(why, 256, "%.*s is no port from 0 to 65535", n, p);
                return -EINVAL;
        }
        if (!add_named(s, p, (size_t) n, get_services()) && !add_system(s, p, (size_t) n)) {
                (void) snprintf(why, 256, "no service is registered as %.*s", n, p);
                return -EINVAL;
        }
        return 0;
}

int portset_parse(struct portset *s, const char *list, const struct services *(*get_services)(void),
                  char why[static 256]) {
        for (;;) {
                const char *end = strchrnul(list, ',');
                int r;

                r = parse_part(s, list, end, get_services, why);
                if (r < 0)
                        return r;
                if (*end == '\0')
                        return 0;
                list = end + 1;
        }
}

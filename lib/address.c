/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "address.h"

static char *put_byte(char *to, uint8_t b) {
        if (b >= 100)
                *to++ = (char) ('0' + b / 100);
        if (b >= 10)
                *to++ = (char) ('0' + b / 10 % 10);
        *to++ = (char) ('0' + b % 10);
        return to;
}

static char *put_hex(char *to, unsigned group) {
        static const char hex[] = "0123456789abcdef";
        bool begun = false;

        for (int shift = 12; shift >= 0; shift -= 4) {
                unsigned digit = group >> shift & 15;

                begun = begun || digit != 0 || shift == 0;
                if (begun)
                        *to++ = hex[digit];
        }
        return to;
}

/* RFC 5952, section 4: the longest run of at least two zero groups is left out, the first of
 * equals. */
static char *put_ipv6(char *to, const uint8_t address[static 16]) {
        unsigned groups[8], run_start = 8, run_length = 1;

        for (unsigned i = 0; i < 8; i++)
                groups[i] = (unsigned) address[2 * i] << 8 | address[2 * i + 1];
        for (unsigned i = 0; i < 8; i++) {
                unsigned n = 0;

                while (i + n < 8 && groups[i + n] == 0)
                        n++;
                if (n > run_length) {
                        run_start = i;
                        run_length = n;
                }
        }
        for (unsigned i = 0; i < 8; i++) {
                if (i == run_start) {
                        *to++ = ':';
                        *to++ = ':';
                        i += run_length - 1;
                        continue;
                }
                if (i > 0 && to[-1] != ':')
                        *to++ = ':';
                to = put_hex(to, groups[i]);
        }
        return to;
}

size_t address_write(char ret[static ADDRESS_TEXT_MAX], unsigned family,
                     const uint8_t address[static 16]) {
        char *to = ret;

        if (family == FAMILY_IPV6)
                to = put_ipv6(to, address);
        else
                for (unsigned i = 0; i < 4; i++) {
                        if (i > 0)
                                *to++ = '.';
                        to = put_byte(to, address[i]);
                }
        *to = 0;
        return (size_t) (to - ret);
}

/* A number, or "*" for any. */
static size_t write_number_or_star(char ret[static ADDRESS_TEXT_MAX], const char *mark,
                                   uint32_t number, uint32_t any) {
        if (number == any)
                return (size_t) snprintf(ret, ADDRESS_TEXT_MAX, "*");
        return (size_t) snprintf(ret, ADDRESS_TEXT_MAX, "%s%" PRIu32, mark, number);
}

size_t address_write_of(char ret[static ADDRESS_TEXT_MAX], const struct record *r,
                        const uint8_t address[static 16]) {
        uint32_t cid, port;

        switch (r->family) {
        case FAMILY_PACKET:
                return write_number_or_star(ret, "%", r->ifindex, 0);
        case FAMILY_VSOCK:
                record_vsock(address, &cid, &port);
                return write_number_or_star(ret, "", cid, VSOCK_CID_ANY);
        default:
                return address_write(ret, r->family, address);
        }
}

uint32_t address_port_of(const struct record *r, const uint8_t address[static 16], uint16_t port) {
        uint32_t cid, vsock_port;

        if (r->family != FAMILY_VSOCK)
                return port;
        record_vsock(address, &cid, &vsock_port);
        return vsock_port;
}

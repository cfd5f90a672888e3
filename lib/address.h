/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "record.h"

/* Addresses of records as text, the same wherever they are told. */

#define ADDRESS_TEXT_MAX 46U

/*
 * An address (the first four bytes when family is FAMILY_IPV4) as text: dotted, or by RFC 5952.
 * Returns its length.
 */
size_t address_write(char ret[static ADDRESS_TEXT_MAX], unsigned family,
                     const uint8_t address[static 16]);

/*
 * One of the addresses of a record. Where there is none, what stands for it: of packet sockets "*"
 * or "%" and the index of their interface, of vsock ones "*" or their context. Returns its length.
 */
size_t address_write_of(char ret[static ADDRESS_TEXT_MAX], const struct record *r,
                        const uint8_t address[static 16]);

/* The port that goes with it: what is in the record, but for vsock, whose ports have 32 bits. */
uint32_t address_port_of(const struct record *r, const uint8_t address[static 16], uint16_t port);

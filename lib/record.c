/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "record.h"

static const char *const kind_names[RECORD_KIND_MAX] = {
        [RECORD_LISTEN] = "listen", [RECORD_UNLISTEN] = "unlisten", [RECORD_OPEN] = "open",
        [RECORD_CLOSE] = "close",   [RECORD_FAIL] = "fail",         [RECORD_REFUSE] = "refuse",
        [RECORD_LOST] = "lost",     [RECORD_START] = "start",       [RECORD_STOP] = "stop",
};
static const char *const transport_names[TRANSPORT_MAX] = {
        [TRANSPORT_TCP] = "tcp",     [TRANSPORT_UDP] = "udp", [TRANSPORT_UDPLITE] = "udplite",
        [TRANSPORT_SCTP] = "sctp",   [TRANSPORT_RAW] = "raw", [TRANSPORT_PACKET] = "packet",
        [TRANSPORT_VSOCK] = "vsock",
};
static const char *const family_names[FAMILY_MAX] = {
        [FAMILY_IPV4] = "ipv4",
        [FAMILY_IPV6] = "ipv6",
        [FAMILY_PACKET] = "packet",
        [FAMILY_VSOCK] = "vsock",
};
static const char *const direction_names[DIRECTION_MAX] = {
        [DIRECTION_INBOUND] = "inbound",
        [DIRECTION_OUTBOUND] = "outbound",
};
static const char *const exposure_names[EXPOSURE_MAX] = {
        [EXPOSURE_LOOPBACK] = "loopback",
        [EXPOSURE_ADDRESS] = "address",
        [EXPOSURE_ANY] = "any",
};
static const char *const attribution_names[ATTRIBUTION_MAX] = {
        [ATTRIBUTION_UNKNOWN] = "unknown",
        [ATTRIBUTION_LISTENER] = "listener",
        [ATTRIBUTION_LOOKUP] = "lookup",
        [ATTRIBUTION_EXACT] = "exact",
};
static const char *const outcome_names[OUTCOME_MAX] = {
        [OUTCOME_OPEN] = "open",           [OUTCOME_CLOSED] = "closed",
        [OUTCOME_RESET] = "reset",         [OUTCOME_REFUSED] = "refused",
        [OUTCOME_TIMED_OUT] = "timed_out", [OUTCOME_FAILED] = "failed",
};

static int parse_word(const char *const *names, unsigned max, const char *word) {
        for (unsigned i = 0; i < max; i++)
                if (names[i] && strcmp(names[i], word) == 0)
                        return (int) i;
        return -EINVAL;
}

#define WORDS(type, table, max)                                                                    \
        const char *type##_name(unsigned value) {                                                  \
                return value < (max) ? (table)[value] : NULL;                                      \
        }                                                                                          \
        int type##_parse(const char *name) {                                                       \
                return parse_word((table), (max), name);                                           \
        }

WORDS(record_kind, kind_names, RECORD_KIND_MAX)
WORDS(transport, transport_names, TRANSPORT_MAX)
WORDS(family, family_names, FAMILY_MAX)
WORDS(direction, direction_names, DIRECTION_MAX)
WORDS(exposure, exposure_names, EXPOSURE_MAX)
WORDS(attribution, attribution_names, ATTRIBUTION_MAX)
WORDS(outcome, outcome_names, OUTCOME_MAX)

bool owner_is_socket_unit(const struct owner *o) {
        static const char suffix[] = ".socket";
        size_t n = strnlen(o->unit, sizeof(o->unit));

        return n >= sizeof(suffix) && strcmp(o->unit + n - (sizeof(suffix) - 1), suffix) == 0;
}

enum exposure record_exposure(enum family family, const uint8_t address[static 16]) {
        static const uint8_t zero[16];
        static const uint8_t loopback6[16] = { [15] = 1 };

        if (family == FAMILY_PACKET)
                return EXPOSURE_ANY;
        if (family == FAMILY_VSOCK) {
                uint32_t cid, port;

                record_vsock(address, &cid, &port);
                /* VMADDR_CID_LOCAL of linux/vm_sockets.h */
                return cid == VSOCK_CID_ANY ? EXPOSURE_ANY
                       : cid == 1           ? EXPOSURE_LOOPBACK
                                            : EXPOSURE_ADDRESS;
        }
        if (family == FAMILY_IPV4) {
                if (address[0] == 127)
                        return EXPOSURE_LOOPBACK;
                return memcmp(address, zero, 4) == 0 ? EXPOSURE_ANY : EXPOSURE_ADDRESS;
        }
        if (memcmp(address, loopback6, 16) == 0)
                return EXPOSURE_LOOPBACK;
        return memcmp(address, zero, 16) == 0 ? EXPOSURE_ANY : EXPOSURE_ADDRESS;
}

#define CHECKSUM_MULTIPLIER 0xD6E8FEB86659FD93ULL
#define CHECKSUM_LANES      4

static uint64_t load64(const uint8_t *p) {
        uint64_t word;

        memcpy(&word, p, sizeof(word));
        return word;
}

static uint64_t fold(uint64_t h, uint64_t word) {
        h = (h ^ word) * CHECKSUM_MULTIPLIER;
        return h ^ h >> 32;
}

/*
 * Eight bytes a step, each folded in by a multiplication with an odd constant and a shift, so that
 * every input bit reaches the low half of the result: a fraction of a CRC's cost without special
 * instructions, and all that telling torn from whole needs. Four sums side by side, because one
 * alone would wait for each multiplication to end.
 */
uint32_t record_checksum(const void *data, size_t size) {
        uint64_t lanes[CHECKSUM_LANES] = { 0x9E3779B97F4A7C15ULL, 0xBF58476D1CE4E5B9ULL,
                                           0x94D049BB133111EBULL, 0xC2B2AE3D27D4EB4FULL };
        const uint8_t *p = data;
        uint64_t h = size;

        for (; size >= CHECKSUM_LANES * sizeof(uint64_t); size -= CHECKSUM_LANES * sizeof(uint64_t))
                for (unsigned i = 0; i < CHECKSUM_LANES; i++, p += sizeof(uint64_t))
                        lanes[i] = fold(lanes[i], load64(p));
        for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), p += sizeof(uint64_t))
                h = fold(h, load64(p));
        if (size > 0) {
                uint64_t rest = 0;

                memcpy(&rest, p, size);
                h = fold(h, rest);
        }
        for (unsigned i = 0; i < CHECKSUM_LANES; i++)
                h = fold(h, lanes[i]);
        h = fold(h, 0);
        /* Never 0, so that an untouched (zero) record cannot pass for a whole one. */
        return (uint32_t) h ? (uint32_t) h : 1;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The vocabulary of portwatch: one record is one line of the history, and also one slot of the
 * live table. The layout is fixed-width and little-endian, the same in memory, in the mapped files
 * and between the two processes. Never put a pointer, a size_t or a bool in here.
 */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the store is little-endian and mapped as it is; a big-endian port needs accessors"
#endif

enum record_kind {
        RECORD_NONE = 0, /* a free slot of the live table */
        RECORD_LISTEN,
        RECORD_UNLISTEN,
        RECORD_OPEN,
        RECORD_CLOSE,
        RECORD_FAIL,
        RECORD_REFUSE,
        RECORD_LOST,
        RECORD_START,
        RECORD_STOP,
        RECORD_KIND_MAX,
};

enum transport {
        TRANSPORT_TCP = 1,
        TRANSPORT_UDP,
        TRANSPORT_UDPLITE,
        TRANSPORT_SCTP,   /* listeners alone */
        TRANSPORT_RAW,    /* raw(7): the port is the number of the protocol */
        TRANSPORT_PACKET, /* packet(7): the port is the number of the Ethernet protocol, 3 is all */
        TRANSPORT_VSOCK,  /* vsock(7), listeners alone */
        TRANSPORT_MAX,
};

enum family {
        FAMILY_IPV4 = 1, /* v4-mapped IPv6 addresses are recorded as IPv4 */
        FAMILY_IPV6,
        FAMILY_PACKET, /* no addresses: ifindex says where it listens */
        FAMILY_VSOCK,  /* see record_vsock() */
        FAMILY_MAX,
};

enum direction {
        DIRECTION_NONE = 0, /* listeners, refused attempts and marks have none */
        DIRECTION_INBOUND,
        DIRECTION_OUTBOUND,
        DIRECTION_MAX,
};

enum exposure {
        EXPOSURE_NONE = 0,
        EXPOSURE_LOOPBACK,
        EXPOSURE_ADDRESS,
        EXPOSURE_ANY,
        EXPOSURE_MAX,
};

/* In rising order of certainty: a higher one replaces a lower one, never the other way round. */
enum attribution {
        ATTRIBUTION_UNKNOWN = 0,
        ATTRIBUTION_LISTENER,
        ATTRIBUTION_LOOKUP,
        ATTRIBUTION_EXACT,
        ATTRIBUTION_MAX,
};

enum outcome {
        OUTCOME_OPEN = 0,
        OUTCOME_CLOSED,
        OUTCOME_RESET,
        OUTCOME_REFUSED,
        OUTCOME_TIMED_OUT,
        OUTCOME_FAILED,
        OUTCOME_MAX,
};

enum record_flags {
        RECORD_BYTES_KNOWN = 1 << 0, /* bytes_received and bytes_sent were read from the kernel */
        RECORD_FOUND = 1 << 1,       /* found by a snapshot: opened_usec is when it was found */
        RECORD_END_GUESSED = 1 << 2, /* ended unseen: time_usec is when that was noticed */
        RECORD_PENDING = 1 << 3,     /* live table only: not yet established, shown to nobody */
        RECORD_JUDGED = 1 << 4,      /* the policy was asked; RECORD_EXPECTED is its answer */
        RECORD_EXPECTED = 1 << 5,
        RECORD_DUAL_STACK = 1 << 6,  /* an IPv6 wildcard that takes IPv4 as well */
        RECORD_COUNT_KNOWN = 1 << 7, /* RECORD_LOST: the number of missing events is known */
};

#define VSOCK_CID_ANY UINT32_MAX

#define OWNER_NONE  UINT32_MAX
#define UID_UNKNOWN UINT32_MAX

struct record {
        uint64_t seq; /* history: place in the record, from 1; live: version, odd while written */
        uint64_t time_usec; /* when it happened, microseconds since the epoch */
        uint64_t id;        /* seq of the event that opened this socket; a failed one has its own */
        uint64_t opened_usec;
        union {
                uint64_t bytes_received;  /* connections */
                uint64_t attempts;        /* RECORD_REFUSE: how many this record stands for */
                uint64_t first_seen_usec; /* listeners */
                uint64_t lost;            /* RECORD_LOST */
        };
        uint64_t bytes_sent;
        uint8_t local[16]; /* network order; an IPv4 address is the first four bytes, the rest zero
                            */
        uint8_t remote[16];
        uint16_t local_port; /* host order */
        uint16_t remote_port;
        uint32_t netns;   /* inode of the network namespace */
        uint32_t ifindex; /* scope of a link-local address or the bound device; 0: none */
        uint32_t owner; /* live: slot of the owner; history: offset in the segment; or OWNER_NONE */
        uint32_t rule;  /* live: number of the rule that matched, from 1; history: as owner; 0: none
                         */
        uint8_t kind;
        uint8_t transport;
        uint8_t family;
        uint8_t direction;
        uint8_t outcome;
        uint8_t exposure;
        uint8_t attribution;
        uint8_t flags;
        uint32_t holder; /* live, listeners: slot of the process that serves it, where that is not
                            the owner who opened it (socket activation), or OWNER_NONE */
        uint64_t cookie; /* of the socket, unique since boot */
        uint32_t reserved2;
        uint32_t checksum; /* history: of the bytes before it */
};
_Static_assert(sizeof(struct record) == 128, "records are 128 bytes on disk");
_Static_assert(offsetof(struct record, cookie) == 112, "no padding in a record");

/*
 * Who is behind a socket. Strings are NUL-terminated and empty when unknown; longer ones are cut.
 * A process is (pid, start_ns), never a pid alone.
 */
struct owner {
        uint64_t start_ns; /* when the process started, nanoseconds since boot; 0: unknown */
        uint32_t pid;      /* 0: unknown, or not of this pid namespace */
        uint32_t uid;      /* UID_UNKNOWN: unknown */
        char name[16];
        char executable[256];
        char unit[128];
        char container[80];
};
_Static_assert(sizeof(struct owner) == 496, "no padding in an owner");

/*
 * Was a socket of this owner opened for somebody else? systemd opens those of its socket units
 * (systemd.socket(5)), in the control group of the socket unit.
 */
bool owner_is_socket_unit(const struct owner *o);

/*
 * The words of the interface for the values above, and back. _name() gives NULL and _parse() gives
 * -EINVAL for what is not a word of that type.
 */
const char *record_kind_name(unsigned kind);
int record_kind_parse(const char *name);
const char *transport_name(unsigned transport);
int transport_parse(const char *name);
const char *family_name(unsigned family);
int family_parse(const char *name);
const char *direction_name(unsigned direction);
int direction_parse(const char *name);
const char *exposure_name(unsigned exposure);
int exposure_parse(const char *name);
const char *attribution_name(unsigned attribution);
int attribution_parse(const char *name);
const char *outcome_name(unsigned outcome);
int outcome_parse(const char *name);

/* The service port: the local one of a listener or an inbound connection, else the remote one. */
static inline uint16_t record_service_port(const struct record *r) {
        return r->direction == DIRECTION_OUTBOUND ? r->remote_port : r->local_port;
}

/*
 * The context and the port of a vsock address, of 32 bits each. local_port is the port as well, or
 * UINT16_MAX if it is larger.
 */
static inline void record_vsock(const uint8_t address[static 16], uint32_t *ret_cid,
                                uint32_t *ret_port) {
        __builtin_memcpy(ret_cid, address, sizeof(*ret_cid));
        __builtin_memcpy(ret_port, address + sizeof(*ret_cid), sizeof(*ret_port));
}

static inline bool record_is_listener(const struct record *r) {
        return r->kind == RECORD_LISTEN || r->kind == RECORD_UNLISTEN;
}

/* When a listener was first seen: at the latest when it opened. */
static inline uint64_t record_first_seen(const struct record *r) {
        return r->first_seen_usec ? r->first_seen_usec : r->opened_usec;
}

static inline bool record_is_connection(const struct record *r) {
        return r->kind == RECORD_OPEN || r->kind == RECORD_CLOSE || r->kind == RECORD_FAIL ||
               r->kind == RECORD_REFUSE;
}

/* Who can reach an address (first four bytes when IPv4): loopback, one address, or any. Any for a
 * packet socket, and for a vsock one of any context. */
enum exposure record_exposure(enum family family, const uint8_t address[static 16]);

/* A checksum of size bytes at data for torn and damaged records; not a defence against an author.
 */
uint32_t record_checksum(const void *data, size_t size);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a source tells the tracker: the same for the programs in the kernel, for sock_diag and for
 * the tests' recorded files. Shared with BPF code, so it includes no system header; the includer
 * has brought __u8 to __u64 (vmlinux types or linux/types.h).
 */

enum event_type {
        EVENT_NONE = 0,
        EVENT_STATE,   /* TCP: old_state to new_state */
        EVENT_BIND,    /* UDP: bound by bind(); raw: made, local_port is the protocol */
        EVENT_CONNECT, /* UDP: connect() to remote */
        EVENT_PEER,    /* UDP: a datagram from a peer not heard of lately was received */
        EVENT_RELEASE, /* the last descriptor was closed, in the closer's own call */
        EVENT_OWNER,   /* who accepted cookie, in its call, or who holds it by a later look */
        EVENT_REFUSED, /* a packet for a port where nobody listens */
        EVENT_PROCESS, /* struct event_process: the executable of a process */
        EVENT_CGROUP,  /* struct event_cgroup: the path of a control group */
        EVENT_LOST,    /* count events are missing before this one */
        EVENT_SNAPSHOT_BEGIN, /* sockets found from here on are the truth for netns (0: all) */
        EVENT_FOUND,          /* a socket in state new_state, seen in a dump */
        EVENT_SNAPSHOT_END,   /* what was not found in between and had no event since is gone */
        EVENT_DESTROYED,      /* sock_diag's destroy group: cookie is gone, tuple may be wiped */
        EVENT_TYPE_MAX,
};

enum event_flags {
        EVENT_IN_PROCESS = 1 << 0,  /* pid and what follows are of the process that made the call */
        EVENT_HAS_SOCKET = 1 << 1,  /* the socket still belonged to a descriptor */
        EVENT_BYTES = 1 << 2,       /* bytes_received and bytes_sent are set */
        EVENT_V6ONLY = 1 << 3,      /* an IPv6 socket that takes no IPv4 */
        EVENT_FOREIGN_PID = 1 << 4, /* the process is outside of our pid namespace; pid is 0 */
        EVENT_CONNECTED = 1 << 5,   /* EVENT_FOUND, UDP: has a peer */
        EVENT_LISTENERS_ONLY = 1 << 6, /* EVENT_SNAPSHOT_*: only listeners were dumped */
        EVENT_AUTOBOUND =
                1 << 7, /* EVENT_FOUND, UDP: probably bound by the kernel, not by bind() */
        EVENT_HELD =
                1 << 8, /* the process that closed it is not known to have made or accepted it */
};

/* In the place of an IPPROTO_ of 8 bits; IPPROTO_RAW (255) is itself. */
#define EVENT_TRANSPORT_PACKET 254
#define EVENT_TRANSPORT_VSOCK  253

#define EVENT_NAME_SIZE 16
#define EVENT_PATH_SIZE 512

/* Who asked for a TCP connection, as far as its counts of bytes tell (sock_diag). */
enum event_opener {
        OPENER_UNKNOWN = 0,
        OPENER_SELF,
        OPENER_PEER,
};

/* States are the kernel's (include/net/tcp_states.h). */
struct event {
        __u64 time_ns; /* CLOCK_BOOTTIME; first, the rings are merged by it */
        __u64 cookie;
        __u64 cgroup_id; /* of the process, in the unified hierarchy; 0: unknown */
        __u64 start_ns;  /* start of the process (group leader), CLOCK_BOOTTIME */
        __u64 bytes_received;
        union {
                __u64 bytes_sent;
                __u64 count; /* EVENT_LOST: events; EVENT_REFUSED: attempts */
        };
        __u8 local[16]; /* as the socket has them: IPv4 in the first four bytes, or IPv6 */
        __u8 remote[16];
        __u16 local_port; /* host order */
        __u16 remote_port;
        __u32 netns;
        __u32 ifindex;
        __u32 pid;     /* thread group, in our pid namespace */
        __u32 uid;     /* effective uid of the process, or the socket's */
        __u32 exec_id; /* counts the executables a process has run */
        __u8 type;
        __u8 transport; /* IPPROTO_TCP, _UDP, _UDPLITE, _SCTP, _RAW, EVENT_TRANSPORT_ */
        __u8 family;    /* AF_INET, AF_INET6 (v4-mapped stays AF_INET6 here), AF_PACKET */
        __u8 old_state;
        __u8 new_state;
        __u8 opener; /* EVENT_FOUND, EVENT_DESTROYED, to TCP_CLOSE: enum event_opener */
        __u16 error; /* sk_err, positive errno */
        char name[EVENT_NAME_SIZE]; /* of the group leader */
        __u32 inode;                /* EVENT_FOUND: of the socket, as in /proc/PID/fd; 0: none */
        __u32 flags;                /* enum event_flags */
};

/*
 * The executable's path, last component first, each ended by NUL; n_components 0: could not be
 * read. Begins as struct event does up to type, so that a reader can tell them apart.
 */
struct event_process {
        struct event head; /* pid, start_ns, exec_id; type EVENT_PROCESS */
        __u32 n_components;
        __u32 truncated;
        char path[EVENT_PATH_SIZE];
};

/* Network namespaces that are known by their cookie, see namespaces in bpf/udp.h. */
#define NAMESPACES_MAX 4096

/* A UDP peer is told anew when it was silent for so long, or was pushed out by others. */
#define PEER_WINDOW_NS 60000000000ULL
#define PEERS_MAX      16384

/*
 * Refused attempts of one source are told one by one up to a limit in each window, and those of all
 * sources together up to another one; the rest is counted, so that a scan or a flood cannot push
 * out what else is recorded.
 */
#define REFUSED_WINDOW_NS  1000000000ULL
#define REFUSED_PER_SOURCE 64
#define REFUSED_PER_WINDOW 1024
#define REFUSED_SOURCES    4096

struct refused_source {
        __u32 netns;
        __u32 family;
        __u8 address[16];
};

struct refused_count {
        __u64 window_ns; /* when the window began, CLOCK_BOOTTIME */
        __u64 told;      /* in this window */
        __u64 untold;    /* since the last time that they were collected */
        __u64 first_ns;  /* of the untold ones */
        __u32 transport; /* IPPROTO_TCP or IPPROTO_UDP, of the last one */
        __u32 reserved;
        __u8 local[16]; /* where the last one went */
};

struct event_cgroup {
        struct event head;          /* cgroup_id; type EVENT_CGROUP */
        char path[EVENT_PATH_SIZE]; /* below the unified hierarchy's root, begins with '/' */
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "tests/helpers/actor.h"

/* What the command line asks of a situation. */
struct wishes {
        unsigned family; /* 4, 6, or 46: IPv4 between IPv6 sockets */
        const char *address;
        uint16_t port; /* 0: the kernel chooses */
        unsigned number;
        int bytes_to_server, bytes_to_client;
        bool server_first, reset;
        const char *name; /* of the processes; NULL: what they are */
        const char *execute;
        uid_t uid;
};
extern struct wishes wish;

struct situation {
        const char *name;
        void (*play)(void);
        const char *help;
};

/* Each ends with an entry without a name. */
extern const struct situation situations_tcp[];
extern const struct situation situations_owner[];
extern const struct situation situations_udp[];
extern const struct situation situations_more[];
extern const struct situation situations_other[];

#define DO(actor, ...)    actor_do(actor, &(const struct task){ __VA_ARGS__ })
#define TRY(actor, ...)   actor_do(actor, &(const struct task){ .may_fail = true, __VA_ARGS__ })
#define BEGIN(actor, ...) actor_begin(actor, &(const struct task){ __VA_ARGS__ })
#define FINISH(actor)     actor_finish(actor, &(const struct task){})

/* An actor of this name, or of the name that was wished for, and of the user that was wished for.
 */
struct actor situation_actor(const char *name);

/* The address that was wished for (default: loopback) with a port, as the task's address. */
struct task situation_at(enum order order, unsigned slot, uint16_t port);

/* A TCP listener in slot, at the address and port wished for. */
struct socket_facts situation_listen(struct actor a, unsigned slot);
/* A TCP socket in slot connected to where listener is, on the address wished for. */
struct socket_facts situation_connect(struct actor a, unsigned slot,
                                      const struct socket_facts *listener);

/*
 * One line of output: the step's name, then what there is. step_end() prints it, then waits for a
 * line of input; at the end of the input all ends there.
 */
void step_begin(const char *step);
void step_socket(const char *role, const struct socket_facts *f);
/* A whole step: a connection's two ends, and the listener that it came by. */
void step_pair(const char *step, const struct socket_facts *listener,
               const struct socket_facts *client, const struct socket_facts *accepted);
void step_number(const char *role, long long value);
void step_end(void);

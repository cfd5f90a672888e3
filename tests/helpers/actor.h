/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * Processes that own sockets and do with them what they are told, one thing after the other. The
 * program that gives the orders owns none, so that who holds what is known exactly.
 */

#define ACTORS_MAX  34
#define ACTOR_SLOTS 64

struct actor {
        pid_t pid;
        int number; /* the place at the table of channels made before anybody was forked */
};

/* What is known of a socket after an order was carried out. */
struct socket_facts {
        pid_t pid; /* of the process that carried it out */
        int error; /* errno of the order, 0 when it succeeded */
        int family, type, protocol;
        struct sockaddr_storage local;
        struct sockaddr_storage remote; /* ss_family 0: none */
        uint64_t cookie;
};

enum order {
        ORDER_SOCKET,          /* family, type, protocol into slot */
        ORDER_OPTION,          /* level, option, value */
        ORDER_BIND,            /* address */
        ORDER_LISTEN,          /* value: backlog */
        ORDER_CONNECT,         /* address */
        ORDER_ACCEPT,          /* from slot into target */
        ORDER_IO_URING_ACCEPT, /* the same, by a ring */
        ORDER_SEND,            /* value bytes; address when it has one; flags */
        ORDER_RECEIVE,         /* value bytes, at most; 0 at the end counts as success */
        ORDER_SHUTDOWN,        /* value: how */
        ORDER_CLOSE,
        ORDER_RESET,    /* SO_LINGER 0, then close */
        ORDER_SWALLOW,  /* drop whatever comes in, by a filter */
        ORDER_DESCRIBE, /* the facts alone */
        ORDER_FORK,     /* a child at place target, with all descriptors */
        ORDER_PASS,     /* the descriptor in slot to actor target by SCM_RIGHTS */
        ORDER_TAKE,     /* a passed descriptor into slot */
        ORDER_RENAME,   /* text: the name of the process */
        ORDER_BECOME,   /* value: the user */
        ORDER_EXECUTE,  /* text: goes on as this program, descriptors kept */
};

struct task {
        enum order order;
        unsigned slot, target;
        int family, type, protocol;
        int level, option, value;
        int flags;
        bool in_thread; /* a thread named "worker" does it */
        bool may_fail;  /* an error is the caller's to look at */
        struct sockaddr_storage address;
        socklen_t address_length;
        char text[256];
};

/* Makes the channels; before the first actor_start(). */
void actor_prepare(void);

/* A new process of this name and user (uid_t -1: the caller's). */
struct actor actor_start(const char *name, uid_t uid);

/* Has it done; dies with a message when it failed, unless may_fail. */
struct socket_facts actor_do(struct actor a, const struct task *t);

/* Gives the order without waiting, and takes its outcome later. */
void actor_begin(struct actor a, const struct task *t);
struct socket_facts actor_finish(struct actor a, const struct task *t);

/* a forks; the child has its descriptors in the same slots. */
struct actor actor_fork(struct actor a);

/* It exits with all that is open; returns once it has. */
void actor_end(struct actor a);

/* The far side of ORDER_EXECUTE: goes on with the state that was handed over. */
_Noreturn void actor_resume(const char *state);

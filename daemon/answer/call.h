/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/answer/reply.h"
#include "daemon/answer/store.h"
#include "daemon/answer/view.h"
#include "wire/message.h"

/* What all calls share, and what Status tells of the answerer itself. */
struct service {
        struct store store;
        unsigned clients;
        unsigned followers;
        unsigned max_followers;
        uint64_t clients_refused;   /* connections beyond the limits */
        uint64_t followers_refused; /* calls of Follow beyond the limit */
        uint64_t requests_refused;  /* what was no call, or too large */
        uint64_t followers_lost;    /* events that were overwritten before a follower took them */
};

/* What comes after a step of a call. */
enum progress {
        CALL_DONE,  /* its last reply is written */
        CALL_AGAIN, /* the turn is over; go on after the others had theirs */
        CALL_FULL,  /* go on when less is unsent */
        CALL_WAIT,  /* go on when there is something new in the history */
};

/* A method call that is being answered. Start with a zeroed one. */
struct call {
        const struct method *method; /* NULL: there is none */
        struct service *service;
        const struct view *view;
        struct replies *replies;
        bool more;
        void *state; /* the method's own, NULL if it needs none */
};

/*
 * A budget counts glances at records or slots that go no further, some 20 ns each. Reading one with
 * its owner, and showing it, costs so many times as much.
 */
#define COST_OF_SLOT   8U
#define COST_OF_RECORD 16U

static inline void budget_spend(uint64_t *budget, uint64_t cost) {
        *budget -= *budget < cost ? *budget : cost;
}

/*
 * A method: start() takes the parameters; step() writes replies until it is done or *budget, in
 * records looked at, is used up; done() frees state, and accepts NULL there. A method that says all
 * in start() has neither of the others.
 */
struct method {
        const char *name;
        bool needs_more;
        /*
         * 1: go on with step(); 0: all is said; -EINVAL with the parameter that is wrong in
         * *ret_bad, good as long as parameters; other negative errno: this client cannot be
         * answered.
         */
        int (*start)(struct call *c, json_object *parameters, const char **ret_bad);
        /* What comes after, or negative: this client cannot be answered. */
        int (*step)(struct call *c, uint64_t *budget);
        void (*done)(struct call *c);
};

/*
 * Starts answering a call with c->service, view and replies set: finds the method and takes its
 * parameters. 1: go on with call_step(); 0: all is said; negative: the client cannot be answered.
 */
int call_start(struct call *c, const struct message *m);
/* As struct method's step(). */
int call_step(struct call *c, uint64_t *budget);
/* Ends the call, at any moment; does nothing when there is none. */
void call_done(struct call *c);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "daemon/config.h"
#include "lib/live.h"
#include "lib/rules.h"

/*
 * Tells the journal what is not expected: each listener once, and once more when it has gone; who
 * connects from where he should not; who is refused too often. What comes and goes is counted
 * rather than told again and again.
 */
struct alerts;

/* How long a listener must have gone before that is told, and before it would be told anew. */
#define ALERTS_FLAP_USEC 10000000U
/* An owner that is not known yet is waited for so long. */
#define ALERTS_OWNER_USEC 1000000U
/* Told at once, and then so many in a second. Listeners wait for that, the others are counted. */
#define ALERTS_BURST      64U
#define ALERTS_PER_SECOND 4U

/* config and live must stay valid. 0 or negative errno. */
int alerts_new(struct alerts **ret, sd_event *event, const struct config *config,
               struct live *live);
struct alerts *alerts_free(struct alerts *a); /* accepts NULL, returns NULL */

/* A listener is not expected, and was not judged so before. owner may be NULL. */
void alerts_raise(struct alerts *a, const struct record *r, const struct owner *owner);
/* More is known of one that was raised. */
void alerts_refine(struct alerts *a, const struct record *r, const struct owner *owner);
/* One that was raised has gone. */
void alerts_gone(struct alerts *a, const struct record *r, const struct owner *owner);
/* One that was raised is expected by now: a rule was made, or its owner has become known. */
void alerts_forget(struct alerts *a, const struct record *r);

/* An inbound connection from where none should come. */
void alerts_peer(struct alerts *a, const struct record *r, const struct owner *owner);

/* Attempts were refused; tells when they are more than rate allows one source. */
void alerts_refused(struct alerts *a, const struct record *r, const struct rule_rate *rate);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "lib/live.h"
#include "lib/rules.h"

/*
 * Judges listeners and inbound connections by the rules in force, and learns rules for as long as
 * the configuration says.
 */
struct judge;

/*
 * dir: as for config_load(); learned: path of the file of learnt rules. Both, and config and live,
 * must stay valid. Without rules until judge_reload() has read them. 0 or -ENOMEM.
 */
int judge_new(struct judge **ret, const struct config *config, struct live *live, const char *dir,
              const char *learned);
struct judge *judge_free(struct judge *j); /* accepts NULL, returns NULL */

/*
 * Reads the rules again and says so in the live table. On failure what was in force stays; 1: all
 * were read but those that were learnt. *ret_error (allocated, NULL when there was no memory) says
 * why. Whoever calls this then has every listener judged anew. now_usec: time of day.
 */
int judge_reload(struct judge *j, uint64_t now_usec, char **ret_error);

/*
 * Sets RECORD_JUDGED, RECORD_EXPECTED and rule of a listener. Without rules and without learning it
 * is not judged. A listener that is not expected while learning goes on gets a rule of its own.
 */
void judge_listener(struct judge *j, struct record *r, const struct owner *owner,
                    const struct owner *holder, uint64_t now_usec);

/* The same for an inbound connection; it is judged only if a rule says from where it may come. */
void judge_connection(const struct judge *j, struct record *r, const struct owner *owner,
                      const struct owner *holder);

/* The text of a rule by its number, NULL for 0. */
const char *judge_rule(const struct judge *j, uint32_t number);

/* How many refused attempts of one source in which time are told; attempts 0: none. */
struct rule_rate judge_refused_rate(const struct judge *j);

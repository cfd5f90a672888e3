/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "lib/known_format.h"
#include "lib/ports.h"
#include "lib/record.h"
#include "wire/jsonw.h"

/*
 * Records as objects of the interface. Of a record that the interface has no words for (written by
 * a newer recorder, or damaged), show_can() is false, and it must not be shown. rule: the text of
 * the rule that matched; NULL or empty: none. services may be NULL.
 */
bool show_can(const struct record *r);

/* Kinds listen and unlisten. holder: who serves it where that is not the owner; NULL: nobody else.
 */
void show_listener(struct jsonw *w, const struct services *services, const struct record *r,
                   const struct owner *o, const struct owner *holder, const char *rule);
/* Kinds open, close, fail and refuse. */
void show_connection(struct jsonw *w, const struct services *services, const struct record *r,
                     const struct owner *o, const char *rule);
/* Any kind. The history keeps no holders. */
void show_event(struct jsonw *w, const struct services *services, const struct record *r,
                const struct owner *o, const char *rule);

/* A biography, of which show_can_biography() is the same as show_can() of records. */
bool show_can_biography(const struct biography *b);
void show_biography(struct jsonw *w, const struct biography *b);

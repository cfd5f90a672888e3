/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <systemd/sd-event.h>

/*
 * Has systemd start units (StartUnit() of org.freedesktop.systemd1(5)), without waiting for it.
 * What goes wrong is logged: whoever asks has done all he can.
 */
struct starter;

/* 0 or -ENOMEM. Connects to the system bus when it is first needed. */
int starter_new(struct starter **ret, sd_event *event);
struct starter *starter_free(struct starter *s); /* accepts NULL, returns NULL */

/*
 * Starts an instance of template (NAME@.service). Characters of instance that a unit's name cannot
 * have become "_". 0, -EBUSY when too many are on their way, or another negative errno.
 */
int starter_start(struct starter *s, const char *template, const char *instance);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

/*
 * The interfaces that the answerer has, in the order that GetInfo names them. Their texts are the
 * .varlink files beside this one, compiled in.
 */
size_t interface_count(void);
/* i is below interface_count(). */
const char *interface_name(size_t i);
/* The text of the interface of that name; NULL if there is none. */
const char *interface_text(const char *name);

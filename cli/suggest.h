/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/reply.h"
#include "lib/rules.h"

/*
 * The rule that would expect a listener and those like it, see rule_suggest(). 0, or -EPROTO for
 * what no daemon would say, -ENAMETOOLONG.
 */
int suggest_rule(const struct reply_socket *socket, uint16_t ephemeral_first,
                 uint16_t ephemeral_last, char ret[static RULE_TEXT_SIZE]);

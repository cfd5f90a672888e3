/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* MESSAGE_ID= of the events in the journal; systemd/portwatch.catalog explains each of them. */

#define MESSAGE_STARTED            "09e6f5518d1a48ac94f2b95f035d7f90"
#define MESSAGE_STOPPED            "2f4d40151c8842b8877b32258fd7ecd9"
#define MESSAGE_LOST               "c9efa89d7d654a5cb19551eb2862ff0f" /* LOST= */
#define MESSAGE_DEGRADED           "33531730b7f94c61b5d6cb8a9abc1bea" /* REASON= */
#define MESSAGE_HISTORY_SET_ASIDE  "525f66878e284568b4ef1b6321a0ed00" /* FILE= */
#define MESSAGE_ANSWERER_RESTARTED "bf9bd47f97b343dea9177f144dee1f6c" /* REASON= */
#define MESSAGE_SOURCE_FALLBACK    "c33e7764d40840a18f9e62dd40ca97d3" /* REASON= */
#define MESSAGE_UNEXPECTED         "17af2c3218b74f2493446f1ccefb6dc6" /* PORTWATCH_*= */
#define MESSAGE_UNEXPECTED_GONE    "a68d0b2f6b8543eb8d994cc4b461166d" /* PORTWATCH_*= */
#define MESSAGE_UNEXPECTED_PEER    "f20e4632cc2b41af96460dd8589e3cb9" /* PORTWATCH_*= */
#define MESSAGE_REFUSED_RATE       "c654e63b8ef2497a8b1a875622adf256" /* PORTWATCH_*= */
#define MESSAGE_ALERTS_HELD        "ff0abbcf5a5e46ac81eb8c07ab5729ab" /* PORTWATCH_COUNT= */
#define MESSAGE_RULES_REFUSED      "e459d2148fcc487fb6b18719519dd496" /* ERROR= */

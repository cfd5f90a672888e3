/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/message.h"

/* Any bytes as a call: what is taken is what the envelope allows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct message_problem problem;
        struct message m;

        if (message_parse(&m, (const char *) data, size, &problem) < 0) {
                if (problem.text[0] == 0 || !memchr(problem.text, 0, sizeof(problem.text)))
                        abort();
                return 0;
        }
        if (!m.method || m.more + m.oneway + m.upgrade > 1)
                abort();
        if (m.parameters && !json_object_is_type(m.parameters, json_type_object))
                abort();
        message_done(&m);
        return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/jsonw.h"
#include "wire/validate.h"

/*
 * Any bytes: either refused with a reason and a place within them, or JSON. And any bytes written
 * as a string are JSON.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct jsonw w = { .max = 16U * 1024 * 1024 };
        struct validation v;

        if (validate((const char *) data, size, &v) < 0) {
                if (!v.problem || v.offset > size)
                        abort();
        } else if (v.problem || !memchr(v.name, 0, sizeof(v.name)))
                abort();

        jsonw_bytes(&w, (const char *) data, size);
        if (w.failed || validate(w.data, w.size, &v) < 0)
                abort();
        jsonw_done(&w);
        return 0;
}

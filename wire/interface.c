/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "wire/interface.h"

struct interface {
        const char *name;
        const char *text;
};

/* Made by wire/embed.sh. */
#include "wire/interface_text.h"

size_t interface_count(void) {
        return sizeof(interfaces) / sizeof(interfaces[0]);
}

const char *interface_name(size_t i) {
        return interfaces[i].name;
}

const char *interface_text(const char *name) {
        for (size_t i = 0; i < interface_count(); i++)
                if (strcmp(interfaces[i].name, name) == 0)
                        return interfaces[i].text;
        return NULL;
}

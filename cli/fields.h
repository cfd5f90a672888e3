/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/reply.h"

/* The types of io.portwatch as tables: which fields an object has, and where reply.h keeps them. */

enum field_type {
        FIELD_INTEGER,
        FIELD_PORT, /* an integer from 0 to 65535 */
        FIELD_STRING,
        FIELD_BOOL,     /* into an int64_t, enum truth */
        FIELD_OBJECT,   /* into the structure at the offset */
        FIELD_LISTENER, /* into a row: its socket */
        FIELD_CONNECTION,
        FIELD_ROWS, /* an array of what the object is, each handed to the reader */
        FIELD_COUNTS,
        FIELD_SERVICES, /* an array of strings into struct reply_port */
        FIELD_LOSSES,   /* an array of objects into struct reply_status */
        FIELD_KNOWN,    /* an array of biographies, each handed to the reader */
};

struct object;

struct field {
        struct json_token token; /* the name as it stands in the text */
        enum field_type type;
        bool nullable; /* and may be absent */
        size_t offset;
        const struct object *object;
};

/* At the most 31 fields. */
struct object {
        const struct field *fields;
        size_t n_fields;
};

/* The place of a field in its object; n_fields if it has none of that name. */
size_t field_find(const struct object *o, const struct json_string *name);

extern const struct object listener_object; /* of struct reply_socket */
extern const struct object connection_object;
extern const struct object event_object;     /* of struct row */
extern const struct object count_object;     /* of struct count */
extern const struct object loss_object;      /* of struct reply_loss */
extern const struct object biography_object; /* of struct biography */
extern const struct object error_object;     /* of struct reply: the parameters of any error */

/* The parameters of the answers, of struct reply. */
extern const struct object shape_objects[REPLY_SHAPE_MAX];

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/reply.h"

enum field_type {
        FIELD_INTEGER,
        FIELD_PORT, /* an integer from 0 to 65535 */
        FIELD_STRING,
        FIELD_BOOL,     /* into an int64_t, enum truth */
        FIELD_OBJECT,   /* into the same structure, at the offset */
        FIELD_LISTENER, /* into a row: its socket */
        FIELD_CONNECTION,
        FIELD_ROWS, /* an array of what the object is, each handed to the reader */
        FIELD_COUNTS,
        FIELD_SERVICES, /* an array of strings into struct reply_port */
        FIELD_LOSSES,   /* an array of objects into struct reply_status */
};

struct object;

struct field {
        const char *name;
        size_t name_size;
        enum field_type type;
        bool nullable;
        size_t offset;
        const struct object *object;
};

struct object {
        const char *name;
        const struct field *fields;
        size_t n_fields;
};

#define F(structure, member, kind, null, what)                                                     \
        {                                                                                          \
#member, sizeof(#member) - 1, FIELD_##kind, null,                                  \
                        offsetof(struct structure, member), what                                   \
        }
/* Where the structure is the field's own part of a bigger one, or none. */
#define F_AT(text, kind, null, at, what)                                                           \
        { text, sizeof(text) - 1, FIELD_##kind, null, at, what }
#define OBJECT(text, table)                                                                        \
        { text, table, sizeof(table) / sizeof((table)[0]) }

static const struct field endpoint_fields[] = {
        F(endpoint, address, STRING, false, NULL),
        F(endpoint, port, PORT, false, NULL),
};
static const struct object endpoint_object = OBJECT("Endpoint", endpoint_fields);

static const struct field owner_fields[] = {
        F(reply_owner, pid, INTEGER, true, NULL),
        F(reply_owner, name, STRING, true, NULL),
        F(reply_owner, executable, STRING, true, NULL),
        F(reply_owner, uid, INTEGER, true, NULL),
        F(reply_owner, unit, STRING, true, NULL),
        F(reply_owner, container, STRING, true, NULL),
        F(reply_owner, attribution, STRING, false, NULL),
};
static const struct object owner_object = OBJECT("Owner", owner_fields);

static const struct field listener_fields[] = {
        F(reply_socket, id, INTEGER, false, NULL),
        F(reply_socket, transport, STRING, false, NULL),
        F(reply_socket, family, STRING, false, NULL),
        F(reply_socket, local, OBJECT, false, &endpoint_object),
        F(reply_socket, exposure, STRING, false, NULL),
        F(reply_socket, category, STRING, false, NULL),
        F(reply_socket, service, STRING, true, NULL),
        F(reply_socket, netns, INTEGER, false, NULL),
        F(reply_socket, owner, OBJECT, false, &owner_object),
        F(reply_socket, opened_usec, INTEGER, false, NULL),
        F(reply_socket, first_seen_usec, INTEGER, false, NULL),
        F(reply_socket, expected, BOOL, true, NULL),
        F(reply_socket, rule, STRING, true, NULL),
};
static const struct object listener_object = OBJECT("Listener", listener_fields);

static const struct field connection_fields[] = {
        F(reply_socket, id, INTEGER, false, NULL),
        F(reply_socket, transport, STRING, false, NULL),
        F(reply_socket, family, STRING, false, NULL),
        F(reply_socket, direction, STRING, false, NULL),
        F(reply_socket, local, OBJECT, false, &endpoint_object),
        F(reply_socket, remote, OBJECT, false, &endpoint_object),
        F(reply_socket, category, STRING, false, NULL),
        F(reply_socket, service, STRING, true, NULL),
        F(reply_socket, netns, INTEGER, false, NULL),
        F(reply_socket, owner, OBJECT, false, &owner_object),
        F(reply_socket, opened_usec, INTEGER, false, NULL),
        F(reply_socket, closed_usec, INTEGER, true, NULL),
        F(reply_socket, bytes_received, INTEGER, true, NULL),
        F(reply_socket, bytes_sent, INTEGER, true, NULL),
        F(reply_socket, outcome, STRING, false, NULL),
};
static const struct object connection_object = OBJECT("Connection", connection_fields);

static const struct field event_fields[] = {
        F(row, seq, INTEGER, false, NULL),
        F(row, time_usec, INTEGER, false, NULL),
        F(row, kind, STRING, false, NULL),
        F_AT("listener", LISTENER, true, 0, NULL),
        F_AT("connection", CONNECTION, true, 0, NULL),
        F(row, lost, INTEGER, true, NULL),
};
static const struct object event_object = OBJECT("Event", event_fields);

static const struct field count_fields[] = {
        F(count, key, STRING, false, NULL),         F(count, listeners, INTEGER, false, NULL),
        F(count, unexpected, INTEGER, false, NULL), F(count, open, INTEGER, false, NULL),
        F(count, inbound, INTEGER, false, NULL),    F(count, outbound, INTEGER, false, NULL),
        F(count, refused, INTEGER, false, NULL),    F(count, bytes_received, INTEGER, false, NULL),
        F(count, bytes_sent, INTEGER, false, NULL),
};
static const struct object count_object = OBJECT("Count", count_fields);

static const struct field loss_fields[] = {
        F(reply_loss, where, STRING, false, NULL),
        F(reply_loss, count, INTEGER, false, NULL),
};
static const struct object loss_object = OBJECT("Loss", loss_fields);

static const struct field listeners_fields[] = {
        F_AT("listeners", ROWS, false, 0, &listener_object),
};
static const struct field connections_fields[] = {
        F_AT("connections", ROWS, false, 0, &connection_object),
};
static const struct field events_fields[] = {
        F_AT("events", ROWS, false, 0, &event_object),
        F(reply, oldest_seq, INTEGER, true, NULL),
        F(reply, next_seq, INTEGER, true, NULL),
};
static const struct field counts_fields[] = {
        F_AT("counts", COUNTS, false, 0, &count_object),
};
static const struct field port_fields[] = {
        F_AT("port", PORT, false, offsetof(struct reply, port.port), NULL),
        F_AT("category", STRING, false, offsetof(struct reply, port.category), NULL),
        F_AT("services", SERVICES, false, 0, NULL),
        F_AT("ephemeral", BOOL, false, offsetof(struct reply, port.ephemeral), NULL),
        F_AT("listeners", ROWS, false, 0, &listener_object),
};
#define F_STATUS(member, kind)                                                                     \
        F_AT(#member, kind, false, offsetof(struct reply, status.member), NULL)
#define F_EXTRA(member, kind) F_AT(#member, kind, true, offsetof(struct reply, status.member), NULL)
static const struct field status_fields[] = {
        F_STATUS(version, STRING),         F_STATUS(source, STRING),
        F_STATUS(state, STRING),           F_STATUS(started_usec, INTEGER),
        F_STATUS(boot_id, STRING),         F_STATUS(view, STRING),
        F_STATUS(listeners, INTEGER),      F_STATUS(unexpected, INTEGER),
        F_STATUS(connections, INTEGER),    F_STATUS(events, INTEGER),
        F_STATUS(lost, INTEGER),           F_STATUS(oldest_seq, INTEGER),
        F_STATUS(next_seq, INTEGER),       F_STATUS(oldest_usec, INTEGER),
        F_STATUS(capacity_bytes, INTEGER), F_EXTRA(source_detail, STRING),
        F_EXTRA(degraded_reason, STRING),  F_EXTRA(netns, INTEGER),
        F_EXTRA(followers, INTEGER),       F_EXTRA(clients, INTEGER),
        F_EXTRA(losses, LOSSES),
};
static const struct object shapes[REPLY_SHAPE_MAX] = {
        [REPLY_LISTENERS] = OBJECT("parameters", listeners_fields),
        [REPLY_CONNECTIONS] = OBJECT("parameters", connections_fields),
        [REPLY_EVENTS] = OBJECT("parameters", events_fields),
        [REPLY_COUNTS] = OBJECT("parameters", counts_fields),
        [REPLY_PORT] = OBJECT("parameters", port_fields),
        [REPLY_STATUS] = OBJECT("parameters", status_fields),
};

static const struct field error_fields[] = {
        F(reply, parameter, STRING, true, NULL),
        F_AT("method", STRING, true, offsetof(struct reply, parameter), NULL),
        F(reply, limit, INTEGER, true, NULL),
        F(reply, oldest_seq, INTEGER, true, NULL),
};
static const struct object error_object = OBJECT("parameters", error_fields);

static const struct reply_socket no_socket = {
        .id = REPLY_NULL,
        .local.port = REPLY_NULL,
        .remote.port = REPLY_NULL,
        .netns = REPLY_NULL,
        .owner = { .pid = REPLY_NULL, .uid = REPLY_NULL },
        .opened_usec = REPLY_NULL,
        .first_seen_usec = REPLY_NULL,
        .closed_usec = REPLY_NULL,
        .bytes_received = REPLY_NULL,
        .bytes_sent = REPLY_NULL,
        .expected = TRUTH_NULL,
};

struct decoder {
        struct json json;
        const struct reply_reader *reader;
        struct reply *reply;
        const char *missing; /* the first field that was not there though it must be */
        int stopped;         /* what the reader returned to stop */
};

static int decode_object(struct decoder *d, const struct object *o, void *base);

static int decode_rows(struct decoder *d, const struct object *o) {
        struct json *j = &d->json;
        bool first = true, outer = j->rewrite;
        struct row row;
        int r;

        r = json_open_array(j);
        if (r < 0)
                return r;
        while ((r = json_element(j, &first)) > 0) {
                row = (struct row){
                        .type = o == &event_object      ? ROW_MARK
                                : o == &listener_object ? ROW_LISTENER
                                                        : ROW_CONNECTION,
                        .socket = no_socket,
                        .seq = REPLY_NULL,
                        .time_usec = REPLY_NULL,
                        .lost = REPLY_NULL,
                };
                outer |= j->rewrite;
                j->rewrite = false;
                row.text = j->p;
                r = decode_object(d, o, o == &event_object ? (void *) &row : (void *) &row.socket);
                if (r < 0)
                        return r;
                row.text_size = (size_t) (j->p - row.text);
                row.rewrite = j->rewrite;
                if (row.type != ROW_MARK && !row.kind.data) {
                        row.socket_text = row.text;
                        row.socket_size = row.text_size;
                }
                if (d->missing)
                        continue;
                r = d->reader->row(&row, d->reader->userdata);
                if (r < 0) {
                        d->stopped = r;
                        return r;
                }
        }
        j->rewrite |= outer;
        return r;
}

static int decode_counts(struct decoder *d, const struct object *o) {
        struct json *j = &d->json;
        bool first = true, outer = j->rewrite;
        int r;

        r = json_open_array(j);
        if (r < 0)
                return r;
        while ((r = json_element(j, &first)) > 0) {
                struct count count = { 0 };

                outer |= j->rewrite;
                j->rewrite = false;
                count.text = j->p;
                r = decode_object(d, o, &count);
                if (r < 0)
                        return r;
                count.text_size = (size_t) (j->p - count.text);
                count.rewrite = j->rewrite;
                if (d->missing)
                        continue;
                r = d->reader->count(&count, d->reader->userdata);
                if (r < 0) {
                        d->stopped = r;
                        return r;
                }
        }
        j->rewrite |= outer;
        return r;
}

static int decode_services(struct decoder *d) {
        struct reply_port *port = &d->reply->port;
        struct json_string string;
        bool first = true;
        int r;

        port->n_services = 0;
        r = json_open_array(&d->json);
        if (r < 0)
                return r;
        while ((r = json_element(&d->json, &first)) > 0) {
                r = json_string(&d->json, &string);
                if (r < 0)
                        return r;
                if (port->n_services < sizeof(port->services) / sizeof(port->services[0]))
                        port->services[port->n_services++] = string;
        }
        return r;
}

static int decode_losses(struct decoder *d) {
        struct reply_status *status = &d->reply->status;
        bool first = true;
        int r;

        status->n_losses = 0;
        r = json_open_array(&d->json);
        if (r < 0)
                return r;
        while ((r = json_element(&d->json, &first)) > 0) {
                struct reply_loss loss = { .count = REPLY_NULL };

                r = decode_object(d, &loss_object, &loss);
                if (r < 0)
                        return r;
                if (status->n_losses < sizeof(status->losses) / sizeof(status->losses[0]))
                        status->losses[status->n_losses++] = loss;
        }
        return r;
}

static int decode_field(struct decoder *d, const struct field *f, void *base) {
        struct json *j = &d->json;
        char *at = (char *) base + f->offset;
        int64_t number;
        bool truth;
        int r;

        if (*j->p == 'n' || (unsigned char) *j->p <= ' ') {
                r = json_null(j);
                if (r > 0) {
                        if (f->nullable)
                                return 0;
                        j->error = "it must not be null";
                        return -EPROTO;
                }
        }
        switch (f->type) {
        case FIELD_INTEGER:
                return json_integer(j, (int64_t *) (void *) at);
        case FIELD_PORT:
                r = json_integer(j, &number);
                if (r < 0)
                        return r;
                if (number < 0 || number > UINT16_MAX) {
                        j->error = "a port from 0 to 65535 was expected";
                        return -EPROTO;
                }
                *(int64_t *) (void *) at = number;
                return 0;
        case FIELD_STRING:
                return json_string(j, (struct json_string *) (void *) at);
        case FIELD_BOOL:
                r = json_bool(j, &truth);
                if (r >= 0)
                        *(int64_t *) (void *) at = truth ? TRUTH_TRUE : TRUTH_FALSE;
                return r;
        case FIELD_OBJECT:
                return decode_object(d, f->object, at);
        case FIELD_LISTENER:
        case FIELD_CONNECTION: {
                struct row *row = base;

                row->type = f->type == FIELD_LISTENER ? ROW_LISTENER : ROW_CONNECTION;
                row->socket = no_socket;
                row->socket_text = j->p;
                r = decode_object(d,
                                  f->type == FIELD_LISTENER ? &listener_object : &connection_object,
                                  &row->socket);
                row->socket_size = (size_t) (j->p - row->socket_text);
                return r;
        }
        case FIELD_ROWS:
                return decode_rows(d, f->object);
        case FIELD_COUNTS:
                return decode_counts(d, f->object);
        case FIELD_SERVICES:
                return decode_services(d);
        case FIELD_LOSSES:
                return decode_losses(d);
        }
        return -EPROTO;
}

static int decode_object(struct decoder *d, const struct object *o, void *base) {
        struct json *j = &d->json;
        uint32_t seen = 0;
        size_t next = 0;
        bool first = true;
        int r;

        r = json_open_object(j);
        if (r < 0)
                return r;
        for (;;) {
                struct json_string key;
                size_t i, left;

                r = json_key(j, &first, &key);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                /* The fields most often come in the order of the table: look there first. */
                for (i = next, left = o->n_fields; left > 0; left--) {
                        if (i >= o->n_fields)
                                i = 0;
                        if (o->fields[i].name_size == key.size &&
                            memcmp(o->fields[i].name, key.data, key.size) == 0)
                                break;
                        i++;
                }
                if (left == 0) {
                        r = json_skip(j);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = decode_field(d, &o->fields[i], base);
                if (r < 0) {
                        if (!j->field)
                                j->field = o->fields[i].name;
                        return r;
                }
                seen |= UINT32_C(1) << i;
                next = i + 1;
        }
        if (seen + 1 != UINT32_C(1) << o->n_fields)
                for (size_t i = 0; i < o->n_fields; i++)
                        if (!(seen & UINT32_C(1) << i) && !o->fields[i].nullable && !d->missing)
                                d->missing = o->fields[i].name;
        return 0;
}

/* The object around it all. Only error, parameters and continues may stand there; others are passed
 * over. */
static int decode_envelope(struct decoder *d) {
        struct json *j = &d->json;
        struct reply *reply = d->reply;
        struct json_string key;
        bool first = true;
        int r;

        r = json_open_object(j);
        if (r < 0)
                return r;
        while ((r = json_key(j, &first, &key)) > 0) {
                if (key.size == 10 && memcmp(key.data, "parameters", 10) == 0) {
                        j->rewrite = false;
                        reply->parameters = j->p;
                        r = reply->error.data ? json_skip(j)
                                              : decode_object(d, &shapes[d->reader->shape], reply);
                        reply->parameters_size = (size_t) (j->p - reply->parameters);
                        reply->rewrite = j->rewrite;
                } else if (key.size == 5 && memcmp(key.data, "error", 5) == 0)
                        r = json_string(j, &reply->error);
                else if (key.size == 9 && memcmp(key.data, "continues", 9) == 0)
                        r = json_bool(j, &reply->continues);
                else
                        r = json_skip(j);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : json_finish(j);
}

int reply_read(const char *text, const struct reply_reader *reader, struct reply *ret,
               char why[static 256]) {
        struct decoder d = { .reader = reader, .reply = ret };
        int r;

        *ret = (struct reply){
                .limit = REPLY_NULL,
                .oldest_seq = REPLY_NULL,
                .next_seq = REPLY_NULL,
                .status = { .netns = REPLY_NULL, .followers = REPLY_NULL, .clients = REPLY_NULL },
        };
        json_start(&d.json, text);
        r = decode_envelope(&d);
        if (d.stopped < 0)
                return d.stopped;
        if (r >= 0 && ret->error.data) {
                /* Details of an error are an extra: whatever they are, the error stands. */
                if (ret->parameters) {
                        json_start(&d.json, ret->parameters);
                        (void) decode_object(&d, &error_object, ret);
                }
                return 0;
        }
        if (r >= 0 && !ret->parameters) {
                d.missing = "parameters";
                r = -EPROTO;
        }
        if (r >= 0 && d.missing)
                r = -EPROTO;
        if (r >= 0)
                return 0;
        if (d.json.error)
                (void) snprintf(why, 256, "%s%s%sbyte %zu: %s", d.json.field ? "field " : "",
                                d.json.field ? d.json.field : "", d.json.field ? ", " : "",
                                (size_t) (d.json.p - d.json.start), d.json.error);
        else
                (void) snprintf(why, 256, "field %s is missing", d.missing);
        return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cli/fields.h"

/* clang-format off */
#define FIELD(name, type, nullable, offset, object) \
        { { "\"" name "\":", sizeof(name) + 2 }, FIELD_##type, nullable, offset, object }
/* A field that has the name of the member it goes to, and one that may be null or absent. */
#define MUST(structure, member, type) FIELD(#member, type, false, offsetof(struct structure, member), NULL)
#define MAY(structure, member, type)  FIELD(#member, type, true, offsetof(struct structure, member), NULL)
#define OBJECT(table) { table, sizeof(table) / sizeof((table)[0]) }
/* clang-format on */

static const struct field endpoint_fields[] = {
        MUST(endpoint, address, STRING),
        MUST(endpoint, port, PORT),
};
static const struct object endpoint_object = OBJECT(endpoint_fields);

static const struct field owner_fields[] = {
        MAY(reply_owner, pid, INTEGER),         MAY(reply_owner, name, STRING),
        MAY(reply_owner, executable, STRING),   MAY(reply_owner, uid, INTEGER),
        MAY(reply_owner, unit, STRING),         MAY(reply_owner, container, STRING),
        MUST(reply_owner, attribution, STRING),
};
static const struct object owner_object = OBJECT(owner_fields);

static const struct field listener_fields[] = {
        MUST(reply_socket, id, INTEGER),
        MUST(reply_socket, transport, STRING),
        MUST(reply_socket, family, STRING),
        FIELD("local", OBJECT, false, offsetof(struct reply_socket, local), &endpoint_object),
        MUST(reply_socket, exposure, STRING),
        MUST(reply_socket, category, STRING),
        MAY(reply_socket, service, STRING),
        MUST(reply_socket, netns, INTEGER),
        FIELD("owner", OBJECT, false, offsetof(struct reply_socket, owner), &owner_object),
        FIELD("holder", OBJECT, true, offsetof(struct reply_socket, opener), &owner_object),
        MUST(reply_socket, opened_usec, INTEGER),
        MUST(reply_socket, first_seen_usec, INTEGER),
        MAY(reply_socket, expected, BOOL),
        MAY(reply_socket, rule, STRING),
};
const struct object listener_object = OBJECT(listener_fields);

static const struct field connection_fields[] = {
        MUST(reply_socket, id, INTEGER),
        MUST(reply_socket, transport, STRING),
        MUST(reply_socket, family, STRING),
        MUST(reply_socket, direction, STRING),
        FIELD("local", OBJECT, false, offsetof(struct reply_socket, local), &endpoint_object),
        FIELD("remote", OBJECT, false, offsetof(struct reply_socket, remote), &endpoint_object),
        MUST(reply_socket, category, STRING),
        MAY(reply_socket, service, STRING),
        MUST(reply_socket, netns, INTEGER),
        FIELD("owner", OBJECT, false, offsetof(struct reply_socket, owner), &owner_object),
        MUST(reply_socket, opened_usec, INTEGER),
        MAY(reply_socket, closed_usec, INTEGER),
        MAY(reply_socket, bytes_received, INTEGER),
        MAY(reply_socket, bytes_sent, INTEGER),
        MUST(reply_socket, outcome, STRING),
        MAY(reply_socket, expected, BOOL),
        MAY(reply_socket, rule, STRING),
};
const struct object connection_object = OBJECT(connection_fields);

static const struct field event_fields[] = {
        MUST(row, seq, INTEGER),
        MUST(row, time_usec, INTEGER),
        MUST(row, kind, STRING),
        FIELD("listener", LISTENER, true, 0, NULL),
        FIELD("connection", CONNECTION, true, 0, NULL),
        MAY(row, lost, INTEGER),
        MAY(row, attempts, INTEGER),
};
const struct object event_object = OBJECT(event_fields);

static const struct field count_fields[] = {
        MUST(count, key, STRING),         MUST(count, listeners, INTEGER),
        MUST(count, unexpected, INTEGER), MUST(count, open, INTEGER),
        MUST(count, inbound, INTEGER),    MUST(count, outbound, INTEGER),
        MUST(count, refused, INTEGER),    MUST(count, bytes_received, INTEGER),
        MUST(count, bytes_sent, INTEGER),
};
const struct object count_object = OBJECT(count_fields);

static const struct field loss_fields[] = {
        MUST(reply_loss, where, STRING),
        MUST(reply_loss, count, INTEGER),
};
const struct object loss_object = OBJECT(loss_fields);

static const struct field biography_fields[] = {
        MUST(biography, transport, STRING),        MUST(biography, port, PORT),
        MUST(biography, exposure, STRING),         MAY(biography, program, STRING),
        MAY(biography, container, STRING),         MAY(biography, uid, INTEGER),
        MUST(biography, first_seen_usec, INTEGER), MUST(biography, last_seen_usec, INTEGER),
        MUST(biography, times_opened, INTEGER),
};
const struct object biography_object = OBJECT(biography_fields);

static const struct field error_fields[] = {
        MAY(reply, parameter, STRING),
        FIELD("method", STRING, true, offsetof(struct reply, parameter), NULL),
        FIELD("interface", STRING, true, offsetof(struct reply, parameter), NULL),
        MAY(reply, limit, INTEGER),
        MAY(reply, oldest_seq, INTEGER),
};
const struct object error_object = OBJECT(error_fields);

static const struct field listeners_fields[] = {
        FIELD("listeners", ROWS, false, 0, &listener_object),
};

static const struct field connections_fields[] = {
        FIELD("connections", ROWS, false, 0, &connection_object),
};

static const struct field events_fields[] = {
        FIELD("events", ROWS, false, 0, &event_object),
        MAY(reply, oldest_seq, INTEGER),
        MAY(reply, next_seq, INTEGER),
};

static const struct field counts_fields[] = {
        FIELD("counts", COUNTS, false, 0, &count_object),
};

static const struct field port_fields[] = {
        FIELD("port", PORT, false, offsetof(struct reply, port.port), NULL),
        FIELD("category", STRING, false, offsetof(struct reply, port.category), NULL),
        FIELD("services", SERVICES, false, 0, NULL),
        FIELD("ephemeral", BOOL, false, offsetof(struct reply, port.ephemeral), NULL),
        FIELD("listeners", ROWS, false, 0, &listener_object),
        FIELD("known", KNOWN, true, 0, NULL),
};

/* clang-format off */
#define STATUS_MUST(member, type) FIELD(#member, type, false, offsetof(struct reply, status.member), NULL)
#define STATUS_MAY(member, type)  FIELD(#member, type, true, offsetof(struct reply, status.member), NULL)
/* clang-format on */

static const struct field status_fields[] = {
        STATUS_MUST(version, STRING),
        STATUS_MUST(source, STRING),
        STATUS_MUST(state, STRING),
        STATUS_MUST(started_usec, INTEGER),
        STATUS_MUST(boot_id, STRING),
        STATUS_MUST(view, STRING),
        STATUS_MUST(listeners, INTEGER),
        STATUS_MUST(unexpected, INTEGER),
        STATUS_MUST(connections, INTEGER),
        STATUS_MUST(events, INTEGER),
        STATUS_MUST(lost, INTEGER),
        STATUS_MUST(oldest_seq, INTEGER),
        STATUS_MUST(next_seq, INTEGER),
        STATUS_MUST(oldest_usec, INTEGER),
        STATUS_MUST(capacity_bytes, INTEGER),
        STATUS_MAY(source_detail, STRING),
        STATUS_MAY(degraded_reason, STRING),
        STATUS_MAY(netns, INTEGER),
        STATUS_MAY(followers, INTEGER),
        STATUS_MAY(clients, INTEGER),
        STATUS_MAY(losses, LOSSES),
        STATUS_MAY(pid, INTEGER),
        STATUS_MAY(audited_usec, INTEGER),
        STATUS_MAY(rules, INTEGER),
        STATUS_MAY(rules_usec, INTEGER),
        STATUS_MAY(rules_error, STRING),
        STATUS_MAY(learning_until_usec, INTEGER),
        STATUS_MAY(judging, BOOL),
};

const struct object shape_objects[REPLY_SHAPE_MAX] = {
        [REPLY_LISTENERS] = OBJECT(listeners_fields),
        [REPLY_CONNECTIONS] = OBJECT(connections_fields),
        [REPLY_EVENTS] = OBJECT(events_fields),
        [REPLY_COUNTS] = OBJECT(counts_fields),
        [REPLY_PORT] = OBJECT(port_fields),
        [REPLY_STATUS] = OBJECT(status_fields),
};

size_t field_find(const struct object *o, const struct json_string *name) {
        size_t i = 0;

        while (i < o->n_fields &&
               (o->fields[i].token.n != name->size + 3 ||
                memcmp(o->fields[i].token.text + 1, name->data, name->size) != 0))
                i++;
        return i;
}

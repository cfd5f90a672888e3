/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/fields.h"
#include "cli/reply.h"
#include "lib/record.h"

static const struct reply_socket no_socket = {
        .id = REPLY_NULL,
        .local.port = REPLY_NULL,
        .remote.port = REPLY_NULL,
        .netns = REPLY_NULL,
        .owner = { .pid = REPLY_NULL, .uid = REPLY_NULL },
        .opener = { .pid = REPLY_NULL, .uid = REPLY_NULL },
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
        const struct field *missing; /* the first one that was not there though it must be */
        int stopped;                 /* what the reader returned to stop */
};

static int decode_object(struct decoder *d, const struct object *o, void *base);

/* A holder was read into the opener's place: who serves it comes first. */
static void put_holder_first(struct reply_socket *s) {
        struct reply_owner holder = s->opener;

        if (!holder.attribution.data)
                return;
        s->opener = s->owner;
        s->owner = holder;
}

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
                        .attempts = REPLY_NULL,
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
                        put_holder_first(&row.socket);
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

static int decode_known(struct decoder *d) {
        bool first = true;
        int r;

        r = json_open_array(&d->json);
        if (r < 0)
                return r;
        while ((r = json_element(&d->json, &first)) > 0) {
                struct biography one = { .uid = REPLY_NULL };

                r = decode_object(d, &biography_object, &one);
                if (r < 0)
                        return r;
                if (d->missing || !d->reader->known)
                        continue;
                r = d->reader->known(&one, d->reader->userdata);
                if (r < 0) {
                        d->stopped = r;
                        return r;
                }
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
                /* Those of vsock(7) have 32 bits. */
                if (number < 0 || number > UINT32_MAX) {
                        j->error = "the number of a port was expected";
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
                put_holder_first(&row->socket);
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
        case FIELD_KNOWN:
                return decode_known(d);
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
                size_t i = next;

                /* The fields most often come in the order of the table. */
                if (i >= o->n_fields || !json_key_is(j, &first, &o->fields[i].token)) {
                        r = json_key(j, &first, &key);
                        if (r < 0)
                                return r;
                        if (r == 0)
                                break;
                        i = field_find(o, &key);
                }
                if (i >= o->n_fields) {
                        r = json_skip(j);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = decode_field(d, &o->fields[i], base);
                if (r < 0) {
                        if (!j->field)
                                j->field = o->fields[i].token.text;
                        return r;
                }
                seen |= UINT32_C(1) << i;
                next = i + 1;
        }
        if (seen + 1 != UINT32_C(1) << o->n_fields)
                for (size_t i = 0; i < o->n_fields; i++)
                        if (!(seen & UINT32_C(1) << i) && !o->fields[i].nullable && !d->missing)
                                d->missing = &o->fields[i];
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
                        r = reply->error.data
                                    ? json_skip(j)
                                    : decode_object(d, &shape_objects[d->reader->shape], reply);
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
                .status = { .netns = REPLY_NULL,
                            .followers = REPLY_NULL,
                            .clients = REPLY_NULL,
                            .pid = REPLY_NULL,
                            .audited_usec = REPLY_NULL,
                            .rules = REPLY_NULL,
                            .rules_usec = REPLY_NULL,
                            .learning_until_usec = REPLY_NULL,
                            .judging = TRUTH_NULL },
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
                (void) snprintf(why, 256, "parameters are missing");
                return -EPROTO;
        }
        if (r >= 0 && d.missing)
                r = -EPROTO;
        if (r >= 0)
                return 0;
        if (d.json.error)
                (void) snprintf(why, 256, "%s%s%sbyte %zu: %s", d.json.field ? "at " : "",
                                d.json.field ? d.json.field : "", d.json.field ? " " : "",
                                (size_t) (d.json.p - d.json.start), d.json.error);
        else
                (void) snprintf(why, 256, "the field %.*s is missing", (int) d.missing->token.n - 3,
                                d.missing->token.text + 1);
        return r;
}

/* "fe80::1%eth0" and the like have a scope. */
int reply_address(const struct endpoint *e, unsigned family, uint8_t ret[static 16]) {
        const struct json_string *s = &e->address;
        const char *scope = memchr(s->data, '%', s->size);
        size_t n = scope ? (size_t) (scope - s->data) : s->size;
        char text[INET6_ADDRSTRLEN];

        if (family == FAMILY_PACKET || family == FAMILY_VSOCK)
                return 0;
        if (n >= sizeof(text))
                return -EPROTO;
        memcpy(text, s->data, n);
        text[n] = '\0';
        return inet_pton(family == FAMILY_IPV6 ? AF_INET6 : AF_INET, text, ret) == 1 ? 0 : -EPROTO;
}

bool reply_judges(const struct reply_status *s) {
        return s->judging != TRUTH_NULL ? s->judging == TRUTH_TRUE : s->rules != REPLY_NULL;
}

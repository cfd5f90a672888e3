/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/answer/show.h"

#include "lib/address.h"

/* A word of the interface: short, and needs no escapes. */
#define WORD_MAX 16U

static void put_word(struct jsonw *w, const char *word) {
        char *to;

        if (!jsonw_reserve(w, WORD_MAX + 2))
                return;
        to = w->data + w->size;
        *to++ = '"';
        for (unsigned i = 0; i < WORD_MAX && word[i]; i++)
                *to++ = word[i];
        *to++ = '"';
        w->size = (size_t) (to - w->data);
}

static void put_number_or_null(struct jsonw *w, bool known, uint64_t number) {
        if (known)
                jsonw_uint(w, number);
        else
                jsonw_literal(w, "null");
}

static void put_endpoint(struct jsonw *w, const struct record *r, const uint8_t address[static 16],
                         uint16_t port) {
        char text[ADDRESS_TEXT_MAX];
        size_t n = address_write_of(text, r, address);

        jsonw_literal(w, "{\"address\":\"");
        jsonw_raw(w, text, n);
        jsonw_literal(w, "\",\"port\":");
        jsonw_uint(w, address_port_of(r, address, port));
        jsonw_literal(w, "}");
}

static void put_owner(struct jsonw *w, unsigned attribution, const struct owner *o) {
        jsonw_literal(w, "{\"pid\":");
        put_number_or_null(w, o->pid != 0, o->pid);
        jsonw_literal(w, ",\"name\":");
        jsonw_string_or_null(w, o->name);
        jsonw_literal(w, ",\"executable\":");
        jsonw_string_or_null(w, o->executable);
        jsonw_literal(w, ",\"uid\":");
        put_number_or_null(w, o->uid != UID_UNKNOWN, o->uid);
        jsonw_literal(w, ",\"unit\":");
        jsonw_string_or_null(w, o->unit);
        jsonw_literal(w, ",\"container\":");
        jsonw_string_or_null(w, o->container);
        jsonw_literal(w, ",\"attribution\":");
        put_word(w, attribution_name(attribution));
        jsonw_literal(w, "}");
}

/* From category to owner: alike in both types. */
static void put_service(struct jsonw *w, const struct services *services, const struct record *r,
                        const struct owner *o) {
        uint16_t port = record_service_port(r);

        jsonw_literal(w, ",\"category\":");
        put_word(w, category_name(category_of(port)));
        jsonw_literal(w, ",\"service\":");
        jsonw_string_or_null(w, services_lookup(services, port, r->transport));
        jsonw_literal(w, ",\"netns\":");
        jsonw_uint(w, r->netns);
        jsonw_literal(w, ",\"owner\":");
        put_owner(w, r->attribution, o);
}

/* What the rules say: both types end with it. */
static void put_judgement(struct jsonw *w, const struct record *r, const char *rule) {
        jsonw_literal(w, ",\"expected\":");
        if (!(r->flags & RECORD_JUDGED))
                jsonw_literal(w, "null");
        else if (r->flags & RECORD_EXPECTED)
                jsonw_literal(w, "true");
        else
                jsonw_literal(w, "false");
        jsonw_literal(w, ",\"rule\":");
        jsonw_string_or_null(w, rule);
        jsonw_literal(w, "}");
}

/* Both types begin with it. */
static void put_socket(struct jsonw *w, const struct record *r) {
        jsonw_separate(w);
        jsonw_literal(w, "{\"id\":");
        jsonw_uint(w, r->id);
        jsonw_literal(w, ",\"transport\":");
        put_word(w, transport_name(r->transport));
        jsonw_literal(w, ",\"family\":");
        put_word(w, family_name(r->family));
}

static const char *exposure_of(const struct record *r) {
        const char *word = exposure_name(r->exposure);

        return word ? word : exposure_name(record_exposure(r->family, r->local));
}

bool show_can(const struct record *r) {
        if (!record_is_listener(r) && !record_is_connection(r))
                return record_kind_name(r->kind) != NULL;
        if (!transport_name(r->transport) || !family_name(r->family) ||
            !attribution_name(r->attribution))
                return false;
        if (record_is_listener(r))
                return exposure_of(r) != NULL;
        return outcome_name(r->outcome) &&
               (r->kind == RECORD_REFUSE || direction_name(r->direction));
}

void show_listener(struct jsonw *w, const struct services *services, const struct record *r,
                   const struct owner *o, const struct owner *holder, const char *rule) {
        put_socket(w, r);
        jsonw_literal(w, ",\"local\":");
        put_endpoint(w, r, r->local, r->local_port);
        jsonw_literal(w, ",\"exposure\":");
        put_word(w, exposure_of(r));
        put_service(w, services, r, o);
        jsonw_literal(w, ",\"holder\":");
        /* Found by looking who has it open: no call of its own tells of it. */
        if (holder)
                put_owner(w, ATTRIBUTION_LOOKUP, holder);
        else
                jsonw_literal(w, "null");
        jsonw_literal(w, ",\"opened_usec\":");
        jsonw_uint(w, r->opened_usec);
        jsonw_literal(w, ",\"first_seen_usec\":");
        jsonw_uint(w, record_first_seen(r));
        put_judgement(w, r, rule);
}

void show_connection(struct jsonw *w, const struct services *services, const struct record *r,
                     const struct owner *o, const char *rule) {
        bool bytes_known = r->flags & RECORD_BYTES_KNOWN;

        put_socket(w, r);
        jsonw_literal(w, ",\"direction\":");
        /* Who is refused here came from outside. */
        put_word(w, r->kind == RECORD_REFUSE ? direction_name(DIRECTION_INBOUND)
                                             : direction_name(r->direction));
        jsonw_literal(w, ",\"local\":");
        put_endpoint(w, r, r->local, r->local_port);
        jsonw_literal(w, ",\"remote\":");
        put_endpoint(w, r, r->remote, r->remote_port);
        put_service(w, services, r, o);
        jsonw_literal(w, ",\"opened_usec\":");
        jsonw_uint(w, r->opened_usec ? r->opened_usec : r->time_usec);
        jsonw_literal(w, ",\"closed_usec\":");
        put_number_or_null(w, r->kind != RECORD_OPEN, r->time_usec);
        jsonw_literal(w, ",\"bytes_received\":");
        put_number_or_null(w, bytes_known, r->bytes_received);
        jsonw_literal(w, ",\"bytes_sent\":");
        put_number_or_null(w, bytes_known, r->bytes_sent);
        jsonw_literal(w, ",\"outcome\":");
        put_word(w, outcome_name(r->kind == RECORD_OPEN ? (unsigned) OUTCOME_OPEN : r->outcome));
        put_judgement(w, r, rule);
}

void show_event(struct jsonw *w, const struct services *services, const struct record *r,
                const struct owner *o, const char *rule) {
        jsonw_separate(w);
        jsonw_literal(w, "{\"seq\":");
        jsonw_uint(w, r->seq);
        jsonw_literal(w, ",\"time_usec\":");
        jsonw_uint(w, r->time_usec);
        jsonw_literal(w, ",\"kind\":");
        put_word(w, record_kind_name(r->kind));
        jsonw_literal(w, ",\"listener\":");
        if (record_is_listener(r))
                show_listener(w, services, r, o, NULL, rule);
        else
                jsonw_literal(w, "null");
        jsonw_literal(w, ",\"connection\":");
        if (record_is_connection(r))
                show_connection(w, services, r, o, rule);
        else
                jsonw_literal(w, "null");
        jsonw_literal(w, ",\"lost\":");
        put_number_or_null(w, r->kind == RECORD_LOST && r->flags & RECORD_COUNT_KNOWN, r->lost);
        jsonw_literal(w, ",\"attempts\":");
        put_number_or_null(w, r->kind == RECORD_REFUSE, r->attempts);
        jsonw_literal(w, "}");
}

bool show_can_biography(const struct biography *b) {
        return transport_name(b->transport) && exposure_name(b->exposure);
}

void show_biography(struct jsonw *w, const struct biography *b) {
        jsonw_separate(w);
        jsonw_literal(w, "{\"transport\":");
        put_word(w, transport_name(b->transport));
        jsonw_literal(w, ",\"port\":");
        jsonw_uint(w, b->port);
        jsonw_literal(w, ",\"exposure\":");
        put_word(w, exposure_name(b->exposure));
        jsonw_literal(w, ",\"program\":");
        jsonw_string_or_null(w, b->program);
        jsonw_literal(w, ",\"container\":");
        jsonw_string_or_null(w, b->container);
        jsonw_literal(w, ",\"uid\":");
        put_number_or_null(w, b->uid != UID_UNKNOWN, b->uid);
        jsonw_literal(w, ",\"first_seen_usec\":");
        jsonw_uint(w, b->first_usec);
        jsonw_literal(w, ",\"last_seen_usec\":");
        jsonw_uint(w, b->last_usec);
        jsonw_literal(w, ",\"times_opened\":");
        jsonw_uint(w, b->times_opened);
        jsonw_literal(w, "}");
}

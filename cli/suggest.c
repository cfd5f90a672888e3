/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "cli/cells.h"
#include "cli/suggest.h"
#include "wire/utf8.h"

/* The string without its escapes, cut to size with its NUL, between characters; empty for null. */
static void copy_string(char *to, size_t size, const struct json_string *s) {
        const char *p = s->data, *end = s->data + s->size;
        char bytes[4];
        uint32_t code = 0;
        size_t at = 0;

        while (p < end) {
                size_t taken =
                        *p == '\\' ? json_escape(p, &code) : utf8_length(p, (size_t) (end - p));
                size_t n = *p == '\\' ? utf8_put(bytes, code) : taken;

                if (taken == 0 || at + n >= size)
                        break;
                memcpy(to + at, *p == '\\' ? bytes : p, n);
                at += n;
                p += taken;
        }
        to[at] = '\0';
}

static void copy_owner(struct owner *to, const struct reply_owner *from) {
        *to = (struct owner){
                .pid = from->pid > 0 && from->pid <= INT32_MAX ? (uint32_t) from->pid : 0,
                .uid = from->uid >= 0 && from->uid < UID_UNKNOWN ? (uint32_t) from->uid
                                                                 : UID_UNKNOWN,
        };
        copy_string(to->name, sizeof(to->name), &from->name);
        copy_string(to->executable, sizeof(to->executable), &from->executable);
        copy_string(to->unit, sizeof(to->unit), &from->unit);
        copy_string(to->container, sizeof(to->container), &from->container);
}

/* A word of the interface by one of the parsers of record.h. */
static int parse_word(int (*parse)(const char *), const struct json_string *s) {
        char word[16];

        copy_string(word, sizeof(word), s);
        return parse(word);
}

static int copy_record(struct record *to, const struct reply_socket *from) {
        int transport = parse_word(transport_parse, &from->transport);
        int family = parse_word(family_parse, &from->family);
        int exposure = parse_word(exposure_parse, &from->exposure);

        if (transport < 0 || family < 0 || exposure < 0 || from->netns < 0 ||
            from->netns > UINT32_MAX)
                return -EPROTO;
        *to = (struct record){
                .kind = RECORD_LISTEN,
                .transport = (uint8_t) transport,
                .family = (uint8_t) family,
                .exposure = (uint8_t) exposure,
                .local_port =
                        (uint16_t) (from->local.port < UINT16_MAX ? from->local.port : UINT16_MAX),
                .netns = (uint32_t) from->netns,
        };
        return reply_address(&from->local, to->family, to->local);
}

int suggest_rule(const struct reply_socket *socket, uint16_t ephemeral_first,
                 uint16_t ephemeral_last, char ret[static RULE_TEXT_SIZE]) {
        bool opened_for = socket->opener.attribution.data != NULL;
        struct owner owner, holder;
        struct record record;
        struct rule_subject subject = { .record = &record,
                                        .owner = &owner,
                                        .holder = opened_for ? &holder : NULL };
        int r;

        r = copy_record(&record, socket);
        if (r < 0)
                return r;
        copy_owner(&owner, opened_for ? &socket->opener : &socket->owner);
        copy_owner(&holder, &socket->owner);
        return rule_suggest(&subject, ephemeral_first, ephemeral_last, ret);
}

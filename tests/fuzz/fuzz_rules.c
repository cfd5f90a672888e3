/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/rules.h"

/*
 * A file of rules. What is refused is refused at a place that there is, and nothing of it stays.
 * What is taken is written in a form that means the same: each rule read again has that form, and
 * the first of them that matches alone is the one that the set finds. The same bytes are the owner
 * of a listener: what is suggested for it is a rule, and matches.
 */

#define ALONE_MAX 64U

#define REQUIRE(condition)                                                                         \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        abort();                                                                   \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rules *read_rules(const char *text, size_t size, struct rule_error *ret_error) {
        struct rules *rules;

        REQUIRE(rules_new(&rules) == 0);
        if (rules_parse(rules, text, size, "fuzz", ret_error) < 0) {
                REQUIRE(rules_count(rules) == 0);
                return rules_free(rules);
        }
        return rules;
}

static void check_error(const char *text, size_t size, const struct rule_error *error) {
        const char *end = text + size;

        REQUIRE(error->line > 0 && error->column > 0);
        REQUIRE(strstr(error->message, "expected"));
        for (unsigned line = 1; line < error->line; line++) {
                text = memchr(text, '\n', (size_t) (end - text));
                REQUIRE(text);
                text++;
        }
        size = (size_t) (end - text);
        if (memchr(text, '\n', size))
                size = (size_t) ((const char *) memchr(text, '\n', size) - text);
        /* The end of the line is a place, too. */
        REQUIRE(error->column <= size + 1);
}

/* Cuts bytes into a string of an owner; returns how many it took. */
static size_t take_string(char *to, size_t room, const uint8_t *data, size_t size) {
        size_t n = strnlen((const char *) data, size);

        memset(to, 0, room);
        memcpy(to, data, n < room ? n : room - 1);
        return n < size ? n + 1 : n;
}

static void take_subject(struct record *r, struct owner *o, const uint8_t *data, size_t size) {
        size_t at = 0;

        *r = (struct record){ .kind = RECORD_LISTEN, .family = FAMILY_IPV4 };
        *o = (struct owner){ .uid = UID_UNKNOWN };
        if (size >= 8) {
                r->transport = data[0] % TRANSPORT_MAX;
                r->local_port = (uint16_t) (data[1] << 8 | data[2]);
                r->local[0] = data[3];
                o->uid = data[4];
                r->remote[0] = data[5];
                at = 8;
        }
        at += take_string(o->unit, sizeof(o->unit), data + at, size - at);
        at += take_string(o->executable, sizeof(o->executable), data + at, size - at);
        at += take_string(o->name, sizeof(o->name), data + at, size - at);
        take_string(o->container, sizeof(o->container), data + at, size - at);
}

static void check_suggestion(const struct rule_subject *subject) {
        struct rule_error error;
        char text[RULE_TEXT_SIZE];
        struct rules *rules;

        /* A range that there is none of, so that the port itself is written. */
        REQUIRE(rule_suggest(subject, 1, 0, text) == 0);
        rules = read_rules(text, strlen(text), &error);
        REQUIRE(rules && rules_count(rules) == 1);
        REQUIRE(rules_match(rules, subject) == 1);
        REQUIRE(strcmp(rules_text(rules, 1), text) == 0);
        rules_free(rules);
}

static void check_rules(const struct rules *rules, const struct rule_subject *subject) {
        unsigned n = rules_count(rules), first = 0, line = 0, last = 0;
        int allowed = 0;

        if (n > ALONE_MAX)
                return;
        for (unsigned i = 1; i <= n; i++) {
                const char *text = rules_text(rules, i);
                struct rule_error error;
                struct rules *alone;
                int r;

                REQUIRE(strcmp(rules_origin(rules, i, &line), "fuzz") == 0);
                REQUIRE(line > last);
                last = line;
                REQUIRE(strlen(text) < RULE_TEXT_SIZE);
                alone = read_rules(text, strlen(text), &error);
                REQUIRE(alone && rules_count(alone) == 1);
                REQUIRE(strcmp(rules_text(alone, 1), text) == 0);
                if (first == 0 && rules_match(alone, subject) == 1)
                        first = i;
                r = rules_match_inbound(alone, subject);
                if (allowed <= 0 && r != 0)
                        allowed = r > 0 ? (int) i : -EPERM;
                rules_free(alone);
        }
        REQUIRE(rules_match(rules, subject) == first);
        REQUIRE(rules_match_inbound(rules, subject) == allowed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *) data;
        struct rule_error error = {};
        struct record record;
        struct owner owner;
        const struct rule_subject subject = { .record = &record, .owner = &owner };
        struct rules *rules;

        take_subject(&record, &owner, data, size);
        check_suggestion(&subject);
        rules = read_rules(text, size, &error);
        if (!rules) {
                check_error(text, size, &error);
                return 0;
        }
        check_rules(rules, &subject);
        rules_free(rules);
        return 0;
}

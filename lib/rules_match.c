/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "rule.h"

#define OWNER_KEYS                                                                                 \
        (RULE_BIT(RULE_UNIT) | RULE_BIT(RULE_CONTAINER) | RULE_BIT(RULE_EXECUTABLE) |              \
         RULE_BIT(RULE_NAME) | RULE_BIT(RULE_USER))

/* Most patterns are done with before fnmatch(3), which takes ten times as long, is asked. */
static bool string_fits(const struct rule *rule, unsigned key, const char *value) {
        if (!(rule->keys & RULE_BIT(key)))
                return true;
        if (!value[0])
                return false;
        if (rule->patterns & RULE_BIT(key))
                return strncmp(rule->strings[key], value, rule->plain[key]) == 0 &&
                       fnmatch(rule->strings[key], value, 0) == 0;
        return strcmp(rule->strings[key], value) == 0;
}

/* An upgrade replaces the files of what runs. */
static bool executable_fits(const struct rule *rule, const char *path) {
        char before[sizeof(((struct owner *) 0)->executable)];
        size_t size;

        if (string_fits(rule, RULE_EXECUTABLE, path))
                return true;
        size = rule_path_size(path);
        if (!path[size])
                return false;
        memcpy(before, path, size);
        before[size] = 0;
        return string_fits(rule, RULE_EXECUTABLE, before);
}

static bool one_owner_fits(const struct rule *rule, const struct owner *o) {
        if (!o || ((rule->keys & RULE_BIT(RULE_USER)) && rule->uid != o->uid))
                return false;
        return string_fits(rule, RULE_UNIT, o->unit) && string_fits(rule, RULE_NAME, o->name) &&
               string_fits(rule, RULE_CONTAINER, o->container) &&
               executable_fits(rule, o->executable);
}

static bool owner_fits(const struct rule *rule, const struct rule_subject *s) {
        return !(rule->keys & OWNER_KEYS) || one_owner_fits(rule, s->owner) ||
               one_owner_fits(rule, s->holder);
}

static bool contains(const struct rule_network *network, unsigned family, const uint8_t *address) {
        unsigned whole = network->bits / 8, rest = network->bits % 8;

        if (network->family != family || memcmp(network->address, address, whole) != 0)
                return false;
        return rest == 0 || (network->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

static bool is_zero(const struct rule_network *network) {
        static const uint8_t zero[16];

        return memcmp(network->address, zero, sizeof(zero)) == 0;
}

static bool is_full(const struct rule_network *network) {
        return network->bits == (network->family == FAMILY_IPV4 ? 32 : 128);
}

/* A listener on all addresses is in no network but that of all, and equal to none but itself. */
static bool listener_address_fits(const struct rule_network *network, const struct record *r) {
        if (record_exposure(r->family, r->local) != EXPOSURE_ANY)
                return contains(network, r->family, r->local);
        return network->family == r->family && is_zero(network) &&
               (is_full(network) || network->bits == 0);
}

/* An address that a listener on this one takes connections at: an IPv6 wildcard takes IPv4 too. */
static bool connection_address_fits(const struct rule_network *network, const struct record *r) {
        if (contains(network, r->family, r->local))
                return true;
        return is_full(network) && is_zero(network) &&
               (network->family == r->family || network->family == FAMILY_IPV6);
}

/* What a rule says of the listener: all keys but from. */
static bool listener_fits(const struct rule *rule, const struct rule_subject *s) {
        const struct record *r = s->record;

        if ((rule->keys & RULE_BIT(RULE_EXPOSURE)) &&
            rule->exposure != record_exposure(r->family, r->local))
                return false;
        if ((rule->keys & RULE_BIT(RULE_NETNS)) && rule->netns != r->netns)
                return false;
        if ((rule->keys & RULE_BIT(RULE_ADDRESS)) && !listener_address_fits(&rule->address, r))
                return false;
        return owner_fits(rule, s);
}

/* Whether a listener that the rule is for can have taken this connection. */
static bool connection_fits(const struct rule *rule, const struct rule_subject *s) {
        const struct record *r = s->record;

        if ((rule->keys & RULE_BIT(RULE_EXPOSURE)) && rule->exposure != EXPOSURE_ANY &&
            rule->exposure != record_exposure(r->family, r->local))
                return false;
        if ((rule->keys & RULE_BIT(RULE_NETNS)) && rule->netns != r->netns)
                return false;
        if ((rule->keys & RULE_BIT(RULE_ADDRESS)) && !connection_address_fits(&rule->address, r))
                return false;
        return owner_fits(rule, s);
}

static bool from_fits(const struct rule *rule, const struct record *r) {
        for (unsigned i = 0; i < rule->n_from; i++)
                if (contains(&rule->from[i], r->family, r->remote))
                        return true;
        return false;
}

struct search {
        const struct rules *rules;
        const struct rule_subject *subject;
        bool inbound;
        bool asked; /* inbound: there is a rule that says from where */
        bool hashed;
        uint32_t hashes[2][RULE_STRINGS]; /* of what is known of owner and holder */
        unsigned best;                    /* the lowest number that fits, or one above all */
};

static void try_rule(struct search *s, unsigned number) {
        const struct rule *rule = &s->rules->all[number - 1];

        if (!s->inbound) {
                if (listener_fits(rule, s->subject))
                        s->best = number;
                return;
        }
        if (!(rule->keys & RULE_BIT(RULE_FROM)) || !connection_fits(rule, s->subject))
                return;
        s->asked = true;
        if (from_fits(rule, s->subject->record))
                s->best = number;
}

static void hash_owner(const struct owner *o, uint32_t ret[static RULE_STRINGS]) {
        ret[RULE_UNIT] = rule_hash(RULE_UNIT, o->unit);
        ret[RULE_CONTAINER] = rule_hash(RULE_CONTAINER, o->container);
        ret[RULE_EXECUTABLE] = rule_hash(RULE_EXECUTABLE, o->executable);
        ret[RULE_NAME] = rule_hash(RULE_NAME, o->name);
}

/* Most rules for a port are for somebody else: that is seen here without a look at the rule. */
static bool may_fit(struct search *s, const struct rule_span *span) {
        const struct rule_subject *subject = s->subject;

        if (span->key == RULE_STRINGS)
                return true;
        if (!s->hashed) {
                if (subject->owner)
                        hash_owner(subject->owner, s->hashes[0]);
                if (subject->holder)
                        hash_owner(subject->holder, s->hashes[1]);
                s->hashed = true;
        }
        return (subject->owner && s->hashes[0][span->key] == span->hash) ||
               (subject->holder && s->hashes[1][span->key] == span->hash);
}

static void search_tree(struct search *s, const struct rule_span *spans, unsigned n,
                        uint16_t port) {
        while (n > 0) {
                unsigned middle = n / 2;
                const struct rule_span *root = spans + middle;

                if (root->highest < port || root->lowest >= s->best)
                        return;
                search_tree(s, spans, middle, port);
                /* What is on the right begins no earlier. */
                if (root->first > port)
                        return;
                if (root->last >= port && root->number < s->best && may_fit(s, root))
                        try_rule(s, root->number);
                spans = root + 1;
                n -= middle + 1;
        }
}

static void search_transport(struct search *s, unsigned transport, uint16_t port) {
        const struct rules *rules = s->rules;
        unsigned begin = rules->tree[transport], end = rules->tree[transport + 1];

        if (end > begin)
                search_tree(s, rules->spans + begin, end - begin, port);
}

static void search(struct search *s) {
        const struct record *r = s->subject->record;

        s->best = s->rules->n + 1;
        /* A rule for some ports of any transport does not mean protocols of the same number: only
         * one for any port is for port 0, too. */
        search_transport(s, 0, rule_has_ports(r->transport) ? r->local_port : 0);
        if (r->transport > 0 && r->transport < TRANSPORT_MAX)
                search_transport(s, r->transport, r->local_port);
        if (s->best > s->rules->n)
                s->best = 0;
}

unsigned rules_match(const struct rules *rules, const struct rule_subject *subject) {
        struct search s = { .rules = rules, .subject = subject };

        search(&s);
        return s.best;
}

int rules_match_inbound(const struct rules *rules, const struct rule_subject *subject) {
        struct search s = { .rules = rules, .subject = subject, .inbound = true };

        search(&s);
        return s.best > 0 ? (int) s.best : s.asked ? -EPERM : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports.h"
#include "rule.h"

__attribute__((format(printf, 5, 6))) static int
fail(struct rule_error *e, int error, unsigned line, unsigned column, const char *format, ...) {
        va_list ap;

        e->line = line;
        e->column = column;
        va_start(ap, format);
        vsnprintf(e->message, sizeof(e->message), format, ap);
        va_end(ap);
        return error;
}

int rules_new(struct rules **ret) {
        struct rules *rules = calloc(1, sizeof(*rules));

        if (!rules)
                return -ENOMEM;
        if (ports_ephemeral_range(&rules->ephemeral.first, &rules->ephemeral.last) < 0)
                rules->ephemeral =
                        (struct rule_range){ PORTS_EPHEMERAL_FIRST, PORTS_EPHEMERAL_LAST };
        *ret = rules;
        return 0;
}

/* Takes back what was added after there were so many of each. */
static void cut(struct rules *rules, unsigned n, unsigned n_spans, unsigned n_origins) {
        while (rules->n > n)
                free((void *) (uintptr_t) rules->all[--rules->n].from);
        rules->n_spans = n_spans;
        while (rules->n_origins > n_origins)
                free(rules->origins[--rules->n_origins]);
}

struct rules *rules_free(struct rules *rules) {
        if (!rules)
                return NULL;
        cut(rules, 0, 0, 0);
        free(rules->all);
        free(rules->spans);
        free(rules->origins);
        free(rules);
        return NULL;
}

/* Room for so many more; the array may move. */
static int reserve(void **array, size_t size, unsigned n, unsigned more, unsigned *room) {
        unsigned wanted = *room > 0 ? *room : 64;
        void *larger;

        if (n + more <= *room)
                return 0;
        while (wanted < n + more)
                wanted *= 2;
        larger = reallocarray(*array, wanted, size);
        if (!larger)
                return -ENOMEM;
        *array = larger;
        *room = wanted;
        return 0;
}

static int add_origin(struct rules *rules, const char *origin) {
        char *copy;
        int r = reserve((void **) &rules->origins, sizeof(*rules->origins), rules->n_origins, 1,
                        &rules->origins_room);

        if (r < 0)
                return r;
        copy = strdup(origin);
        if (!copy)
                return -ENOMEM;
        rules->origins[rules->n_origins++] = copy;
        return 0;
}

static void add_spans(struct rules *rules, const struct rule_draft *d, unsigned number) {
        static const struct rule_range any = { 0, UINT16_MAX };
        unsigned key = 0, equal = d->rule.keys & ~(unsigned) d->rule.patterns, n = 1;
        const struct rule_range *ranges = d->ranges;

        if (d->ports == RULE_NO_PORTS)
                return;
        while (key < RULE_STRINGS && !(equal & RULE_BIT(key)))
                key++;
        if (d->ports == RULE_PORTS_LIST)
                n = d->n_ranges;
        else
                ranges = d->ports == RULE_PORTS_ANY ? &any : &rules->ephemeral;
        for (unsigned i = 0; i < n; i++)
                rules->spans[rules->n_spans++] = (struct rule_span){
                        .first = ranges[i].first,
                        .last = ranges[i].last,
                        .transport = (uint16_t) d->transport,
                        .number = number,
                        .key = key,
                        .hash = key < RULE_STRINGS ? rule_hash(key, d->words[key]) : 0,
                };
}

static size_t put_string(char *to, const char *string) {
        size_t size = strlen(string) + 1;

        memcpy(to, string, size);
        return size;
}

/* What a rule points to is one piece of memory: networks, then strings, then the text. */
static int add(struct rules *rules, const struct rule_draft *d, unsigned line) {
        size_t networks = d->rule.n_from * sizeof(d->from[0]), size = networks;
        struct rule rule = d->rule;
        char *body;
        int r;

        r = reserve((void **) &rules->all, sizeof(*rules->all), rules->n, 1, &rules->room);
        if (r < 0)
                return r;
        r = reserve((void **) &rules->spans, sizeof(*rules->spans), rules->n_spans, RULE_LIST_MAX,
                    &rules->spans_room);
        if (r < 0)
                return r;
        for (unsigned key = 0; key < RULE_STRINGS; key++)
                size += strlen(d->words[key]) + 1;
        body = malloc(size + strlen(d->text) + 1);
        if (!body)
                return -ENOMEM;
        memcpy(body, d->from, networks);
        rule.from = (const struct rule_network *) body;
        body += networks;
        for (unsigned key = 0; key < RULE_STRINGS; key++) {
                rule.strings[key] = body;
                rule.plain[key] = (uint8_t) strcspn(d->words[key], "*?[\\");
                body += put_string(body, d->words[key]);
        }
        rule.text = body;
        put_string(body, d->text);
        rule.line = line;
        rule.origin = rules->origins[rules->n_origins - 1];
        rules->all[rules->n++] = rule;
        add_spans(rules, d, rules->n);
        return 0;
}

static int compare_spans(const void *a, const void *b) {
        const struct rule_span *x = a, *y = b;

        if (x->transport != y->transport)
                return x->transport < y->transport ? -1 : 1;
        if (x->first != y->first)
                return x->first < y->first ? -1 : 1;
        return (x->number > y->number) - (x->number < y->number);
}

static struct rule_span *grow_tree(struct rule_span *spans, unsigned n) {
        unsigned middle = n / 2;
        struct rule_span *root = spans + middle, *below[2] = { NULL, NULL };

        if (n == 0)
                return NULL;
        below[0] = grow_tree(spans, middle);
        below[1] = grow_tree(root + 1, n - middle - 1);
        root->highest = root->last;
        root->lowest = root->number;
        for (unsigned i = 0; i < 2; i++) {
                if (below[i] && below[i]->highest > root->highest)
                        root->highest = below[i]->highest;
                if (below[i] && below[i]->lowest < root->lowest)
                        root->lowest = below[i]->lowest;
        }
        return root;
}

static void index_spans(struct rules *rules) {
        unsigned at = 0;

        if (rules->n_spans > 0)
                qsort(rules->spans, rules->n_spans, sizeof(*rules->spans), compare_spans);
        for (unsigned transport = 0; transport < TRANSPORT_MAX; transport++) {
                rules->tree[transport] = at;
                while (at < rules->n_spans && rules->spans[at].transport == transport)
                        at++;
                if (at > rules->tree[transport])
                        grow_tree(rules->spans + rules->tree[transport],
                                  at - rules->tree[transport]);
        }
        rules->tree[TRANSPORT_MAX] = at;
}

/* Where the first byte stands that is one too many. */
static unsigned last_line(const char *text, size_t size) {
        unsigned line = 1;

        for (size_t i = 0; i < size; i++)
                line += text[i] == '\n';
        return line;
}

static int add_text(struct rules *rules, const char *text, size_t size, struct rule_rate *rate,
                    struct rule_error *error) {
        const char *end = text + size;
        struct rule_draft draft;
        unsigned line = 0;

        while (text < end) {
                const char *stop = memchr(text, '\n', (size_t) (end - text));
                int r;

                line++;
                if (!stop)
                        stop = end;
                r = rule_read(text, (size_t) (stop - text), &draft, error);
                if (r < 0) {
                        error->line = line;
                        return r;
                }
                text = stop + 1;
                if (r == 0)
                        continue;
                if (rules->n == RULES_MAX)
                        return fail(error, -E2BIG, line, 1, "expected at most %u rules in all",
                                    RULES_MAX);
                r = add(rules, &draft, line);
                if (r < 0)
                        return r;
                if (draft.ports == RULE_NO_PORTS)
                        *rate = draft.rate;
        }
        return 0;
}

int rules_parse(struct rules *rules, const char *text, size_t size, const char *origin,
                struct rule_error *ret_error) {
        unsigned n = rules->n, n_spans = rules->n_spans, n_origins = rules->n_origins;
        struct rule_rate rate = rules->rate;
        struct rule_error error = {};
        int r;

        if (size > RULES_FILE_SIZE)
                r = fail(&error, -E2BIG, last_line(text, RULES_FILE_SIZE), 1,
                         "expected a file of at most %u bytes", RULES_FILE_SIZE);
        else
                r = add_origin(rules, origin);
        if (r == 0)
                r = add_text(rules, text, size, &rate, &error);
        if (r < 0) {
                cut(rules, n, n_spans, n_origins);
                if (ret_error && error.line > 0)
                        *ret_error = error;
                return r;
        }
        if (rules->n == n)
                cut(rules, n, n_spans, n_origins);
        rules->rate = rate;
        index_spans(rules);
        return 0;
}

unsigned rules_count(const struct rules *rules) {
        return rules->n;
}

const char *rules_text(const struct rules *rules, unsigned n) {
        return n > 0 && n <= rules->n ? rules->all[n - 1].text : NULL;
}

const char *rules_origin(const struct rules *rules, unsigned n, unsigned *ret_line) {
        if (n == 0 || n > rules->n)
                return NULL;
        if (ret_line)
                *ret_line = rules->all[n - 1].line;
        return rules->all[n - 1].origin;
}

struct rule_rate rules_refused_rate(const struct rules *rules) {
        return rules->rate;
}

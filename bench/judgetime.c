/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Times how long it takes to judge a listener by many rules: single calls of rules_match(), in turn
 * on listeners that some rule expects and on others, on the same ports, that none does. Prints the
 * quantiles as one JSON object.
 */

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "lib/rules.h"
#include "tests/helpers/helper.h"

#define ROUNDS_MAX 10000000
#define LISTENERS  4096U /* different ones, of each of both */
#define SERVICES   1000U

static unsigned arg_rounds = 200000;
static unsigned arg_rules = 10000;

static _Noreturn void usage(void) {
        fputs("judgetime [--rounds=N] [--rules=N]\n", stderr);
        exit(HELPER_USAGE);
}

/* The same numbers each time (xorshift). */
static unsigned below(unsigned n) {
        static uint64_t state = 0x9E3779B97F4A7C15U;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (unsigned) (state >> 33) % n;
}

struct listener {
        struct record record;
        struct owner owner;
};

/*
 * Writes a rule: of a hundred one is for any port, three for the ephemeral ones, twenty for a
 * range, sixteen for three ports, the others for one. Gives the listener that it expects.
 */
static void put_rule(FILE *f, struct listener *ret) {
        unsigned port = 1 + below(30000), dice = below(100), n = below(SERVICES);

        *ret = (struct listener){
                .record = { .kind = RECORD_LISTEN, .transport = TRANSPORT_TCP },
                .owner = { .pid = 1, .uid = 1000 + n },
        };
        ret->record.family = FAMILY_IPV4;
        if (dice < 4)
                port = 50000 + below(10000);
        ret->record.local_port = (uint16_t) port;
        snprintf(ret->owner.name, sizeof(ret->owner.name), "service%u", n);
        snprintf(ret->owner.executable, sizeof(ret->owner.executable), "/usr/sbin/service%u", n);
        snprintf(ret->owner.unit, sizeof(ret->owner.unit), "service-%u.service", n);

        if (dice < 1)
                fputs("tcp/any", f);
        else if (dice < 4)
                fputs("tcp/ephemeral", f);
        else if (dice < 24)
                fprintf(f, "any/%u-%u", port, port + below(200));
        else if (dice < 40)
                fprintf(f, "tcp/%u,%u,%u", port, 1 + below(30000), 1 + below(30000));
        else
                fprintf(f, "tcp/%u", port);
        switch (below(5)) {
        case 0:
                fprintf(f, " unit=%s exposure=any\n", ret->owner.unit);
                break;
        case 1:
                fprintf(f, " executable=%s\n", ret->owner.executable);
                break;
        case 2:
                fprintf(f, " unit=service-%u.* address=0.0.0.0\n", n);
                break;
        case 3:
                fprintf(f, " name=%s from=10.0.0.0/8,fd00::/8\n", ret->owner.name);
                break;
        default:
                fprintf(f, " user=%u executable=/usr/*\n", ret->owner.uid);
        }
}

/* Makes the rules, and listeners of which the even ones are expected. */
static struct rules *make(struct listener *listeners) {
        struct listener *all = calloc(arg_rules, sizeof(*all));
        struct rule_error error = {};
        struct rules *rules;
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        int r;

        if (!all || !f)
                helper_die("memory");
        for (unsigned i = 0; i < arg_rules; i++)
                put_rule(f, &all[i]);
        fclose(f);
        for (unsigned i = 0; i < 2 * LISTENERS; i += 2) {
                listeners[i] = listeners[i + 1] = all[below(arg_rules)];
                memcpy(listeners[i + 1].owner.unit, "serviced", 8);
                memcpy(listeners[i + 1].owner.name, "serviced", 8);
                memcpy(listeners[i + 1].owner.executable, "/usr/sbin/serviced", 18);
                listeners[i + 1].owner.uid = 0;
        }
        r = rules_new(&rules);
        if (r == 0)
                r = rules_parse(rules, text, size, "bench", &error);
        errno = -r;
        if (r < 0)
                helper_die("line %u, column %u: %s", error.line, error.column, error.message);
        free(text);
        free(all);
        return rules;
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

static void print(const char *what, uint64_t *ns) {
        qsort(ns, arg_rounds, sizeof(*ns), compare);
        printf(",\"%s_p50_ns\":%llu,\"%s_p99_ns\":%llu", what,
               (unsigned long long) ns[arg_rounds / 2], what,
               (unsigned long long) ns[(size_t) arg_rounds * 99 / 100]);
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "rounds", required_argument, NULL, 'r' },
                { "rules", required_argument, NULL, 'n' },
                {},
        };
        static struct listener listeners[2 * LISTENERS];
        struct rules *rules;
        uint64_t *ns[2];
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'r':
                        arg_rounds = (unsigned) helper_number("--rounds", optarg, 1, ROUNDS_MAX);
                        break;
                case 'n':
                        arg_rules = (unsigned) helper_number("--rules", optarg, 1, RULES_MAX);
                        break;
                default:
                        usage();
                }
        if (optind != argc)
                usage();
        ns[0] = calloc(arg_rounds, sizeof(*ns[0]));
        ns[1] = calloc(arg_rounds, sizeof(*ns[1]));
        if (!ns[0] || !ns[1])
                helper_die("calloc");
        rules = make(listeners);

        for (unsigned i = 0; i < 2 * arg_rounds; i++) {
                const struct listener *l = &listeners[i % (2 * LISTENERS)];
                struct rule_subject subject = { .record = &l->record, .owner = &l->owner };
                uint64_t begin = helper_now_ns();
                unsigned rule = rules_match(rules, &subject);

                ns[i % 2][i / 2] = helper_now_ns() - begin;
                errno = 0;
                if ((rule > 0) != (i % 2 == 0))
                        helper_die("listener %u was judged wrongly: rule %u", i, rule);
        }
        printf("{\"rules\":%u,\"rounds\":%u", rules_count(rules), arg_rounds);
        print("expected", ns[0]);
        print("unexpected", ns[1]);
        puts("}");
        free(ns[0]);
        free(ns[1]);
        rules_free(rules);
        return EXIT_SUCCESS;
}

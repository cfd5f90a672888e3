/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/out.h"
#include "cli/remote.h"
#include "cli/verbs.h"

/* portctl: asks portwatchd and prints the answer. */

static const struct verb {
        const char *name;
        const char *operands; /* as the help shows them */
        int min, max;         /* how many of them; below 0: any number */
        enum verb_bit bit;
        int (*run)(const struct args *args);
        const char *help;
} verbs[] = {
        { "listeners", "", 0, 0, VERB_LISTENERS, verb_listeners,
          "who listens now; this is also what portctl alone shows" },
        { "connections", "", 0, 0, VERB_CONNECTIONS, verb_connections, "connections open now" },
        { "inbound", "", 0, 0, VERB_INBOUND, verb_inbound,
          "connections accepted here, open and ended, each once" },
        { "outbound", "", 0, 0, VERB_OUTBOUND, verb_outbound,
          "connections started here, open and ended, each once" },
        { "refused", "", 0, 0, VERB_REFUSED, verb_refused,
          "attempts of others on ports where nobody listens" },
        { "history", "", 0, 0, VERB_HISTORY, verb_history, "events of the past" },
        { "follow", "", 0, 0, VERB_FOLLOW, verb_follow, "events as they happen" },
        { "counts", "", 0, 0, VERB_COUNTS, verb_counts, "totals, see --by" },
        { "port", "PORT...", 1, -1, VERB_PORT, verb_port, "what a port is, and who listens there" },
        { "status", "", 0, 0, VERB_STATUS, verb_status,
          "how the record is being made, and what it lacks" },
        { "check", "", 0, 0, VERB_CHECK, verb_check, "does a rule expect all that listens" },
        { "expect", "RULE", 0, -1, VERB_EXPECT, verb_expect,
          "add a rule to expect a listener by; see --current, --remove, --list, --check" },
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int help(void) {
        out_setup(true);
        out_text("portctl [OPTION...] [VERB]\n\n"
                 "Show who listens on this host's ports and who connected, now and in the recorded "
                 "past.\n\nVerbs:\n");
        for (size_t i = 0; i < N_VERBS; i++) {
                char left[32];

                (void) snprintf(left, sizeof(left), "%s %s", verbs[i].name, verbs[i].operands);
                out_format("  %-14s %s\n", left, verbs[i].help);
        }
        out_text("\nOptions:\n");
        args_help();
        out_text("\n"
                 "inbound and outbound put their connections in order and keep them in memory "
                 "until then, "
                 "about\n150 bytes each, with --json 600; at 8 million or 2 GiB they give up: "
                 "narrow "
                 "them down with\n--since or --port, or use history, which keeps nothing.\n"
                 "In a pipe, blanks within a name are written \\x20 and times as in ISO 8601.\n\n"
                 "Exit status: 0 fine, 1 a finding or a failure, 2 usage, 3 portwatchd cannot be "
                 "reached,\n4 not permitted or unknown to it. Of check: 0 all are expected, 1 some "
                 "are "
                 "not, 4 there are\nno rules.\n");
        return STATUS_FINE;
}

static const struct verb *find_verb(const char *name) {
        for (size_t i = 0; i < N_VERBS; i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

/* Whoever monitors would take 2 for a finding. */
static int usage(bool monitoring) {
        (void) fprintf(stderr, "Try: portctl --help\n");
        return monitoring ? STATUS_UNREACHABLE : STATUS_USAGE;
}

static int run(int argc, char **argv) {
        const struct verb *verb = &verbs[0];
        static struct args args;
        int n;

        if (args_parse(&args, argc, argv) < 0)
                return usage(args.monitoring);
        if (args.help)
                return help();
        if (args.version) {
                out_text("portctl " PACKAGE_VERSION "\n");
                return STATUS_FINE;
        }
        if (args.n_operands > 0) {
                verb = find_verb(args.operands[0]);
                if (!verb) {
                        (void) fprintf(stderr, "portctl: %.64s is no verb\n", args.operands[0]);
                        return usage(args.monitoring);
                }
        }
        n = args.n_operands > 0 ? args.n_operands - 1 : 0;
        if (n < verb->min || (verb->max >= 0 && n > verb->max)) {
                (void) fprintf(stderr, "portctl: %s takes %s\n", verb->name,
                               verb->max == 0 ? "no operands" : verb->operands);
                return usage(args.monitoring && verb->bit == VERB_CHECK);
        }
        if (args_check(&args, verb->bit, verb->name) < 0)
                return usage(args.monitoring && verb->bit == VERB_CHECK);
        if (args.host)
                return remote_run(&args, argc, argv);
        return verb->run(&args);
}

int main(int argc, char **argv) {
        char name[] = "portctl";
        int status, r;

        /* What getopt_long() puts in front of its own messages. */
        if (argc > 0)
                argv[0] = name;
        status = run(argc, argv);
        r = out_finish();
        if (r < 0) {
                (void) fprintf(stderr, "portctl: cannot write: %s\n", strerror(-r));
                return status ? status : STATUS_FAILURE;
        }
        return status;
}

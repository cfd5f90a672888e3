/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cells.h"
#include "cli/out.h"
#include "cli/reload.h"
#include "cli/ruleedit.h"
#include "cli/rulefiles.h"
#include "cli/suggest.h"
#include "cli/verbs.h"
#include "lib/ports.h"

/*
 * Adds rules to portctl's own file and takes them out, with the caller's own rights, and has
 * portwatchd read them. Rules are the same if their canonical texts are.
 */

#define COMMAND_LINE "command line"

/* The rules that the words of the command line say, joined by blanks: one. An exit status. */
static int read_words(const struct args *args, struct rules **ret) {
        struct rule_error error = { .line = 0 };
        struct rules *rules;
        struct buf b = { 0 };
        int r;

        for (int i = 1; i < args->n_operands; i++) {
                buf_text(&b, i > 1 ? " " : "");
                buf_text(&b, args->operands[i]);
        }
        buf_char(&b, '\0');
        r = b.failed ? -ENOMEM : rules_new(&rules);
        if (r < 0) {
                buf_done(&b);
                return ask_failed(r);
        }
        r = rules_parse(rules, b.data, b.size - 1, COMMAND_LINE, &error);
        if (r >= 0 && rules_count(rules) == 1 && !strchr(b.data, '\n')) {
                buf_done(&b);
                *ret = rules;
                return STATUS_FINE;
        }
        if (r == -EINVAL)
                (void) fprintf(stderr, "portctl: %s: at %u: %s\n", b.data, error.column,
                               error.message);
        else
                (void) fprintf(
                        stderr,
                        "portctl: one rule was expected, as in: tcp/8080 unit=foo.service\n");
        buf_done(&b);
        rules_free(rules);
        return STATUS_USAGE;
}

/* The number of the rule with that text, looked for behind number after; 0: there is none. */
static unsigned find_rule(const struct rules *rules, const char *text, unsigned after) {
        for (unsigned i = after + 1; i <= rules_count(rules); i++)
                if (strcmp(rules_text(rules, i), text) == 0)
                        return i;
        return 0;
}

/* Adds the rules that are not there yet, and says of those that are where. How many were added. */
static unsigned add_new(struct ruleedit *edit, const struct rules *there, const struct rules *new,
                        bool dry_run) {
        unsigned added = 0;

        for (unsigned i = 1; i <= rules_count(new); i++) {
                const char *text = rules_text(new, i);
                unsigned line, known = find_rule(there, text, 0);

                if (known > 0) {
                        const char *origin = rules_origin(there, known, &line);

                        (void) fprintf(stderr, "portctl: %s is there already, in %s:%u.\n", text,
                                       origin, line);
                        continue;
                }
                added++;
                ruleedit_append(edit, text);
                out_format("%s%s\n", dry_run ? "" : "added: ", text);
        }
        return added;
}

/* Writes what is new among the rules, and has it read. */
static int add(const struct args *args, const struct rules *new) {
        struct rules *there = NULL;
        struct ruleedit edit;
        unsigned added = 0;
        int status;

        status = ruleedit_begin(&edit, args->config, args->dry_run);
        if (status != STATUS_FINE)
                return status;
        status = rulefiles_load(&there, args->config);
        if (status == STATUS_FINE)
                added = add_new(&edit, there, new, args->dry_run);
        if (added > 0 && !args->dry_run) {
                status = ruleedit_commit(&edit);
                if (status == STATUS_FINE)
                        status = reload_rules(args);
        }
        ruleedit_cancel(&edit);
        rules_free(there);
        return status;
}

static int expect_words(const struct args *args) {
        struct rules *rules = NULL;
        int status;

        status = read_words(args, &rules);
        if (status == STATUS_FINE)
                status = add(args, rules);
        rules_free(rules);
        return status;
}

struct suggestions {
        struct rules *rules;
        uint16_t ephemeral_first, ephemeral_last;
        unsigned without; /* listeners that no rule can be made for */
};

static int take_listener(const struct row *row, void *userdata) {
        struct suggestions *s = userdata;
        char text[RULE_TEXT_SIZE];
        struct rule_error error;
        int r;

        if (row->socket.expected == TRUTH_TRUE)
                return 0;
        r = suggest_rule(&row->socket, s->ephemeral_first, s->ephemeral_last, text);
        if (r < 0) {
                s->without++;
                return 0;
        }
        if (find_rule(s->rules, text, 0) > 0)
                return 0;
        return rules_parse(s->rules, text, strlen(text), COMMAND_LINE, &error);
}

/* Rules for all that listens and is not expected. An exit status. */
static int ask_suggestions(const struct args *args, struct suggestions *s) {
        struct reply_reader status_reader = { .shape = REPLY_STATUS };
        struct reply_reader reader = { .shape = REPLY_LISTENERS,
                                       .row = take_listener,
                                       .userdata = s };
        struct client *client = NULL;
        struct ask ask = { 0 };
        struct reply reply;
        int status;

        status = ask_connect(&client, args);
        if (status == STATUS_FINE)
                status = ask_all(client, args, "Status", &ask, &status_reader, &reply);
        if (status == STATUS_FINE && string_is(&reply.status.view, "limited"))
                (void) fprintf(stderr, "portctl: not all owners are shown to you: run this as "
                                       "root for rules that name them.\n");
        if (status == STATUS_FINE)
                status = ask_all(client, args, "Listeners", &ask, &reader, &reply);
        client_close(client);
        return status;
}

static int expect_current(const struct args *args) {
        struct suggestions s = { .ephemeral_first = PORTS_EPHEMERAL_FIRST,
                                 .ephemeral_last = PORTS_EPHEMERAL_LAST };
        int status, r;

        r = rules_new(&s.rules);
        if (r < 0)
                return ask_failed(r);
        (void) ports_ephemeral_range(&s.ephemeral_first, &s.ephemeral_last);
        status = ask_suggestions(args, &s);
        if (status == STATUS_FINE && s.without > 0)
                (void) fprintf(stderr, "portctl: for %u listeners no rule could be made.\n",
                               s.without);
        if (status == STATUS_FINE)
                status = add(args, s.rules);
        rules_free(s.rules);
        return status;
}

/* Takes the rule out of portctl's own file; says where else it stands. An exit status. */
static int remove_rule(struct ruleedit *edit, const struct rules *there, const char *text,
                       bool dry_run) {
        unsigned lines[64], n = 0, line, elsewhere = 0;

        for (unsigned i = 0; (i = find_rule(there, text, i)) > 0;) {
                if (strcmp(rules_origin(there, i, &line), edit->path) != 0)
                        elsewhere = i;
                else if (n < sizeof(lines) / sizeof(lines[0]))
                        lines[n++] = line;
        }
        if (elsewhere > 0) {
                const char *origin = rules_origin(there, elsewhere, &line);

                (void) fprintf(stderr,
                               "portctl: %s is in %s:%u, which is not portctl's to change.\n", text,
                               origin, line);
                return STATUS_FAILURE;
        }
        if (n == 0) {
                (void) fprintf(stderr, "portctl: %s is no rule of %s.\n", text, edit->path);
                return STATUS_FAILURE;
        }
        /* From the end, so that the numbers of the others stay. */
        for (unsigned i = n; i > 0; i--)
                ruleedit_remove(edit, lines[i - 1]);
        out_format("%s%s\n", dry_run ? "" : "removed: ", text);
        return STATUS_FINE;
}

static int expect_remove(const struct args *args) {
        struct rules *rule = NULL, *there = NULL;
        struct ruleedit edit;
        int status;

        status = read_words(args, &rule);
        if (status != STATUS_FINE)
                return status;
        status = ruleedit_begin(&edit, args->config, args->dry_run);
        if (status == STATUS_FINE) {
                status = rulefiles_load(&there, args->config);
                if (status == STATUS_FINE)
                        status = remove_rule(&edit, there, rules_text(rule, 1), args->dry_run);
                if (status == STATUS_FINE && !args->dry_run) {
                        status = ruleedit_commit(&edit);
                        if (status == STATUS_FINE)
                                status = reload_rules(args);
                }
                ruleedit_cancel(&edit);
        }
        rules_free(there);
        rules_free(rule);
        return status;
}

static int expect_list(const struct args *args) {
        struct rules *rules = NULL;
        int status;

        status = rulefiles_load(&rules, args->config);
        if (status != STATUS_FINE)
                return status;
        for (unsigned i = 1; i <= rules_count(rules); i++) {
                unsigned line;
                const char *origin = rules_origin(rules, i, &line);

                out_format("%s:%u: %s\n", origin, line, rules_text(rules, i));
        }
        rules_free(rules);
        return STATUS_FINE;
}

static int expect_check(const struct args *args) {
        int worst = STATUS_FINE;

        for (int i = 1; i < args->n_operands; i++) {
                int status = rulefiles_check(args->operands[i]);

                if (status > worst)
                        worst = status;
        }
        return worst;
}

int verb_expect(const struct args *args) {
        const struct {
                bool wanted;
                bool operands;
                bool dry; /* can be tried */
                int (*run)(const struct args *args);
        } modes[] = {
                { args->current, false, true, expect_current },
                { args->remove, true, true, expect_remove },
                { args->list, false, false, expect_list },
                { args->check, true, false, expect_check },
                { !(args->current || args->remove || args->list || args->check), true, true,
                  expect_words },
        };
        size_t mode = 0, wanted = 0;

        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
                if (modes[i].wanted) {
                        mode = i;
                        wanted++;
                }
        if (wanted != 1 || modes[mode].operands != (args->n_operands > 1) ||
            (args->dry_run && !modes[mode].dry)) {
                (void) fprintf(stderr,
                               "portctl: expect takes one of: a rule, --current, --remove and a "
                               "rule, --list, --check and files\n");
                return STATUS_USAGE;
        }
        return modes[mode].run(args);
}

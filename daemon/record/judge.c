/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/policy.h"
#include "judge.h"
#include "lib/ports.h"

/* In the file. One who opens listeners for fun must not fill the disk with rules for them. */
#define LEARNED_MAX 1024U

/* Of the file of learnt rules: what is behind it is when learning began, time of day, usec. */
#define BEGAN "# Learning began at "

struct judge {
        const struct config *config;
        struct live *live;
        const char *dir;
        const char *learned;
        struct rules *rules;
        unsigned n_listeners; /* rules of what may listen */
        unsigned n_learned;   /* of them */
        uint64_t learning_until_usec;
        uint16_t ephemeral_first;
        uint16_t ephemeral_last;
        struct rule_rate rate;
        bool has_from; /* a rule says from where a port may be reached */
};

int judge_new(struct judge **ret, const struct config *config, struct live *live, const char *dir,
              const char *learned) {
        struct judge *j = calloc(1, sizeof(*j));

        if (!j)
                return -ENOMEM;
        j->config = config;
        j->live = live;
        j->dir = dir;
        j->learned = learned;
        j->ephemeral_first = PORTS_EPHEMERAL_FIRST;
        j->ephemeral_last = PORTS_EPHEMERAL_LAST;
        (void) ports_ephemeral_range(&j->ephemeral_first, &j->ephemeral_last);
        *ret = j;
        return 0;
}

struct judge *judge_free(struct judge *j) {
        if (!j)
                return NULL;
        rules_free(j->rules);
        free(j);
        return NULL;
}

/* ---- Learning ---- */

/* When learning began: as the file says, or now, which it then says. 0 if it cannot be written. */
static uint64_t learning_began(struct judge *j, uint64_t now_usec) {
        uint64_t began = 0;
        char line[128];
        FILE *f;

        f = fopen(j->learned, "re");
        if (f) {
                while (began == 0 && fgets(line, sizeof(line), f))
                        if (strncmp(line, BEGAN, strlen(BEGAN)) == 0)
                                began = strtoull(line + strlen(BEGAN), NULL, 10);
                fclose(f);
        }
        if (began != 0)
                return began;
        f = fopen(j->learned, "ae");
        if (!f) {
                log_warning("%s cannot be written, nothing is learnt: %m", j->learned);
                return 0;
        }
        fprintf(f,
                "# What listened while portwatchd was learning, see portwatch.rules(5). Edit it as "
                "you like.\n" BEGAN "%" PRIu64 "\n",
                now_usec);
        if (fclose(f) != 0) {
                log_warning("%s cannot be written, nothing is learnt: %m", j->learned);
                return 0;
        }
        return now_usec;
}

static void set_learning(struct judge *j, uint64_t now_usec) {
        uint64_t began;

        j->learning_until_usec = 0;
        if (j->config->learn_usec > 0) {
                began = learning_began(j, now_usec);
                if (began > 0)
                        j->learning_until_usec = began + j->config->learn_usec;
        }
        atomic_store(&j->live->header->learning_until_usec, j->learning_until_usec);
}

/* All of the line or none of it: half a rule would be a mistake at the next start. */
static void write_learned(const struct judge *j, const char *line, size_t size) {
        int fd = open(j->learned, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
        off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;

        if (end < 0 || write(fd, line, size) != (ssize_t) size) {
                log_warning("What was learnt could not be written to %s: %m", j->learned);
                if (end >= 0)
                        (void) !ftruncate(fd, end);
        }
        if (fd >= 0)
                close(fd);
}

/* Puts a rule into the file and among those in force. False: it stays unexpected. */
static bool learn(struct judge *j, const struct rule_subject *subject) {
        struct rule_error error;
        char text[RULE_TEXT_SIZE + 1];
        size_t n;

        if (j->n_learned >= LEARNED_MAX ||
            rule_suggest(subject, j->ephemeral_first, j->ephemeral_last, text) < 0)
                return false;
        n = strlen(text);
        if (rules_parse(j->rules, text, n, j->learned, &error) < 0)
                return false;
        j->n_learned++;
        j->n_listeners++;
        (void) live_write_rule(j->live, rules_count(j->rules), text);
        atomic_store(&j->live->header->rules, rules_count(j->rules));
        atomic_store(&j->live->header->judging, true);
        text[n] = '\n';
        write_learned(j, text, n + 1);
        return true;
}

/* ---- Rules ---- */

/* Readers see the new texts for the old numbers until the listeners are judged anew: a moment. */
static void publish(struct judge *j) {
        struct live_header *h = j->live->header;
        unsigned n = rules_count(j->rules);

        for (unsigned i = 1; i <= n; i++)
                if (live_write_rule(j->live, i, rules_text(j->rules, i)) < 0)
                        break;
        atomic_store(&h->rules, n);
}

/*
 * Does anything but learning say which listeners are expected? Rules of how often somebody may be
 * refused do not; to trust socket units does, without any rule.
 */
static bool judges(const struct judge *j) {
        return j->n_listeners > 0 || (j->rules && j->config->trust_socket_units);
}

/* Counts what the rules are about. */
static void survey(struct judge *j) {
        static const char refused[] = "refused ";
        unsigned line;

        j->n_listeners = j->n_learned = 0;
        j->has_from = false;
        for (unsigned i = 1; i <= rules_count(j->rules); i++) {
                const char *text = rules_text(j->rules, i);

                j->n_listeners += strncmp(text, refused, strlen(refused)) != 0;
                j->n_learned += strcmp(rules_origin(j->rules, i, &line), j->learned) == 0;
                j->has_from = j->has_from || strstr(text, " from=");
        }
        j->rate = rules_refused_rate(j->rules);
}

int judge_reload(struct judge *j, uint64_t now_usec, char **ret_error) {
        struct live_header *h = j->live->header;
        struct rules *rules;
        int r;

        /* Before the rules: the file of learnt ones may be made by this. */
        set_learning(j, now_usec);
        r = policy_load(&rules, j->dir, j->config->learn_usec > 0 ? j->learned : NULL, ret_error);
        snprintf(h->rules_error, sizeof(h->rules_error), "%s",
                 r == 0       ? ""
                 : *ret_error ? *ret_error
                              : strerror(r < 0 ? -r : ENOMEM));
        if (r >= 0) {
                rules_free(j->rules);
                j->rules = rules;
                survey(j);
                publish(j);
        } else if (!j->rules) {
                /* What is learnt is added to them. */
                j->learning_until_usec = 0;
                atomic_store(&h->learning_until_usec, 0);
        }
        /* The configuration may be another one even if the rules stay. */
        atomic_store(&h->judging, judges(j));
        return r;
}

/* Opened by our systemd, not by a guest's. */
static bool is_trusted(const struct owner *o) {
        return o && !o->container[0] && owner_is_socket_unit(o);
}

void judge_listener(struct judge *j, struct record *r, const struct owner *owner,
                    const struct owner *holder, uint64_t now_usec) {
        const struct rule_subject subject = { .record = r, .owner = owner, .holder = holder };
        bool learning = j->rules && now_usec < j->learning_until_usec;

        r->flags &= (uint8_t) ~(RECORD_JUDGED | RECORD_EXPECTED);
        r->rule = 0;
        if (!judges(j) && !learning)
                return;
        r->flags |= RECORD_JUDGED;
        r->rule = rules_match(j->rules, &subject);
        if (r->rule == 0 && j->config->trust_socket_units && is_trusted(owner)) {
                r->flags |= RECORD_EXPECTED;
                return;
        }
        /* Whoever is not known yet is told a moment later: a rule for nobody would be for all. */
        if (r->rule == 0 && learning && owner && owner->pid != 0 && learn(j, &subject))
                r->rule = rules_match(j->rules, &subject);
        if (r->rule != 0)
                r->flags |= RECORD_EXPECTED;
}

void judge_connection(const struct judge *j, struct record *r, const struct owner *owner,
                      const struct owner *holder) {
        const struct rule_subject subject = { .record = r, .owner = owner, .holder = holder };
        int k;

        r->flags &= (uint8_t) ~(RECORD_JUDGED | RECORD_EXPECTED);
        r->rule = 0;
        if (!j->has_from)
                return;
        k = rules_match_inbound(j->rules, &subject);
        if (k == 0)
                return;
        r->flags |= RECORD_JUDGED;
        if (k > 0) {
                r->flags |= RECORD_EXPECTED;
                r->rule = (uint32_t) k;
        }
}

const char *judge_rule(const struct judge *j, uint32_t number) {
        return j->rules && number > 0 && number <= rules_count(j->rules)
                       ? rules_text(j->rules, number)
                       : NULL;
}

struct rule_rate judge_refused_rate(const struct judge *j) {
        return j->rate;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "rules_reader.h"

#define RATE_ATTEMPTS_MAX 1000000000U
#define RATE_WINDOW_MAX   86400U /* seconds: a day */
#define USEC_PER_SEC      1000000U

static const char *transport_word(unsigned i) {
        return transport_name(i + 1);
}

/* What holds for comments, too. */
static int check_line(struct reader *r) {
        uint32_t code;
        size_t n;

        if (r->size > RULE_LINE_MAX)
                return reader_fail(r, RULE_LINE_MAX, "expected a line of at most %u bytes",
                                   RULE_LINE_MAX);
        for (size_t at = 0; at < r->size; at += n) {
                n = rule_character(r->line + at, r->size - at, &code);
                if (n == 0)
                        return reader_fail(r, at,
                                           (uint8_t) r->line[at] < 0x80
                                                   ? "expected no control character but tabs"
                                                   : "expected UTF-8 without control characters");
        }
        return 0;
}

/* ---- Transport and ports ---- */

static int read_transport(struct reader *r) {
        size_t size = reader_span(r, "/ \t");
        char word[16] = "";
        int transport;

        if (size < sizeof(word))
                memcpy(word, r->line + r->at, size);
        transport = strcmp(word, "any") == 0 ? 0 : transport_parse(word);
        if (transport < 0) {
                char words[96];

                reader_list(words, sizeof(words), transport_word, TRANSPORT_MAX - 1, "any");
                return reader_fail(r, r->at,
                                   "expected %s, then a slash and ports; or the word refused",
                                   words);
        }
        r->draft->transport = (unsigned) transport;
        r->at += size;
        if (reader_at_end(r))
                return reader_fail(r, r->at, "expected a slash and ports");
        r->at++;
        return 0;
}

static int read_port(struct reader *r, uint64_t min, uint16_t *ret) {
        uint64_t port = 0;
        size_t n = reader_number(r->line + r->at, r->size - r->at, UINT16_MAX, &port);

        if (n == 0 || port < min)
                return reader_fail(r, r->at, "expected a port from %u to %u", (unsigned) min,
                                   UINT16_MAX);
        r->at += n;
        *ret = (uint16_t) port;
        return 0;
}

/* Adds a range to those that are there, sorted, and makes one of what overlaps. */
static void add_range(struct rule_draft *d, struct rule_range range) {
        unsigned at = 0, end;

        while (at < d->n_ranges && d->ranges[at].last < range.first)
                at++;
        for (end = at; end < d->n_ranges && d->ranges[end].first <= range.last; end++) {
                if (d->ranges[end].first < range.first)
                        range.first = d->ranges[end].first;
                if (d->ranges[end].last > range.last)
                        range.last = d->ranges[end].last;
        }
        memmove(&d->ranges[at + 1], &d->ranges[end], (d->n_ranges - end) * sizeof(d->ranges[0]));
        d->n_ranges = d->n_ranges - (end - at) + 1;
        d->ranges[at] = range;
}

static int read_ports(struct reader *r) {
        static const struct {
                const char *word;
                enum rule_ports ports;
        } words[] = { { "any", RULE_PORTS_ANY }, { "ephemeral", RULE_PORTS_EPHEMERAL } };
        size_t size = reader_span(r, ", \t");
        int k;

        for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (!reader_word_is(r, size, words[i].word))
                        continue;
                if (words[i].ports == RULE_PORTS_EPHEMERAL && !rule_has_ports(r->draft->transport))
                        return reader_fail(r, r->at, "expected numbers of protocols, or any");
                r->draft->ports = words[i].ports;
                r->at += size;
                return reader_at_end(r) ? 0
                                        : reader_fail(r, r->at, "expected a blank: %s stands alone",
                                                      words[i].word);
        }
        if (size == 0 || r->line[r->at] < '0' || r->line[r->at] > '9')
                return reader_fail(r, r->at, "expected a port, a range of ports, any or ephemeral");
        for (unsigned n = 0;; n++) {
                struct rule_range range = {};

                if (n == RULE_LIST_MAX)
                        return reader_fail(r, r->at, "expected at most %u ports and ranges",
                                           RULE_LIST_MAX);
                k = read_port(r, 1, &range.first);
                if (k < 0)
                        return k;
                range.last = range.first;
                if (!reader_at_end(r) && r->line[r->at] == '-') {
                        r->at++;
                        k = read_port(r, range.first, &range.last);
                        if (k < 0)
                                return k;
                }
                add_range(r->draft, range);
                if (reader_at_end(r))
                        return 0;
                if (r->line[r->at] != ',')
                        return reader_fail(r, r->at,
                                           "expected a comma, or a blank behind the ports");
                r->at++;
        }
}

/* ---- Rates ---- */

/* "rate=N/TIME", behind "refused". */
static int read_rate(struct reader *r) {
        static const struct {
                const char *word;
                unsigned seconds;
        } units[] = { { "", 1 }, { "s", 1 }, { "min", 60 }, { "h", 3600 } };
        uint64_t attempts = 0, time = 0, seconds = 0;
        struct value v;
        size_t n, begin;
        int k;

        if (!reader_next_word(r) || !reader_word_is(r, reader_span(r, "=\" \t"), "rate"))
                return reader_fail(r, r->at, "expected rate= and attempts, a slash and a time");
        r->at += strlen("rate");
        if (reader_at_end(r) || r->line[r->at] != '=')
                return reader_fail(r, r->at, "expected = and a value behind rate");
        r->at++;
        k = reader_value(r, "rate", &v);
        if (k < 0)
                return k;
        n = reader_number(v.text, v.size, RATE_ATTEMPTS_MAX, &attempts);
        if (n == 0 || attempts == 0)
                return reader_fail(r, v.begin, "expected a number of attempts from 1 to %u",
                                   RATE_ATTEMPTS_MAX);
        if (v.text[n] != '/')
                return reader_fail(r, reader_place(r, &v, n),
                                   "expected a slash and a time behind the attempts");
        begin = ++n;
        n += reader_number(v.text + n, v.size - n, RATE_WINDOW_MAX, &time);
        for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]) && n > begin; i++)
                if (strcmp(v.text + n, units[i].word) == 0)
                        seconds = time * units[i].seconds;
        if (seconds == 0 || seconds > RATE_WINDOW_MAX)
                return reader_fail(r, reader_place(r, &v, begin),
                                   "expected a time from 1s to 24h: a number, then s, min or h");
        r->draft->rate = (struct rule_rate){ attempts, seconds * USEC_PER_SEC };
        r->draft->ports = RULE_NO_PORTS;
        if (reader_next_word(r))
                return reader_fail(r, r->at, "expected nothing behind the rate");
        return 0;
}

int rule_read(const char *line, size_t size, struct rule_draft *ret, struct rule_error *ret_error) {
        struct reader r = { .line = line, .size = size, .draft = ret, .error = ret_error };
        size_t begin;
        int k;

        *ret = (struct rule_draft){ .ports = RULE_PORTS_LIST };
        k = check_line(&r);
        if (k < 0)
                return k;
        if (!reader_next_word(&r))
                return 0;
        begin = r.at;
        if (reader_word_is(&r, reader_span(&r, " \t"), "refused")) {
                r.at += strlen("refused");
                k = read_rate(&r);
        } else {
                k = read_transport(&r);
                if (k == 0)
                        k = read_ports(&r);
                while (k == 0 && reader_next_word(&r))
                        k = reader_key(&r);
        }
        if (k == 0 && rule_write(ret, ret->text) < 0)
                k = reader_fail(&r, begin, RULE_TOO_LONG, RULE_TEXT_SIZE - 1);
        return k < 0 ? k : 1;
}

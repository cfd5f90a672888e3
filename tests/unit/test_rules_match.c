/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rulings.h"

#include "lib/ports.h"

/* Which rule expects which listener, and allows which connection. */

static struct record inbound(const char *address, unsigned port, const char *remote) {
        struct record r = ruling_listener(TRANSPORT_TCP, address, port);
        uint8_t family;

        r.kind = RECORD_OPEN;
        r.direction = DIRECTION_INBOUND;
        ruling_address(remote, &family, r.remote);
        assert_int_equal(family, r.family);
        r.remote_port = 40000;
        return r;
}

static unsigned match(const char *text, const struct record *r, const struct owner *owner,
                      const struct owner *holder) {
        const struct rule_subject subject = { r, owner, holder };
        struct rules *rules = ruling_rules(text);
        unsigned n = rules_match(rules, &subject);

        rules_free(rules);
        return n;
}

static bool fits(const char *text, const struct record *r, const struct owner *owner) {
        unsigned n = match(text, r, owner, NULL);

        assert_true(n <= 1);
        return n;
}

static void test_transport_and_ports(void **state) {
        uint16_t first = 0, last = 0;
        struct record r;

        (void) state;
        assert_int_equal(ports_ephemeral_range(&first, &last), 0);
        r = ruling_listener(TRANSPORT_TCP, "0.0.0.0", 80);
        assert_true(fits("tcp/80", &r, NULL));
        assert_true(fits("any/80", &r, NULL));
        assert_true(fits("any/any", &r, NULL));
        assert_true(fits("tcp/any", &r, NULL));
        assert_false(fits("udp/80", &r, NULL));
        assert_false(fits("udp/any", &r, NULL));
        assert_false(fits("tcp/81", &r, NULL));
        assert_false(fits("tcp/79", &r, NULL));
        assert_false(fits("tcp/ephemeral", &r, NULL));
        assert_false(fits("refused rate=1/1", &r, NULL));
        assert_false(fits("", &r, NULL));
        for (unsigned port = 78; port <= 92; port++) {
                r = ruling_listener(TRANSPORT_UDP, "::", port);
                assert_int_equal(fits("udp/80-90", &r, NULL), port >= 80 && port <= 90);
                assert_int_equal(fits("udp/80,82,84-86,90", &r, NULL),
                                 port == 80 || port == 82 || (port >= 84 && port <= 86) ||
                                         port == 90);
        }
        r = ruling_listener(TRANSPORT_TCP, "::", 1);
        assert_true(fits("tcp/1", &r, NULL));
        assert_true(fits("tcp/1-65535", &r, NULL));
        r = ruling_listener(TRANSPORT_TCP, "::", 65535);
        assert_true(fits("tcp/65535", &r, NULL));
        assert_true(fits("tcp/1-65535", &r, NULL));
        assert_false(fits("tcp/1-65534", &r, NULL));
        for (int step = -1; step <= 1; step++) {
                r = ruling_listener(TRANSPORT_TCP, "::", (unsigned) (first + step));
                assert_int_equal(fits("tcp/ephemeral", &r, NULL), step >= 0);
                r = ruling_listener(TRANSPORT_TCP, "::", (unsigned) (last + step));
                assert_int_equal(fits("tcp/ephemeral", &r, NULL), step <= 0);
        }
}

/* What raw and packet sockets have in the place of ports are numbers of protocols. */
static void test_protocols(void **state) {
        struct record r = ruling_listener(TRANSPORT_RAW, "0.0.0.0", 80);

        (void) state;
        assert_true(fits("raw/80", &r, NULL));
        assert_true(fits("raw/any", &r, NULL));
        assert_true(fits("any/any", &r, NULL));
        assert_false(fits("any/80", &r, NULL));
        assert_false(fits("any/1-65535", &r, NULL));
        assert_false(fits("packet/80", &r, NULL));
        r = ruling_listener(TRANSPORT_PACKET, "0.0.0.0", 0x888E);
        r.family = FAMILY_PACKET;
        assert_true(fits("packet/34958 exposure=any", &r, NULL));
        assert_true(fits("any/any", &r, NULL));
        assert_false(fits("any/ephemeral", &r, NULL));
        assert_false(fits("packet/any address=0.0.0.0", &r, NULL));
        /* Of a protocol that is not known. */
        r.local_port = 0;
        assert_true(fits("packet/any", &r, NULL));
        assert_false(fits("packet/1-65535", &r, NULL));
        r = ruling_listener(TRANSPORT_SCTP, "0.0.0.0", 80);
        assert_true(fits("any/80", &r, NULL));
        r.transport = TRANSPORT_MAX;
        assert_false(fits("tcp/80", &r, NULL));
}

static void test_owner_keys(void **state) {
        static const struct {
                const char *keys;
                bool sshd, boxed, unknown;
        } cases[] = {
                { "", true, true, true },
                { "unit=ssh", true, false, false },
                { "unit=ssh.service", true, false, false },
                { "unit=ssh.socket", false, false, false },
                { "unit=SSH", false, false, false },
                { "unit=s*", true, false, false },
                { "unit=*", true, true, false },
                { "unit=docker-?.scope", false, true, false },
                { "unit=docker-[1-3].scope", false, true, false },
                { "unit=docker-[!1-3].scope", false, false, false },
                { "executable=/usr/sbin/sshd", true, false, false },
                { "executable=/usr/sbin/ssh", false, false, false },
                { "executable=/usr/*", true, false, false },
                { "executable=\"/opt/a b\"", false, true, false },
                { "name=sshd", true, false, false },
                { "name=\"a b\"", false, true, false },
                { "name=\"a\\\\ b*\"", false, true, false },
                { "name=?*", true, true, false },
                { "name=\\sshd", false, false, false },
                { "user=0", true, false, false },
                { "user=1000", false, true, false },
                { "user=4294967294", false, false, false },
                { "container=docker:*", false, true, false },
                { "container=docker:0123456789ab", false, true, false },
                { "container=*", false, true, false },
                { "unit=ssh user=0 name=sshd executable=/usr/sbin/sshd", true, false, false },
                { "unit=ssh user=1000", false, false, false },
                { "unit=ssh name=ssh", false, false, false },
                { "unit=ssh container=*", false, false, false },
        };
        struct record r = ruling_listener(TRANSPORT_TCP, "0.0.0.0", 22);
        char text[256];

        (void) state;
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                snprintf(text, sizeof(text), "tcp/22 %s", cases[i].keys);
                if (fits(text, &r, &ruling_sshd) != cases[i].sshd ||
                    fits(text, &r, &ruling_boxed) != cases[i].boxed ||
                    fits(text, &r, &ruling_unknown) != cases[i].unknown ||
                    fits(text, &r, NULL) != cases[i].unknown)
                        fail_msg("%s", text);
        }
}

static void test_owner_or_holder(void **state) {
        struct record r = ruling_listener(TRANSPORT_TCP, "0.0.0.0", 22);

        (void) state;
        assert_int_equal(match("tcp/22 unit=ssh.socket", &r, &ruling_manager, &ruling_sshd), 1);
        assert_int_equal(match("tcp/22 unit=ssh", &r, &ruling_manager, &ruling_sshd), 1);
        assert_int_equal(match("tcp/22 unit=ssh", &r, NULL, &ruling_sshd), 1);
        assert_int_equal(match("tcp/22 unit=ssh", &r, &ruling_manager, NULL), 0);
        /* All of one of them, not some of each. */
        assert_int_equal(
                match("tcp/22 unit=ssh.socket name=sshd", &r, &ruling_manager, &ruling_sshd), 0);
        assert_int_equal(
                match("tcp/22 unit=ssh.socket name=systemd", &r, &ruling_manager, &ruling_sshd), 1);
        assert_int_equal(match("tcp/22 unit=ssh name=sshd", &r, &ruling_manager, &ruling_sshd), 1);
}

static void test_a_replaced_executable(void **state) {
        struct record r = ruling_listener(TRANSPORT_TCP, "0.0.0.0", 22);
        struct owner o = ruling_sshd;

        (void) state;
        strcpy(o.executable, "/usr/sbin/sshd (deleted)");
        assert_true(fits("tcp/22 executable=/usr/sbin/sshd", &r, &o));
        assert_true(fits("tcp/22 executable=/usr/sbin/ssh?", &r, &o));
        assert_true(fits("tcp/22 executable=\"/usr/sbin/sshd (deleted)\"", &r, &o));
        assert_false(fits("tcp/22 executable=/usr/sbin/ssh", &r, &o));
        strcpy(o.executable, " (deleted)");
        assert_false(fits("tcp/22 executable=/usr/sbin/sshd", &r, &o));
}

static void test_exposure_address_netns(void **state) {
        static const struct {
                const char *address, *keys;
                bool fits;
        } cases[] = {
                { "0.0.0.0", "exposure=any", true },
                { "::", "exposure=any", true },
                { "127.0.0.1", "exposure=any", false },
                { "127.9.9.9", "exposure=loopback", true },
                { "::1", "exposure=loopback", true },
                { "::", "exposure=loopback", false },
                { "10.0.0.1", "exposure=address", true },
                { "fd00::1", "exposure=address", true },
                { "0.0.0.0", "exposure=address", false },
                { "10.0.0.1", "address=10.0.0.1", true },
                { "10.0.0.2", "address=10.0.0.1", false },
                { "10.0.0.1", "address=::ffff:10.0.0.1", true },
                { "10.255.0.1", "address=10.0.0.0/8", true },
                { "11.0.0.1", "address=10.0.0.0/8", false },
                { "10.127.255.255", "address=10.0.0.0/9", true },
                { "10.128.0.0", "address=10.0.0.0/9", false },
                { "10.0.0.1", "address=10.0.0.0/31", true },
                { "10.0.0.2", "address=10.0.0.0/31", false },
                { "10.0.0.1", "address=0.0.0.0/0", true },
                { "10.0.0.1", "address=0.0.0.0", false },
                { "10.0.0.1", "address=::/0", false },
                { "fd00::1", "address=fd00::/8", true },
                { "fe00::1", "address=fd00::/8", false },
                { "fd00:0:0:1::", "address=fd00::/63", true },
                { "fd00:0:0:2::", "address=fd00::/63", false },
                { "fd00::1", "address=::/0", true },
                { "fd00::1", "address=0.0.0.0/0", false },
                /* All addresses are in no network but that of all. */
                { "0.0.0.0", "address=0.0.0.0", true },
                { "0.0.0.0", "address=0.0.0.0/0", true },
                { "0.0.0.0", "address=0.0.0.0/8", false },
                { "0.0.0.0", "address=::", false },
                { "0.0.0.0", "address=10.0.0.0/8", false },
                { "::", "address=::", true },
                { "::", "address=::/0", true },
                { "::", "address=::/64", false },
                { "::", "address=0.0.0.0", false },
                { "::", "address=::1", false },
                { "10.0.0.1", "netns=7", true },
                { "10.0.0.1", "netns=8", false },
                { "10.0.0.1", "netns=7 address=10.0.0.1 exposure=address from=11.0.0.0/8", true },
                { "10.0.0.1", "netns=7 address=10.0.0.1 exposure=any", false },
        };
        char text[256];

        (void) state;
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct record r = ruling_listener(TRANSPORT_TCP, cases[i].address, 80);

                if (strcmp(cases[i].address, "::") == 0)
                        r.flags |= RECORD_DUAL_STACK;
                snprintf(text, sizeof(text), "tcp/80 %s", cases[i].keys);
                if (fits(text, &r, NULL) != cases[i].fits)
                        fail_msg("%s on %s", text, cases[i].address);
        }
}

static void test_the_first_one_counts(void **state) {
        struct record r = ruling_listener(TRANSPORT_TCP, "0.0.0.0", 22);
        const struct rule_subject subject = { .record = &r, .owner = &ruling_sshd };
        struct rules *rules;

        (void) state;
        assert_int_equal(match("tcp/22\ntcp/1-100\nany/any", &r, &ruling_sshd, NULL), 1);
        assert_int_equal(match("any/any\ntcp/22\ntcp/1-100", &r, &ruling_sshd, NULL), 1);
        assert_int_equal(match("udp/22\ntcp/1-100\ntcp/22", &r, &ruling_sshd, NULL), 2);
        assert_int_equal(
                match("tcp/22 name=x\ntcp/22 name=y\ntcp/20-30\ntcp/22", &r, &ruling_sshd, NULL),
                3);
        assert_int_equal(match("refused rate=1/1\n# c\ntcp/22", &r, &ruling_sshd, NULL), 2);
        /* Of all texts, in their order. */
        rules = ruling_rules("tcp/23");
        assert_int_equal(rules_match(rules, &subject), 0);
        assert_int_equal(rules_parse(rules, "tcp/80\ntcp/22", 13, "b", NULL), 0);
        assert_int_equal(rules_parse(rules, "tcp/22", 6, "c", NULL), 0);
        assert_int_equal(rules_match(rules, &subject), 3);
        rules_free(rules);
}

static void test_from(void **state) {
        static const struct {
                const char *local, *remote, *text;
                int result;
        } cases[] = {
                { "10.0.0.1", "10.1.1.1", "tcp/80", 0 },
                { "10.0.0.1", "10.1.1.1", "tcp/80 from=10.0.0.0/8", 1 },
                { "10.0.0.1", "11.1.1.1", "tcp/80 from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/81 from=10.0.0.0/8", 0 },
                { "10.0.0.1", "11.1.1.1", "udp/80 from=10.0.0.0/8", 0 },
                { "10.0.0.1", "11.1.1.1", "any/79-81 from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/80 from=10.0.0.0/8,11.1.1.1", 1 },
                { "10.0.0.1", "11.1.1.1", "tcp/80 from=::/0", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/80 from=::ffff:11.1.0.0/112", 1 },
                { "fd00::1", "fd00::2", "tcp/80 from=0.0.0.0/0", -EPERM },
                { "fd00::1", "fd00::2", "tcp/80 from=10.0.0.0/8,fd00::/64", 1 },
                { "127.0.0.1", "127.0.0.1", "tcp/80 from=10.0.0.0/8", -EPERM },
                /* Without from= a rule has nothing to say here. */
                { "10.0.0.1", "11.1.1.1", "tcp/80\ntcp/80 from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/80 from=::1\ntcp/80 from=11.0.0.0/8", 2 },
                { "10.0.0.1", "11.1.1.1",
                  "tcp/80 from=::1\ntcp/any from=11.0.0.0/8\ntcp/80 from=11.0.0.0/8", 2 },
                /* Other keys choose which rules are asked. */
                { "10.0.0.1", "11.1.1.1", "tcp/80 unit=ssh from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/80 unit=other from=10.0.0.0/8", 0 },
                { "10.0.0.1", "11.1.1.1", "tcp/80 netns=8 from=10.0.0.0/8", 0 },
                { "10.0.0.1", "11.1.1.1", "tcp/80 address=10.0.0.1 from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/80 address=10.0.0.2 from=10.0.0.0/8", 0 },
                /* A listener on all addresses may have taken it. */
                { "10.0.0.1", "11.1.1.1", "tcp/80 address=0.0.0.0 from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/80 address=:: from=10.0.0.0/8", -EPERM },
                { "fd00::1", "fd00::2", "tcp/80 address=0.0.0.0 from=10.0.0.0/8", 0 },
                { "10.0.0.1", "11.1.1.1", "tcp/80 exposure=any from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/80 exposure=address from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "tcp/80 exposure=loopback from=10.0.0.0/8", 0 },
                { "127.0.0.1", "127.0.0.1", "tcp/80 exposure=loopback from=10.0.0.0/8", -EPERM },
                { "10.0.0.1", "11.1.1.1", "refused rate=1/1", 0 },
        };

        (void) state;
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct record r = inbound(cases[i].local, 80, cases[i].remote);
                const struct rule_subject subject = { .record = &r, .owner = &ruling_sshd };
                struct rules *rules = ruling_rules(cases[i].text);
                int result = rules_match_inbound(rules, &subject);

                rules_free(rules);
                if (result != cases[i].result)
                        fail_msg("%s from %s: %d", cases[i].text, cases[i].remote, result);
        }
}

/* ---- Against a plain look at all of them ---- */

#define MANY 3000U

struct plain_rule {
        unsigned transport, first[3], last[3], n;
        const struct owner *unit, *user; /* NULL: no such key */
        unsigned exposure;
        unsigned from; /* 10.from.0.0/16; 0: none */
};

static const struct owner *const owners[] = { &ruling_sshd, &ruling_manager, &ruling_boxed };

static void put_plain(FILE *f, const struct plain_rule *p) {
        fprintf(f, "%s/", p->transport ? transport_name(p->transport) : "any");
        for (unsigned i = 0; i < p->n; i++) {
                fprintf(f, "%s%u", i > 0 ? "," : "", p->first[i]);
                if (p->last[i] > p->first[i])
                        fprintf(f, "-%u", p->last[i]);
        }
        if (p->unit)
                fprintf(f, " unit=%s", p->unit->unit);
        if (p->user)
                fprintf(f, " user=%u", p->user->uid);
        if (p->exposure)
                fprintf(f, " exposure=%s", exposure_name(p->exposure));
        if (p->from)
                fprintf(f, " from=10.%u.0.0/16", p->from);
        fputc('\n', f);
}

static bool plain_owner_fits(const struct plain_rule *p, const struct owner *o) {
        return o && (!p->unit || strcmp(p->unit->unit, o->unit) == 0) &&
               (!p->user || p->user->uid == o->uid);
}

static bool plain_fits(const struct plain_rule *p, const struct rule_subject *s) {
        bool port = false;

        for (unsigned i = 0; i < p->n; i++)
                port |= s->record->local_port >= p->first[i] && s->record->local_port <= p->last[i];
        return port && (!p->transport || p->transport == s->record->transport) &&
               (!p->exposure || p->exposure == s->record->exposure) &&
               ((!p->unit && !p->user) || plain_owner_fits(p, s->owner) ||
                plain_owner_fits(p, s->holder));
}

/* Rules on few ports, so that many are for the same, and some on the whole range. */
static void make_plain(uint64_t *seed, struct plain_rule *ret) {
        *ret = (struct plain_rule){ .transport = (unsigned) unit_below(seed, 3),
                                    .n = 1 + (unsigned) unit_below(seed, 3) };
        for (unsigned i = 0; i < ret->n; i++) {
                ret->first[i] = 1 + (unsigned) unit_below(seed, 2000);
                ret->last[i] = ret->first[i];
                if (unit_below(seed, 8) == 0)
                        ret->last[i] += (unsigned) unit_below(seed, 60);
                if (unit_below(seed, 2000) == 0)
                        ret->last[i] = 65535;
        }
        if (unit_below(seed, 3) > 0)
                ret->unit = owners[unit_below(seed, 3)];
        if (unit_below(seed, 3) == 0)
                ret->user = owners[unit_below(seed, 3)];
        if (unit_below(seed, 2) == 0)
                ret->exposure = 1 + (unsigned) unit_below(seed, 3);
        if (unit_below(seed, 3) == 0)
                ret->from = 1 + (unsigned) unit_below(seed, 4);
}

static void test_like_a_plain_look(void **state) {
        static const char *const addresses[] = { "0.0.0.0", "127.0.0.1", "10.0.0.1" };
        static struct plain_rule plain[MANY];
        uint64_t seed = 0x5275;
        unsigned matched = 0, refused = 0;
        char *text = NULL;
        size_t size = 0, half;
        struct rules *rules;
        FILE *f = open_memstream(&text, &size);

        (void) state;
        assert_non_null(f);
        for (unsigned i = 0; i < MANY; i++) {
                make_plain(&seed, &plain[i]);
                put_plain(f, &plain[i]);
        }
        fclose(f);
        half = (size_t) (strchr(text + size / 2, '\n') - text) + 1;
        assert_int_equal(rules_new(&rules), 0);
        assert_int_equal(rules_parse(rules, text, half, "a", NULL), 0);
        assert_int_equal(rules_parse(rules, text + half, size - half, "b", NULL), 0);
        assert_int_equal(rules_count(rules), MANY);
        for (unsigned i = 0; i < 20000; i++) {
                unsigned port = (unsigned) unit_below(&seed, i % 4 ? 2100 : 65536), expected = 0;
                const char *address = addresses[unit_below(&seed, 3)];
                struct record r =
                        ruling_listener(1 + (unsigned) unit_below(&seed, 2), address, port);
                const struct rule_subject subject = {
                        .record = &r,
                        .owner = unit_below(&seed, 5) ? owners[unit_below(&seed, 3)] : NULL,
                        .holder = unit_below(&seed, 3) ? NULL : owners[unit_below(&seed, 3)],
                };

                for (unsigned n = MANY; n > 0; n--)
                        if (plain_fits(&plain[n - 1], &subject))
                                expected = n;
                if (rules_match(rules, &subject) != expected)
                        fail_msg("port %u on %s: rule %u, not %u", port, address,
                                 rules_match(rules, &subject), expected);
                matched += expected > 0;
        }
        for (unsigned i = 0; i < 20000; i++) {
                struct record r =
                        inbound("10.0.0.1", (unsigned) unit_below(&seed, 2100), "10.0.0.0");
                const struct rule_subject subject = { .record = &r, .owner = owners[i % 3] };
                int expected = 0;

                r.transport = 1 + (uint8_t) unit_below(&seed, 2);
                r.remote[1] = (uint8_t) (1 + unit_below(&seed, 5));
                for (unsigned n = MANY; n > 0; n--) {
                        struct plain_rule p = plain[n - 1];

                        if (p.exposure == EXPOSURE_ANY)
                                p.exposure = 0;
                        if (p.from && plain_fits(&p, &subject)) {
                                if (p.from == r.remote[1])
                                        expected = (int) n;
                                else if (expected == 0)
                                        expected = -EPERM;
                        }
                }
                assert_int_equal(rules_match_inbound(rules, &subject), expected);
                refused += expected == -EPERM;
        }
        /* Both happen often enough to be worth it. */
        assert_true(matched > 2000 && matched < 18000);
        assert_true(refused > 2000 && refused < 18000);
        rules_free(rules);
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_transport_and_ports),
                cmocka_unit_test(test_protocols),
                cmocka_unit_test(test_owner_keys),
                cmocka_unit_test(test_owner_or_holder),
                cmocka_unit_test(test_a_replaced_executable),
                cmocka_unit_test(test_exposure_address_netns),
                cmocka_unit_test(test_the_first_one_counts),
                cmocka_unit_test(test_from),
                cmocka_unit_test(test_like_a_plain_look),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rulings.h"

#include "lib/ports.h"

/* The rule that is written for a listener: the best key that is known, and it fits. */

static const char *suggest(const struct record *r, const struct owner *owner,
                           const struct owner *holder) {
        const struct rule_subject subject = { r, owner, holder };
        static char text[RULE_TEXT_SIZE];

        assert_int_equal(rule_suggest(&subject, 32768, 60999, text), 0);
        return text;
}

static void test_suggestions(void **state) {
        struct record r = ruling_listener(TRANSPORT_TCP, "0.0.0.0", 22);
        struct owner o = ruling_sshd;

        (void) state;
        assert_string_equal(suggest(&r, &ruling_sshd, NULL),
                            "tcp/22 unit=ssh.service exposure=any");
        assert_string_equal(suggest(&r, &ruling_manager, &ruling_sshd),
                            "tcp/22 unit=ssh.socket exposure=any");
        assert_string_equal(suggest(&r, &ruling_manager, NULL),
                            "tcp/22 unit=ssh.socket exposure=any");
        assert_string_equal(suggest(&r, &ruling_manager, &ruling_unknown),
                            "tcp/22 unit=ssh.socket exposure=any");
        assert_string_equal(suggest(&r, NULL, NULL), "tcp/22 exposure=any");
        assert_string_equal(suggest(&r, &ruling_unknown, NULL), "tcp/22 exposure=any");
        assert_string_equal(suggest(&r, &ruling_boxed, NULL),
                            "tcp/22 container=docker:0123456789ab executable=\"/opt/a b\" "
                            "exposure=any");
        r = ruling_listener(TRANSPORT_UDP, "127.0.0.1", 32768);
        strcpy(o.unit, "postgresql@15-main.service");
        assert_string_equal(suggest(&r, &o, NULL),
                            "udp/ephemeral unit=postgresql@15-main.service exposure=loopback");
        r = ruling_listener(TRANSPORT_PACKET, "0.0.0.0", 0x888E);
        assert_string_equal(suggest(&r, &ruling_sshd, NULL),
                            "packet/34958 unit=ssh.service exposure=any");
        r.local_port = 0;
        assert_string_equal(suggest(&r, &ruling_sshd, NULL),
                            "packet/any unit=ssh.service exposure=any");
        r = ruling_listener(TRANSPORT_UDP, "fd00::1", 61000);
        strcpy(o.unit, "session-3.scope");
        assert_string_equal(suggest(&r, &o, NULL),
                            "udp/61000 executable=/usr/sbin/sshd exposure=address");
        strcpy(o.executable, "/usr/sbin/sshd (deleted)");
        assert_string_equal(suggest(&r, &o, NULL),
                            "udp/61000 executable=/usr/sbin/sshd exposure=address");
        o.executable[0] = 0;
        assert_string_equal(suggest(&r, &o, NULL), "udp/61000 name=sshd exposure=address");
        strcpy(o.name, "a*\n\xff\"");
        assert_string_equal(suggest(&r, &o, NULL), "udp/61000 user=0 exposure=address");
        o.name[0] = 0;
        assert_string_equal(suggest(&r, &o, NULL), "udp/61000 user=0 exposure=address");
        /* A path that no rule has room for. */
        memset(o.executable, 'x', sizeof(o.executable) - 1);
        o.executable[0] = '/';
        strcpy(o.name, "long");
        assert_string_equal(suggest(&r, &o, NULL), "udp/61000 name=long exposure=address");
        /* One that is too long because of what stands before each byte. */
        memset(o.executable + 1, '*', 150);
        o.executable[151] = 0;
        assert_string_equal(suggest(&r, &o, NULL), "udp/61000 name=long exposure=address");
}

/* Bytes as they come from strangers: any, but more often those that mean something in a rule. */
static void random_string(uint64_t *seed, char *to, size_t size, const char *begin,
                          const char *end) {
        static const char *const pieces[] = { "*",  "?",    "[",        "]",    "\\",
                                              "\"", " ",    "#",        "=",    "!",
                                              "\t", "\x7f", "\xc3\xa9", "\xff", "\xef\xbf\xbd",
                                              "-",  "^",    " #",       "\n",   "," };
        size_t n = unit_below(seed, 4) ? unit_below(seed, 12) : unit_below(seed, size);

        memset(to, 0, size);
        strncat(to, begin, size - 1);
        while (n-- > 0) {
                char byte[2] = { (char) (1 + unit_below(seed, 255)), 0 };

                if (unit_below(seed, 2))
                        byte[0] = (char) ('a' + unit_below(seed, 26));
                strncat(to, unit_below(seed, 3) ? byte : pieces[unit_below(seed, 20)],
                        size - 1 - strlen(to));
        }
        strncat(to, end, size - 1 - strlen(to));
}

static void random_owner(uint64_t *seed, struct owner *ret) {
        *ret = (struct owner){ .pid = 1, .uid = (uint32_t) unit_random(seed) };
        if (unit_below(seed, 4) == 0)
                ret->uid = UID_UNKNOWN;
        if (unit_below(seed, 4) == 0)
                random_string(seed, ret->unit, sizeof(ret->unit), "u",
                              unit_below(seed, 4) ? ".service" : ".socket");
        if (unit_below(seed, 3) == 0)
                random_string(seed, ret->container, sizeof(ret->container), "", "");
        if (unit_below(seed, 3) > 0)
                random_string(seed, ret->executable, sizeof(ret->executable),
                              unit_below(seed, 8) ? "/" : "",
                              unit_below(seed, 8) ? "" : " (deleted)");
        if (unit_below(seed, 3) > 0)
                random_string(seed, ret->name, sizeof(ret->name), "", "");
}

static void test_what_is_suggested_fits(void **state) {
        static const char *const addresses[] = { "0.0.0.0", "127.0.0.1", "10.0.0.1",
                                                 "::",      "::1",       "fd00::1" };
        uint64_t seed = 0x5347;
        uint16_t first = 0, last = 0;

        (void) state;
        assert_int_equal(ports_ephemeral_range(&first, &last), 0);
        for (unsigned i = 0; i < 20000; i++) {
                struct record r = ruling_listener(
                        1 + (unsigned) unit_below(&seed, TRANSPORT_MAX - 1),
                        addresses[unit_below(&seed, 6)], (unsigned) unit_below(&seed, 65536));
                struct rule_error error = {};
                struct owner owner, holder;
                const struct rule_subject subject = {
                        .record = &r,
                        .owner = unit_below(&seed, 8) ? &owner : NULL,
                        .holder = unit_below(&seed, 3) ? NULL : &holder,
                };
                char text[RULE_TEXT_SIZE];
                struct rules *rules;

                random_owner(&seed, &owner);
                random_owner(&seed, &holder);
                assert_int_equal(rule_suggest(&subject, first, last, text), 0);
                assert_int_equal(rules_new(&rules), 0);
                if (rules_parse(rules, text, strlen(text), "x", &error) < 0)
                        fail_msg("%u: %s: %u: %s", i, text, error.column, error.message);
                if (rules_match(rules, &subject) != 1)
                        fail_msg("%u: %s does not fit what it was made of", i, text);
                /* And it is written as it would be. */
                assert_string_equal(rules_text(rules, 1), text);
                r.exposure = EXPOSURE_NONE;
                ruling_address(record_exposure(r.family, r.local) == EXPOSURE_ANY ? "10.0.0.1"
                                                                                  : "0.0.0.0",
                               &r.family, r.local);
                assert_int_equal(rules_match(rules, &subject), 0);
                rules_free(rules);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_suggestions),
                cmocka_unit_test(test_what_is_suggested_fits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

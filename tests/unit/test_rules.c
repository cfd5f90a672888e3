/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <pwd.h>

#include "lib/ports.h"
#include "lib/rules.h"

/* The grammar of rules: what is taken, how it is written again, and what is said of mistakes. */

static struct rules *new_rules(void) {
        struct rules *rules = NULL;

        assert_int_equal(rules_new(&rules), 0);
        assert_int_equal(rules_count(rules), 0);
        return rules;
}

static int parse(struct rules *rules, const char *text, struct rule_error *ret_error) {
        return rules_parse(rules, text, strlen(text), "test.rules", ret_error);
}

static void add(struct rules *rules, const char *text) {
        struct rule_error error = {};
        int r = parse(rules, text, &error);

        if (r < 0)
                fail_msg("%s: %d, %u:%u: %s", text, r, error.line, error.column, error.message);
}

/* Whether the text is refused there, with those words; says so if it is not. */
static bool is_mistake(const char *text, size_t size, unsigned line, unsigned column,
                       const char *words) {
        struct rules *rules = new_rules();
        struct rule_error error = {};
        int r = rules_parse(rules, text, size, "test.rules", &error);
        bool good = r == -EINVAL && rules_count(rules) == 0 && error.line == line &&
                    error.column == column && strstr(error.message, words) &&
                    strstr(error.message, "expected");

        if (!good)
                print_error("%.*s: %d, %u:%u %s; not %u:%u %s\n", (int) size, text, r, error.line,
                            error.column, error.message, line, column, words);
        rules_free(rules);
        return good;
}

static void test_normal_form(void **state) {
        static const struct {
                const char *written, *normal;
        } cases[] = {
                { "tcp/22", "tcp/22" },
                { "any/any", "any/any" },
                { "\t udp/53 \t", "udp/53" },
                { "tcp/ephemeral # more", "tcp/ephemeral" },
                { "tcp/22\t# comment", "tcp/22" },
                { "tcp/1,65535", "tcp/1,65535" },
                { "tcp/443,80", "tcp/80,443" },
                { "tcp/80,80", "tcp/80" },
                { "tcp/80-80", "tcp/80" },
                { "tcp/80,81", "tcp/80,81" },
                { "tcp/80-90,85-100,70-80", "tcp/70-100" },
                { "tcp/10,20,30,15-25", "tcp/10,15-25,30" },
                { "tcp/1-65535,5", "tcp/1-65535" },
                { "tcp/22 unit=ssh", "tcp/22 unit=ssh.service" },
                { "tcp/22 unit=a.b", "tcp/22 unit=a.b.service" },
                { "tcp/22 unit=ssh.socket", "tcp/22 unit=ssh.socket" },
                { "tcp/22 unit=session-*", "tcp/22 unit=session-*" },
                { "tcp/22 unit=a@b\\x2dc.service", "tcp/22 unit=a@b\\x2dc.service" },
                { "tcp/22 unit=\"a@b\\\\x2dc\"", "tcp/22 unit=a@b\\x2dc.service" },
                { "tcp/22 name=\"a b\"", "tcp/22 name=\"a b\"" },
                { "tcp/22 name=\"ab\"", "tcp/22 name=ab" },
                { "tcp/22 name=\"#a\"", "tcp/22 name=#a" },
                { "tcp/22 name=a#b", "tcp/22 name=a#b" },
                { "tcp/22 name=\"a #b\" # c", "tcp/22 name=\"a #b\"" },
                { "tcp/22 name=\"\\\"\\\\\"", "tcp/22 name=\"\\\"\\\\\"" },
                { "tcp/22 name=a=b", "tcp/22 name=a=b" },
                { "tcp/22 name=\\", "tcp/22 name=\\" },
                { "tcp/22 name=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
                  "tcp/22 name=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
                { "tcp/22 name=[]a]*\\[", "tcp/22 name=[]a]*\\[" },
                { "tcp/22 name=[!]a]", "tcp/22 name=[!]a]" },
                { "tcp/22 name=a-long-pattern-is-fine*", "tcp/22 name=a-long-pattern-is-fine*" },
                { "tcp/22 executable=*/sshd", "tcp/22 executable=*/sshd" },
                { "tcp/22 executable=\"/opt/a b\"", "tcp/22 executable=\"/opt/a b\"" },
                { "tcp/22 container=docker:ab", "tcp/22 container=docker:ab" },
                { "tcp/22 user=root", "tcp/22 user=root" },
                { "tcp/22 user=4294967294", "tcp/22 user=4294967294" },
                { "tcp/22 user=0", "tcp/22 user=0" },
                { "tcp/22 netns=4026531840", "tcp/22 netns=4026531840" },
                { "tcp/22 address=10.0.0.0/8", "tcp/22 address=10.0.0.0/8" },
                { "tcp/22 address=10.0.0.1/32", "tcp/22 address=10.0.0.1" },
                { "tcp/22 address=::FFFF:10.0.0.1", "tcp/22 address=10.0.0.1" },
                { "tcp/22 address=::ffff:0:0/96", "tcp/22 address=0.0.0.0/0" },
                { "tcp/22 address=FD00:0::/8", "tcp/22 address=fd00::/8" },
                { "tcp/22 address=::/0", "tcp/22 address=::/0" },
                { "tcp/22 address=::", "tcp/22 address=::" },
                { "tcp/22 address=10.128.0.0/9", "tcp/22 address=10.128.0.0/9" },
                { "tcp/22 exposure=loopback", "tcp/22 exposure=loopback" },
                { "tcp/22 from=\"::1,10.0.0.0/8\"", "tcp/22 from=::1,10.0.0.0/8" },
                { "tcp/22 from=::1 exposure=any address=:: netns=1 user=0 name=n executable=/e "
                  "container=c unit=u",
                  "tcp/22 unit=u.service container=c executable=/e name=n user=0 netns=1 "
                  "address=:: exposure=any from=::1" },
                { "refused rate=20/60", "refused rate=20/1min" },
                { " refused\trate=\"1/1\" # c", "refused rate=1/1s" },
                { "refused rate=1000000000/90s", "refused rate=1000000000/90s" },
                { "refused rate=5/120min", "refused rate=5/2h" },
                { "refused rate=5/86400s", "refused rate=5/24h" },
        };
        struct rules *rules = new_rules();

        (void) state;
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                add(rules, cases[i].written);
                assert_int_equal(rules_count(rules), 2 * i + 1);
                assert_string_equal(rules_text(rules, 2 * i + 1), cases[i].normal);
                /* It is the form of itself. */
                add(rules, cases[i].normal);
                assert_string_equal(rules_text(rules, 2 * i + 2), cases[i].normal);
        }
        rules_free(rules);
        assert_null(rules_free(NULL));
}

static void test_what_stands_where(void **state) {
        static const char first[] = "# comment\n\n \t\ntcp/1\n  # more\ntcp/2 # c\n#tcp/3\ntcp/4";
        struct rules *rules = new_rules();
        const char *origin, *text;
        unsigned line = 77;

        (void) state;
        add(rules, "");
        add(rules, "\n\n# nothing");
        assert_int_equal(rules_count(rules), 0);
        assert_int_equal(rules_parse(rules, first, sizeof(first) - 1, "a.rules", NULL), 0);
        origin = rules_origin(rules, 1, &line);
        text = rules_text(rules, 1);
        assert_int_equal(line, 4);
        for (unsigned i = 0; i < 300; i++)
                assert_int_equal(rules_parse(rules, "\ntcp/9\n", 7, "b.rules", NULL), 0);
        assert_int_equal(rules_count(rules), 303);
        /* What was given out stays. */
        assert_ptr_equal(text, rules_text(rules, 1));
        assert_string_equal(text, "tcp/1");
        assert_string_equal(origin, "a.rules");
        assert_string_equal(rules_origin(rules, 2, &line), "a.rules");
        assert_int_equal(line, 6);
        assert_string_equal(rules_origin(rules, 3, NULL), "a.rules");
        assert_string_equal(rules_text(rules, 3), "tcp/4");
        assert_string_equal(rules_origin(rules, 303, &line), "b.rules");
        assert_int_equal(line, 2);
        line = 77;
        assert_null(rules_text(rules, 0));
        assert_null(rules_text(rules, 304));
        assert_null(rules_origin(rules, 0, &line));
        assert_null(rules_origin(rules, 304, &line));
        assert_int_equal(line, 77);
        rules_free(rules);
}

static void test_users(void **state) {
        const struct passwd *entry = getpwuid(0);
        struct owner owner = { .uid = 0 };
        struct record record = { .transport = TRANSPORT_TCP, .local_port = 22 };
        struct rule_subject subject = { .record = &record, .owner = &owner };
        struct rules *rules = new_rules();
        char text[128];

        (void) state;
        if (!entry)
                skip();
        snprintf(text, sizeof(text), "tcp/22 user=%s", entry->pw_name);
        add(rules, text);
        assert_string_equal(rules_text(rules, 1), text);
        assert_int_equal(rules_match(rules, &subject), 1);
        owner.uid = 1;
        assert_int_equal(rules_match(rules, &subject), 0);
        rules_free(rules);
}

static void test_a_failure_adds_nothing(void **state) {
        static const char bad[] = "tcp/5\nrefused rate=9/9\n\ntcp/6 unit=x from=::1\n tcp/7 x=1\n";
        struct record record = { .transport = TRANSPORT_TCP, .local_port = 5 };
        const struct rule_subject subject = { .record = &record };
        struct rules *rules = new_rules();
        struct rule_error error = { .line = 99 };

        (void) state;
        assert_int_equal(parse(rules, bad, &error), -EINVAL);
        assert_int_equal(error.line, 5);
        assert_int_equal(error.column, 8);
        assert_int_equal(rules_count(rules), 0);
        assert_int_equal(rules_refused_rate(rules).attempts, 0);
        assert_int_equal(rules_match(rules, &subject), 0);

        add(rules, "refused rate=1/2\ntcp/80\ntcp/90-100");
        assert_int_equal(rules_parse(rules, bad, sizeof(bad) - 1, "x", NULL), -EINVAL);
        assert_int_equal(rules_count(rules), 3);
        assert_null(rules_text(rules, 4));
        assert_int_equal(rules_refused_rate(rules).attempts, 1);
        assert_int_equal(rules_match(rules, &subject), 0);
        record.local_port = 80;
        assert_int_equal(rules_match(rules, &subject), 2);
        add(rules, "tcp/1-5");
        record.local_port = 5;
        assert_int_equal(rules_match(rules, &subject), 4);

        error.line = 99;
        assert_int_equal(parse(rules, "tcp/1", &error), 0);
        assert_int_equal(error.line, 99);
        rules_free(rules);
}

static void test_rate(void **state) {
        static const struct {
                const char *text;
                uint64_t attempts, seconds;
        } cases[] = {
                { "refused rate=20/10", 20, 10 },
                { "refused rate=1/1s", 1, 1 },
                { "refused rate=300/5min", 300, 300 },
                { "refused rate=7/24h", 7, 86400 },
                { "tcp/1\nrefused rate=1/1\nrefused rate=8/2h # the last one\ntcp/2", 8, 7200 },
        };
        struct record record = { .transport = TRANSPORT_TCP, .local_port = 80 };
        const struct rule_subject subject = { .record = &record };

        (void) state;
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct rules *rules = new_rules();

                assert_int_equal(rules_refused_rate(rules).attempts, 0);
                assert_int_equal(rules_refused_rate(rules).window_usec, 0);
                add(rules, cases[i].text);
                assert_int_equal(rules_refused_rate(rules).attempts, cases[i].attempts);
                assert_int_equal(rules_refused_rate(rules).window_usec, cases[i].seconds * 1000000);
                /* It expects no listener. */
                assert_int_equal(rules_match(rules, &subject), 0);
                add(rules, "tcp/80");
                assert_int_equal(rules_refused_rate(rules).attempts, cases[i].attempts);
                rules_free(rules);
        }
}

static void test_bounds(void **state) {
        struct rules *rules = new_rules();
        struct rule_error error = {};
        size_t size = RULES_FILE_SIZE + 1;
        char *text = malloc(size);

        (void) state;
        assert_non_null(text);
        memset(text, '\n', size);
        assert_int_equal(rules_parse(rules, text, size - 1, "x", &error), 0);
        assert_int_equal(rules_parse(rules, text, size, "x", &error), -E2BIG);
        assert_int_equal(error.line, RULES_FILE_SIZE + 1);
        assert_non_null(strstr(error.message, "expected a file of at most"));

        for (unsigned i = 0; i < RULES_MAX; i++)
                memcpy(text + i * 6, "tcp/1\n", 6);
        assert_int_equal(rules_parse(rules, text, 6 * RULES_MAX, "x", &error), 0);
        assert_int_equal(rules_count(rules), RULES_MAX);
        assert_int_equal(parse(rules, "# one more\n\nudp/1", &error), -E2BIG);
        assert_int_equal(error.line, 3);
        assert_int_equal(error.column, 1);
        assert_non_null(strstr(error.message, "at most 16384 rules"));
        assert_int_equal(rules_count(rules), RULES_MAX);
        assert_int_equal(parse(rules, "# no more", &error), 0);
        rules_free(rules);
        free(text);
}

/* The longest that there may be, and one byte more. */
static void test_longest(void **state) {
        struct rules *rules = new_rules();
        char text[RULE_TEXT_SIZE + 1] = "tcp/22 executable=";
        size_t begin = strlen(text);

        (void) state;
        memset(text + begin, 'x', sizeof(text) - begin);
        text[begin] = '/';
        text[RULE_TEXT_SIZE - 1] = 0;
        add(rules, text);
        assert_string_equal(rules_text(rules, 1), text);
        text[RULE_TEXT_SIZE - 1] = 'x';
        assert_true(is_mistake(text, RULE_TEXT_SIZE, 1, 1, "too long"));
        rules_free(rules);
}

static int digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "%NN" to bytes, in place; returns the size. */
static size_t decode(char *text) {
        char *to = text, *begin = text;

        for (; *text; text++)
                if (*text == '%' && digit(text[1]) >= 0 && digit(text[2]) >= 0) {
                        *to++ = (char) (digit(text[1]) * 16 + digit(text[2]));
                        text += 2;
                } else
                        *to++ = *text;
        return (size_t) (to - begin);
}

static void test_corpus_of_mistakes(void **state) {
        const char *top = getenv("TOP_SRCDIR");
        char path[4096], line[4096], around[8192];
        unsigned n = 0, wrong = 0;
        FILE *f;

        (void) state;
        snprintf(path, sizeof(path), "%s/tests/unit/data/rules/bad.txt", top ? top : ".");
        f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                static const char before[] = "# comment\n\n tcp/22 unit=ssh\n",
                                  after[] = "\ntcp/80";
                char *rule = line, *words;
                unsigned column;
                size_t size, at = sizeof(before) - 1;

                if (line[0] == '#')
                        continue;
                line[strcspn(line, "\n")] = 0;
                column = (unsigned) strtoul(strsep(&rule, "\t"), NULL, 10);
                words = strsep(&rule, "\t");
                assert_true(rule && words[0]);
                size = decode(rule);
                wrong += !is_mistake(rule, size, 1, column, words);
                memcpy(around, before, at);
                memcpy(around + at, rule, size);
                memcpy(around + at + size, after, sizeof(after) - 1);
                wrong += !is_mistake(around, at + size + sizeof(after) - 1, 4, column, words);
                n++;
        }
        fclose(f);
        assert_true(n >= 200);
        assert_int_equal(wrong, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_normal_form), cmocka_unit_test(test_what_stands_where),
                cmocka_unit_test(test_users),       cmocka_unit_test(test_a_failure_adds_nothing),
                cmocka_unit_test(test_rate),        cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_longest),     cmocka_unit_test(test_corpus_of_mistakes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

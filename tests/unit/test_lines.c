/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "cli/lines.h"
#include "cli/remote.h"

static void add(struct lines *l, uint64_t key, uint64_t id) {
        char text[64];

        snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64, key, id);
        assert_int_equal(lines_add(l, key, id, text, strlen(text) + 1), 0);
}

static void expect(const struct lines *l, size_t i, uint64_t key, uint64_t id) {
        char text[64];

        snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64, key, id);
        assert_true(i < l->n);
        assert_int_equal(l->list[i].size, strlen(text) + 1);
        assert_string_equal(l->list[i].data, text);
}

static void expect_sorted(const struct lines *l) {
        for (size_t i = 0; i + 1 < l->n; i++) {
                const struct line *a = &l->list[i], *b = &l->list[i + 1];

                assert_true(a->key < b->key || (a->key == b->key && a->id <= b->id));
        }
}

static void test_order(void **state) {
        struct lines l = { 0 };
        uint64_t seed = 1;

        (void) state;
        lines_sort(&l);
        lines_reverse(&l);
        lines_keep_last(&l, 3);
        for (unsigned i = 0; i < 10000; i++)
                add(&l, unit_below(&seed, 500), i);
        lines_sort(&l);
        assert_int_equal(l.n, 10000);
        expect_sorted(&l);
        /* Just the other way round is a case of its own. */
        lines_reverse(&l);
        assert_true(l.list[0].key > l.list[9999].key);
        lines_sort(&l);
        expect_sorted(&l);
        lines_clear(&l);
        assert_int_equal(l.n, 0);
        for (uint64_t i = 0; i < 5; i++)
                add(&l, i, i);
        lines_keep_last(&l, 9);
        assert_int_equal(l.n, 5);
        lines_keep_last(&l, 2);
        assert_int_equal(l.n, 2);
        expect(&l, 0, 3, 3);
        expect(&l, 1, 4, 4);
        lines_reverse(&l);
        expect(&l, 0, 4, 4);
        lines_keep_last(&l, 0);
        assert_int_equal(l.n, 0);
        lines_done(&l);
}

/* Of all sizes, so that some are larger than the chunks they are kept in. */
static void test_sizes(void **state) {
        struct lines l = { 0 };
        char *text = malloc(300000);

        (void) state;
        assert_non_null(text);
        for (size_t size = 0; size < 300000; size = size * 3 + 1) {
                memset(text, (int) (size & 127), size);
                assert_int_equal(lines_add(&l, size, 0, text, size), 0);
        }
        for (size_t i = 0; i < l.n; i++)
                for (size_t k = 0; k < l.list[i].size; k++)
                        assert_int_equal(l.list[i].data[k], (char) (l.list[i].size & 127));
        l.bytes = LINES_BYTES_MAX - 10;
        assert_int_equal(lines_add(&l, 0, 0, text, 11), -E2BIG);
        assert_int_equal(lines_add(&l, 0, 0, text, 10), 0);
        free(text);
        lines_done(&l);
        lines_done(NULL);
}

static void test_idset(void **state) {
        struct idset s = { 0 };

        (void) state;
        assert_false(idset_has(&s, 0));
        for (uint64_t i = 0; i < 100000; i++)
                assert_int_equal(idset_add(&s, i * i), 1);
        for (uint64_t i = 0; i < 100000; i++) {
                assert_true(idset_has(&s, i * i));
                assert_int_equal(idset_add(&s, i * i), 0);
                if (i > 1)
                        assert_false(idset_has(&s, i * i + 1));
        }
        assert_int_equal(idset_add(&s, UINT64_MAX - 1), 1);
        assert_int_equal(idset_add(&s, UINT64_MAX), -EINVAL);
        assert_false(idset_has(&s, UINT64_MAX));
        idset_done(&s);
}

/* What a shell makes of a quoted word is the word. */
static void test_quote(void **state) {
        static const char *const words[] = {
                "listeners", "--port=22,80", "",         " ",    "it's", "a b",
                "$(id)",     "`id`",         "\\",       "a\nb", "*",    "~",
                "'",         "''",           "\"",       ";",    "&",    "#",
                "-",         "a'b\"c\\d$e",  "\xc3\xa4", "!",    "=",
        };

        (void) state;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                struct buf b = { 0 };
                char got[64];
                size_t n;
                FILE *f;

                buf_text(&b, "printf %s ");
                remote_quote(&b, words[i]);
                buf_char(&b, '\0');
                f = popen(b.data, "r");
                assert_non_null(f);
                n = fread(got, 1, sizeof(got) - 1, f);
                got[n] = '\0';
                assert_int_equal(pclose(f), 0);
                assert_string_equal(got, words[i]);
                buf_done(&b);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_idset),
                cmocka_unit_test(test_quote),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

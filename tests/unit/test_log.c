/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/messages.h"

/* What was written to stderr between capture_start() and capture_end(). */
static struct {
        FILE *file;
        int saved;
        char text[16384];
} capture;

static void capture_start(void) {
        capture.file = tmpfile();
        assert_non_null(capture.file);
        capture.saved = dup(STDERR_FILENO);
        assert_true(capture.saved >= 0);
        assert_true(dup2(fileno(capture.file), STDERR_FILENO) >= 0);
}

static const char *capture_end(void) {
        size_t n;

        assert_true(dup2(capture.saved, STDERR_FILENO) >= 0);
        close(capture.saved);
        rewind(capture.file);
        n = fread(capture.text, 1, sizeof(capture.text) - 1, capture.file);
        capture.text[n] = '\0';
        fclose(capture.file);
        return capture.text;
}

static void test_lines(void **state) {
        (void) state;
        capture_start();
        log_open("some-name");
        log_error("one %d", 1);
        log_info("two");
        log_debug("left out");
        log_close();
        assert_string_equal(capture_end(), "some-name: one 1\nsome-name: two\n");
}

static void test_level(void **state) {
        (void) state;
        setenv("PORTWATCH_LOG_LEVEL", "warning", 1);
        capture_start();
        log_open("a");
        log_notice("left out");
        log_warning("told");
        setenv("PORTWATCH_LOG_LEVEL", "debug", 1);
        log_open("a");
        log_debug("details");
        log_close();
        unsetenv("PORTWATCH_LOG_LEVEL");
        log_open("a");
        assert_string_equal(capture_end(), "a: told\na: details\n");
}

static void test_controls_make_no_lines(void **state) {
        (void) state;
        capture_start();
        log_open("a");
        log_error("name is %s", "x\na: forged\x1b[31m\r\t");
        log_close();
        assert_string_equal(capture_end(), "a: name is x?a: forged?[31m??\n");
}

static void test_long_text_is_cut(void **state) {
        char *text = malloc(100001);
        const char *told;

        (void) state;
        assert_non_null(text);
        memset(text, 'x', 100000);
        text[100000] = '\0';
        capture_start();
        log_open("a");
        log_error("%s", text);
        log_event(LOG_ERR, MESSAGE_LOST, text + 1, text, NULL);
        log_close();
        told = capture_end();
        assert_in_range(strlen(told), 1000, 8192);
        assert_int_equal(told[strlen(told) - 1], '\n');
        free(text);
}

static void test_errno(void **state) {
        (void) state;
        capture_start();
        log_open("a");
        errno = ENOENT;
        log_error("file: %m");
        assert_int_equal(errno, ENOENT);
        log_event(LOG_ERR, MESSAGE_LOST, "lost", NULL);
        assert_int_equal(errno, ENOENT);
        log_close();
        assert_string_equal(capture_end(), "a: file: No such file or directory\na: lost\n");
}

static void test_event_on_stderr(void **state) {
        (void) state;
        capture_start();
        log_open("portwatchd");
        log_event(LOG_WARNING, MESSAGE_LOST, "7 events were lost", "LOST=7", "WHERE=ring", NULL);
        log_close();
        assert_string_equal(capture_end(), "portwatchd: 7 events were lost\n");
}

/* A journal that is not there: the text must not be lost silently just because the variable is. */
static void test_stream_of_somebody_else(void **state) {
        (void) state;
        setenv("JOURNAL_STREAM", "1:2", 1);
        capture_start();
        log_open("a");
        log_error("here");
        log_close();
        unsetenv("JOURNAL_STREAM");
        log_open("a");
        assert_string_equal(capture_end(), "a: here\n");
}

static void test_burst_on_stderr(void **state) {
        (void) state;
        capture_start();
        log_open("a");
        for (int i = 0; i < 100; i++)
                log_warning("again");
        log_warning("another");
        log_close();
        assert_string_equal(capture_end(), "a: again\na: again\na: again\na: again\na: again\n"
                                           "a: another\na: Said 95 more times: again\n");
}

static void test_limit(void **state) {
        struct log_limit limit = { .entries[0].hash = 0 };
        struct log_limit_entry held;
        uint64_t t = 12345;

        (void) state;
        for (int i = 0; i < LOG_LIMIT_BURST; i++)
                assert_int_equal(log_limit_pass(&limit, LOG_ERR, "x", t), 1);
        for (int i = 0; i < 7; i++)
                assert_int_equal(log_limit_pass(&limit, LOG_ERR, "x", t + LOG_LIMIT_USEC - 1), 0);
        assert_int_equal(log_limit_pass(&limit, LOG_ERR, "y", t), 1);

        assert_int_equal(log_limit_take(&limit, t + LOG_LIMIT_USEC - 1, 0, &held), 0);
        assert_int_equal(log_limit_take(&limit, t + LOG_LIMIT_USEC, 0, &held), 1);
        assert_int_equal(held.held, 7);
        assert_int_equal(held.priority, LOG_ERR);
        assert_string_equal(held.text, "x");
        assert_int_equal(log_limit_take(&limit, t + LOG_LIMIT_USEC, 0, &held), 0);
        assert_int_equal(log_limit_pass(&limit, LOG_ERR, "x", t + LOG_LIMIT_USEC), 1);
}

static void test_limit_keeps_counts(void **state) {
        struct log_limit limit = { .entries[0].hash = 0 };
        struct log_limit_entry held;
        unsigned n = 0;
        char text[32];

        (void) state;
        /* More different texts than there are entries: those with a count are not pushed out. */
        for (int i = 0; i < LOG_LIMIT_BURST + 3; i++)
                log_limit_pass(&limit, LOG_INFO, "counted", 1);
        for (int i = 0; i < 10 * LOG_LIMIT_ENTRIES; i++) {
                snprintf(text, sizeof(text), "text %d", i);
                assert_int_equal(log_limit_pass(&limit, LOG_INFO, text, (uint64_t) i + 2), 1);
        }
        while (log_limit_take(&limit, 2, 1, &held))
                n += held.held;
        assert_int_equal(n, 3);
}

/* Each message has its own id of 128 bits, and a text in the catalog. */
static void test_catalog(void **state) {
        static const char *const ids[] = {
                MESSAGE_STARTED,         MESSAGE_STOPPED,           MESSAGE_LOST,
                MESSAGE_DEGRADED,        MESSAGE_HISTORY_SET_ASIDE, MESSAGE_ANSWERER_RESTARTED,
                MESSAGE_SOURCE_FALLBACK,
        };
        const char *top = getenv("TOP_SRCDIR");
        char path[4096], catalog[16384], head[64];
        size_t n;
        FILE *f;

        (void) state;
        snprintf(path, sizeof(path), "%s/systemd/portwatch.catalog", top ? top : ".");
        f = fopen(path, "r");
        assert_non_null(f);
        n = fread(catalog, 1, sizeof(catalog) - 1, f);
        catalog[n] = '\0';
        fclose(f);
        for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
                assert_int_equal(strlen(ids[i]), 32);
                assert_int_equal(strspn(ids[i], "0123456789abcdef"), 32);
                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(ids[i], ids[j]);
                snprintf(head, sizeof(head), "\n-- %s\nSubject: ", ids[i]);
                assert_non_null(strstr(catalog, head));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_level),
                cmocka_unit_test(test_controls_make_no_lines),
                cmocka_unit_test(test_long_text_is_cut),
                cmocka_unit_test(test_errno),
                cmocka_unit_test(test_event_on_stderr),
                cmocka_unit_test(test_stream_of_somebody_else),
                cmocka_unit_test(test_burst_on_stderr),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_limit_keeps_counts),
                cmocka_unit_test(test_catalog),
        };

        unsetenv("JOURNAL_STREAM");
        unsetenv("PORTWATCH_LOG_LEVEL");
        return cmocka_run_group_tests(tests, NULL, NULL);
}

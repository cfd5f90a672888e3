/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "cli/when.h"

/* 2026-11-23 12:34:56.789 in UTC, a Monday. */
#define NOW UINT64_C(1795437296789000)

static void set_zone(const char *zone) {
        assert_int_equal(setenv("TZ", zone, 1), 0);
        tzset();
}

static void expect(const char *text, uint64_t usec) {
        uint64_t got = 0;

        if (when_parse(text, NOW, &got) != 0 || got != usec)
                fail_msg("%s gives %" PRIu64 ", not %" PRIu64, text, got, usec);
}

static void expect_error(const char *text, int error) {
        uint64_t got = 4711;
        int r = when_parse(text, NOW, &got);

        if (r != error || got != 4711)
                fail_msg("%s gives %d and %" PRIu64, text, r, got);
}

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define TODAY  (NOW / DAY * DAY)

static void test_words(void **state) {
        (void) state;
        set_zone("UTC");
        expect("now", NOW);
        expect(" now", NOW);
        expect("today", TODAY);
        expect("yesterday", TODAY - DAY);
        expect("tomorrow", TODAY + DAY);
        expect_error("Now", -EINVAL);
        expect_error("", -EINVAL);
        expect_error("nowadays", -EINVAL);
}

static void test_relative(void **state) {
        (void) state;
        set_zone("UTC");
        expect("-2h", NOW - 2 * HOUR);
        expect("+5min", NOW + 5 * MINUTE);
        expect("2 hours ago", NOW - 2 * HOUR);
        expect("1h 30min ago", NOW - 90 * MINUTE);
        expect("1h30min ago", NOW - 90 * MINUTE);
        expect("-90", NOW - 90 * SECOND);
        expect("-1.5s", NOW - 1500000);
        expect("-250ms", NOW - 250000);
        expect("-7us", NOW - 7);
        expect("1 week ago", NOW - 7 * DAY);
        expect("1 M ago", NOW - UINT64_C(2630016) * SECOND);
        expect("1 m ago", NOW - MINUTE);
        expect("-1y", NOW - UINT64_C(31557600) * SECOND);
        expect("5 ago", NOW - 5 * SECOND);
        expect_error("2 hours", -EINVAL);
        expect_error("-2 fortnights", -EINVAL);
        expect_error("-", -EINVAL);
        expect_error("ago", -EINVAL);
        expect_error("2 hours ago or so", -EINVAL);
        expect_error("-100y", -ERANGE);
        expect_error("+9000y", -ERANGE);
        expect_error("-999999999999999y", -ERANGE);
        expect_error("-1.h", -EINVAL);
}

static void test_epoch(void **state) {
        (void) state;
        expect("@0", 0);
        expect("@1795437296.789", NOW);
        expect("@1795437296.7890004", NOW);
        expect_error("@", -EINVAL);
        expect_error("@-1", -EINVAL);
        expect_error("@1x", -EINVAL);
        expect_error("@999999999999", -ERANGE);
}

static void test_calendar(void **state) {
        (void) state;
        set_zone("UTC");
        expect("12:34", NOW / MINUTE * MINUTE);
        expect("02:00", TODAY + 2 * HOUR);
        expect("2:00", TODAY + 2 * HOUR);
        expect("02:00:30.25", TODAY + 2 * HOUR + 30 * SECOND + 250000);
        expect("2026-11-23", TODAY);
        expect("2026-11-23 02:00", TODAY + 2 * HOUR);
        expect("2026-11-23T02:00:01Z", TODAY + 2 * HOUR + SECOND);
        expect("2026-11-23 02:00 UTC", TODAY + 2 * HOUR);
        expect("2028-02-29", UINT64_C(1835395200) * SECOND);
        expect("1970-01-01", 0);
        expect_error("2026-02-29", -EINVAL);
        expect_error("2026-13-01", -EINVAL);
        expect_error("2026-00-01", -EINVAL);
        expect_error("2026-01-32", -EINVAL);
        expect_error("2026-1", -EINVAL);
        expect_error("24:00", -EINVAL);
        expect_error("02:60", -EINVAL);
        expect_error("02:00:60", -EINVAL);
        expect_error("2026-11-23 02", -EINVAL);
        expect_error("2026-11-23x", -EINVAL);
        expect_error("02:00 tomorrow", -EINVAL);
        expect_error("1969-12-31", -EINVAL);
        expect_error("20260-01-01", -EINVAL);
        expect_error("2026-11-23 02:00:00 and a text that is much longer than any time would be",
                     -EINVAL);
}

/* Local time, with a day of 23 hours: in Berlin the clock went from 02:00 to 03:00 on 2026-03-29.
 */
static void test_zone(void **state) {
        (void) state;
        set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
        expect("2026-11-23 02:00", TODAY + HOUR);
        expect("2026-11-23 02:00 UTC", TODAY + 2 * HOUR);
        expect("today", TODAY - HOUR);
        expect("2026-03-29 04:00", UINT64_C(1774749600) * SECOND);
        expect("2026-03-29", UINT64_C(1774738800) * SECOND);
        expect("2026-03-30", UINT64_C(1774821600) * SECOND);
        set_zone("UTC");
}

static void expect_shown(struct buf *b, const char *text) {
        assert_false(b->failed);
        assert_int_equal(b->size, strlen(text));
        assert_memory_equal(b->data, text, b->size);
        b->size = 0;
}

static void test_show(void **state) {
        struct buf b = { 0 };

        (void) state;
        set_zone("UTC");
        when_show(&b, NOW, NOW);
        expect_shown(&b, "Nov 23 12:34:56");
        when_show(&b, NOW - 100 * DAY, NOW);
        expect_shown(&b, "Aug 15 12:34:56");
        when_show(&b, NOW - 200 * DAY, NOW);
        expect_shown(&b, "2026-05-07");
        when_show(&b, NOW + 200 * DAY, NOW);
        expect_shown(&b, "2027-06-11");
        when_show(&b, -1, NOW);
        expect_shown(&b, "-");
        when_show(&b, INT64_MAX, NOW);
        expect_shown(&b, "-");
        when_show_full(&b, NOW, ' ');
        expect_shown(&b, "2026-11-23 12:34:56");
        when_show_full(&b, 0, 'T');
        expect_shown(&b, "1970-01-01T00:00:00");
        buf_done(&b);
}

/* Each second of two days around the ends of a zone's quarters, against the C library. */
static void test_show_every_second(void **state) {
        static const char *const zones[] = { "UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "X+3:27:45",
                                             "<+1245>-12:45" };
        struct buf b = { 0 };

        (void) state;
        for (size_t z = 0; z < sizeof(zones) / sizeof(zones[0]); z++) {
                time_t from = 1792800000; /* 2026-10-24, the day before the clocks change */

                set_zone(zones[z]);
                /* Whatever is remembered of another zone is forgotten. */
                when_show_full(&b, 0, ' ');
                for (time_t t = from; t < from + 2 * 86400; t += 7) {
                        char text[32];
                        struct tm tm;

                        assert_non_null(localtime_r(&t, &tm));
                        assert_true(strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0);
                        b.size = 0;
                        when_show_full(&b, (int64_t) t * 1000000, ' ');
                        expect_shown(&b, text);
                }
        }
        set_zone("UTC");
        buf_done(&b);
}

static void test_span(void **state) {
        static const struct {
                uint64_t usec;
                const char *text, *dense;
        } cases[] = {
                { 0, "0us", "0us" },
                { 999, "999us", "999us" },
                { 1000, "1ms", "1ms" },
                { 999999, "999ms", "999ms" },
                { 1500000, "1.5s", "1.5s" },
                { 59999999, "59.9s", "59.9s" },
                { 60 * SECOND, "1min", "1min" },
                { 130 * SECOND, "2min 10s", "2min10s" },
                { 200 * MINUTE, "3h 20min", "3h20min" },
                { 3 * HOUR + 59, "3h", "3h" },
                { 5 * DAY + 2 * HOUR, "5d 2h", "5d2h" },
                { 1000 * DAY, "1000d", "1000d" },
        };
        struct buf b = { 0 };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                b.size = 0;
                when_show_span(&b, cases[i].usec, false);
                expect_shown(&b, cases[i].text);
                when_show_span(&b, cases[i].usec, true);
                expect_shown(&b, cases[i].dense);
        }
        buf_done(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_relative),
                cmocka_unit_test(test_epoch),
                cmocka_unit_test(test_calendar),
                cmocka_unit_test(test_zone),
                cmocka_unit_test(test_show),
                cmocka_unit_test(test_show_every_second),
                cmocka_unit_test(test_span),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

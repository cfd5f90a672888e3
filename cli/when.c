/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/when.h"

#define USEC_SECOND UINT64_C(1000000)
#define USEC_MINUTE (60 * USEC_SECOND)
#define USEC_HOUR   (60 * USEC_MINUTE)
#define USEC_DAY    (24 * USEC_HOUR)
/* As in systemd.time(7): 30.44 and 365.25 days. */
#define USEC_MONTH (UINT64_C(2630016) * USEC_SECOND)
#define USEC_YEAR  (UINT64_C(31557600) * USEC_SECOND)
#define USEC_LAST  (UINT64_C(253402300799) * USEC_SECOND) /* the end of the year 9999 */

static const struct {
        const char *name;
        uint64_t usec;
} units[] = {
        { "us", 1 },
        { "usec", 1 },
        { "ms", 1000 },
        { "msec", 1000 },
        { "s", USEC_SECOND },
        { "sec", USEC_SECOND },
        { "second", USEC_SECOND },
        { "seconds", USEC_SECOND },
        { "m", USEC_MINUTE },
        { "min", USEC_MINUTE },
        { "minute", USEC_MINUTE },
        { "minutes", USEC_MINUTE },
        { "h", USEC_HOUR },
        { "hr", USEC_HOUR },
        { "hour", USEC_HOUR },
        { "hours", USEC_HOUR },
        { "d", USEC_DAY },
        { "day", USEC_DAY },
        { "days", USEC_DAY },
        { "w", 7 * USEC_DAY },
        { "week", 7 * USEC_DAY },
        { "weeks", 7 * USEC_DAY },
        { "M", USEC_MONTH },
        { "month", USEC_MONTH },
        { "months", USEC_MONTH },
        { "y", USEC_YEAR },
        { "year", USEC_YEAR },
        { "years", USEC_YEAR },
};

static const char *skip_blanks(const char *p) {
        while (*p == ' ' || *p == '\t')
                p++;
        return p;
}

/* At least one digit and at the most max of them. */
static bool take_digits(const char **p, unsigned max, uint64_t *ret) {
        uint64_t value = 0;
        unsigned n = 0;

        while (isdigit((unsigned char) **p)) {
                if (++n > max)
                        return false;
                value = value * 10 + (uint64_t) (**p - '0');
                (*p)++;
        }
        if (n == 0)
                return false;
        *ret = value;
        return true;
}

/* A fraction behind a point, in millionths; digits past the sixth do not count. */
static bool take_fraction(const char **p, uint64_t *ret) {
        uint64_t weight = 100000, value = 0;

        if (!isdigit((unsigned char) **p))
                return false;
        for (; isdigit((unsigned char) **p); (*p)++) {
                value += weight * (uint64_t) (**p - '0');
                weight /= 10;
        }
        *ret = value;
        return true;
}

/* "1h 30min", "2 hours", "90": seconds where no unit is given. Stops at a word that is no unit. */
static int parse_span(const char **text, uint64_t *ret_usec) {
        const char *p = skip_blanks(*text);
        uint64_t sum = 0;
        bool any = false;

        while (isdigit((unsigned char) *p)) {
                uint64_t number, fraction = 0, unit = USEC_SECOND, part;
                size_t letters = 0, i;

                if (!take_digits(&p, 15, &number))
                        return -EINVAL;
                if (*p == '.') {
                        p++;
                        if (!take_fraction(&p, &fraction))
                                return -EINVAL;
                }
                p = skip_blanks(p);
                while (isalpha((unsigned char) p[letters]))
                        letters++;
                if (letters > 0) {
                        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
                                if (strlen(units[i].name) == letters &&
                                    strncmp(units[i].name, p, letters) == 0)
                                        break;
                        if (i < sizeof(units) / sizeof(units[0])) {
                                unit = units[i].usec;
                                p += letters;
                        } else if (strncmp(p, "ago", letters) != 0)
                                return -EINVAL;
                }
                if (__builtin_mul_overflow(number, unit, &part) ||
                    __builtin_add_overflow(sum, part, &sum) ||
                    __builtin_add_overflow(
                            sum, (uint64_t) ((double) fraction * 1e-6 * (double) unit), &sum))
                        return -ERANGE;
                any = true;
                p = skip_blanks(p);
        }
        if (!any)
                return -EINVAL;
        *text = p;
        *ret_usec = sum;
        return 0;
}

/* "-2h", "+5min", "2 hours ago". -EINVAL if it is none of these. */
static int parse_relative(const char *text, uint64_t now_usec, uint64_t *ret_usec) {
        const char *p = text;
        bool back;
        uint64_t span;
        int r;

        if (*p == '-' || *p == '+') {
                back = *p++ == '-';
                r = parse_span(&p, &span);
                if (r < 0)
                        return r;
        } else {
                r = parse_span(&p, &span);
                if (r < 0)
                        return r;
                if (strncmp(p, "ago", 3) != 0)
                        return -EINVAL;
                p += 3;
                back = true;
        }
        if (*skip_blanks(p) != '\0')
                return -EINVAL;
        if (back ? span > now_usec : span > USEC_LAST - now_usec)
                return -ERANGE;
        *ret_usec = back ? now_usec - span : now_usec + span;
        return 0;
}

/* Seconds since the epoch: "@1795399200.5". */
static int parse_epoch(const char *p, uint64_t *ret_usec) {
        uint64_t seconds, fraction = 0;

        if (!take_digits(&p, 12, &seconds))
                return -EINVAL;
        if (*p == '.') {
                p++;
                if (!take_fraction(&p, &fraction))
                        return -EINVAL;
        }
        if (*p != '\0')
                return -EINVAL;
        *ret_usec = seconds * USEC_SECOND + fraction;
        return *ret_usec > USEC_LAST ? -ERANGE : 0;
}

static bool leap(int year) {
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int month) {
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

        return days[month - 1] + (month == 2 && leap(year));
}

/* "2026-11-23" at *p, into *tm. */
static bool take_date(const char **p, struct tm *tm) {
        uint64_t year, month, day;

        if (!take_digits(p, 4, &year) || *(*p)++ != '-' || !take_digits(p, 2, &month) ||
            *(*p)++ != '-' || !take_digits(p, 2, &day))
                return false;
        if (year < 1970 || month < 1 || month > 12 || day < 1 ||
            day > (uint64_t) month_days((int) year, (int) month))
                return false;
        tm->tm_year = (int) year - 1900;
        tm->tm_mon = (int) month - 1;
        tm->tm_mday = (int) day;
        return true;
}

/* "02:00" or "02:00:30.5" at *p, into *tm. */
static bool take_clock(const char **p, struct tm *tm, uint64_t *ret_fraction) {
        uint64_t hour, minute, second = 0;

        if (!take_digits(p, 2, &hour) || *(*p)++ != ':' || !take_digits(p, 2, &minute))
                return false;
        if (**p == ':') {
                (*p)++;
                if (!take_digits(p, 2, &second))
                        return false;
                if (**p == '.') {
                        (*p)++;
                        if (!take_fraction(p, ret_fraction))
                                return false;
                }
        }
        if (hour > 23 || minute > 59 || second > 59)
                return false;
        tm->tm_hour = (int) hour;
        tm->tm_min = (int) minute;
        tm->tm_sec = (int) second;
        return true;
}

/* A date, a time of day, or both. */
static int parse_calendar(const char *p, uint64_t now_usec, uint64_t *ret_usec) {
        time_t now = (time_t) (now_usec / USEC_SECOND), seconds;
        uint64_t fraction = 0;
        struct tm tm = { 0 }, today;
        size_t n = strlen(p);
        bool utc = false;
        char text[64];

        if (n >= sizeof(text))
                return -EINVAL;
        memcpy(text, p, n + 1);
        if (n > 1 && text[n - 1] == 'Z' && isdigit((unsigned char) text[n - 2])) {
                utc = true;
                text[n - 1] = '\0';
        } else if (n > 4 && strcmp(text + n - 4, " UTC") == 0) {
                utc = true;
                text[n - 4] = '\0';
        }
        if (!(utc ? gmtime_r(&now, &today) : localtime_r(&now, &today)))
                return -ERANGE;
        tm.tm_year = today.tm_year;
        tm.tm_mon = today.tm_mon;
        tm.tm_mday = today.tm_mday;
        tm.tm_isdst = -1;
        p = text;
        if (strchr(p, '-')) {
                if (!take_date(&p, &tm))
                        return -EINVAL;
                if (*p == 'T')
                        p++;
                else if (*p == ' ')
                        p = skip_blanks(p);
                else if (*p != '\0')
                        return -EINVAL;
                if (*p != '\0' && !take_clock(&p, &tm, &fraction))
                        return -EINVAL;
        } else if (!take_clock(&p, &tm, &fraction))
                return -EINVAL;
        if (*p != '\0')
                return -EINVAL;
        seconds = utc ? timegm(&tm) : mktime(&tm);
        if (seconds < 0)
                return -ERANGE;
        *ret_usec = (uint64_t) seconds * USEC_SECOND + fraction;
        return *ret_usec > USEC_LAST ? -ERANGE : 0;
}

/* Midnight so many days from today. */
static int midnight(uint64_t now_usec, int days, uint64_t *ret_usec) {
        time_t now = (time_t) (now_usec / USEC_SECOND), seconds;
        struct tm tm;

        if (!localtime_r(&now, &tm))
                return -ERANGE;
        tm.tm_mday += days;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_isdst = -1;
        seconds = mktime(&tm);
        if (seconds < 0)
                return -ERANGE;
        *ret_usec = (uint64_t) seconds * USEC_SECOND;
        return 0;
}

int when_parse(const char *text, uint64_t now_usec, uint64_t *ret_usec) {
        uint64_t usec = 0;
        int r;

        text = skip_blanks(text);
        if (strcmp(text, "now") == 0) {
                usec = now_usec;
                r = 0;
        } else if (strcmp(text, "today") == 0)
                r = midnight(now_usec, 0, &usec);
        else if (strcmp(text, "yesterday") == 0)
                r = midnight(now_usec, -1, &usec);
        else if (strcmp(text, "tomorrow") == 0)
                r = midnight(now_usec, 1, &usec);
        else if (*text == '@')
                r = parse_epoch(text + 1, &usec);
        else {
                r = parse_relative(text, now_usec, &usec);
                if (r == -EINVAL)
                        r = parse_calendar(text, now_usec, &usec);
        }
        if (r < 0)
                return r;
        *ret_usec = usec;
        return 0;
}

uint64_t when_now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_SECOND + (uint64_t) ts.tv_nsec / 1000;
}

/*
 * Local time, remembering the quarter of an hour in which the last one lay: no zone changes its
 * offset anywhere else, and the rows of a table lie close together.
 */
static bool local_time(int64_t usec, struct tm *ret) {
        static time_t quarter = -1;
        static struct tm start;
        time_t seconds = (time_t) (usec / (int64_t) USEC_SECOND), begin;

        if (usec < 0 || (uint64_t) usec > USEC_LAST)
                return false;
        begin = seconds - seconds % 900;
        if (begin != quarter) {
                if (!localtime_r(&begin, &start))
                        return false;
                quarter = begin;
        }
        *ret = start;
        ret->tm_sec += (int) ((seconds - begin) % 60);
        ret->tm_min += (int) ((seconds - begin) / 60);
        if (ret->tm_sec > 59 || ret->tm_min > 59)
                return localtime_r(&seconds, ret) != NULL;
        return true;
}

static char *two_digits(char *p, int n) {
        *p++ = (char) ('0' + n / 10 % 10);
        *p++ = (char) ('0' + n % 10);
        return p;
}

/* These two stand in most rows of most tables, so they go without buf_digits(). */
static void put_date(struct buf *b, const struct tm *tm) {
        char text[10], *p = text;

        p = two_digits(p, (tm->tm_year + 1900) / 100);
        p = two_digits(p, (tm->tm_year + 1900) % 100);
        *p++ = '-';
        p = two_digits(p, tm->tm_mon + 1);
        *p++ = '-';
        (void) two_digits(p, tm->tm_mday);
        buf_put(b, text, sizeof(text));
}

static void put_clock(struct buf *b, const struct tm *tm) {
        char text[8], *p = text;

        p = two_digits(p, tm->tm_hour);
        *p++ = ':';
        p = two_digits(p, tm->tm_min);
        *p++ = ':';
        (void) two_digits(p, tm->tm_sec);
        buf_put(b, text, sizeof(text));
}

void when_show(struct buf *b, int64_t usec, uint64_t now_usec) {
        static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
        uint64_t away;
        struct tm tm;

        if (!local_time(usec, &tm)) {
                buf_char(b, '-');
                return;
        }
        away = (uint64_t) usec > now_usec ? (uint64_t) usec - now_usec : now_usec - (uint64_t) usec;
        if (away > USEC_YEAR / 2) {
                put_date(b, &tm);
                return;
        }
        buf_put(b, months[tm.tm_mon], 3);
        buf_char(b, ' ');
        buf_digits(b, (uint64_t) tm.tm_mday, 2);
        buf_char(b, ' ');
        put_clock(b, &tm);
}

void when_show_full(struct buf *b, int64_t usec, char between) {
        struct tm tm;

        if (!local_time(usec, &tm)) {
                buf_char(b, '-');
                return;
        }
        put_date(b, &tm);
        buf_char(b, between);
        put_clock(b, &tm);
}

void when_show_span(struct buf *b, uint64_t usec, bool dense) {
        static const struct {
                const char *name;
                uint64_t usec;
        } parts[] = {
                { "d", USEC_DAY },
                { "h", USEC_HOUR },
                { "min", USEC_MINUTE },
                { "s", USEC_SECOND },
        };

        if (usec < 1000) {
                buf_digits(b, usec, 1);
                buf_text(b, "us");
                return;
        }
        if (usec < USEC_SECOND) {
                buf_digits(b, usec / 1000, 1);
                buf_text(b, "ms");
                return;
        }
        if (usec < USEC_MINUTE) {
                buf_digits(b, usec / USEC_SECOND, 1);
                buf_char(b, '.');
                buf_digits(b, usec % USEC_SECOND / 100000, 1);
                buf_char(b, 's');
                return;
        }
        for (size_t i = 0; i + 1 < sizeof(parts) / sizeof(parts[0]); i++) {
                uint64_t rest;

                if (usec < parts[i].usec)
                        continue;
                buf_digits(b, usec / parts[i].usec, 1);
                buf_text(b, parts[i].name);
                rest = usec % parts[i].usec / parts[i + 1].usec;
                if (rest > 0) {
                        if (!dense)
                                buf_char(b, ' ');
                        buf_digits(b, rest, 1);
                        buf_text(b, parts[i + 1].name);
                }
                return;
        }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

/*
 * Where the daemon says what happened: to the journal with structured fields when stderr is a
 * stream of the journal (systemd.exec(5), $JOURNAL_STREAM), else to stderr as "NAME: text". Control
 * characters are shown as "?", so that what strangers chose (names of processes) cannot make lines
 * of its own. Not for lib/ and wire/, which return their errors.
 */

/*
 * To be called once, early. name must stay valid. $PORTWATCH_LOG_LEVEL sets what is left out: a
 * name of syslog(3) in lower case without LOG_ ("err", "warning", "notice", "info", "debug"); info
 * unless it is set.
 */
void log_open(const char *name);
/* Says how many messages were held back and not yet counted aloud. */
void log_close(void);

/* errno survives, and %m is what it stands for. */
__attribute__((format(printf, 2, 3))) void log_at(int priority, const char *format, ...);

#define log_error(...)   log_at(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_at(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_at(LOG_DEBUG, __VA_ARGS__)

#define LOG_EVENT_FIELDS_MAX 16

/*
 * Tells an event that the message catalog explains: message_id is of daemon/messages.h, message is
 * one sentence; then come fields "NAME=value" (names as systemd.journal-fields(7) wants them, at
 * most LOG_EVENT_FIELDS_MAX), and NULL. On stderr only the message is shown.
 */
__attribute__((sentinel)) void log_event(int priority, const char *message_id, const char *message,
                                         ...);

/*
 * Holds back what is said over and over: of equal texts LOG_LIMIT_BURST pass in each
 * LOG_LIMIT_USEC, the others are counted. Pure, for the sake of its test.
 */
#define LOG_LIMIT_USEC    UINT64_C(30000000)
#define LOG_LIMIT_BURST   5
#define LOG_LIMIT_ENTRIES 16

struct log_limit {
        struct log_limit_entry {
                uint64_t hash; /* of the text; 0: free */
                uint64_t since_usec;
                unsigned passed;
                unsigned held;
                int priority;
                char text[160]; /* for the count, cut where it is longer */
        } entries[LOG_LIMIT_ENTRIES];
};

/* May text be said now (any clock that does not go back)? Returns 1, or 0: it was counted instead.
 */
int log_limit_pass(struct log_limit *limit, int priority, const char *text, uint64_t now_usec);

/*
 * Takes out one entry whose time is over (all: any entry), if it has held something back: its count
 * is in ret->held. Returns 1, or 0 when there is none.
 */
int log_limit_take(struct log_limit *limit, uint64_t now_usec, int all,
                   struct log_limit_entry *ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The journal shall name the place in the log that says it, not this file. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "daemon/log.h"

#define TEXT_SIZE 2048 /* of a message; what is longer is cut */

static struct {
        const char *name;
        int max_priority;
        bool journal; /* stderr is a stream of the journal, so it takes fields from us too */
        struct log_limit limit;
} state = { .name = "portwatchd", .max_priority = LOG_INFO };

static const char *const levels[] = {
        [LOG_EMERG] = "emerg", [LOG_ALERT] = "alert",     [LOG_CRIT] = "crit",
        [LOG_ERR] = "err",     [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

/* systemd.exec(5): $JOURNAL_STREAM is device and inode of the stream that it made our stderr. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        char expected[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        snprintf(expected, sizeof(expected), "%" PRIuMAX ":%" PRIuMAX, (uintmax_t) st.st_dev,
                 (uintmax_t) st.st_ino);
        return strcmp(stream, expected) == 0;
}

void log_open(const char *name) {
        const char *level = getenv("PORTWATCH_LOG_LEVEL");

        state.name = name;
        state.journal = stderr_is_journal();
        state.max_priority = LOG_INFO;
        for (int i = 0; level && i <= LOG_DEBUG; i++)
                if (strcmp(level, levels[i]) == 0)
                        state.max_priority = i;
}

/* FNV-1a; never 0, which marks a free entry. */
static uint64_t hash_text(const char *text) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (; *text; text++)
                hash = (hash ^ (unsigned char) *text) * UINT64_C(0x100000001b3);
        return hash ? hash : 1;
}

static void entry_start(struct log_limit_entry *e, int priority, const char *text, uint64_t hash,
                        uint64_t now_usec) {
        *e = (struct log_limit_entry){
                .hash = hash,
                .since_usec = now_usec,
                .passed = 1,
                .priority = priority,
        };
        strncpy(e->text, text, sizeof(e->text) - 1);
}

int log_limit_pass(struct log_limit *limit, int priority, const char *text, uint64_t now_usec) {
        struct log_limit_entry *oldest = NULL;
        uint64_t hash = hash_text(text);

        for (size_t i = 0; i < LOG_LIMIT_ENTRIES; i++) {
                struct log_limit_entry *e = &limit->entries[i];

                if (e->hash == hash && now_usec - e->since_usec < LOG_LIMIT_USEC) {
                        if (e->passed < LOG_LIMIT_BURST) {
                                e->passed++;
                                return 1;
                        }
                        e->held++;
                        return 0;
                }
                /* One that has held something back stays until that was said. */
                if (e->held == 0 && (!oldest || e->since_usec < oldest->since_usec))
                        oldest = e;
        }
        if (oldest)
                entry_start(oldest, priority, text, hash, now_usec);
        return 1;
}

int log_limit_take(struct log_limit *limit, uint64_t now_usec, int all,
                   struct log_limit_entry *ret) {
        for (size_t i = 0; i < LOG_LIMIT_ENTRIES; i++) {
                struct log_limit_entry *e = &limit->entries[i];

                if (e->held == 0 || (!all && now_usec - e->since_usec < LOG_LIMIT_USEC))
                        continue;
                *ret = *e;
                *e = (struct log_limit_entry){ .hash = 0 };
                return 1;
        }
        return 0;
}

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

static void mask_controls(char *text) {
        for (; *text; text++)
                if (iscntrl((unsigned char) *text))
                        *text = '?';
}

/* One write for a line, so that the lines of two processes do not mix. */
static void write_stderr(int priority, const char *text) {
        char line[TEXT_SIZE + 128];
        int n;

        if (state.journal) /* it did not take the fields: sd-daemon(3) prefixes are the next best */
                n = snprintf(line, sizeof(line), "<%d>%s\n", priority, text);
        else
                n = snprintf(line, sizeof(line), "%s: %s\n", state.name, text);
        if (n > 0 && (size_t) n < sizeof(line) && write(STDERR_FILENO, line, (size_t) n) < 0)
                return; /* nowhere left to say so */
}

/* Hands text and n fields of "NAME=value" on, past the limit. */
static void emit(int priority, const char *text, const char *const *fields, size_t n) {
        char message[TEXT_SIZE + 16], level[16], identifier[64];
        struct iovec iov[LOG_EVENT_FIELDS_MAX + 4];
        size_t n_iov = 0;

        if (!state.journal) {
                write_stderr(priority, text);
                return;
        }
        snprintf(message, sizeof(message), "MESSAGE=%s", text);
        snprintf(level, sizeof(level), "PRIORITY=%d", priority);
        snprintf(identifier, sizeof(identifier), "SYSLOG_IDENTIFIER=%s", state.name);
        iov[n_iov++] = (struct iovec){ message, strlen(message) };
        iov[n_iov++] = (struct iovec){ level, strlen(level) };
        iov[n_iov++] = (struct iovec){ identifier, strlen(identifier) };
        for (size_t i = 0; i < n; i++)
                iov[n_iov++] = (struct iovec){ (void *) (uintptr_t) fields[i], strlen(fields[i]) };
        if (sd_journal_sendv(iov, (int) n_iov) < 0)
                write_stderr(priority, text);
}

static void emit_held(uint64_t now, int all) {
        struct log_limit_entry e;

        while (log_limit_take(&state.limit, now, all, &e)) {
                char text[sizeof(e.text) + 64];

                snprintf(text, sizeof(text), "Said %u more times: %s", e.held, e.text);
                emit(e.priority, text, NULL, 0);
        }
}

static void submit(int priority, char *text, const char *const *fields, size_t n) {
        uint64_t now = now_usec();

        mask_controls(text);
        emit_held(now, 0);
        if (log_limit_pass(&state.limit, priority, text, now))
                emit(priority, text, fields, n);
}

void log_at(int priority, const char *format, ...) {
        int saved_errno = errno;
        char text[TEXT_SIZE];
        va_list ap;

        if (priority > state.max_priority)
                return;
        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        submit(priority, text, NULL, 0);
        errno = saved_errno;
}

void log_event(int priority, const char *message_id, const char *message, ...) {
        const char *fields[LOG_EVENT_FIELDS_MAX + 1];
        int saved_errno = errno;
        char text[TEXT_SIZE], id[64];
        const char *field;
        size_t n = 0;
        va_list ap;

        if (priority > state.max_priority)
                return;
        snprintf(id, sizeof(id), "MESSAGE_ID=%s", message_id);
        fields[n++] = id;
        va_start(ap, message);
        while (n <= LOG_EVENT_FIELDS_MAX && (field = va_arg(ap, const char *)))
                fields[n++] = field;
        va_end(ap);
        snprintf(text, sizeof(text), "%s", message);
        submit(priority, text, fields, n);
        errno = saved_errno;
}

void log_close(void) {
        emit_held(now_usec(), 1);
}

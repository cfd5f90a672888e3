/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cli/cells.h"
#include "cli/json_print.h"
#include "cli/users.h"
#include "cli/when.h"

bool string_is(const struct json_string *s, const char *word) {
        return s->data && s->size == strlen(word) && memcmp(s->data, word, s->size) == 0;
}

void cell_string(struct buf *b, const struct style *style, const struct json_string *s) {
        if (!s->data || s->size == 0)
                buf_char(b, '-');
        else
                json_show(b, s, style->ascii, style->machine);
}

void cell_number(struct buf *b, int64_t n) {
        if (n == REPLY_NULL)
                buf_char(b, '-');
        else
                buf_number(b, n);
}

void cell_port(struct buf *b, int64_t port) {
        if (port == 0)
                buf_char(b, '*');
        else
                cell_number(b, port);
}

void cell_endpoint(struct buf *b, const struct style *style, const struct endpoint *e) {
        if (!e->address.data) {
                buf_char(b, '-');
                return;
        }
        if (memchr(e->address.data, ':', e->address.size)) {
                buf_char(b, '[');
                json_show(b, &e->address, style->ascii, style->machine);
                buf_char(b, ']');
        } else
                json_show(b, &e->address, style->ascii, style->machine);
        buf_char(b, ':');
        cell_port(b, e->port);
}

void cell_time(struct buf *b, const struct style *style, int64_t usec) {
        if (usec == REPLY_NULL || usec <= 0)
                buf_char(b, '-');
        else if (style->machine)
                when_show_full(b, usec, 'T');
        else
                when_show(b, usec, style->now_usec);
}

void cell_size(struct buf *b, int64_t bytes) {
        static const char units[] = "KMGTPE";
        uint64_t n = (uint64_t) bytes, rest = 0;
        int unit = -1;

        if (bytes == REPLY_NULL || bytes < 0) {
                buf_char(b, '-');
                return;
        }
        while (n >= 1024) {
                rest = n % 1024;
                n /= 1024;
                unit++;
        }
        buf_digits(b, n, 1);
        if (unit < 0)
                return;
        if (n < 10) {
                buf_char(b, '.');
                buf_digits(b, rest * 10 / 1024, 1);
        }
        buf_char(b, units[unit]);
}

void cell_duration(struct buf *b, const struct style *style, const struct reply_socket *s) {
        uint64_t begin, end;

        if (s->opened_usec == REPLY_NULL || s->opened_usec < 0) {
                buf_char(b, '-');
                return;
        }
        begin = (uint64_t) s->opened_usec;
        end = s->closed_usec < 0 ? style->now_usec : (uint64_t) s->closed_usec;
        if (s->closed_usec < 0 && !string_is(&s->outcome, "open")) {
                buf_char(b, '-');
                return;
        }
        when_show_span(b, end > begin ? end - begin : 0, style->machine);
}

void cell_user(struct buf *b, int64_t uid) {
        const char *name = "";

        if (uid == REPLY_NULL) {
                buf_char(b, '-');
                return;
        }
        if (uid >= 0 && uid < UINT32_MAX)
                name = users_name((uint32_t) uid);
        if (*name)
                buf_text(b, name);
        else
                buf_number(b, uid);
}

/* "refused", "refused, 12 attempts on several ports", "closed after 2s, received 10, sent 20". */
static void detail_end(struct buf *b, const struct style *style, const struct row *row) {
        const struct reply_socket *s = &row->socket;

        cell_string(b, style, &s->outcome);
        if (row->attempts > 1) {
                buf_text(b, ", ");
                buf_number(b, row->attempts);
                buf_text(b, " attempts");
                if (s->local.port == 0)
                        buf_text(b, " on several ports");
        }
        if (!string_is(&row->kind, "close"))
                return;
        buf_text(b, " after ");
        cell_duration(b, style, s);
        if (s->bytes_received == REPLY_NULL)
                return;
        buf_text(b, ", received ");
        cell_size(b, s->bytes_received);
        buf_text(b, ", sent ");
        cell_size(b, s->bytes_sent);
}

void cell_detail(struct buf *b, const struct style *style, const struct row *row) {
        /* A sentence, and the last cell: blanks are no harm here. */
        struct style plain = { .now_usec = style->now_usec, .ascii = style->ascii };

        switch (row->type) {
        case ROW_CONNECTION:
                if (string_is(&row->kind, "open"))
                        cell_string(b, &plain, &row->socket.service);
                else
                        detail_end(b, &plain, row);
                break;
        case ROW_LISTENER:
                cell_string(b, &plain, &row->socket.exposure);
                break;
        case ROW_MARK:
                if (string_is(&row->kind, "start"))
                        buf_text(b, "the recorder started");
                else if (string_is(&row->kind, "stop"))
                        buf_text(b, "the recorder stopped");
                else if (!string_is(&row->kind, "lost"))
                        buf_char(b, '-');
                break;
        }
        if (row->socket.expected == TRUTH_FALSE)
                buf_text(b, ", unexpected");
        if (row->lost == REPLY_NULL) {
                if (string_is(&row->kind, "lost"))
                        buf_text(b, "events are missing here, nobody knows how many");
                return;
        }
        if (row->lost != 0 || string_is(&row->kind, "lost")) {
                if (!string_is(&row->kind, "lost"))
                        buf_text(b, "; ");
                buf_number(b, row->lost);
                buf_text(b, row->lost == 1 ? " event is missing before this"
                                           : " events are missing before this");
        }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cells.h"
#include "cli/columns.h"
#include "cli/netns.h"
#include "cli/out.h"

#define SOCKETS (SET_LISTENERS | SET_CONNECTIONS | SET_EVENTS)
#define PEERS   (SET_CONNECTIONS | SET_EVENTS)

static void put_direction(struct buf *b, const struct style *style, const struct row *row) {
        const struct json_string *s = &row->socket.direction;

        if (string_is(s, "inbound"))
                buf_text(b, "in");
        else if (string_is(s, "outbound"))
                buf_text(b, "out");
        else
                cell_string(b, style, s);
}

/* The port that category and service are about. */
static void put_port(struct buf *b, const struct style *style, const struct row *row) {
        const struct reply_socket *s = &row->socket;

        (void) style;
        cell_port(b, string_is(&s->direction, "outbound") ? s->remote.port : s->local.port);
}

static void put_user(struct buf *b, const struct style *style, const struct row *row) {
        (void) style;
        cell_user(b, row->socket.owner.uid);
}

static void put_netns(struct buf *b, const struct style *style, const struct row *row) {
        const char *name = row->socket.netns > 0 ? netns_name((uint64_t) row->socket.netns) : "";

        (void) style;
        if (*name)
                buf_text(b, name);
        else if (row->socket.netns == REPLY_NULL)
                buf_char(b, '-');
        else
                buf_number(b, row->socket.netns);
}

static void put_expected(struct buf *b, const struct style *style, const struct row *row) {
        (void) style;
        buf_text(b, row->socket.expected == TRUTH_NULL   ? "-"
                    : row->socket.expected == TRUTH_TRUE ? "yes"
                                                         : "no");
}

/* Of a listener that one unit opened for another: that one. */
static void put_socket_unit(struct buf *b, const struct style *style, const struct row *row) {
        cell_string(b, style, &row->socket.opener.unit);
}

static void put_duration(struct buf *b, const struct style *style, const struct row *row) {
        cell_duration(b, style, &row->socket);
}

static enum tint tint_exposure(const struct row *row) {
        return string_is(&row->socket.exposure, "any") ? TINT_NOTICE : TINT_NONE;
}

static enum tint tint_kind(const struct row *row) {
        return string_is(&row->kind, "fail") || string_is(&row->kind, "refuse") ? TINT_NOTICE
                                                                                : TINT_NONE;
}

static enum tint tint_outcome(const struct row *row) {
        const struct json_string *s = &row->socket.outcome;

        return s->data && !string_is(s, "open") && !string_is(s, "closed") ? TINT_NOTICE
                                                                           : TINT_NONE;
}

#define STRING(member) CELL_STRING, offsetof(struct row, member)
#define NUMBER(member) CELL_NUMBER, offsetof(struct row, member)
#define TIME(member)   CELL_TIME, offsetof(struct row, member)
#define SIZE(member)   CELL_SIZE, offsetof(struct row, member)
#define POINT(member)  CELL_ENDPOINT, offsetof(struct row, member)
#define OTHER          CELL_OTHER, 0
#define COUNT(member)  CELL_NUMBER, offsetof(struct count, member)
#define RIGHT          COLUMN_RIGHT
#define TRUNC          COLUMN_TRUNC

const struct column columns_all[] = {
        /* clang-format off */
        { "TIME", SET_EVENTS, 15, 0, TIME(time_usec), "when it happened", NULL, NULL },
        { "KIND", SET_EVENTS, 8, 0, STRING(kind), "what happened: listen, open, close, ...", NULL, tint_kind },
        { "SEQ", SET_EVENTS, 6, RIGHT, NUMBER(seq), "the event's number in the record", NULL, NULL },
        { "ID", SOCKETS, 6, RIGHT, NUMBER(socket.id), "number of the event that opened it", NULL, NULL },
        { "PROTO", SOCKETS, 5, 0, STRING(socket.transport), "tcp, udp, udplite, sctp, raw, packet or vsock", NULL, NULL },
        { "FAMILY", SOCKETS, 6, 0, STRING(socket.family), "ipv4, ipv6, packet or vsock", NULL, NULL },
        { "DIR", PEERS, 3, 0, OTHER, "in: accepted here, out: started here", put_direction, NULL },
        { "LOCAL", SOCKETS, 15, 0, POINT(socket.local), "address and port on this host", NULL, NULL },
        { "PEER", PEERS, 15, 0, POINT(socket.remote), "address and port of the other side", NULL, NULL },
        { "PORT", SOCKETS, 5, RIGHT, OTHER, "service port: the local one, of outbound the peer's", put_port, NULL },
        { "SERVICE", SOCKETS, 7, 0, STRING(socket.service), "registered name of the service port", NULL, NULL },
        { "CATEGORY", SOCKETS, 8, 0, STRING(socket.category), "system, user or dynamic (RFC 6335)", NULL, NULL },
        { "PROCESS", SOCKETS, 10, TRUNC, STRING(socket.owner.name), "name of the owner", NULL, NULL },
        { "PID", SOCKETS, 6, RIGHT, NUMBER(socket.owner.pid), "process number of the owner", NULL, NULL },
        { "EXECUTABLE", SOCKETS, 20, TRUNC, STRING(socket.owner.executable), "program of the owner", NULL, NULL },
        { "UID", SOCKETS, 5, RIGHT, NUMBER(socket.owner.uid), "user number of the owner", NULL, NULL },
        { "USER", SOCKETS, 8, 0, OTHER, "user name of the owner", put_user, NULL },
        { "UNIT", SOCKETS, 16, TRUNC, STRING(socket.owner.unit), "systemd unit of the owner", NULL, NULL },
        { "SOCKET-UNIT", SET_LISTENERS, 16, TRUNC, OTHER, "the unit that opened it for UNIT (socket activation)", put_socket_unit, NULL },
        { "CONTAINER", SOCKETS, 12, TRUNC, STRING(socket.owner.container), "container of the owner", NULL, NULL },
        { "ATTRIBUTION", SOCKETS, 11, 0, STRING(socket.owner.attribution), "how the owner was learnt: exact, listener, lookup, unknown", NULL, NULL },
        { "NETNS", SOCKETS, 10, 0, OTHER, "network namespace: its name (ip-netns(8)), own, or number", put_netns, NULL },
        { "EXPOSURE", SET_LISTENERS | SET_EVENTS, 8, 0, STRING(socket.exposure), "who can reach it: loopback, address, any", NULL, tint_exposure },
        { "EXPECTED", SOCKETS, 8, 0, OTHER, "does a rule expect it", put_expected, NULL },
        { "RULE", SOCKETS, 12, TRUNC, STRING(socket.rule), "the rule that does", NULL, NULL },
        { "FIRST-SEEN", SET_LISTENERS | SET_EVENTS, 15, 0, TIME(socket.first_seen_usec), "when such a listener was first met", NULL, NULL },
        { "OPENED", SOCKETS, 15, 0, TIME(socket.opened_usec), "open since", NULL, NULL },
        { "ENDED", PEERS, 15, 0, TIME(socket.closed_usec), "when it ended", NULL, NULL },
        { "OUTCOME", PEERS, 9, 0, STRING(socket.outcome), "open, closed, reset, refused, timed_out, failed", NULL, tint_outcome },
        { "DURATION", PEERS, 8, RIGHT, OTHER, "how long it lasted, or has so far", put_duration, NULL },
        { "RECEIVED", PEERS, 8, RIGHT, SIZE(socket.bytes_received), "bytes received", NULL, NULL },
        { "SENT", PEERS, 6, RIGHT, SIZE(socket.bytes_sent), "bytes sent", NULL, NULL },
        { "ATTEMPTS", SET_EVENTS, 8, RIGHT, NUMBER(attempts), "of refuse: how many attempts it stands for", NULL, NULL },
        { "LOST", SET_EVENTS, 4, RIGHT, NUMBER(lost), "events missing just before", NULL, NULL },
        { "DETAIL", SET_EVENTS, 6, COLUMN_LAST, OTHER, "the rest in a few words", cell_detail, NULL },

        { "KEY", SET_COUNTS, 12, 0, CELL_STRING, offsetof(struct count, key), "what is counted, see --by", NULL, NULL },
        { "LISTENERS", SET_COUNTS, 9, RIGHT, COUNT(listeners), "listeners open now", NULL, NULL },
        { "UNEXPECTED", SET_COUNTS, 10, RIGHT, COUNT(unexpected), "those that no rule expects", NULL, NULL },
        { "OPEN", SET_COUNTS, 6, RIGHT, COUNT(open), "connections open now", NULL, NULL },
        { "INBOUND", SET_COUNTS, 7, RIGHT, COUNT(inbound), "connections accepted here", NULL, NULL },
        { "OUTBOUND", SET_COUNTS, 8, RIGHT, COUNT(outbound), "connections started here", NULL, NULL },
        { "REFUSED", SET_COUNTS, 7, RIGHT, COUNT(refused), "attempts on ports where nobody listens", NULL, NULL },
        { "RECEIVED", SET_COUNTS, 8, RIGHT, CELL_SIZE, offsetof(struct count, bytes_received), "bytes received", NULL, NULL },
        { "SENT", SET_COUNTS, 6, RIGHT, CELL_SIZE, offsetof(struct count, bytes_sent), "bytes sent", NULL, NULL },
        /* clang-format on */
};
_Static_assert(sizeof(columns_all) / sizeof(columns_all[0]) <= COLUMNS_MAX,
               "a table can have all columns");
const size_t columns_n = sizeof(columns_all) / sizeof(columns_all[0]);

void column_put(const struct column *c, struct buf *b, const struct style *style,
                const void *item) {
        const void *at = (const char *) item + c->offset;

        switch (c->type) {
        case CELL_STRING:
                cell_string(b, style, at);
                break;
        case CELL_NUMBER:
                cell_number(b, *(const int64_t *) at);
                break;
        case CELL_TIME:
                cell_time(b, style, *(const int64_t *) at);
                break;
        case CELL_SIZE:
                cell_size(b, *(const int64_t *) at);
                break;
        case CELL_ENDPOINT:
                cell_endpoint(b, style, at);
                break;
        case CELL_OTHER:
                c->put(b, style, item);
                break;
        }
}

bool column_is_plain(const struct column *c, const void *item) {
        const void *at = (const char *) item + c->offset;

        switch (c->type) {
        case CELL_STRING:
                return ((const struct json_string *) at)->plain;
        case CELL_ENDPOINT:
                return ((const struct endpoint *) at)->address.plain;
        case CELL_OTHER:
                return false;
        default:
                return true;
        }
}

enum tint columns_row_tint(const struct row *row) {
        if (row->socket.expected == TRUTH_FALSE || string_is(&row->kind, "lost"))
                return TINT_ALERT;
        return TINT_NONE;
}

static const struct column *find_column(unsigned set, const char *name, size_t n) {
        for (size_t i = 0; i < columns_n; i++)
                if ((columns_all[i].sets & set) && strncasecmp(columns_all[i].name, name, n) == 0 &&
                    columns_all[i].name[n] == '\0')
                        return &columns_all[i];
        return NULL;
}

static int add_columns(struct columns *ret, unsigned set, const char *list, char why[static 256]) {
        for (;;) {
                const char *end = strchrnul(list, ',');
                const struct column *c = find_column(set, list, (size_t) (end - list));
                size_t i;

                if (!c) {
                        (void) snprintf(why, 256,
                                        "there is no column %.*s here, see --columns=help",
                                        (int) (end - list > 64 ? 64 : end - list), list);
                        return -EINVAL;
                }
                for (i = 0; i < ret->n; i++)
                        if (ret->list[i] == c)
                                break;
                /* COLUMNS_MAX is more than there are. */
                if (i == ret->n)
                        ret->list[ret->n++] = c;
                if (*end == '\0')
                        return 0;
                list = end + 1;
                if (*list == '+')
                        list++;
        }
}

int columns_choose(struct columns *ret, unsigned set, const char *defaults, const char *spec,
                   char why[static 256]) {
        struct columns chosen = { .n = 0 };
        int r = 0;

        if (!spec || *spec == '+')
                r = add_columns(&chosen, set, defaults, why);
        if (r >= 0 && spec)
                r = add_columns(&chosen, set, *spec == '+' ? spec + 1 : spec, why);
        if (r < 0)
                return r;
        /* A sentence in the middle would push all behind it out of line. */
        for (size_t i = 0; i + 1 < chosen.n; i++)
                if (chosen.list[i]->flags & COLUMN_LAST) {
                        const struct column *c = chosen.list[i];

                        chosen.list[i] = chosen.list[i + 1];
                        chosen.list[i + 1] = c;
                }
        *ret = chosen;
        return 0;
}

void columns_help(unsigned set) {
        for (size_t i = 0; i < columns_n; i++)
                if (columns_all[i].sets & set)
                        out_format("%-12s %s\n", columns_all[i].name, columns_all[i].help);
}

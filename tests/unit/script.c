/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/types.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/record.h"
#include "script.h"

struct name {
        const char *name;
        unsigned value;
};

static const struct name states[] = {
        { "established", TCP_ESTABLISHED },
        { "syn-sent", TCP_SYN_SENT },
        { "syn-recv", TCP_SYN_RECV },
        { "fin-wait-1", TCP_FIN_WAIT1 },
        { "fin-wait-2", TCP_FIN_WAIT2 },
        { "time-wait", TCP_TIME_WAIT },
        { "close", TCP_CLOSE },
        { "close-wait", TCP_CLOSE_WAIT },
        { "last-ack", TCP_LAST_ACK },
        { "listen", TCP_LISTEN },
        { "closing", TCP_CLOSING },
        { NULL, 0 },
};

static const struct name errors[] = {
        { "refused", ECONNREFUSED },
        { "timed-out", ETIMEDOUT },
        { "reset", ECONNRESET },
        { "pipe", EPIPE },
        { "aborted", ECONNABORTED },
        { "unreachable", EHOSTUNREACH },
        { NULL, 0 },
};

static bool name_parse(const struct name *names, const char *text, unsigned *ret) {
        for (; names->name; names++)
                if (strcmp(names->name, text) == 0) {
                        *ret = names->value;
                        return true;
                }
        return false;
}

static bool number_parse(const char *text, uint64_t *ret) {
        char *end;

        if (!text || *text < '0' || *text > '9')
                return false;
        *ret = strtoull(text, &end, 10);
        return *end == 0;
}

/* "-" leaves it zero, of the family of the other end. */
static bool end_parse(char *text, struct event *ev, bool remote) {
        uint8_t *address = remote ? ev->remote : ev->local;
        uint64_t port;
        char *colon;

        if (!text)
                return false;
        if (strcmp(text, "-") == 0)
                return true;
        colon = strrchr(text, ':');
        if (!colon || !number_parse(colon + 1, &port) || port > UINT16_MAX)
                return false;
        *colon = 0;
        if (remote)
                ev->remote_port = (uint16_t) port;
        else
                ev->local_port = (uint16_t) port;
        if (*text != '[') {
                ev->family = AF_INET;
                return inet_pton(AF_INET, text, address) == 1;
        }
        if (colon[-1] != ']')
                return false;
        colon[-1] = 0;
        ev->family = AF_INET6;
        return inet_pton(AF_INET6, text + 1, address) == 1;
}

static bool states_parse(char *text, struct event *ev) {
        char *arrow = text ? strchr(text, '>') : NULL;
        unsigned from, to;

        if (!arrow)
                return false;
        *arrow = 0;
        if (!name_parse(states, text, &from) || !name_parse(states, arrow + 1, &to))
                return false;
        ev->old_state = (uint8_t) from;
        ev->new_state = (uint8_t) to;
        return true;
}

static bool found_state_parse(const char *text, struct event *ev) {
        unsigned state;

        if (!text)
                return false;
        if (strcmp(text, "bound") == 0 || strcmp(text, "connected") == 0) {
                ev->transport = IPPROTO_UDP;
                ev->flags |= strcmp(text, "connected") == 0 ? EVENT_CONNECTED : 0;
                ev->new_state = ev->flags & EVENT_CONNECTED ? TCP_ESTABLISHED : TCP_CLOSE;
                return true;
        }
        if (!name_parse(states, text, &state))
                return false;
        ev->new_state = (uint8_t) state;
        return true;
}

#define NEXT() strtok_r(NULL, " \t", &at)

static bool type_parse(const char *type, char **rest, struct event *ev) {
        static const struct {
                const char *name;
                enum event_type type;
                bool udp, cookie, in_process;
        } types[] = {
                { "state", EVENT_STATE, false, true, true },
                { "bind", EVENT_BIND, true, true, true },
                { "connect", EVENT_CONNECT, true, true, true },
                { "peer", EVENT_PEER, true, true, true },
                { "release", EVENT_RELEASE, true, true, true },
                { "owner", EVENT_OWNER, false, true, false },
                { "accept", EVENT_OWNER, false, true, true },
                { "found", EVENT_FOUND, false, true, false },
                { "destroyed", EVENT_DESTROYED, false, true, false },
                { "refused", EVENT_REFUSED, false, false, false },
                { "lost", EVENT_LOST, false, false, false },
                { "begin", EVENT_SNAPSHOT_BEGIN, false, false, false },
                { "end", EVENT_SNAPSHOT_END, false, false, false },
        };
        char *at = *rest;
        bool ok = true;
        uint64_t n = 0;

        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                if (strcmp(types[i].name, type) != 0)
                        continue;
                ev->type = (uint8_t) types[i].type;
                ev->transport = types[i].udp ? IPPROTO_UDP : IPPROTO_TCP;
                ev->flags = types[i].in_process ? EVENT_IN_PROCESS : 0;
                if (types[i].cookie) {
                        ok = number_parse(NEXT(), &n) && n != 0;
                        ev->cookie = n;
                }
        }
        switch (ev->type) {
        case EVENT_STATE:
                ok = ok && states_parse(NEXT(), ev) && end_parse(NEXT(), ev, false) &&
                     end_parse(NEXT(), ev, true);
                break;
        case EVENT_FOUND:
                ok = ok && found_state_parse(NEXT(), ev) && end_parse(NEXT(), ev, false) &&
                     end_parse(NEXT(), ev, true);
                break;
        case EVENT_DESTROYED:
        case EVENT_PEER:
                ok = ok && end_parse(NEXT(), ev, false) && end_parse(NEXT(), ev, true);
                break;
        case EVENT_REFUSED:
                ok = end_parse(NEXT(), ev, false) && end_parse(NEXT(), ev, true) &&
                     number_parse(NEXT(), &n);
                ev->count = n;
                break;
        case EVENT_BIND:
                ok = ok && end_parse(NEXT(), ev, false);
                break;
        case EVENT_CONNECT:
                ok = ok && end_parse(NEXT(), ev, true);
                break;
        case EVENT_LOST:
                ok = number_parse(NEXT(), &n);
                ev->count = n;
                break;
        case EVENT_NONE:
                ok = false;
                break;
        default:
                break;
        }
        *rest = at;
        return ok;
}

static bool option_parse(char *word, struct event *ev) {
        char *value = strchr(word, '=');
        unsigned named;
        uint64_t n = 0;

        if (strcmp(word, "udp") == 0) {
                ev->transport = IPPROTO_UDP;
                return true;
        }
        if (strcmp(word, "sctp") == 0) {
                ev->transport = IPPROTO_SCTP;
                return true;
        }
        if (!value) {
                static const struct name flags[] = {
                        { "v6only", EVENT_V6ONLY },
                        { "autobound", EVENT_AUTOBOUND },
                        { "listeners-only", EVENT_LISTENERS_ONLY },
                        { "connected", EVENT_CONNECTED },
                        { "held", EVENT_HELD },
                        { NULL, 0 },
                };
                unsigned flag;

                if (!name_parse(flags, word, &flag))
                        return false;
                ev->flags |= flag;
                return true;
        }
        *value++ = 0;
        if (strcmp(word, "was") == 0) {
                if (!name_parse(states, value, &named))
                        return false;
                ev->old_state = (uint8_t) named;
                return true;
        }
        if (strcmp(word, "error") == 0) {
                if (!name_parse(errors, value, &named))
                        return false;
                ev->error = (uint16_t) named;
                return true;
        }
        if (strcmp(word, "opener") == 0) {
                static const struct name openers[] = {
                        { "self", OPENER_SELF },
                        { "peer", OPENER_PEER },
                        { NULL, 0 },
                };

                if (!name_parse(openers, value, &named))
                        return false;
                ev->opener = named;
                return true;
        }
        if (!number_parse(value, &n))
                return false;
        if (strcmp(word, "pid") == 0) {
                ev->pid = (uint32_t) n;
                ev->flags |= EVENT_HAS_SOCKET;
                if (ev->uid == UID_UNKNOWN)
                        ev->uid = 1000;
        } else if (strcmp(word, "uid") == 0)
                ev->uid = (uint32_t) n;
        else if (strcmp(word, "netns") == 0)
                ev->netns = (uint32_t) n;
        else if (strcmp(word, "ifindex") == 0)
                ev->ifindex = (uint32_t) n;
        else if (strcmp(word, "rx") == 0) {
                ev->bytes_received = n;
                ev->flags |= EVENT_BYTES;
        } else if (strcmp(word, "tx") == 0) {
                ev->bytes_sent = n;
                ev->flags |= EVENT_BYTES;
        } else
                return false;
        return true;
}

const char *script_parse(char *line, struct event *ret) {
        struct event ev = { .netns = 1, .uid = UID_UNKNOWN };
        char *at = NULL, *time = strtok_r(line, " \t", &at), *type, *word;
        uint64_t usec;

        if (!number_parse(time, &usec))
                return "no time";
        ev.time_ns = usec * 1000;
        type = NEXT();
        if (!type || !type_parse(type, &at, &ev))
                return "not an event";
        if (ev.type == EVENT_SNAPSHOT_BEGIN || ev.type == EVENT_SNAPSHOT_END)
                ev.netns = 0;
        while ((word = NEXT()))
                if (!option_parse(word, &ev))
                        return "not an option";
        if (ev.pid == 0)
                ev.flags &= ~(uint32_t) EVENT_IN_PROCESS;
        *ret = ev;
        return NULL;
}

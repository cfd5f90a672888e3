/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "tests/helpers/helper.h"
#include "tests/helpers/situations.h"

static struct socket_facts udp_socket(struct actor a, unsigned slot) {
        return DO(a, .order = ORDER_SOCKET, .slot = slot,
                  .family = wish.family == 4 ? AF_INET : AF_INET6, .type = SOCK_DGRAM);
}

static struct socket_facts udp_bind(struct actor a, unsigned slot, uint16_t port) {
        struct task at = situation_at(ORDER_BIND, slot, port);

        udp_socket(a, slot);
        return actor_do(a, &at);
}

static void play_bind(void) {
        struct actor server = situation_actor("server");
        struct socket_facts f = udp_bind(server, 0, wish.port);

        step_begin("bound");
        step_socket("listener", &f);
        step_end();
        DO(server, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

static void play_autobind(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts f = udp_bind(server, 0, wish.port), sent;
        struct task send = situation_at(ORDER_SEND, 0, helper_port(&f.local));

        send.value = 5;
        udp_socket(client, 0);
        sent = actor_do(client, &send);
        DO(server, .order = ORDER_RECEIVE, .value = 5);
        step_begin("sent");
        step_socket("listener", &f);
        step_socket("client", &sent);
        step_end();
        DO(client, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

/* bind_first: bound by bind(), which alone would make a listener, then connected. */
static void connected(bool bind_first) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts f = udp_bind(server, 0, wish.port), c;
        struct task connect = situation_at(ORDER_CONNECT, 0, helper_port(&f.local));

        if (bind_first) {
                c = udp_bind(client, 0, 0);
                step_begin("bound");
                step_socket("listener", &f);
                step_socket("client", &c);
                step_end();
        } else
                udp_socket(client, 0);
        actor_do(client, &connect);
        c = DO(client, .order = ORDER_SEND, .value = 7);
        DO(server, .order = ORDER_RECEIVE, .value = 7);
        step_begin("connected");
        step_socket("listener", &f);
        step_socket("client", &c);
        step_end();
        DO(client, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

static void play_connected(void) {
        connected(false);
}

static void play_bound_connected(void) {
        connected(true);
}

/* The port of a socket that was closed again: nobody is there. */
static void play_refused(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts f = udp_bind(server, 0, wish.port);
        struct task send = situation_at(ORDER_SEND, 0, helper_port(&f.local));

        DO(server, .order = ORDER_CLOSE);
        udp_socket(client, 0);
        send.value = 5;
        actor_do(client, &send);
        step_begin("refused");
        step_socket("listener", &f);
        step_end();
}

const struct situation situations_udp[] = {
        { "udp-bind", play_bind, "a UDP socket bound by bind()" },
        { "udp-autobind", play_autobind, "a UDP socket that sends without bind()" },
        { "udp-connected", play_connected, "a UDP socket with a peer" },
        { "udp-bound-connected", play_bound_connected, "bound by bind(), then given a peer" },
        { "udp-refused", play_refused, "a datagram for a port where nobody is" },
        {},
};

/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Connections whose way to their acceptor is not the plain one. */

#include <errno.h>
#include <netinet/tcp.h>

#include "tests/helpers/helper.h"
#include "tests/helpers/situations.h"

#define SERVED_MAX      32
#define SERVE_WITHIN_NS 5000000000ULL

/* So many processes listen on one port, the kernel deals out twice as many connections. */
static void play_reuseport_served(void) {
        struct socket_facts listeners[SERVED_MAX / 2], connected[SERVED_MAX], accepted[SERVED_MAX];
        struct actor servers[SERVED_MAX / 2], client = situation_actor("client");
        unsigned n_servers = wish.number, n = 2 * n_servers, got = 0, i;
        uint64_t deadline = helper_now_ns() + SERVE_WITHIN_NS;
        char role[32];

        errno = 0;
        if (n > SERVED_MAX)
                helper_die("more than %d servers", SERVED_MAX / 2);
        for (i = 0; i < n_servers; i++) {
                struct task at = situation_at(ORDER_BIND, 0,
                                              i ? helper_port(&listeners[0].local) : wish.port);

                servers[i] = situation_actor("server");
                DO(servers[i], .order = ORDER_SOCKET, .family = at.address.ss_family,
                   .type = SOCK_STREAM | SOCK_NONBLOCK);
                DO(servers[i], .order = ORDER_OPTION, .level = SOL_SOCKET, .option = SO_REUSEPORT,
                   .value = 1);
                actor_do(servers[i], &at);
                listeners[i] = DO(servers[i], .order = ORDER_LISTEN, .value = 128);
        }
        for (i = 0; i < n; i++)
                connected[i] = situation_connect(client, i + 1, &listeners[0]);
        for (i = 0; got < n; i = (i + 1) % n_servers) {
                struct socket_facts f = TRY(servers[i], .order = ORDER_ACCEPT, .target = got + 1);

                if (f.error == 0)
                        accepted[got++] = f;
                else if (f.error != EAGAIN || helper_now_ns() > deadline)
                        helper_die("accept on listener %u", i);
        }
        step_begin("connected");
        for (i = 0; i < n_servers; i++) {
                snprintf(role, sizeof(role), "listener%u", i);
                step_socket(role, &listeners[i]);
        }
        for (i = 0; i < n; i++) {
                snprintf(role, sizeof(role), "client%u", i);
                step_socket(role, &connected[i]);
                snprintf(role, sizeof(role), "accepted%u", i);
                step_socket(role, &accepted[i]);
        }
        step_end();
        for (i = 0; i < n; i++)
                for (unsigned j = 0; j < n_servers; j++)
                        if (accepted[i].pid == servers[j].pid)
                                DO(servers[j], .order = ORDER_CLOSE, .slot = i + 1);
        for (i = 0; i < n; i++)
                DO(client, .order = ORDER_CLOSE, .slot = i + 1);
        step_begin("closed");
        step_end();
}

/* Nothing to accept until the first byte has come (tcp(7), TCP_DEFER_ACCEPT). */
static void play_defer_accept(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts listener = situation_listen(server, 0), connected, accepted;

        DO(server, .order = ORDER_OPTION, .level = IPPROTO_TCP, .option = TCP_DEFER_ACCEPT,
           .value = 5);
        connected = situation_connect(client, 0, &listener);
        DO(client, .order = ORDER_SEND, .value = 10);
        accepted = DO(server, .order = ORDER_ACCEPT, .target = 1);
        DO(server, .order = ORDER_RECEIVE, .slot = 1, .value = 10);
        step_pair("connected", &listener, &connected, &accepted);
        DO(client, .order = ORDER_CLOSE);
        DO(server, .order = ORDER_CLOSE, .slot = 1);
        step_begin("closed");
        step_end();
}

/* A client alone, of a server that somebody else runs. */
static void play_connect(void) {
        struct actor client = situation_actor("client");
        struct task at = situation_at(ORDER_CONNECT, 0, wish.port);
        struct socket_facts f;

        DO(client, .order = ORDER_SOCKET, .family = at.address.ss_family, .type = SOCK_STREAM);
        f = actor_do(client, &at);
        step_begin("connected");
        step_socket("client", &f);
        step_end();
        DO(client, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

const struct situation situations_more[] = {
        { "reuseport-served", play_reuseport_served,
          "so many processes on one port, each with its share of connections" },
        { "defer-accept", play_defer_accept, "a connection that is accepted with its first byte" },
        { "connect", play_connect, "a client of whoever listens on the port" },
        {},
};

/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What can happen to a TCP socket. */

#include <errno.h>

#include "tests/helpers/helper.h"
#include "tests/helpers/situations.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void step_listener(const char *step, const struct socket_facts *f) {
        step_begin(step);
        step_socket("listener", f);
        step_end();
}

static void step_closed(void) {
        step_begin("closed");
        step_end();
}

static void play_listen(void) {
        struct actor server = situation_actor("server");
        struct socket_facts f = situation_listen(server, 0);

        step_listener("listening", &f);
        DO(server, .order = ORDER_CLOSE);
        step_closed();
}

/* Every address of both families, or of IPv6 alone. */
static void listen_wildcard(int v6only) {
        struct actor server = situation_actor("server");
        struct task at = { .order = ORDER_BIND };
        struct socket_facts f;

        at.address_length = helper_address(&at.address, 6, "::", wish.port);
        DO(server, .order = ORDER_SOCKET, .family = AF_INET6, .type = SOCK_STREAM);
        DO(server, .order = ORDER_OPTION, .level = IPPROTO_IPV6, .option = IPV6_V6ONLY,
           .value = v6only);
        actor_do(server, &at);
        f = DO(server, .order = ORDER_LISTEN, .value = 128);
        step_listener("listening", &f);
        DO(server, .order = ORDER_CLOSE);
        step_closed();
}

static void play_listen_dual(void) {
        listen_wildcard(0);
}

static void play_listen_v6only(void) {
        listen_wildcard(1);
}

static void play_listen_unbound(void) {
        struct actor server = situation_actor("server");
        struct socket_facts f;

        DO(server, .order = ORDER_SOCKET, .family = wish.family == 4 ? AF_INET : AF_INET6,
           .type = SOCK_STREAM);
        f = DO(server, .order = ORDER_LISTEN, .value = 128);
        step_listener("listening", &f);
        DO(server, .order = ORDER_CLOSE);
        step_closed();
}

static void play_listen_twice(void) {
        struct actor server = situation_actor("server");
        struct socket_facts f = situation_listen(server, 0);

        DO(server, .order = ORDER_LISTEN, .value = 64);
        step_listener("listening", &f);
        DO(server, .order = ORDER_CLOSE);
        step_closed();
}

static void play_relisten(void) {
        struct actor server = situation_actor("server");
        struct socket_facts f = situation_listen(server, 0);

        step_listener("listening", &f);
        DO(server, .order = ORDER_SHUTDOWN, .value = SHUT_RDWR);
        step_begin("shut-down");
        step_end();
        f = DO(server, .order = ORDER_LISTEN, .value = 128);
        step_listener("listening-again", &f);
        DO(server, .order = ORDER_CLOSE);
        step_closed();
}

/* A listener that is made a plain socket again by a connect to no family, and listens again. */
static void play_unspec_listener(void) {
        struct actor server = situation_actor("server");
        struct socket_facts f = situation_listen(server, 0);

        step_listener("listening", &f);
        DO(server, .order = ORDER_CONNECT, .address_length = sizeof(struct sockaddr_in));
        step_begin("disconnected");
        step_end();
        f = DO(server, .order = ORDER_LISTEN, .value = 128);
        step_listener("listening-again", &f);
        DO(server, .order = ORDER_CLOSE);
        step_closed();
}

static void play_pair(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        enum order end = wish.reset ? ORDER_RESET : ORDER_CLOSE;
        struct socket_facts listener, connected, accepted;

        listener = situation_listen(server, 0);
        step_listener("listening", &listener);
        connected = situation_connect(client, 0, &listener);
        accepted = DO(server, .order = ORDER_ACCEPT, .target = 1);
        if (wish.bytes_to_server > 0) {
                BEGIN(client, .order = ORDER_SEND, .value = wish.bytes_to_server);
                DO(server, .order = ORDER_RECEIVE, .slot = 1, .value = wish.bytes_to_server);
                FINISH(client);
        }
        if (wish.bytes_to_client > 0) {
                BEGIN(server, .order = ORDER_SEND, .slot = 1, .value = wish.bytes_to_client);
                DO(client, .order = ORDER_RECEIVE, .value = wish.bytes_to_client);
                FINISH(server);
        }
        step_pair("connected", &listener, &connected, &accepted);
        if (wish.server_first)
                DO(server, .order = end, .slot = 1);
        else
                DO(client, .order = end);
        step_begin("half");
        step_end();
        if (wish.server_first)
                DO(client, .order = ORDER_CLOSE);
        else
                DO(server, .order = ORDER_CLOSE, .slot = 1);
        step_closed();
}

static void play_refused(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts nobody = situation_listen(server, 0), c;
        struct task connect = situation_at(ORDER_CONNECT, 0, helper_port(&nobody.local));

        connect.may_fail = true;
        DO(server, .order = ORDER_CLOSE);
        DO(client, .order = ORDER_SOCKET, .family = nobody.family, .type = SOCK_STREAM);
        c = actor_do(client, &connect);
        step_begin("refused");
        step_socket("listener", &nobody);
        step_socket("client", &c);
        step_end();
        DO(client, .order = ORDER_CLOSE);
        step_closed();
}

/* A listener whose filter swallows every packet is a black hole without any set-up. */
static struct socket_facts black_hole(struct actor a, unsigned slot) {
        struct socket_facts f = situation_listen(a, slot);

        DO(a, .order = ORDER_SWALLOW, .slot = slot);
        return f;
}

static void play_timed_out(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts hole = black_hole(server, 0), c;
        struct task connect = situation_at(ORDER_CONNECT, 0, helper_port(&hole.local));

        connect.may_fail = true;
        DO(client, .order = ORDER_SOCKET, .family = hole.family, .type = SOCK_STREAM);
        DO(client, .order = ORDER_OPTION, .level = IPPROTO_TCP, .option = TCP_USER_TIMEOUT,
           .value = 500);
        c = actor_do(client, &connect);
        step_begin("timed-out");
        step_socket("listener", &hole);
        step_socket("client", &c);
        step_end();
        DO(client, .order = ORDER_CLOSE);
        step_closed();
}

/* Closed by its own program before any answer came. */
static void play_given_up(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts hole = black_hole(server, 0), c;
        struct task connect = situation_at(ORDER_CONNECT, 0, helper_port(&hole.local));

        connect.may_fail = true;
        DO(client, .order = ORDER_SOCKET, .family = hole.family,
           .type = SOCK_STREAM | SOCK_NONBLOCK);
        c = actor_do(client, &connect);
        step_begin("connecting");
        step_socket("listener", &hole);
        step_socket("client", &c);
        step_end();
        DO(client, .order = ORDER_CLOSE);
        step_closed();
}

/* One socket is connected, disconnected and connected to somewhere else. */
static void play_reconnect(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts first = situation_listen(server, 0), second, c, accepted;
        struct task again;

        wish.port = 0;
        second = situation_listen(server, 1);
        c = situation_connect(client, 0, &first);
        accepted = DO(server, .order = ORDER_ACCEPT, .target = 2);
        step_pair("connected", &first, &c, &accepted);
        DO(client, .order = ORDER_CONNECT, .address_length = sizeof(struct sockaddr_in));
        DO(server, .order = ORDER_CLOSE, .slot = 2);
        step_begin("disconnected");
        step_end();
        again = situation_at(ORDER_CONNECT, 0, helper_port(&second.local));
        c = actor_do(client, &again);
        accepted = DO(server, .order = ORDER_ACCEPT, .slot = 1, .target = 2);
        step_pair("reconnected", &second, &c, &accepted);
        DO(client, .order = ORDER_CLOSE);
        DO(server, .order = ORDER_CLOSE, .slot = 2);
        step_closed();
}

static void play_self_connect(void) {
        struct actor client = situation_actor("client");
        struct task at = situation_at(ORDER_BIND, 0, wish.port);
        struct socket_facts f;

        DO(client, .order = ORDER_SOCKET, .family = at.address.ss_family, .type = SOCK_STREAM);
        f = actor_do(client, &at);
        at = situation_at(ORDER_CONNECT, 0, helper_port(&f.local));
        f = actor_do(client, &at);
        step_begin("connected");
        step_socket("client", &f);
        step_end();
        DO(client, .order = ORDER_CLOSE);
        step_closed();
}

/* A bound socket that may share its port; slot 0 of a. */
static struct socket_facts bound(struct actor a, unsigned slot, uint16_t port, int type) {
        struct task at = situation_at(ORDER_BIND, slot, port);

        DO(a, .order = ORDER_SOCKET, .slot = slot, .family = at.address.ss_family, .type = type);
        DO(a, .order = ORDER_OPTION, .slot = slot, .level = SOL_SOCKET, .option = SO_REUSEPORT,
           .value = 1);
        return actor_do(a, &at);
}

/*
 * Both sides connect to each other. A black hole on the second one's port takes the first one's
 * SYN, so that the second one's finds it in SYN_SENT: crossing SYNs without a slow network.
 */
static void play_simultaneous_open(void) {
        struct actor one = situation_actor("one"), two = situation_actor("two");
        struct socket_facts a = bound(one, 0, 0, SOCK_STREAM | SOCK_NONBLOCK), b;
        struct socket_facts hole = bound(two, 1, wish.port, SOCK_STREAM);
        struct task connect = situation_at(ORDER_CONNECT, 0, helper_port(&hole.local));

        DO(two, .order = ORDER_SWALLOW, .slot = 1);
        DO(two, .order = ORDER_LISTEN, .slot = 1, .value = 1);
        connect.may_fail = true;
        a = actor_do(one, &connect);
        errno = 0;
        if (a.error != EINPROGRESS)
                helper_die("the first connect did not wait");
        bound(two, 0, helper_port(&hole.local), SOCK_STREAM);
        connect = situation_at(ORDER_CONNECT, 0, helper_port(&a.local));
        b = actor_do(two, &connect);
        DO(two, .order = ORDER_CLOSE, .slot = 1);
        a = DO(one, .order = ORDER_DESCRIBE);
        step_begin("connected");
        step_socket("one", &a);
        step_socket("two", &b);
        step_end();
        DO(one, .order = ORDER_CLOSE);
        DO(two, .order = ORDER_CLOSE);
        step_closed();
}

/* Reset by the client while nobody has accepted it. */
static void play_reset_in_queue(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts listener = situation_listen(server, 0), c;

        c = situation_connect(client, 0, &listener);
        step_begin("queued");
        step_socket("listener", &listener);
        step_socket("client", &c);
        step_end();
        DO(client, .order = ORDER_RESET);
        step_begin("reset");
        step_end();
        DO(server, .order = ORDER_CLOSE);
        step_closed();
}

/* The listener goes while connections wait to be accepted. */
static void play_close_with_queue(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts listener = situation_listen(server, 0), c;

        c = situation_connect(client, 0, &listener);
        step_begin("queued");
        step_socket("listener", &listener);
        step_socket("client", &c);
        step_end();
        DO(server, .order = ORDER_CLOSE);
        step_begin("listener-closed");
        step_end();
        DO(client, .order = ORDER_CLOSE);
        step_closed();
}

static void play_mptcp(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct task at = situation_at(ORDER_BIND, 0, wish.port);
        struct socket_facts listener, c, accepted;

        c = TRY(server, .order = ORDER_SOCKET, .family = at.address.ss_family, .type = SOCK_STREAM,
                .protocol = IPPROTO_MPTCP);
        if (c.error) {
                step_begin("unavailable");
                step_number("error", c.error);
                step_end();
                return;
        }
        actor_do(server, &at);
        listener = DO(server, .order = ORDER_LISTEN, .value = 128);
        step_listener("listening", &listener);
        at = situation_at(ORDER_CONNECT, 0, helper_port(&listener.local));
        DO(client, .order = ORDER_SOCKET, .family = at.address.ss_family, .type = SOCK_STREAM,
           .protocol = IPPROTO_MPTCP);
        c = actor_do(client, &at);
        accepted = DO(server, .order = ORDER_ACCEPT, .target = 1);
        DO(client, .order = ORDER_SEND, .value = 10);
        DO(server, .order = ORDER_RECEIVE, .slot = 1, .value = 10);
        step_pair("connected", &listener, &c, &accepted);
        DO(client, .order = ORDER_CLOSE);
        DO(server, .order = ORDER_CLOSE, .slot = 1);
        step_closed();
        DO(server, .order = ORDER_CLOSE);
        step_begin("listener-closed");
        step_end();
}

/* The first connection fetches the cookie, the second sends data with its SYN. */
static void play_fast_open(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts listener = situation_listen(server, 0), c, accepted;
        struct task send = situation_at(ORDER_SEND, 0, helper_port(&listener.local));

        DO(server, .order = ORDER_OPTION, .level = IPPROTO_TCP, .option = TCP_FASTOPEN,
           .value = 16);
        step_listener("listening", &listener);
        send.value = 10;
        send.flags = MSG_FASTOPEN;
        for (unsigned i = 0; i < 2; i++) {
                DO(client, .order = ORDER_SOCKET, .family = listener.family, .type = SOCK_STREAM);
                actor_do(client, &send);
                accepted = DO(server, .order = ORDER_ACCEPT, .target = 1);
                DO(server, .order = ORDER_RECEIVE, .slot = 1, .value = 10);
                c = DO(client, .order = ORDER_DESCRIBE);
                step_pair("connected", &listener, &c, &accepted);
                DO(client, .order = ORDER_CLOSE);
                DO(server, .order = ORDER_CLOSE, .slot = 1);
        }
        step_closed();
}

const struct situation situations_tcp[] = {
        { "listen", play_listen, "a listener at the address wished for" },
        { "listen-dual", play_listen_dual, "a listener on every address of both families" },
        { "listen-v6only", play_listen_v6only, "a listener on every address of IPv6 alone" },
        { "listen-unbound", play_listen_unbound, "listen() without bind()" },
        { "listen-twice", play_listen_twice, "a second listen() on a listener" },
        { "relisten", play_relisten, "shutdown() of a listener, and listen() again" },
        { "unspec-listener", play_unspec_listener, "a listener disconnected, and listen() again" },
        { "pair", play_pair, "a connection, closed as wished for" },
        { "refused", play_refused, "a connect to where nobody listens" },
        { "timed-out", play_timed_out, "a connect that is never answered" },
        { "given-up", play_given_up, "a connect that its program closes unanswered" },
        { "reconnect", play_reconnect, "a socket connected, disconnected, connected elsewhere" },
        { "self-connect", play_self_connect, "a socket connected to itself" },
        { "simultaneous-open", play_simultaneous_open, "two sockets connect to each other" },
        { "reset-in-queue", play_reset_in_queue, "a connection reset before it is accepted" },
        { "close-with-queue", play_close_with_queue, "a listener closed with connections waiting" },
        { "mptcp", play_mptcp, "a multipath connection" },
        { "fast-open", play_fast_open, "two connections by TCP Fast Open" },
        {},
};

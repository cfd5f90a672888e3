/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Who holds what: processes and threads around one socket. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/helpers/helper.h"
#include "tests/helpers/situations.h"

static void play_reuseport(void) {
        struct actor servers[32];
        struct socket_facts f[32];
        char role[32];

        for (unsigned i = 0; i < wish.number; i++) {
                struct task at =
                        situation_at(ORDER_BIND, 0, i ? helper_port(&f[0].local) : wish.port);

                servers[i] = situation_actor("server");
                DO(servers[i], .order = ORDER_SOCKET, .family = at.address.ss_family,
                   .type = SOCK_STREAM);
                DO(servers[i], .order = ORDER_OPTION, .level = SOL_SOCKET, .option = SO_REUSEPORT,
                   .value = 1);
                actor_do(servers[i], &at);
                f[i] = DO(servers[i], .order = ORDER_LISTEN, .value = 128);
        }
        step_begin("listening");
        for (unsigned i = 0; i < wish.number; i++) {
                snprintf(role, sizeof(role), "listener%u", i);
                step_socket(role, &f[i]);
        }
        step_end();
        for (unsigned i = 0; i < wish.number; i++)
                DO(servers[i], .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

/* Each worker accepts one connection on the listener it has inherited. */
static void play_prefork(void) {
        struct actor parent = situation_actor("server"), client = situation_actor("client");
        struct socket_facts listener = situation_listen(parent, 0), accepted[32], connected[32];
        struct actor workers[32];
        char role[32];

        for (unsigned i = 0; i < wish.number; i++)
                workers[i] = actor_fork(parent);
        for (unsigned i = 0; i < wish.number; i++) {
                connected[i] = situation_connect(client, i + 1, &listener);
                accepted[i] = DO(workers[i], .order = ORDER_ACCEPT, .target = 1);
        }
        step_begin("connected");
        step_socket("listener", &listener);
        for (unsigned i = 0; i < wish.number; i++) {
                snprintf(role, sizeof(role), "accepted%u", i);
                step_socket(role, &accepted[i]);
                snprintf(role, sizeof(role), "client%u", i);
                step_socket(role, &connected[i]);
        }
        step_end();
        for (unsigned i = 0; i < wish.number; i++) {
                DO(workers[i], .order = ORDER_CLOSE, .slot = 1);
                DO(client, .order = ORDER_CLOSE, .slot = i + 1);
        }
        step_begin("closed");
        step_end();
}

/* Listens, connects and accepts in threads that have names of their own. */
static void play_threads(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct task at = situation_at(ORDER_BIND, 0, wish.port), to;
        struct socket_facts listener, connected, accepted;

        DO(server, .order = ORDER_SOCKET, .family = at.address.ss_family, .type = SOCK_STREAM,
           .in_thread = true);
        actor_do(server, &at);
        listener = DO(server, .order = ORDER_LISTEN, .value = 128, .in_thread = true);
        to = situation_at(ORDER_CONNECT, 0, helper_port(&listener.local));
        to.in_thread = true;
        DO(client, .order = ORDER_SOCKET, .family = at.address.ss_family, .type = SOCK_STREAM);
        connected = actor_do(client, &to);
        accepted = DO(server, .order = ORDER_ACCEPT, .target = 1, .in_thread = true);
        step_pair("connected", &listener, &connected, &accepted);
        DO(server, .order = ORDER_CLOSE, .slot = 1, .in_thread = true);
        DO(client, .order = ORDER_CLOSE, .in_thread = true);
        step_begin("closed");
        step_end();
}

/* The parent accepts and forks; the child alone keeps the connection. */
static void play_fork_after_accept(void) {
        struct actor parent = situation_actor("server"), client = situation_actor("client"), child;
        struct socket_facts listener = situation_listen(parent, 0), connected, accepted, held;

        connected = situation_connect(client, 0, &listener);
        accepted = DO(parent, .order = ORDER_ACCEPT, .target = 1);
        child = actor_fork(parent);
        DO(parent, .order = ORDER_CLOSE, .slot = 1);
        held = DO(child, .order = ORDER_DESCRIBE, .slot = 1);
        step_begin("forked");
        step_socket("listener", &listener);
        step_socket("client", &connected);
        step_socket("accepted", &accepted);
        step_socket("held", &held);
        step_end();
        DO(child, .order = ORDER_CLOSE, .slot = 1);
        DO(client, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

/* One process accepts and hands the connection to another over a Unix socket. */
static void play_scm_rights(void) {
        struct actor acceptor = situation_actor("acceptor"), worker = situation_actor("worker"),
                     client = situation_actor("client");
        struct socket_facts listener = situation_listen(acceptor, 0), connected, accepted, held;

        connected = situation_connect(client, 0, &listener);
        accepted = DO(acceptor, .order = ORDER_ACCEPT, .target = 1);
        DO(acceptor, .order = ORDER_PASS, .slot = 1, .target = (unsigned) worker.number);
        held = DO(worker, .order = ORDER_TAKE, .slot = 1);
        DO(acceptor, .order = ORDER_CLOSE, .slot = 1);
        step_begin("passed");
        step_socket("listener", &listener);
        step_socket("client", &connected);
        step_socket("accepted", &accepted);
        step_socket("held", &held);
        step_end();
        DO(worker, .order = ORDER_CLOSE, .slot = 1);
        DO(client, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

/* The listener outlives the program that made it. */
static void play_execute(void) {
        struct actor server = situation_actor("server");
        struct socket_facts before, after;
        struct task go_on = { .order = ORDER_EXECUTE };

        errno = 0;
        if (!wish.execute)
                helper_die("--execute= says as what to go on");
        before = situation_listen(server, 0);
        step_begin("listening");
        step_socket("listener", &before);
        step_end();
        snprintf(go_on.text, sizeof(go_on.text), "%s", wish.execute);
        after = actor_do(server, &go_on);
        step_begin("executed");
        step_socket("listener", &after);
        step_end();
        DO(server, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

/* The process ends with all it has, without closing anything. */
static void play_exit(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts listener = situation_listen(server, 0), connected, accepted;

        connected = situation_connect(client, 0, &listener);
        accepted = DO(server, .order = ORDER_ACCEPT, .target = 1);
        step_pair("connected", &listener, &connected, &accepted);
        actor_end(client);
        DO(server, .order = ORDER_RECEIVE, .slot = 1, .value = 1);
        actor_end(server);
        step_begin("ended");
        step_end();
}

static void play_io_uring(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts listener = situation_listen(server, 0), connected, accepted;

        connected = situation_connect(client, 0, &listener);
        accepted = TRY(server, .order = ORDER_IO_URING_ACCEPT, .target = 1);
        if (accepted.error) {
                step_begin("unavailable");
                step_number("error", accepted.error);
                step_end();
                return;
        }
        step_pair("connected", &listener, &connected, &accepted);
        DO(server, .order = ORDER_CLOSE, .slot = 1);
        DO(client, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

const struct situation situations_owner[] = {
        { "reuseport", play_reuseport, "so many processes listen on one port" },
        { "prefork", play_prefork, "so many workers accept on a listener they inherited" },
        { "threads", play_threads, "threads listen, connect, accept and close" },
        { "fork-after-accept", play_fork_after_accept, "a child keeps what its parent accepted" },
        { "scm-rights", play_scm_rights, "a connection passed to another process" },
        { "execute", play_execute, "a listener that stays over execve()" },
        { "exit", play_exit, "processes that end without closing" },
        { "io-uring", play_io_uring, "a connection accepted by io_uring" },
        {},
};

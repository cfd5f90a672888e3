/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Sockets that receive by other ways than TCP and UDP. */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/vm_sockets.h>

#include "tests/helpers/helper.h"
#include "tests/helpers/situations.h"

/* From here on --port= is a protocol's number: both are for experiments (RFC 3692, IEEE 802). */
#define RAW_PROTOCOL    253
#define PACKET_PROTOCOL 0x88B5

/* A socket of this kind in slot 0, or false: the kernel has none, which is said. */
static bool made(struct actor a, int family, int type, int protocol) {
        struct socket_facts f =
                TRY(a, .order = ORDER_SOCKET, .family = family, .type = type, .protocol = protocol);

        if (f.error == 0)
                return true;
        if (f.error != EPROTONOSUPPORT && f.error != EAFNOSUPPORT && f.error != ESOCKTNOSUPPORT) {
                errno = f.error;
                helper_die("a socket of family %d, protocol %d", family, protocol);
        }
        step_begin("unavailable");
        step_number("error", f.error);
        step_end();
        return false;
}

static int inet_family(void) {
        return wish.family == 4 ? AF_INET : AF_INET6;
}

static void stand_and_close(struct actor a, const struct socket_facts *f) {
        step_begin("bound");
        step_socket("listener", f);
        step_end();
        DO(a, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

static void play_udplite(void) {
        struct actor server = situation_actor("server");
        struct task at = situation_at(ORDER_BIND, 0, wish.port);
        struct socket_facts f;

        if (!made(server, inet_family(), SOCK_DGRAM, IPPROTO_UDPLITE))
                return;
        f = actor_do(server, &at);
        stand_and_close(server, &f);
}

static void play_raw(void) {
        struct actor sniffer = situation_actor("sniffer");
        struct socket_facts f;

        if (!made(sniffer, inet_family(), SOCK_RAW, wish.port ?: RAW_PROTOCOL))
                return;
        f = DO(sniffer, .order = ORDER_DESCRIBE);
        stand_and_close(sniffer, &f);
}

static void play_packet(void) {
        struct actor sniffer = situation_actor("sniffer");
        uint16_t protocol = wish.port ?: PACKET_PROTOCOL;
        struct socket_facts f;

        if (!made(sniffer, AF_PACKET, SOCK_RAW, htons(protocol)))
                return;
        f = DO(sniffer, .order = ORDER_DESCRIBE);
        stand_and_close(sniffer, &f);
}

static void play_vsock(void) {
        struct task at = { .order = ORDER_BIND, .address_length = sizeof(struct sockaddr_vm) };
        struct sockaddr_vm *address = (struct sockaddr_vm *) &at.address;
        struct actor server = situation_actor("server");
        struct socket_facts f;

        address->svm_family = AF_VSOCK;
        address->svm_cid = VMADDR_CID_ANY;
        address->svm_port = wish.port ?: VMADDR_PORT_ANY;
        if (!made(server, AF_VSOCK, SOCK_STREAM, 0))
                return;
        actor_do(server, &at);
        f = DO(server, .order = ORDER_LISTEN, .value = 8);
        stand_and_close(server, &f);
}

static bool sctp_listen(struct actor server, struct socket_facts *ret) {
        struct task at = situation_at(ORDER_BIND, 0, wish.port);

        if (!made(server, inet_family(), SOCK_STREAM, IPPROTO_SCTP))
                return false;
        actor_do(server, &at);
        *ret = DO(server, .order = ORDER_LISTEN, .value = 8);
        return true;
}

static void play_sctp_listen(void) {
        struct actor server = situation_actor("server");
        struct socket_facts f;

        if (sctp_listen(server, &f))
                stand_and_close(server, &f);
}

/* Two sockets of one association, in the one-to-one style (RFC 6458, section 4). */
static void play_sctp_pair(void) {
        struct actor server = situation_actor("server"), client = situation_actor("client");
        struct socket_facts listener, connected, accepted;
        struct task connect;

        if (!sctp_listen(server, &listener))
                return;
        connect = situation_at(ORDER_CONNECT, 0, helper_port(&listener.local));
        DO(client, .order = ORDER_SOCKET, .family = inet_family(), .type = SOCK_STREAM,
           .protocol = IPPROTO_SCTP);
        connected = actor_do(client, &connect);
        accepted = DO(server, .order = ORDER_ACCEPT, .target = 1);
        step_pair("connected", &listener, &connected, &accepted);
        DO(client, .order = ORDER_CLOSE);
        DO(server, .order = ORDER_CLOSE, .slot = 1);
        DO(server, .order = ORDER_CLOSE);
        step_begin("closed");
        step_end();
}

const struct situation situations_other[] = {
        { "udplite-bind", play_udplite, "a UDP-Lite socket bound by bind()" },
        { "raw", play_raw, "a raw socket; --port= is its protocol" },
        { "packet", play_packet, "a packet socket; --port= is its protocol" },
        { "vsock-listen", play_vsock, "a listener for virtual machines and their host" },
        { "sctp-listen", play_sctp_listen, "an SCTP listener, one-to-one style" },
        { "sctp-pair", play_sctp_pair, "an SCTP listener and an association" },
        {},
};

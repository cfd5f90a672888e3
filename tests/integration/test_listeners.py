# SPDX-License-Identifier: GPL-2.0-or-later
"""Listeners: what is open, what was, and how each is described."""

import errno
import os
import socket

import pytest

from harness.waiting import wait_until


def one_listener(d, port, **filter_):
    def find():
        found = d.listeners(ports=[port], **filter_)
        assert len(found) <= 1, found
        return found[0] if found else None

    return wait_until(find, f"a listener on port {port}")


def kinds(d, port):
    return [e["kind"] for e in d.events(filter={"ports": [port]})]


ADDRESSES = [
    # situation, wishes, family, address, exposure
    ("listen", {}, "ipv4", "127.0.0.1", "loopback"),
    ("listen", {"address": "127.8.9.10"}, "ipv4", "127.8.9.10", "loopback"),
    ("listen", {"address": "0.0.0.0"}, "ipv4", "0.0.0.0", "any"),
    ("listen", {"address": "192.0.2.7"}, "ipv4", "192.0.2.7", "address"),
    ("listen", {"family": 6}, "ipv6", "::1", "loopback"),
    ("listen", {"family": 6, "address": "2001:db8::7"}, "ipv6", "2001:db8::7", "address"),
    ("listen", {"family": 46}, "ipv4", "127.0.0.1", "loopback"),
    ("listen", {"family": 46, "address": "192.0.2.7"}, "ipv4", "192.0.2.7", "address"),
    ("listen-dual", {}, "ipv6", "::", "any"),
    ("listen-v6only", {}, "ipv6", "::", "any"),
]


@pytest.fixture(scope="module", autouse=True)
def addresses(shared):
    """Addresses that are not loopback's."""
    shared.namespace.run(["ip", "address", "add", "192.0.2.7/32", "dev", "lo"])
    shared.namespace.run(["ip", "-6", "address", "add", "2001:db8::7/128", "dev", "lo", "nodad"])


@pytest.mark.parametrize("situation, wishes, family, address, exposure", ADDRESSES)
def test_tcp(shared, situations, situation, wishes, family, address, exposure):
    s = situations(shared, situation, **wishes)
    l = one_listener(shared, s.port)
    assert l["transport"] == "tcp"
    assert l["family"] == family
    assert l["local"] == {"address": address, "port": s.port}
    assert l["exposure"] == exposure
    assert l["netns"] == shared.namespace.inode
    assert l["first_seen_usec"] <= l["opened_usec"]
    assert l["expected"] is None and l["rule"] is None
    event = shared.wait_event("listen", s.port)
    assert event["seq"] == l["id"] and event["listener"]["id"] == l["id"]
    s.next()
    end = shared.wait_event("unlisten", s.port)
    assert end["listener"]["id"] == l["id"]
    assert end["listener"]["opened_usec"] == l["opened_usec"]
    assert end["time_usec"] >= event["time_usec"]
    assert shared.listeners(ports=[s.port]) == []
    assert kinds(shared, s.port) == ["listen", "unlisten"]


@pytest.mark.parametrize(
    "wishes, family, address, exposure",
    [
        ({}, "ipv4", "127.0.0.1", "loopback"),
        ({"address": "0.0.0.0"}, "ipv4", "0.0.0.0", "any"),
        ({"family": 6}, "ipv6", "::1", "loopback"),
        ({"family": 6, "address": "::"}, "ipv6", "::", "any"),
        ({"family": 46}, "ipv4", "127.0.0.1", "loopback"),
    ],
)
def test_udp(daemon, situations, wishes, family, address, exposure):
    # Below the ephemeral range: netlink takes a port in it for one that the kernel chose.
    daemon.namespace.sysctl("net.ipv4.ip_local_port_range", "32768 60999")
    s = situations(daemon, "udp-bind", port=5353, **wishes)
    l = one_listener(daemon, 5353)
    assert l["transport"] == "udp" and l["family"] == family and l["exposure"] == exposure
    assert l["local"] == {"address": address, "port": 5353}
    assert l["category"] == "user" and l["service"] == "mdns"
    s.next()
    daemon.wait_event("unlisten", 5353)
    assert daemon.listeners(ports=[5353]) == []
    assert kinds(daemon, 5353) == ["listen", "unlisten"]


def test_listen_without_bind(shared, situations):
    s = situations(shared, "listen-unbound")
    l = one_listener(shared, s.port)
    assert l["local"] == {"address": "0.0.0.0", "port": s.port} and l["exposure"] == "any"
    s.next()
    shared.wait_event("unlisten", s.port)
    assert kinds(shared, s.port) == ["listen", "unlisten"]
    assert not shared.events(filter={"kinds": ["listen"], "ports": [0]})


def test_a_listener_without_bind_that_is_gone_at_once(shared, situations, source):
    if source == "netlink":
        pytest.skip("netlink: lived between two looks, and its end tells no tuple of a listener")
    s = situations(shared, "listen-unbound")
    port = s.port
    s.next()
    shared.wait_event("unlisten", port)
    assert kinds(shared, port) == ["listen", "unlisten"]


def test_a_second_listen_is_no_second_listener(shared, situations):
    s = situations(shared, "listen-twice")
    one_listener(shared, s.port)
    s.next()
    shared.wait_event("unlisten", s.port)
    assert kinds(shared, s.port) == ["listen", "unlisten"]


@pytest.mark.parametrize("situation", ["relisten", "unspec-listener"])
def test_listening_again(shared, situations, situation):
    port = {"relisten": 7001, "unspec-listener": 7002}[situation]
    s = situations(shared, situation, port=port)
    one_listener(shared, port)
    # Who listens is a part of what is known of it: netlink may be told a moment later.
    first = wait_until(lambda: [l for l in shared.listeners(ports=[port]) if l["owner"]["pid"]])[0]
    s.next()
    shared.wait_event("unlisten", port)
    assert shared.listeners(ports=[port]) == []
    s.next()
    one_listener(shared, port)
    second = wait_until(lambda: [l for l in shared.listeners(ports=[port]) if l["owner"]["pid"]])[0]
    assert second["id"] > first["id"]
    assert second["opened_usec"] > first["opened_usec"]
    assert second["first_seen_usec"] == first["first_seen_usec"]
    s.next()
    wait_until(lambda: kinds(shared, port) == ["listen", "unlisten"] * 2)


def test_reuseport_is_a_listener_for_each(shared, situations):
    s = situations(shared, "reuseport", number=5)
    port = s["listener0"]["local"]["port"]
    wait_until(lambda: len(shared.listeners(ports=[port])) == 5)
    pids = {s[f"listener{i}"]["pid"] for i in range(5)}
    wait_until(lambda: {l["owner"]["pid"] for l in shared.listeners(ports=[port])} == pids)
    s.next()
    wait_until(lambda: kinds(shared, port).count("unlisten") == 5)
    assert shared.listeners(ports=[port]) == []


def test_a_listener_over_execve(shared, situations, build, tmp_path):
    other = tmp_path / "other-program"
    other.write_bytes(open(build.helper("sockmaker"), "rb").read())
    other.chmod(0o755)
    os.chmod(tmp_path, 0o755)
    s = situations(shared, "execute", execute=str(other))
    wait_until(lambda: one_listener(shared, s.port)["owner"]["pid"] is not None)
    before = one_listener(shared, s.port)
    s.next()
    shared.settle()
    after = one_listener(shared, s.port)
    assert after["id"] == before["id"] and after["owner"]["pid"] == s["listener"]["pid"]
    assert before["owner"]["executable"] == s.executable
    s.next()
    shared.wait_event("unlisten", s.port)


def test_a_process_that_ends_with_its_listener(shared, situations):
    s = situations(shared, "exit")
    one_listener(shared, s.port)
    s.next()
    shared.wait_event("unlisten", s.port)
    shared.wait_event("close", s.port, direction="inbound")
    shared.wait_event("close", s.port, direction="outbound")


def test_mptcp_is_one_listener(shared, situations):
    s = situations(shared, "mptcp")
    if s.now["step"] == "unavailable":
        pytest.skip("the kernel has no MPTCP")
    one_listener(shared, s.port)
    s.finish("listener-closed")
    shared.wait_event("unlisten", s.port)
    assert [k for k in kinds(shared, s.port) if "listen" in k] == ["listen", "unlisten"]


CATEGORIES = [
    (1, "system"),
    (1023, "system"),
    (1024, "user"),
    (49151, "user"),
    (49152, "dynamic"),
    (65535, "dynamic"),
]


@pytest.mark.parametrize("port, category", CATEGORIES)
def test_categories(shared, situations, port, category):
    situations(shared, "listen", port=port)
    assert one_listener(shared, port)["category"] == category
    assert one_listener(shared, port, category=category)
    for other in {"system", "user", "dynamic"} - {category}:
        assert shared.listeners(ports=[port], category=other) == []


@pytest.mark.parametrize("port, service", [(1102, "adobeserver-1"), (22, "ssh"), (4, None)])
def test_services(shared, situations, port, service):
    situations(shared, "listen", port=port)
    assert one_listener(shared, port)["service"] == service


def test_many_listeners_in_one_answer(shared, situations, build):
    """More than one reply holds: they come in several, each of them valid."""
    import subprocess

    crowd = shared.namespace.popen(
        [build.helper("crowd"), "--processes=300", "--files=0", "--sockets=0", "--port=30000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert b'"listeners":300' in crowd.stdout.readline()
        ports = list(range(30000, 30300))
        wait_until(lambda: len(shared.listeners(ports=ports)) == 300)
        found = shared.listeners(ports=ports)
        assert sorted(l["local"]["port"] for l in found) == ports
        wait_until(
            lambda: len({l["owner"]["pid"] for l in shared.listeners(ports=ports)} - {None}) == 300
        )
        assert len({l["id"] for l in found}) == 300
    finally:
        crowd.stdin.close()
        crowd.wait(20)
        crowd.stdout.close()
    wait_until(lambda: shared.listeners(ports=ports) == [])


def test_other_namespaces(daemon, situations):
    """A listener in a namespace that is neither the daemon's nor of any process before."""
    from harness.namespace import Namespace

    other = Namespace()
    try:
        s = situations(other, "listen", port=7777)

        def find():
            for r in daemon.stream("Listeners", {"filter": {"netns": other.inode}}):
                return r["listeners"]

        found = wait_until(find, "the listener in another namespace", deadline=15)
        assert [l["local"]["port"] for l in found] == [7777]
        assert found[0]["netns"] == other.inode != daemon.namespace.inode
        wait_until(lambda: find()[0]["owner"]["pid"] == s["listener"]["pid"])
        s.next()
        wait_until(lambda: find() == [] or find() is None, deadline=15)
    finally:
        other.close()


OTHERS = {
    # transport: (how it is made, what it is bound to, port that stands for it)
    "udplite": ((socket.AF_INET, socket.SOCK_DGRAM, 136), ("127.0.0.1", 7201), 7201),
    "raw": ((socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), None, socket.IPPROTO_ICMP),
    "packet": ((socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)), None, 3),
    "vsock": ((socket.AF_VSOCK, socket.SOCK_STREAM, 0), (socket.VMADDR_CID_ANY, 70203), 70203),
    "sctp": ((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP), ("127.0.0.1", 7204), 7204),
}
LOOKED_FOR = ("packet", "vsock")  # the others are told, each in its own call


@pytest.mark.timeout(120)
@pytest.mark.parametrize("transport", OTHERS)
def test_other_transports(shared, source, transport):
    made, address, port = OTHERS[transport]
    with shared.namespace.entered():
        try:
            s = socket.socket(*made)
        except OSError as e:
            if e.errno not in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ESOCKTNOSUPPORT):
                raise
            pytest.skip(f"the kernel has no {transport} sockets: {e.strerror}")
    if address:
        s.bind(address)
    if transport in ("vsock", "sctp"):
        s.listen()

    def find():
        # Ports of vsock have 32 bits; filters know 16.
        of_port = shared.listeners(transport=transport, ports=[min(port, 65535)])
        return [l for l in of_port if l["local"]["port"] == port]

    if source == "netlink":
        # It says that it does not see them, and must not take them for something else.
        shared.settle()
        assert "packet sockets are not seen" in shared.status()["source_detail"]
        assert [l for l in shared.listeners() if l["local"]["port"] == port] == []
        s.close()
        return

    def have_it_looked():
        """Nothing tells of these but the look that is taken when something has happened."""
        if transport in LOOKED_FOR:
            with shared.namespace.entered():
                socket.create_server(("127.0.0.1", 7202)).close()

    have_it_looked()
    (l,) = wait_until(find, f"the {transport} socket", deadline=45)
    assert l["owner"]["pid"] == os.getpid()
    assert l["owner"]["attribution"] == ("lookup" if transport in LOOKED_FOR else "exact")
    assert l["family"] == (transport if transport in LOOKED_FOR else "ipv4")
    at = {"udplite": "127.0.0.1", "raw": "0.0.0.0", "sctp": "127.0.0.1"}.get(transport, "*")
    assert l["local"] == {"address": at, "port": port}
    s.close()
    if transport not in LOOKED_FOR:
        shared.settle()
        assert not find()
    have_it_looked()
    wait_until(lambda: not find(), "its end", deadline=45)
    gone = shared.wait_event("unlisten", min(port, 65535), transport=transport)
    assert gone["listener"]["id"] == l["id"]


def test_sctp_associations_are_not_recorded(make_daemon, situations):
    """Neither as they come and go, nor by the look at what is open."""
    d = make_daemon()
    s = situations(d, "sctp-pair")
    if s.now["step"] == "unavailable":
        pytest.skip(f"the kernel has no SCTP sockets: {os.strerror(s.now['error'])}")
    d.settle()
    d.stop()
    d.start()
    d.settle()
    assert [l["transport"] for l in d.listeners(ports=[s.port])] == ["sctp"] * (d.source == "ebpf")
    s.finish()
    d.settle()
    assert d.listeners(ports=[s.port]) == []
    assert [e for e in d.events() if e["connection"]] == []

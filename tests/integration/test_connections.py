# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections: direction, ends, outcome, bytes."""

import socket

import pytest

from harness.waiting import wait_until


def ends(e):
    """An event as (kind, direction, outcome)."""
    c = e["connection"]
    return e["kind"], c["direction"], c["outcome"]


def of_port(d, port, *kinds):
    return [
        e
        for e in d.events(filter={"ports": [port]})
        if e["connection"] and (not kinds or e["kind"] in kinds)
    ]


def mirrored(inbound, outbound):
    """Two ends of one connection, as both were recorded."""
    return (
        inbound["local"] == outbound["remote"]
        and inbound["remote"] == outbound["local"]
        and inbound["family"] == outbound["family"]
    )


FAMILIES = [
    ({}, "ipv4", "127.0.0.1"),
    ({"family": 6}, "ipv6", "::1"),
    ({"family": 46}, "ipv4", "127.0.0.1"),
    ({"address": "127.0.0.9"}, "ipv4", "127.0.0.9"),
]


@pytest.mark.parametrize("wishes, family, address", FAMILIES)
@pytest.mark.parametrize("first", ["client", "server"])
def test_a_connection(shared, situations, wishes, family, address, first):
    s = situations(
        shared, "pair", bytes_to_server=1000, bytes_to_client=70000, first=first, **wishes
    )
    s.next()
    client, accepted = s["client"], s["accepted"]
    port = s.port

    def both():
        found = {c["direction"]: c for c in shared.connections(ports=[port])}
        return found if len(found) == 2 else None

    found = wait_until(both, "both ends")
    for c in found.values():
        assert c["transport"] == "tcp" and c["family"] == family
        assert c["outcome"] == "open" and c["closed_usec"] is None
        assert c["netns"] == shared.namespace.inode
    assert found["outbound"]["remote"] == {"address": address, "port": port}
    assert found["inbound"]["local"] == {"address": address, "port": port}
    assert found["outbound"]["local"]["port"] == client["local"]["port"]
    assert mirrored(found["inbound"], found["outbound"])

    s.finish()
    shared.wait_event("close", port, direction="inbound")
    shared.wait_event("close", port, direction="outbound")
    wait_until(lambda: shared.connections(ports=[port]) == [])
    events = of_port(shared, port)
    assert sorted(ends(e) for e in events) == [
        ("close", "inbound", "closed"),
        ("close", "outbound", "closed"),
        ("open", "inbound", "open"),
        ("open", "outbound", "open"),
    ]
    for direction, received, sent in (("inbound", 1000, 70000), ("outbound", 70000, 1000)):
        opened = next(e for e in events if ends(e)[:2] == ("open", direction))
        closed = next(e for e in events if ends(e)[:2] == ("close", direction))
        assert opened["seq"] < closed["seq"]
        assert opened["connection"]["id"] == closed["connection"]["id"] == opened["seq"]
        assert found[direction]["id"] == opened["seq"]
        assert opened["connection"]["opened_usec"] == closed["connection"]["opened_usec"]
        c = closed["connection"]
        assert c["closed_usec"] == closed["time_usec"] >= c["opened_usec"]
        assert (c["bytes_received"], c["bytes_sent"]) == (received, sent)
    assert accepted["remote"]["port"] == client["local"]["port"]


@pytest.mark.parametrize("listener", ["known", "new"])
def test_a_short_connection(shared, situations, listener):
    """Opened and closed at once: on netlink no dump sees it.

    Nor its listener, if that one is new as well: still it must not be taken for outbound.
    """
    s = situations(shared, "pair", bytes_to_server=5, bytes_to_client=7)
    port = s.port
    if listener == "known":
        shared.wait_event("listen", port)
    s.finish()
    wait_until(lambda: len(of_port(shared, port)) >= 4)
    shared.settle()
    events = of_port(shared, port)
    assert sorted(ends(e)[:2] for e in events) == [
        ("close", "inbound"),
        ("close", "outbound"),
        ("open", "inbound"),
        ("open", "outbound"),
    ]
    by = {e["connection"]["direction"]: e["connection"] for e in events if e["kind"] == "close"}
    assert mirrored(by["inbound"], by["outbound"])
    assert (by["inbound"]["bytes_received"], by["inbound"]["bytes_sent"]) == (5, 7)
    assert (by["outbound"]["bytes_received"], by["outbound"]["bytes_sent"]) == (7, 5)


@pytest.mark.parametrize("first", ["client", "server"])
def test_reset(shared, situations, source, first):
    s = situations(shared, "pair", reset=True, first=first)
    port = s.port
    s.next()
    if source == "netlink":
        # A reset wipes the tuple: what no dump has shown before is not known afterwards.
        wait_until(lambda: len(shared.connections(ports=[port])) == 2)
    s.finish()
    wait_until(lambda: len(of_port(shared, port, "close")) == 2)
    shared.settle()
    assert len(of_port(shared, port)) == 4
    outcomes = {e["connection"]["outcome"] for e in of_port(shared, port, "close")}
    if source == "ebpf":
        assert outcomes == {"reset"}
    else:
        # sock_diag's last word on a socket does not say how it ended.
        assert outcomes <= {"reset", "closed"}


def test_refused(shared, situations, source):
    s = situations(shared, "refused")
    assert s["client"]["error"] == 111
    port = s.port
    s.next()
    if source == "netlink":
        # The tuple of a refused attempt is wiped before sock_diag tells of its end.
        shared.settle()
        assert {ends(e)[0] for e in of_port(shared, port)} <= {"fail"}
        return
    e = shared.wait_event("fail", port)
    assert ends(e) == ("fail", "outbound", "refused")
    c = e["connection"]
    assert c["remote"] == {"address": "127.0.0.1", "port": port}
    assert (
        c["local"]["port"] == s["client"]["local"]["port"] and c["local"]["address"] == "127.0.0.1"
    )
    assert c["id"] == e["seq"] and c["closed_usec"] == e["time_usec"]
    assert c["opened_usec"] <= e["time_usec"]
    assert c["owner"]["pid"] == s["client"]["pid"] and c["owner"]["attribution"] == "exact"
    shared.settle()
    assert [ends(e) for e in of_port(shared, port, "fail")] == [("fail", "outbound", "refused")]
    (r,) = of_port(shared, port, "refuse")
    assert ends(r) == ("refuse", "inbound", "refused") and r["attempts"] == 1
    assert r["connection"]["local"] == {"address": "127.0.0.1", "port": port}
    assert r["connection"]["remote"] == c["local"]
    assert r["connection"]["owner"]["attribution"] == "unknown"
    assert len(of_port(shared, port)) == 2
    assert shared.counts("port", filter={"ports": [port]})[str(port)]["refused"] == 1


def test_a_datagram_for_nobody(shared, situations, source):
    if source == "netlink":
        pytest.skip("netlink: sock_diag tells nothing of packets without a socket")
    s = situations(shared, "udp-refused")
    (r,) = wait_until(lambda: of_port(shared, s.port, "refuse"))
    assert r["connection"]["transport"] == "udp" and r["attempts"] == 1


def test_a_scan(daemon, source):
    """Attempts are counted, every one, in fewer events than there were attempts."""
    if source == "netlink":
        pytest.skip("netlink: sock_diag tells nothing of packets without a socket")
    ports = range(100, 600)
    with daemon.namespace.entered():
        for port in ports:
            with socket.socket() as c:
                assert c.connect_ex(("127.0.0.1", port)) == 111

    def all_told():
        told = [e for e in daemon.events(filter={"kinds": ["refuse"]})]
        assert sum(e["attempts"] for e in told) == len(ports)
        return told

    told = wait_until(all_told, "all attempts")
    assert {e["connection"]["remote"]["address"] for e in told} == {"127.0.0.1"}
    assert sum(c["refused"] for c in daemon.counts("peer").values()) == len(ports)
    daemon.settle()
    assert sum(e["attempts"] for e in daemon.events(filter={"kinds": ["refuse"]})) == len(ports)
    assert daemon.status()["lost"] == 0


def test_timed_out(shared, situations, source):
    s = situations(shared, "timed-out")
    assert s["client"]["error"] == 110
    port = s.port
    if source == "ebpf":
        e = shared.wait_event("fail", port)
        assert ends(e) == ("fail", "outbound", "timed_out")
        assert e["connection"]["owner"]["pid"] == s["client"]["pid"]
        assert e["time_usec"] - e["connection"]["opened_usec"] > 400_000
    shared.settle()
    assert {ends(e)[0] for e in of_port(shared, port)} <= {"fail"}


def test_given_up(shared, situations, source):
    s = situations(shared, "given-up")
    port = s.port
    assert s["client"]["error"] == 115
    shared.settle()
    # An attempt that has no answer yet is no connection.
    assert shared.connections(ports=[port]) == [] and of_port(shared, port) == []
    s.next()
    if source == "ebpf":
        assert ends(shared.wait_event("fail", port)) == ("fail", "outbound", "failed")
    shared.settle()
    assert {ends(e)[0] for e in of_port(shared, port)} <= {"fail"}


def test_one_socket_connected_twice(shared, situations, source):
    s = situations(shared, "reconnect")
    first, first_client = s.port, s["client"]
    if source == "netlink":
        wait_until(lambda: len(shared.connections(ports=[first])) == 2)
    s.next()
    s.next()
    second, second_client = s["listener"]["local"]["port"], s["client"]
    assert first != second and first_client["cookie"] == second_client["cookie"]
    if source == "netlink":
        wait_until(lambda: len(shared.connections(ports=[second])) == 2)
    s.next()
    for port in (first, second):
        wait_until(lambda: len(of_port(shared, port, "close")) == 2, f"both ends on {port}")
    shared.settle()
    for port, client in ((first, first_client), (second, second_client)):
        assert sorted(ends(e)[:2] for e in of_port(shared, port)) == [
            ("close", "inbound"),
            ("close", "outbound"),
            ("open", "inbound"),
            ("open", "outbound"),
        ]
        for e in of_port(shared, port):
            c = e["connection"]
            mine = c["local"] if c["direction"] == "outbound" else c["remote"]
            assert mine["port"] == client["local"]["port"]


def test_self_connect(shared, situations):
    s = situations(shared, "self-connect")
    port = s["client"]["local"]["port"]
    wait_until(lambda: len(shared.connections(ports=[port])) == 1)
    s.next()
    shared.wait_event("close", port)
    shared.settle()
    events = of_port(shared, port)
    assert [ends(e) for e in events] == [
        ("open", "outbound", "open"),
        ("close", "outbound", "closed"),
    ]
    c = events[0]["connection"]
    assert c["local"] == c["remote"] == {"address": "127.0.0.1", "port": port}


def test_simultaneous_open(shared, situations, source):
    s = situations(shared, "simultaneous-open")
    one, two = s["one"]["local"]["port"], s["two"]["local"]["port"]
    # The first one's SYN went into a listener's black hole, so it was seen to begin as a plain one.
    wait_until(lambda: len(shared.connections(ports=[one, two], direction="outbound")) == 2)
    found = shared.connections(ports=[one, two])
    assert {(c["local"]["port"], c["remote"]["port"]) for c in found} == {(one, two), (two, one)}
    if source == "ebpf":
        assert {c["owner"]["pid"] for c in found} == {s["one"]["pid"], s["two"]["pid"]}
    s.next()
    wait_until(lambda: len(of_port(shared, one, "close") + of_port(shared, two, "close")) == 2)


def test_reset_before_it_was_accepted(shared, situations, source):
    s = situations(shared, "reset-in-queue")
    port = s.port
    if source == "netlink":
        wait_until(lambda: len(shared.connections(ports=[port])) == 2)
    s.next()
    wait_until(lambda: len(of_port(shared, port, "close")) == 2)
    if source == "ebpf":
        assert {ends(e) for e in of_port(shared, port, "close")} == {
            ("close", "inbound", "reset"),
            ("close", "outbound", "reset"),
        }
    s.next()
    shared.settle()
    assert len(of_port(shared, port)) == 4


def test_listener_closed_with_a_queue(shared, situations, source):
    s = situations(shared, "close-with-queue")
    port = s.port
    if source == "netlink":
        wait_until(lambda: len(shared.connections(ports=[port])) == 2)
    s.next()
    shared.wait_event("close", port, direction="inbound")
    s.next()
    shared.wait_event("close", port, direction="outbound")
    shared.settle()
    assert len(of_port(shared, port)) == 4
    if source == "ebpf":
        assert {e["connection"]["outcome"] for e in of_port(shared, port, "close")} == {"reset"}


def test_mptcp_is_seen_once(shared, situations):
    s = situations(shared, "mptcp")
    if s.now["step"] == "unavailable":
        pytest.skip("the kernel has no MPTCP")
    port = s.port
    s.next()
    wait_until(lambda: len(shared.connections(ports=[port])) == 2)
    s.next()
    wait_until(lambda: len(of_port(shared, port, "close")) == 2, deadline=20)
    shared.settle()
    events = of_port(shared, port)
    assert len(events) == 4, [ends(e) for e in events]
    assert {c["connection"]["transport"] for c in events} == {"tcp"}


def test_fast_open(shared, situations):
    shared.namespace.sysctl("net.ipv4.tcp_fastopen", 3)
    s = situations(shared, "fast-open")
    port = s.port
    shared.wait_event("listen", port)
    s.finish()
    wait_until(lambda: len(of_port(shared, port, "close")) == 4)
    shared.settle()
    events = of_port(shared, port)
    assert sorted(ends(e)[:2] for e in events) == sorted(
        [("open", "inbound"), ("close", "inbound"), ("open", "outbound"), ("close", "outbound")] * 2
    )
    for e in of_port(shared, port, "close"):
        c = e["connection"]
        assert (c["bytes_received"], c["bytes_sent"]) == (
            (10, 0) if c["direction"] == "inbound" else (0, 10)
        )


def test_udp_with_a_peer(daemon, situations, source):
    daemon.namespace.sysctl("net.ipv4.ip_local_port_range", "32768 60999")
    s = situations(daemon, "udp-connected", port=5000)
    client = s["client"]

    (c,) = wait_until(lambda: daemon.connections(ports=[5000], transport="udp"))
    assert c["direction"] == "outbound" and c["remote"] == {"address": "127.0.0.1", "port": 5000}
    # On ebpf no hook tells the port that the kernel chooses in connect(): 0 is unknown.
    assert c["local"] == client["local"] or (source == "ebpf" and c["local"]["port"] == 0)
    assert [l["local"]["port"] for l in daemon.listeners(transport="udp")] == [5000]
    s.next()
    e = daemon.wait_event("close", 5000)
    assert e["connection"]["transport"] == "udp" and e["connection"]["outcome"] == "closed"
    assert daemon.connections(transport="udp") == []


def test_udp_that_only_sends_is_no_listener(daemon, situations):
    daemon.namespace.sysctl("net.ipv4.ip_local_port_range", "32768 60999")
    s = situations(daemon, "udp-autobind", port=5000)
    wait_until(lambda: len(daemon.listeners(transport="udp")) >= 1)
    daemon.settle()
    assert [l["local"]["port"] for l in daemon.listeners(transport="udp")] == [5000]
    assert [
        l["local"]["port"] for l in daemon.listeners(transport="udp", pid=s["client"]["pid"])
    ] == []
    s.next()
    daemon.settle()
    client_port = s["client"]["local"]["port"]
    assert [e for e in daemon.events(filter={"ports": [client_port]})] == []


def test_udp_bound_then_given_a_peer(daemon, situations):
    """It listens until it has a peer, then it is a connection."""
    daemon.namespace.sysctl("net.ipv4.ip_local_port_range", "32768 60999")
    s = situations(daemon, "udp-bound-connected", port=5000)
    s.next()
    wait_until(lambda: len(daemon.connections(transport="udp")) == 1)
    daemon.settle()
    assert [l["local"]["port"] for l in daemon.listeners(transport="udp")] == [5000]
    assert daemon.connections(transport="udp")[0]["remote"]["port"] == 5000
    s.next()
    daemon.wait_event("close", 5000)


def test_connections_that_were_there_before(make_daemon, situations, namespace):
    """Found at the start: with whoever can be found behind them."""
    s = situations(namespace, "pair", bytes_to_server=11)
    s.next()
    d = make_daemon()
    found = {c["direction"]: c for c in d.connections(ports=[s.port])}
    assert set(found) == {"inbound", "outbound"}
    assert mirrored(found["inbound"], found["outbound"])
    assert [l["local"]["port"] for l in d.listeners()] == [s.port]
    wait_until(
        lambda: {c["owner"]["pid"] for c in d.connections(ports=[s.port])}
        == {s["client"]["pid"], s["accepted"]["pid"]},
        "their owners",
    )
    for c in d.connections(ports=[s.port]):
        assert c["owner"]["attribution"] in ("lookup", "exact")
    s.finish()
    for direction, received in (("inbound", 11), ("outbound", 0)):
        e = d.wait_event("close", s.port, direction=direction)
        assert e["connection"]["id"] == found[direction]["id"]
        assert e["connection"]["bytes_received"] == received

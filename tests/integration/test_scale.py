# SPDX-License-Identifier: GPL-2.0-or-later
"""A hundred thousand connections at full speed: all of them, once each."""

import collections
import json

import pytest

from harness.waiting import wait_until

N = 100_000
PORTS = [20000, 20001]


def tally(d, ports):
    """Counts (kind, direction), and finds holes: of every event of the namespace, without a type
    check for each, which would take longer than all the rest."""
    kinds = collections.Counter()
    opened, closed = set(), set()
    with d.client(deadline=30) as c:
        c.send(
            "io.portwatch.History",
            {"filter": {"netns": d.namespace.inode, "ports": ports}},
            more=True,
        )
        continues, last = True, 0
        while continues:
            reply = json.loads(c.receive_bytes())
            continues = reply.get("continues", False)
            for e in reply["parameters"]["events"]:
                assert e["seq"] > last
                last = e["seq"]
                if e["connection"]:
                    connection = e["connection"]
                    kinds[e["kind"], connection["direction"]] += 1
                    (opened if e["kind"] == "open" else closed).add(connection["id"])
    return kinds, opened, closed


@pytest.mark.timeout(180)
def test_a_hundred_thousand_connections(make_daemon, churn):
    d = make_daemon(start=False)
    # Room for all of it: a machine that is not alone may not run the recorder for a while, nor the
    # kernel's own threads, which then tell netlink of everything at once.
    d.configure(
        "[Recorder]\nHistorySize=256M\nRingBufferSize=64M\nReceiveBufferSize=512M\n"
    )
    d.start()
    made = churn(d, count=N, processes=2, port=PORTS[0], addresses=16)
    assert made["connected"] == made["accepted"] == N
    d.settle()
    status = d.status()
    assert status["lost"] == 0 and status["state"] == "running"
    d.wait_connections(PORTS, N, N)
    # Each of them has its end too. A kernel that keeps one to itself is found out by a later look.
    wait_until(lambda: d.connections(ports=PORTS) == [], "the ends of all", deadline=30)
    kinds, opened, closed = tally(d, PORTS)
    assert kinds == {
        ("open", "inbound"): N,
        ("open", "outbound"): N,
        ("close", "inbound"): N,
        ("close", "outbound"): N,
    }
    assert len(opened) == 2 * N and opened == closed
    assert not [e for e in d.marks() if e["kind"] == "lost"]


@pytest.mark.parametrize(
    "wishes", [{"reset": True}, {"first": "server"}, {"family": 6}, {"family": 46}]
)
def test_other_ways_to_be_fast(daemon, churn, wishes, source):
    if source == "ebpf":
        # Every port may be the kernel's choice: directions cannot be told by the numbers. Netlink
        # has nothing else where a listener is gone before it can be looked at.
        daemon.namespace.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    made = churn(daemon, count=5000, processes=2, port=PORTS[0], **wishes)
    assert made["accepted"] == 5000
    daemon.settle()

    def all_told():
        """The kernel tells of ended sockets in its own time."""
        kinds, opened, closed = tally(daemon, PORTS)
        if source == "netlink" and wishes.get("reset"):
            # The end that sends the reset loses its ports before sock_diag tells of it.
            assert kinds["open", "inbound"] == kinds["close", "inbound"] == 5000
            assert kinds["open", "outbound"] == kinds["close", "outbound"] <= 5000
        else:
            assert set(kinds.values()) == {5000} and len(kinds) == 4, kinds
        assert opened == closed
        return True

    wait_until(all_told, "the beginnings and ends of all", deadline=30)
    assert daemon.status()["lost"] == 0

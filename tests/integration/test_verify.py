# SPDX-License-Identifier: GPL-2.0-or-later
"""portctl status --verify: the record beside the kernel's own lists, on every kind of socket."""

import os
import signal
import socket
import subprocess
import threading

import pytest

from harness.daemon import Situation
from harness.namespace import Namespace
from harness.waiting import wait_until


def verify(d, *arguments, **kwargs):
    return d.portctl("status", "--verify", *arguments, check=False, **kwargs)


@pytest.fixture(scope="module")
def busy(shared, build):
    shared.namespace.sysctl("net.ipv4.ip_local_port_range", "32768 60999")
    ns = shared.namespace
    made = [
        Situation(build, ns, "listen", port=1102),
        Situation(build, ns, "listen-dual", port=443),
        Situation(build, ns, "udp-bind", port=5353),
        Situation(build, ns, "reuseport", port=8083),
        Situation(build, ns, "pair", port=8080, bytes_to_server=10),
        Situation(build, ns, "pair", port=8081, family=6),
        Situation(build, ns, "pair", port=8082, family=46),
        Situation(build, ns, "udp-connected", port=8084),
        Situation(build, ns, "udp-autobind", port=8085),
    ]
    for s in made[4:]:
        if s.now["step"] != "closed":
            s.next()
    # These are listeners in the record, where the source sees them, and not compared.
    with ns.entered():
        others = [
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136),
        ]
        others[-1].bind(("127.0.0.1", 5354))
    shared.settle()
    yield shared
    for s in (*made, *others):
        s.close()


def test_it_agrees(busy):
    done = verify(busy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("the record agrees with the kernel: ")
    (row,) = verify(busy, "-j").rows
    assert row["only_kernel"] == row["only_record"] == []
    assert row["listeners"] >= 4 and row["connections"] >= 4
    assert f"{row['listeners']} listeners, {row['connections']} connections" in done.stdout
    assert "\n  " in verify(busy, "--json=pretty").stdout


def test_for_everybody(busy):
    """The kernel's lists take no privilege, and sockets of the host are no secret."""
    done = verify(busy, wrapper=("setpriv", "--reuid=65534", "--regid=65533", "--clear-groups"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_in_another_namespace(busy):
    other = Namespace()
    try:
        done = other.run(
            [busy.build.portctl, f"--socket={busy.socket_path}", "status", "--verify"], check=False
        )
        assert done.returncode == 1 and done.stdout == ""
        assert "network namespace" in done.stderr
    finally:
        other.close()


def test_while_connections_come_and_go(shared, churn):
    ended = []

    def run():
        ended.append(churn(shared, count=30000, processes=2))

    worker = threading.Thread(target=run)
    worker.start()
    results = [verify(shared)]
    while worker.is_alive():
        results.append(verify(shared))
    worker.join()
    assert ended
    for done in results:
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def frozen(make_daemon):
    """A recorder that stands still, its answerer at work: the record grows old."""
    d = make_daemon()
    d.answerer_pid()
    yield d
    os.kill(d.process.pid, signal.SIGCONT)


def test_what_differs_is_listed(frozen):
    ns = frozen.namespace
    with ns.entered():
        old = socket.create_server(("127.0.0.1", 1102))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 1103))
    wait_until(lambda: len(frozen.listeners(ports=[1102, 1103])) == 2)
    assert verify(frozen).returncode == 0
    os.kill(frozen.process.pid, signal.SIGSTOP)
    old.close()
    udp.close()
    with ns.entered():
        new = socket.create_server(("::1", 1104), family=socket.AF_INET6)
        client = socket.create_connection(("::1", 1104))
        accepted, _ = new.accept()
    done = verify(frozen)
    here, there = (f"[::1]:{s.getsockname()[1]}" for s in (client, accepted))
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()[:-1]) == sorted(
        [
            "only the record has: tcp 127.0.0.1:1102, a listener",
            "only the record has: udp 127.0.0.1:1103, a listener",
            "only the kernel has: tcp [::1]:1104, a listener",
            f"only the kernel has: tcp {here}, connected to {there}",
            f"only the kernel has: tcp {there}, connected to {here}",
        ]
    )
    assert "differs from the kernel: 5 sockets of " in done.stdout.splitlines()[-1]
    # What is closing is in neither.
    client.close()
    done = verify(frozen, "-j")
    (row,) = done.rows
    assert done.returncode == 1 and len(row["only_record"]) == 2
    assert row["only_kernel"] == [
        {"transport": "tcp", "local": {"address": "::1", "port": 1104}, "remote": None}
    ]
    accepted.close()
    new.close()
    # And once it goes on, nothing differs.
    os.kill(frozen.process.pid, signal.SIGCONT)
    assert verify(frozen).returncode == 0


def test_no_daemon(build, tmp_path):
    done = subprocess.run(
        [build.portctl, f"--socket={tmp_path}/nobody", "status", "--verify"], capture_output=True
    )
    assert done.returncode == 3

# SPDX-License-Identifier: GPL-2.0-or-later
"""A recorder that is stopped under full load: it says how much it missed, and is right again soon."""

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness.namespace import Namespace
from harness.waiting import wait_until

STOPPED_SECONDS = 5.0
# On a machine that nobody else keeps busy.
RIGHT_WITHIN_SECONDS = 2.0
RIGHT_WITHIN_SECONDS_BUSY = 6.0
PAIRS = 2
PORTS = [20000, 20001]
COUNT = 250_000

# Source events of one connection, both ends: to SYN_SENT, ESTABLISHED, CLOSE and to ESTABLISHED,
# LAST_ACK, CLOSE; and the history's records of it.
EVENTS, RECORDS = 6, 4

# Of the ends, how many may be both counted as lost and told by a look.
TOLD_TWICE = 0.03
# Listeners, processes, the sockets of the test itself.
MARGIN = 1000

# Small, so that little load is enough to overflow them in the time.
CONFIGURATION = """
[Recorder]
HistorySize=256M
RingBufferSize=4M
ReceiveBufferSize=1M
"""


# Without those in TIME-WAIT, which are many after such a load.
STATES = ["state", "listening", "state", "established", "state", "close-wait"]


def tally(d, namespace):
    """Records of the load by kind and direction, read without a type check for each."""
    kinds = collections.Counter()
    with d.client(deadline=60) as c:
        c.send("io.portwatch.History", {"filter": {"netns": namespace.inode}}, more=True)
        continues = True
        while continues:
            reply = json.loads(c.receive_bytes())
            continues = reply.get("continues", False)
            for e in reply["parameters"]["events"]:
                # By either port: netlink may take one end for the other when it knew no listener.
                ends = e["connection"]
                if ends and {ends["local"]["port"], ends["remote"]["port"]} & set(PORTS):
                    kinds[e["kind"], ends["direction"]] += 1
    return kinds


def ends_of_ss(namespace):
    """(local port, remote port) of what ss shows open in the namespace, and ports listened on."""
    words = [l.split() for l in namespace.run(["ss", "-Htn", *STATES]).stdout.splitlines()]
    ports = [
        (w[0], *(int(re.search(r":(\d+|\*)$", a)[1].replace("*", "0")) for a in w[3:5]))
        for w in words
    ]
    ours = [p for p in ports if not {p[1], p[2]} & set(PORTS)]
    return (
        {p[1:] for p in ours if p[0] in ("ESTAB", "CLOSE-WAIT")},
        {p[1] for p in ours if p[0] == "LISTEN"},
    )


def ends_of_table(d):
    """The same from the live table."""
    connections = {
        (c["local"]["port"], c["remote"]["port"])
        for c in d.connections()
        if c["transport"] == "tcp"
    }
    listeners = {l["local"]["port"] for l in d.listeners(transport="tcp")}
    load = set(PORTS)
    return {c for c in connections if not load & set(c)}, listeners - load


@contextlib.contextmanager
def stopped(process):
    process.send_signal(signal.SIGSTOP)
    try:
        yield time.time_ns() // 1000
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.fixture
def load(build, namespace):
    """churn in the background: what it made, once it has ended."""
    namespace.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    argv = [
        build.helper("churn"),
        f"--count={COUNT}",
        f"--processes={PAIRS}",
        f"--port={PORTS[0]}",
        "--addresses=8",
    ]
    started = []

    def start():
        started.append(namespace.popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL))
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def elsewhere():
    ns = Namespace()
    yield ns
    ns.close()


@pytest.mark.timeout(180)
def test_stopped_under_load(make_daemon, situations, load, source, namespace, elsewhere):
    d = make_daemon(start=False)
    d.configure(CONFIGURATION)
    d.start()
    # Sockets that stay, that go while nobody looks, and that come while nobody looks.
    stays = situations(d, "pair", port=21001)
    goes = situations(d, "pair", port=21002)
    stays.next(), goes.next()
    wait_until(lambda: len(d.connections(ports=[21001, 21002])) == 4)
    wait_until(lambda: {l["local"]["port"] for l in d.listeners()} >= {21001, 21002})
    before = d.status()["lost"]
    # What others on this machine do is lost with ours: one that is never stopped sees how much it is.
    other = make_daemon(namespace=elsewhere) if source == "ebpf" else None
    seen = other.status() if other else None

    churn = load()
    wait_until(
        lambda: len(d.events(filter={"ports": PORTS}, newest_first=True, limit=10)) == 10,
        "the load",
    )
    with stopped(d.process) as began:
        end = time.monotonic() + STOPPED_SECONDS
        # Nothing but time fills the buffers: this wait is what is tested, not a way to wait.
        time.sleep(STOPPED_SECONDS / 2)
        goes.finish()
        goes.close()
        comes = situations(d, "pair", port=21003)
        comes.next()
        time.sleep(max(end - time.monotonic(), 0))

    def right():
        table, truth = ends_of_table(d), ends_of_ss(namespace)
        assert table == truth
        return True

    busy = os.getloadavg()[0] > 2 * os.cpu_count()
    wait_until(
        right, "a table as ss shows it", RIGHT_WITHIN_SECONDS_BUSY if busy else RIGHT_WITHIN_SECONDS
    )
    made = json.loads(churn.communicate(timeout=120)[0])
    assert made["connected"] == made["accepted"] == COUNT
    wait_until(lambda: d.connections(ports=PORTS) == [], "the end of all of the load", 20)
    d.settle()
    right()

    def sums():
        lost = d.status()["lost"] - before
        assert lost > 0, "the load was too small to lose anything"
        kinds = tally(d, namespace)
        if source == "netlink":
            check_messages(kinds, lost)
        else:
            now = other.status()
            foreign = now["events"] + now["lost"] - seen["events"] - seen["lost"] - RECORDS * COUNT
            check_events(kinds, lost, max(foreign, 0))
        return lost

    # The kernel tells of destroyed sockets in its own time, by a worker on each processor.
    lost = wait_until(sums, "what was made to be recorded or lost", 30)
    # The history says at its places what status says in all.
    marks = [e for e in d.marks() if e["kind"] == "lost"]
    assert sum(e["lost"] for e in marks) == lost, (marks, d.status())
    # A busy machine may lose some before it as well.
    assert any(e["time_usec"] >= began for e in marks)


def check_messages(kinds, lost):
    """netlink: one message for each socket that is destroyed, and one record of an end for each.

    An end whose message was lost is told by the next look if one before had shown the socket: it is
    counted and recorded.
    """
    closed = kinds["close", "inbound"] + kinds["close", "outbound"]
    assert 2 * COUNT <= closed + lost <= 2 * COUNT * (1 + TOLD_TWICE)


def check_events(kinds, lost, foreign):
    """ebpf: a record that is missing is an event that was lost; other events leave no record.

    Of those, EVENTS - RECORDS for each connection, as many as are whole may have come; and others on
    this machine lose theirs, at most four for each record that they make.
    """
    missing = RECORDS * COUNT - sum(kinds.values())
    assert 0 < missing <= lost <= missing + (EVENTS - RECORDS) * COUNT + 4 * foreign + MARGIN

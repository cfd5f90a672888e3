# SPDX-License-Identifier: GPL-2.0-or-later
"""The record over the recorder's ends, good and bad."""

import json
import os
import select
import signal
import subprocess

import pytest

from harness.waiting import wait_until


def history(d, **parameters):
    return [e for r in d.stream("History", parameters) for e in r["events"]]


def check_gapless(events):
    seqs = [e["seq"] for e in events]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_a_clean_restart(make_daemon, situations):
    d = make_daemon()
    s = situations(d, "listen")
    pair = situations(d, "pair")
    pair.next()
    d.wait_event("listen", s.port)
    wait_until(lambda: len(d.connections(ports=[pair.port])) == 2)
    wait_until(lambda: d.listeners(ports=[s.port])[0]["owner"]["pid"] is not None)
    wait_until(
        lambda: all(
            c["owner"]["attribution"] != "unknown" for c in d.connections(ports=[pair.port])
        )
    )
    before = d.events()
    (l,) = d.listeners(ports=[s.port])
    connections = sorted(d.connections(ports=[pair.port]), key=lambda c: c["id"])
    status = d.status()
    d.stop()
    d.start()
    after = d.events()
    assert after[: len(before)] == before
    # Over the restart, of all namespaces: what else runs on the machine is in it as well.
    check_gapless(history(d, after_seq=max(status["next_seq"] - 500, 0), limit=1000))
    assert [e["kind"] for e in d.marks()] == ["start", "stop", "start"]
    assert d.status()["boot_id"] == status["boot_id"]
    assert d.status()["started_usec"] > status["started_usec"]
    (again,) = d.listeners(ports=[s.port])
    assert again == l

    def same():
        # Who is behind them may be known better than before, but not be somebody else.
        for now, was in zip(
            sorted(d.connections(ports=[pair.port]), key=lambda c: c["id"]), connections
        ):
            assert {**now, "owner": None} == {**was, "owner": None}
            assert now["owner"]["pid"] == was["owner"]["pid"]
        return True

    assert len(d.connections(ports=[pair.port])) == 2 and same()
    # What lasted is not told twice.
    for port in (s.port, pair.port):
        assert [e["kind"] for e in d.events(filter={"ports": [port]})].count("listen") == 1
    s.next()
    end = d.wait_event("unlisten", s.port)
    assert end["listener"]["id"] == l["id"]
    pair.finish()
    for c in connections:
        assert d.wait_event("close", pair.port, id=c["id"])


def test_what_ended_meanwhile(make_daemon, situations):
    d = make_daemon()
    gone, back = situations(d, "listen", port=7100), situations(d, "listen", port=7101)
    pair = situations(d, "pair", port=7102)
    pair.next()
    for port in (7100, 7101, 7102):
        d.wait_event("listen", port)
    wait_until(lambda: len(d.connections(ports=[7102])) == 2)
    first_seen = d.listeners(ports=[7101])[0]["first_seen_usec"]
    d.stop()
    gone.next()
    pair.finish()
    back.next()
    back.close()
    situations(d, "listen", port=7101)
    fresh = situations(d, "listen", port=7103)
    d.start()
    assert [e["kind"] for e in d.events(filter={"ports": [7100]})] == ["listen", "unlisten"]
    lives = {}
    for e in d.events(filter={"ports": [7101]}):
        lives.setdefault(e["listener"]["id"], []).append(e["kind"])
    assert list(lives.values()) == [["listen", "unlisten"], ["listen"]]
    assert d.listeners(ports=[7101])[0]["first_seen_usec"] == first_seen
    closes = d.events(filter={"ports": [7102], "kinds": ["close"]})
    assert {e["connection"]["direction"] for e in closes} == {"inbound", "outbound"}
    assert d.connections(ports=[7102]) == []
    assert sorted(l["local"]["port"] for l in d.listeners()) == [7101, 7102, fresh.port]
    # All of that is told behind the mark of the second start.
    second_start = [e["seq"] for e in d.marks() if e["kind"] == "start"][1]
    assert min(e["seq"] for e in closes) > second_start


@pytest.mark.timeout(120)
def test_killed_under_load(make_daemon, situations, build, namespace):
    """kill -9 while everything happens: nothing that was there is gone, and the gap is said."""
    d = make_daemon(start=False)
    d.configure("[Recorder]\nHistorySize=256M\n")
    d.start()
    namespace.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    lasting = situations(d, "listen", port=7200)
    d.wait_event("listen", 7200)
    (l,) = d.listeners(ports=[7200])
    for round_ in range(2):
        load = namespace.popen(
            [
                build.helper("churn"),
                "--count=1000000",
                "--processes=2",
                "--port=20000",
                "--addresses=8",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            start = d.status()["next_seq"]
            wait_until(lambda: d.status()["next_seq"] > start + 20_000, deadline=20)
            seen = history(d, after_seq=start, limit=2000)
            last = d.status()["next_seq"] - 1
            d.kill()
        finally:
            load.kill()
            load.wait()
            wait_until(lambda: not listening(namespace, 20000), "the end of the load")
        d.start()
        after = history(d, after_seq=start, limit=2000)
        assert after == seen
        status = d.status()
        assert status["next_seq"] > last
        marks = [(e["kind"], e["lost"]) for e in d.marks()]
        assert marks == [("start", None)] + [("lost", None), ("start", None)] * (round_ + 1)
        lost, start_mark = d.marks()[-2:]
        assert last < lost["seq"] < start_mark["seq"]
        (again,) = d.listeners(ports=[7200])
        assert again["first_seen_usec"] == l["first_seen_usec"]
        assert again["id"] == l["id"]
        # What the load had open is not open any more, and each of them has its end.
        wait_until(lambda: d.connections(ports=[20000, 20001]) == [], "the ends of the load", 20)
    total = d.status()
    count, expected = 0, total["oldest_seq"]
    with d.client(deadline=30) as c:
        c.send("io.portwatch.History", {}, more=True)
        continues = True
        while continues:
            reply = json.loads(c.receive_bytes())
            continues = reply.get("continues", False)
            for e in reply["parameters"]["events"]:
                assert e["seq"] == expected
                expected += 1
                count += 1
    assert expected >= total["next_seq"] and count > 40_000
    lasting.next()
    assert d.wait_event("unlisten", 7200)["listener"]["id"] == l["id"]


def listening(namespace, port):
    return namespace.run(["ss", "-Hltn", f"sport = :{port}"]).stdout.strip()


def test_two_recorders_on_one_record(make_daemon):
    first = make_daemon()
    second = make_daemon(start=False)
    second.state = first.state
    status, log = second.start_failing()
    assert status not in (0, None) and log.strip()
    # The first one does not notice.
    assert first.status()["state"] == "running"
    assert first.running()


def test_the_answerer_dies_with_the_recorder(make_daemon):
    d = make_daemon()
    answerer = d.answerer_pid()
    pidfd = os.pidfd_open(answerer)
    try:
        d.process.kill()
        assert select.select([pidfd], [], [], 10)[0], "the answerer has outlived the recorder"
    finally:
        os.close(pidfd)
    d.process.wait()
    d.process = None


def test_the_answerer_is_started_again(make_daemon, churn):
    d = make_daemon()
    first = d.answerer_pid()
    with d.client() as c:
        c.call("io.portwatch.Status")
        os.kill(first, signal.SIGKILL)
        assert c.is_closed()
    made = churn(d, count=1000, port=20000)
    # The listening socket is the recorder's: nobody is turned away meanwhile.
    with d.client() as c:
        assert c.call("io.portwatch.Status")["state"] in ("running", "degraded")
    assert d.answerer_pid() != first
    d.wait_connections([20000], made["accepted"], made["connected"])
    assert d.log().count("answerer is started again") == 1
    assert d.status()["lost"] == 0


def test_volatile_storage(make_daemon, situations):
    d = make_daemon(start=False)
    d.configure("[Recorder]\nStorage=volatile\n")
    d.start()
    s = situations(d, "listen")
    d.wait_event("listen", s.port)
    assert "history" not in os.listdir(d.state)
    assert any(name.startswith("history") for name in os.listdir(d.runtime))
    d.stop()
    d.start()
    assert len(d.events(filter={"ports": [s.port], "kinds": ["listen"]})) == 1


@pytest.mark.parametrize("damage", ["empty", "short", "foreign"])
def test_a_damaged_record_is_set_aside(make_daemon, damage):
    d = make_daemon()
    d.stop()
    path = os.path.join(d.state, "history")
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        if damage == "empty":
            f.truncate(0)
        elif damage == "short":
            f.truncate(size // 2 + 17)
        else:
            f.write(b"#!/bin/sh\n" * 1000)
    d.start()
    assert d.status()["state"] == "running"
    assert [e["kind"] for e in d.marks()][-1] == "start"
    assert any(name.startswith("history.damaged") for name in os.listdir(d.state))
    assert "damaged" in d.log()


def test_the_oldest_makes_room(make_daemon, churn):
    d = make_daemon(start=False)
    d.configure("[Recorder]\nHistorySize=12M\n")
    d.start()
    d.namespace.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    wait = 0
    while d.status()["oldest_seq"] <= 1 and wait < 6:
        churn(d, count=8000, processes=2, port=20000, addresses=8)
        wait += 1
    d.settle()
    status = d.status()
    assert 1 < status["oldest_seq"] < status["next_seq"]
    events = history(d, limit=10)
    assert events[0]["seq"] == history(d, limit=1)[0]["seq"] >= status["oldest_seq"]
    check_gapless(events)
    # Asking for what is gone gets what there is, and is told how far it reaches.
    reply = next(d.stream("History", {"limit": 1}))
    assert reply["oldest_seq"] >= status["oldest_seq"] and len(reply["events"]) == 1
    assert os.path.getsize(os.path.join(d.state, "history")) <= 13 << 20
    newest = next(d.stream("History", {"limit": 3, "newest_first": True}))["events"]
    assert [e["seq"] for e in newest] == sorted((e["seq"] for e in newest), reverse=True)
    assert (
        newest[0]["seq"] == d.status()["next_seq"] - 1 or newest[0]["seq"] >= status["next_seq"] - 1
    )

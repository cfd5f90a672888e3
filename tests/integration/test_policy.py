# SPDX-License-Identifier: GPL-2.0-or-later
"""What is expected to listen, and what is told when something else does."""

import os
import re
import signal
import socket

import pytest

from harness.namespace import Namespace
from harness.waiting import wait_until

ANY = "tcp/any\nudp/any\n"


@pytest.fixture
def policed(make_daemon):
    """A daemon that has rules from its start on: policed(rules, configuration)."""

    def make(rules, configuration=""):
        d = make_daemon(start=False)
        if rules is not None:
            d.configure(rules, "expected.d/10-test.rules")
        if configuration:
            d.configure(configuration)
        return d.start()

    return make


def judged(d, port):
    return wait_until(lambda: d.listeners(ports=[port]), f"a listener on port {port}")[0]


def told(d, port):
    """The lines of the log about unexpected listeners on a port of 127.0.0.1."""
    return [l for l in d.log().splitlines() if re.search(rf"nexpected listener on .*127.0.0.1:{port}\b", l)]


def reload(d, rules=None, name="expected.d/10-test.rules"):
    before = d.status()["rules_usec"]
    if rules is not None:
        d.configure(rules, name)
    d.process.send_signal(signal.SIGHUP)
    return wait_until(lambda: (s := d.status())["rules_usec"] != before and s, "the reload")


def test_without_rules_nothing_is_judged(policed, situations):
    d = policed(None)
    s = situations(d, "listen", port=7101)
    l = judged(d, 7101)
    assert l["expected"] is None and l["rule"] is None
    status = d.status()
    assert status["rules"] is None and status["rules_error"] is None and status["unexpected"] == 0
    s.finish()
    d.wait_event("unlisten", 7101)
    assert told(d, 7101) == []


def test_expected_and_unexpected(policed, situations):
    d = policed("tcp/7101 name=server\ntcp/7102-7110 name=somebody-else\n")
    assert d.status()["rules"] == 2
    first, second = (situations(d, "listen", port=p) for p in (7101, 7102))
    wait_until(lambda: judged(d, 7101)["expected"] is True)
    assert judged(d, 7101)["rule"] == "tcp/7101 name=server"
    wait_until(lambda: len(told(d, 7102)) == 1, "the message")
    l = judged(d, 7102)
    assert l["expected"] is False and l["rule"] is None
    (line,) = told(d, 7102)
    assert f"pid {second['listener']['pid']}" in line and "server" in line and "loopback" in line
    assert [l["local"]["port"] for l in d.listeners(expected=False)] == [7102]
    assert d.status()["unexpected"] >= 1
    event = d.wait_event("listen", 7102)
    if d.source == "ebpf":
        assert event["listener"]["expected"] is False
    for s in (first, second):
        s.finish()
    d.wait_event("unlisten", 7102, expected=False)
    wait_until(lambda: len(told(d, 7102)) == 2, "that it has gone", deadline=30)
    assert "has gone" in told(d, 7102)[1]
    assert told(d, 7101) == []


def test_what_has_no_address_is_told_as_it_is_listed(policed, source):
    if source == "netlink":
        pytest.skip("netlink: packet sockets are not seen")
    d = policed(ANY)
    with d.namespace.entered():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        # Nothing tells of it but the look that is taken when something has happened.
        socket.create_server(("127.0.0.1", 7101)).close()
    with s:
        wait_until(lambda: "Unexpected listener on packet *:3 (any)" in d.log(), deadline=45)
        ours = [l for l in d.listeners(transport="packet") if l["owner"]["pid"] == os.getpid()]
        assert [l["local"] for l in ours] == [{"address": "*", "port": 3}]
        lines = d.portctl("listeners", f"--netns={d.namespace.inode}").stdout.splitlines()
        assert [l.split()[1] for l in lines if l.startswith("packet")] == ["*:3"]


def test_a_reload_judges_what_is_open(policed, situations):
    d = policed("tcp/9 name=nobody\n")
    situations(d, "listen", port=7103)
    wait_until(lambda: told(d, 7103))
    status = reload(d, "tcp/9 name=nobody\n\n# this one\ntcp/7103 exposure=loopback\n")
    assert status["rules"] == 2 and status["rules_error"] is None
    assert judged(d, 7103)["expected"] is True
    assert judged(d, 7103)["rule"] == "tcp/7103 exposure=loopback"
    # And back: what was expected is not any more, and that is told.
    status = reload(d, "tcp/9 name=nobody\n")
    assert judged(d, 7103)["expected"] is False
    wait_until(lambda: len(told(d, 7103)) == 2)


def test_a_mistake_leaves_the_last_good_rules(policed, situations):
    d = policed("tcp/7104 exposure=loopback\n")
    situations(d, "listen", port=7104)
    wait_until(lambda: judged(d, 7104)["expected"] is True)
    status = reload(d, "tcp/7104 exposure=loopback\ntcp/22 colour=red\n")
    assert "10-test.rules:2:8:" in status["rules_error"]
    assert status["rules"] == 1
    assert judged(d, 7104)["expected"] is True
    assert "10-test.rules:2:8:" in d.log()
    assert reload(d, "tcp/7104\n")["rules_error"] is None


def test_a_mistake_at_the_start_is_said_and_recording_goes_on(policed, situations):
    d = policed("tcp/99999\n")
    status = d.status()
    assert "10-test.rules:1:" in status["rules_error"] and status["rules"] is None
    situations(d, "listen", port=7105)
    assert judged(d, 7105)["expected"] is None


def test_a_restart_does_not_tell_again(policed, situations):
    d = policed("tcp/9 name=nobody\n")
    situations(d, "listen", port=7106)
    wait_until(lambda: len(told(d, 7106)) == 1)
    d.stop()
    d.start()
    assert judged(d, 7106)["expected"] is False
    d.settle()
    assert len(told(d, 7106)) == 1


def test_what_flaps_is_told_once(policed, namespace):
    d = policed("tcp/9 name=nobody\n")
    with d.namespace.entered():
        for _ in range(5):
            with socket.create_server(("127.0.0.1", 7107)):
                wait_until(lambda: d.listeners(ports=[7107]))
            wait_until(lambda: not d.listeners(ports=[7107]))
    wait_until(lambda: len(told(d, 7107)) == 2, "told, and told to be gone", deadline=40)
    assert "it had come back meanwhile" in told(d, 7107)[1]
    held = {l["where"]: l["count"] for l in d.status()["losses"]}["alerts_held"]
    assert held >= 4


def test_a_listener_of_a_moment_is_told(policed, source):
    if source == "netlink":
        pytest.skip("netlink: lives between two looks, and its end tells no tuple of a listener")
    d = policed("tcp/9 name=nobody\n")
    with d.namespace.entered():
        socket.create_server(("127.0.0.1", 7108)).close()
    wait_until(lambda: told(d, 7108))


def test_where_a_port_may_be_reached_from(policed, situations):
    d = policed("tcp/7109 from=10.0.0.0/8\ntcp/7110 from=127.0.0.0/8\n")
    for port in (7109, 7110):
        s = situations(d, "pair", port=port)
        s.finish()
    d.settle()
    outside = d.wait_event("open", 7109, direction="inbound")["connection"]
    assert outside["expected"] is False and outside["rule"] is None
    inside = d.wait_event("open", 7110, direction="inbound")["connection"]
    assert inside["expected"] is True and inside["rule"] == "tcp/7110 from=127.0.0.0/8"
    ours = d.wait_event("open", 7109, direction="outbound")["connection"]
    assert ours["expected"] is None
    wait_until(lambda: "Unexpected connection from 127.0.0.1 to tcp 127.0.0.1:7109" in d.log())
    assert ":7110" not in "".join(l for l in d.log().splitlines() if "Unexpected connection" in l)


def test_a_source_that_is_refused_too_often(policed, source):
    if source == "netlink":
        pytest.skip("netlink: sock_diag tells nothing of packets without a socket")
    d = policed("refused rate=100/60s\n")
    with d.namespace.entered():
        for port in range(1, 300):
            with socket.socket() as s:
                assert s.connect_ex(("127.0.0.1", port)) != 0
    wait_until(lambda: re.search(r"127\.0\.0\.1 was refused \d+ times", d.log()))


def test_learning(policed, situations):
    d = policed(None, "[Policy]\nLearn=1h\n")
    assert d.status()["learning_until_usec"] > 0
    situations(d, "listen", port=7111)
    wait_until(lambda: judged(d, 7111)["expected"] is True, "that it was learnt")
    rule = judged(d, 7111)["rule"]
    assert rule.startswith("tcp/7111 ") and "exposure=loopback" in rule and "pid" not in rule
    learnt = os.path.join(d.state, "learned.rules")
    assert rule in open(learnt).read().splitlines()
    # The gate closes: what was learnt stays, what is new is not expected.
    text = open(learnt).read()
    with open(learnt, "w") as f:
        f.write(re.sub(r"began at \d+", "began at 1", text))
    assert reload(d)["learning_until_usec"] is None
    assert judged(d, 7111)["expected"] is True
    situations(d, "listen", port=7112)
    wait_until(lambda: judged(d, 7112)["expected"] is False)


def test_many_at_once_take_their_time(policed):
    d = policed("tcp/9 name=nobody\n")
    n = 80
    with d.namespace.entered():
        servers = [socket.create_server(("127.0.0.1", p)) for p in range(8000, 8000 + n)]
    wait_until(lambda: len(d.listeners(expected=False)) >= n, "all of them judged")
    said = lambda: re.findall(r"Unexpected listener on tcp 127.0.0.1:(80\d\d)", d.log())
    wait_until(lambda: len(said()) == n, "all of them told", deadline=40)
    assert len(set(said())) == n
    for s in servers:
        s.close()


def test_a_rate_alone_judges_no_listener(policed, situations):
    d = policed("refused rate=100/60s\n")
    situations(d, "listen", port=7113)
    assert judged(d, 7113)["expected"] is None


def test_a_mistake_in_what_was_learnt_costs_only_that(policed, situations):
    d = policed("tcp/7114 exposure=loopback\n", "[Policy]\nLearn=1h\n")
    with open(os.path.join(d.state, "learned.rules"), "a") as f:
        f.write("tcp/70000\n")
    status = reload(d)
    assert "learned.rules:" in status["rules_error"] and status["rules"] >= 1
    situations(d, "listen", port=7114)
    wait_until(lambda: judged(d, 7114)["expected"] is True)


def test_connections_are_judged_again(policed, situations):
    d = policed("tcp/7115 from=10.0.0.0/8\n")
    s = situations(d, "pair", port=7115)
    s.next()

    def inbound():
        found = [c for c in d.connections(ports=[7115]) if c["direction"] == "inbound"]
        return found and found[0]

    wait_until(lambda: (c := inbound()) and c["expected"] is False, "the verdict")
    reload(d, "tcp/1 name=nobody\ntcp/7115 from=127.0.0.1\n")
    assert inbound()["expected"] is True and inbound()["rule"] == "tcp/7115 from=127.0.0.1"
    reload(d, "tcp/1 name=nobody\n")
    assert inbound()["expected"] is None and inbound()["rule"] is None
    s.finish()

# SPDX-License-Identifier: GPL-2.0-or-later
"""What portctl status and portctl port tell of rules, learning, audits and the past."""

import re

import pytest

from harness.waiting import wait_until


def status(d):
    """What stands behind each label; what has none belongs to the one above."""
    lines, label = {}, None
    for line in d.portctl("status").stdout.splitlines():
        m = re.match(r" *([A-Z]\w+): (.*)", line)
        if m:
            label = m[1]
            lines[label] = m[2]
        elif label:
            lines[label] += "\n" + line.strip()
    return lines


def test_without_rules(daemon):
    lines = status(daemon)
    assert lines["Rules"] == "none: nothing is judged"
    assert "Learning" not in lines
    assert lines["Process"] == str(daemon.process.pid) == str(daemon.status()["pid"])


def test_rules_and_a_mistake(make_daemon):
    d = make_daemon(start=False)
    path = d.configure("tcp/22\nudp/53\n", "expected.d/10-test.rules")
    d.start()
    assert re.fullmatch(
        r"2 in force since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d; \S+.* ago", status(d)["Rules"]
    )
    d.configure("tcp/22\nudp/x\n", "expected.d/10-test.rules")
    d.process.send_signal(1)
    wait_until(lambda: d.status()["rules_error"], "the error")
    first, second = status(d)["Rules"].splitlines()
    assert first.startswith("2 in force since ")
    assert second.startswith(f"newer ones were not taken: {path}:2:5: ")


def test_learning(make_daemon):
    d = make_daemon(start=False)
    d.configure("[Policy]\nLearn=14d\n")
    d.start()
    told = status(d)["Learning"]
    assert re.fullmatch(
        r"what is new until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d; 13d 23h more", told
    ), told


def test_audits_and_repairs(daemon, situations):
    """An audit comes when what has happened is over."""
    situations(daemon, "listen")
    told = wait_until(lambda: status(daemon).get("Audited"), "an audit", deadline=20)
    repairs = {l["where"]: l["count"] for l in daemon.status()["losses"]}["repairs"]
    assert re.search(rf" ago; {repairs} repairs?$", told), told
    assert "repair" not in status(daemon).get("Bounds", "")


@pytest.fixture
def reopened(daemon, situations):
    """A port that was opened three times, and is open."""
    for _ in range(2):
        s = situations(daemon, "listen", port=8080)
        wait_until(lambda: daemon.listeners(ports=[8080]))
        s.next()
        wait_until(lambda: not daemon.listeners(ports=[8080]))
    situations(daemon, "listen", port=8080)
    wait_until(lambda: daemon.listeners(ports=[8080]))
    wait_until(lambda: daemon.call("Port", {"port": 8080})["known"][0]["times_opened"] == 3)
    return daemon


def test_the_story_of_a_port(reopened):
    (known,) = reopened.call("Port", {"port": 8080})["known"]
    text = reopened.portctl("port", "8080").stdout
    listener, story = (text.index(w) for w in ("tcp 127.0.0.1:8080", "Known of it:"))
    assert listener < story
    (line,) = [l for l in text[story:].splitlines() if "first seen" in l]
    assert re.fullmatch(
        r"    tcp, for this host alone: "
        + re.escape(known["program"])
        + r" \(root\), first seen \w+ +\d+ [\d:]+, last seen \w+ +\d+ [\d:]+, opened 3 times",
        line,
    ), line
    (row,) = reopened.portctl("port", "8080", "-j").rows
    assert row["known"] == [known]
    assert "Known of it" not in reopened.portctl("port", "8081").stdout


def test_the_story_is_for_those_who_see_all(reopened):
    wrapper = ("setpriv", "--reuid=65534", "--regid=65533", "--clear-groups")
    done = reopened.portctl("port", "8080", wrapper=wrapper)
    assert "tcp 127.0.0.1:8080" in done.stdout and "Known of it" not in done.stdout

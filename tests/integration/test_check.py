# SPDX-License-Identifier: GPL-2.0-or-later
"""portctl check: does a rule expect all that listens; for people, scripts and monitoring."""

import re
import signal

import pytest

from harness.cgroup import control_group, joined
from harness.waiting import wait_until

RULE = "tcp/1102 exposure=loopback\n"


@pytest.fixture
def ruled(make_daemon, situations):
    """A daemon with one rule, and a listener that it expects."""
    d = make_daemon(start=False)
    d.configure(RULE, "expected.d/10-test.rules")
    d.start()
    situations(d, "listen", port=1102)
    wait_until(lambda: [l["expected"] for l in d.listeners(ports=[1102])] == [True])
    return d


def check(d, *arguments, **kwargs):
    return d.portctl("check", f"--netns={d.namespace.inode}", *arguments, check=False, **kwargs)


def judged(d, n=1):
    """The unexpected listeners, once there are so many and all have their owners."""

    def find():
        found = d.listeners(expected=False)
        return len(found) == n and all(l["owner"]["name"] for l in found) and found

    return wait_until(find, f"{n} unexpected listeners")


def test_all_are_expected(ruled):
    done = check(ruled)
    assert (done.returncode, done.stdout) == (0, "1 listener, all expected.\n"), done.stderr
    done = check(ruled, "-j")
    assert (done.returncode, done.stdout) == (0, "")


def test_unexpected_ones_are_listed(ruled, situations, interface):
    situations(ruled, "listen", port=8080)
    situations(ruled, "udp-bind", port=5353)
    found = judged(ruled, 2)
    done = check(ruled)
    assert done.returncode == 1 and done.stderr == ""
    head, *lines = [line.split() for line in done.stdout.splitlines()]
    assert head[:3] == ["PROTO", "LOCAL", "SERVICE"]
    assert [line[:2] for line in lines] == [["udp", "127.0.0.1:5353"], ["tcp", "127.0.0.1:8080"]]
    done = check(ruled, "-j")
    assert done.returncode == 1 and [r["local"]["port"] for r in done.rows] == [5353, 8080]
    for row in done.rows:
        interface.check_named("Listener", row)
        assert row in found and row["expected"] is False
    # What a filter leaves out is not looked at.
    assert check(ruled, "--port=1102").returncode == 0
    assert check(ruled, "-u").stdout.splitlines()[-1].split()[1] == "127.0.0.1:5353"
    head, *lines = check(ruled, "--columns=LOCAL,EXPECTED,RULE").stdout.splitlines()
    assert [line.split()[1:] for line in lines] == [["no", "-"]] * 2


def test_the_column_rule(ruled):
    head, line = ruled.portctl("--columns=EXPECTED,RULE", "--port=1102").stdout.splitlines()
    assert head.split() == ["EXPECTED", "RULE"] and line.split() == [
        "yes",
        r"tcp/1102\x20exposure=loopback",
    ]


def test_unexpected_as_a_filter(ruled, situations):
    situations(ruled, "listen", port=8080)
    judged(ruled)
    rows = ruled.portctl("listeners", "--unexpected", "-j", f"--netns={ruled.namespace.inode}").rows
    assert [r["local"]["port"] for r in rows] == [8080]
    events = ruled.portctl("history", "--unexpected", "-j", "--kind=listen").rows
    assert 8080 in [e["listener"]["local"]["port"] for e in events]
    assert 1102 not in [e["listener"]["local"]["port"] for e in events]
    counts = ruled.portctl("counts", "--unexpected", "-j", "--by=port").rows
    assert "8080" in [c["key"] for c in counts] and "1102" not in [c["key"] for c in counts]


def test_new_since(ruled, situations):
    here = f"--netns={ruled.namespace.inode}"
    middle = ruled.listeners(ports=[1102])[0]["first_seen_usec"]
    situations(ruled, "listen", port=8080)
    judged(ruled)
    ports = lambda *a: {r["local"]["port"] for r in ruled.portctl("listeners", "-j", here, *a).rows}
    assert ports("--new-since=1h") == {1102, 8080} == ports("--new-since", "1 hour ago")
    assert ports("--new-since=7d") == {1102, 8080}
    assert ports("--new-since=tomorrow") == set()
    assert 8080 in ports(f"--new-since=@{middle // 1_000_000}")
    for wrong in ("7 parrots", "", "d"):
        assert ruled.portctl("--new-since=" + wrong, check=False).returncode == 2
    assert ruled.portctl("inbound", "--new-since=7d", check=False).returncode == 2


def test_no_policy(daemon):
    done = check(daemon)
    assert done.returncode == 4 and done.stdout == "" and "no rules" in done.stderr
    done = check(daemon, "--monitoring")
    assert done.returncode == 3 and done.stdout.startswith("PORTWATCH UNKNOWN - ")


def test_rules_that_are_not_of_listeners_are_no_policy(make_daemon, situations):
    d = make_daemon(start=False)
    d.configure("refused rate=100/60s\n", "expected.d/10-test.rules")
    d.start()
    situations(d, "listen", port=1102)
    wait_until(lambda: d.listeners(ports=[1102]))
    assert d.status()["rules"] == 1 and d.status()["judging"] is False
    done = check(d)
    assert done.returncode == 4 and done.stdout == "" and "no rules" in done.stderr
    assert check(d, "--monitoring").stdout.startswith("PORTWATCH UNKNOWN - ")
    assert "nothing is judged" in d.portctl("status").stdout


def test_trust_in_socket_units_is_a_policy(make_daemon, situations):
    d = make_daemon(start=False)
    d.configure("[Policy]\nTrustSocketUnits=yes\n")
    d.start()
    status = d.status()
    assert status["rules"] is None and status["judging"] is True
    done = check(d)
    assert (done.returncode, done.stdout) == (0, "0 listeners, all expected.\n"), done.stderr
    assert "only socket units are expected" in d.portctl("status").stdout
    here = d.namespace.inode
    with control_group("/system.slice/pw-check.socket") as folder:
        with joined(d.namespace, folder):
            trusted = situations(d, "listen", port=1102)
        wait_until(lambda: [l["expected"] for l in d.listeners(netns=here, ports=[1102])] == [True])
        (l,) = d.listeners(netns=here, ports=[1102])
        assert l["rule"] is None and l["owner"]["unit"] == "pw-check.socket"
        done = check(d)
        assert (done.returncode, done.stdout) == (0, "1 listener, all expected.\n"), done.stderr
        assert verdict(check(d, "--monitoring"))[0] == "OK"
        situations(d, "listen", port=8080)
        found = lambda: d.listeners(netns=here, expected=False)
        wait_until(lambda: [l["owner"]["name"] for l in found()] == ["server"])
        assert check(d).returncode == 1
        rows = d.portctl("listeners", "--unexpected", "-j", f"--netns={here}").rows
        assert [r["local"]["port"] for r in rows] == [8080]
        assert verdict(check(d, "--monitoring")) == (
            "CRITICAL",
            "2 listeners, 1 unexpected: tcp/8080 server",
            2,
            1,
        )
        # And when it is trusted no more, nothing is.
        d.configure("[Policy]\nTrustSocketUnits=no\n")
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: d.status()["judging"] is False)
        wait_until(lambda: [l["expected"] for l in d.listeners(netns=here)] == [None] * 2)
        assert check(d).returncode == 4
        trusted.close()


def test_learning_is_a_policy(make_daemon, situations):
    d = make_daemon(start=False)
    d.configure("[Policy]\nLearn=1h\n")
    d.start()
    assert d.status()["judging"] is True
    situations(d, "listen", port=1102)
    wait_until(lambda: [l["expected"] for l in d.listeners(ports=[1102], netns=d.namespace.inode)] == [True])
    assert check(d).returncode == 0
    # A mistake leaves no rules that something could be added to.
    d.stop()
    d.configure("tcp/x\n", "expected.d/10-test.rules")
    d.start()
    status = d.status()
    assert status["rules_error"] and status["judging"] is False
    assert status["learning_until_usec"] is None
    assert check(d).returncode == 4


def test_no_daemon(ruled, tmp_path):
    done = ruled.portctl("check", check=False, socket_path=tmp_path / "nobody")
    assert done.returncode == 3 and done.stdout == ""
    done = ruled.portctl("check", "--monitoring", check=False, socket_path=tmp_path / "nobody")
    assert done.returncode == 3
    assert done.stdout == "PORTWATCH UNKNOWN - portwatchd cannot be reached\n"
    # What would be CRITICAL elsewhere.
    done = ruled.portctl("check", "--monitoring", "--nothing", check=False)
    assert done.returncode == 3
    assert ruled.portctl("check", "--nothing", check=False).returncode == 2


# What plugins print: https://www.monitoring-plugins.org/doc/guidelines.html
LINE = re.compile(
    r"PORTWATCH (OK|WARNING|CRITICAL) - ([^|\n]+) \| listeners=(\d+) unexpected=(\d+);;0\n"
)


def verdict(done):
    m = LINE.fullmatch(done.stdout)
    assert m, done.stdout
    assert done.returncode == ["OK", "WARNING", "CRITICAL"].index(m[1])
    return m[1], m[2], int(m[3]), int(m[4])


def test_monitoring(ruled, situations):
    assert verdict(check(ruled, "--monitoring")) == ("OK", "1 listener, all expected", 1, 0)
    for port in range(8080, 8087):
        situations(ruled, "listen", port=port)
    judged(ruled, 7)
    word, text, n, unexpected = verdict(check(ruled, "--monitoring"))
    assert (word, n, unexpected) == ("CRITICAL", 8, 7)
    assert text.startswith("8 listeners, 7 unexpected: tcp/80")
    assert len(re.findall(r"tcp/80\d\d server", text)) == 5 and text.endswith(", ...")


def test_monitoring_escapes_names(ruled, situations):
    """A process can have any name: none that breaks the line."""
    situations(ruled, "listen", port=8080, name=b"a|b\nc=1")
    judged(ruled)
    word, text, _, unexpected = verdict(check(ruled, "--monitoring"))
    assert word == "CRITICAL" and unexpected == 1


def test_rules_that_were_not_taken(ruled):
    ruled.configure("tcp/1102\ntcp/nothing\n", "expected.d/10-test.rules")
    ruled.process.send_signal(1)
    wait_until(lambda: ruled.status()["rules_error"], "the error")
    done = check(ruled)
    assert done.returncode == 0 and "10-test.rules:2:5: " in done.stderr
    word, text, *_ = verdict(check(ruled, "--monitoring"))
    assert word == "WARNING" and "not taken" in text and "10-test.rules:2:5: " in text
    text = ruled.portctl("status").stdout
    assert re.search(r"Rules: 1 in force since ", text) and "not taken: " in text


def test_for_others(ruled):
    """Whoever may not see owners still may know that all is expected."""
    wrapper = ("setpriv", "--reuid=65534", "--regid=65533", "--clear-groups")
    done = check(ruled, wrapper=wrapper)
    assert done.returncode == 0, done.stderr

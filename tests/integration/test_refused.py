# SPDX-License-Identifier: GPL-2.0-or-later
"""portctl refused: who knocks where nobody listens."""

import socket

import pytest

from harness.waiting import wait_until


@pytest.fixture(autouse=True)
def told(source):
    if source != "ebpf":
        pytest.skip("netlink does not see attempts on closed ports")


def knock(d, port, times=1, family=socket.AF_INET):
    with d.namespace.entered():
        for _ in range(times):
            with socket.socket(family) as s:
                assert s.connect_ex(("127.0.0.1" if family == socket.AF_INET else "::1", port))


def refused(d, *arguments):
    return d.portctl("refused", "-j", f"--netns={d.namespace.inode}", *arguments).rows


def table(d, *arguments):
    done = d.portctl("refused", f"--netns={d.namespace.inode}", *arguments)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.fixture
def knocked(daemon):
    knock(daemon, 443, times=3)
    knock(daemon, 8081)
    knock(daemon, 8082, family=socket.AF_INET6)
    wait_until(lambda: sum(e["attempts"] for e in daemon.events({"kinds": ["refuse"]})) == 5)
    return daemon


def test_what_history_says_of_refuse(knocked, interface):
    rows = refused(knocked)
    assert (
        rows
        == knocked.portctl(
            "history", "-j", "--kind=refuse", f"--netns={knocked.namespace.inode}"
        ).rows
    )
    for row in rows:
        interface.check_named("Event", row)
    assert sum(row["attempts"] for row in rows) == 5


def test_table(knocked):
    head, *lines = table(knocked)
    assert head == ["TIME", "PROTO", "PEER", "LOCAL", "SERVICE", "ATTEMPTS"]
    assert [line[3] for line in lines] == ["127.0.0.1:443"] * 3 + ["127.0.0.1:8081", "[::1]:8082"]
    assert [line[4] for line in lines[:3]] == ["https"] * 3
    assert [line[1] for line in lines] == ["tcp"] * 5
    assert sum(int(line[-1]) for line in lines) == 5
    assert all(line[2].startswith(("127.0.0.1:", "[::1]:")) for line in lines)
    head, *lines = table(knocked, "--columns=PORT,ATTEMPTS", "--port=443")
    assert head == ["PORT", "ATTEMPTS"] and lines == [["443", "1"]] * 3
    head, *lines = [
        line.split()
        for line in knocked.portctl(
            "history", "--kind=refuse", "--columns=ATTEMPTS"
        ).stdout.splitlines()
    ]
    assert head == ["ATTEMPTS"] and ["1"] in lines


def test_choice_and_order(knocked):
    every = refused(knocked)
    assert refused(knocked, "-r") == every[::-1]
    assert refused(knocked, "-n", "2") == every[-2:]
    assert refused(knocked, "-4") == every[:4]
    assert refused(knocked, "--port=8081") == every[3:4]
    assert refused(knocked, "--peer=::1") == every[4:]
    assert refused(knocked, "--peer=192.0.2.1") == []
    assert refused(knocked, "-u") == []
    assert refused(knocked, "-U", "-1h") == [] and refused(knocked, "-S", "-1h") == every
    assert knocked.portctl("refused", "--unexpected", check=False).returncode == 2


def test_a_scan_is_a_few_lines(daemon):
    """Attempts on several ports that are told at once have a port that is none of them."""
    with daemon.namespace.entered():
        for port in range(10000, 10500):
            with socket.socket() as s:
                assert s.connect_ex(("127.0.0.1", port))
    wait_until(lambda: sum(e["attempts"] for e in daemon.events({"kinds": ["refuse"]})) == 500)
    head, *lines = table(daemon)
    assert len(lines) < 500 and sum(int(line[-1]) for line in lines) == 500
    assert "127.0.0.1:*" in [line[3] for line in lines]
    detail = daemon.portctl("history", "--kind=refuse").stdout
    assert " attempts on several ports" in detail

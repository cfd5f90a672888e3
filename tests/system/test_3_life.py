# SPDX-License-Identifier: GPL-2.0-or-later
"""Restarts, activation, failures and reloads, as systemd drives them."""

import json
import os
import re
import socket
import threading


from harness.waiting import wait_until

SOCKET = "/run/portwatch/portwatch.sock"
SERVICE = "portwatchd.service"
STATUS = b'{"method":"io.portwatch.Status"}\n'


def messages():
    """MESSAGE_ID by name, of the header that the daemon was built with."""
    from machine import TOP

    with open(os.path.join(TOP, "daemon", "messages.h")) as f:
        return dict(re.findall(r'#define MESSAGE_(\w+)\s+"([0-9a-f]{32})"', f.read()))


def ask(machine, timeout=30):
    """One call on a new connection; returns the parameters of the reply."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(machine.path(SOCKET))
        s.sendall(STATUS)
        reply = b""
        while not reply.endswith(b"\n"):
            part = s.recv(65536)
            assert part, "closed without a reply"
            reply += part
    return json.loads(reply)["parameters"]


def cursor(machine):
    """Where the journal stands; journal(after) shows what came then."""
    machine.run("journalctl", "--sync")
    shown = machine.run("journalctl", "-n", "0", "--show-cursor").stdout
    return "--after-cursor=" + shown.split("cursor: ", 1)[1].strip()


def told(machine, since, name):
    """Waits for a message with that MESSAGE_ID since then, and returns its entry."""

    def entry():  # journalctl 252 passes over one entry where it is given a cursor and a match
        number = messages()[name]
        return [e for e in machine.journal(since) if e.get("MESSAGE_ID") == number]

    return wait_until(entry, f"the message {name}")[0]


def marks(machine):
    """When recorders began and ended; other events are of the whole machine below."""
    return machine.portctl_json("history", "--kind=start,stop")


def is_up(machine, other_than):
    pid = machine.main_pid()
    return pid not in (0, other_than) and machine.show(SERVICE, "SubState") == "running" and pid


def test_queries_are_answered_across_a_restart(machine):
    """The socket stays; who asks while nobody is there gets the answer when somebody is."""
    before = ask(machine)
    inode = os.stat(machine.path(SOCKET)).st_ino
    old = machine.main_pid()
    restart = threading.Thread(target=machine.run, args=("systemctl", "restart", SERVICE))
    answers, cut_short = [], 0
    restart.start()
    try:
        while restart.is_alive() or len(answers) < 6:
            try:
                answers.append(ask(machine))
            except (AssertionError, ConnectionResetError, BrokenPipeError):
                # The old one had taken this connection, and ended. Nothing else may cost an answer.
                cut_short += 1
    finally:
        restart.join()
    assert cut_short <= 1
    assert all(a["boot_id"] == before["boot_id"] for a in answers)
    assert machine.main_pid() not in (0, old)
    assert os.stat(machine.path(SOCKET)).st_ino == inode
    after = ask(machine)
    assert after["started_usec"] > before["started_usec"]
    assert after["next_seq"] > before["next_seq"]


def test_history_goes_on_over_a_restart(machine):
    machine.run("systemctl", "restart", SERVICE)
    events = marks(machine)
    assert [e["kind"] for e in events[-2:]] == ["stop", "start"]
    seqs = [e["seq"] for e in events]
    assert seqs == sorted(seqs) and len(set(seqs)) == len(seqs)


def test_activation(machine):
    """The service is stopped, the socket is not: a question starts it."""
    machine.run("systemctl", "stop", SERVICE)
    assert machine.run("systemctl", "is-active", SERVICE, check=False).stdout.strip() == "inactive"
    assert ask(machine)["state"] in ("running", "degraded")
    assert machine.run("systemctl", "is-active", SERVICE).stdout.strip() == "active"


def test_no_socket(machine):
    """Both are stopped: portctl says so, and the file is gone."""
    machine.run("systemctl", "stop", "portwatch.socket", SERVICE)
    assert not os.path.exists(machine.path(SOCKET))
    done = machine.portctl("listeners", check=False)
    assert done.returncode == 3
    assert "systemctl start portwatch" in done.stderr


def test_watchdog(machine):
    """A recorder that hangs is replaced."""
    assert machine.show(SERVICE, "WatchdogUSec") == "30s"
    machine.drop_in("watchdog", "[Service]\nWatchdogSec=1s\nTimeoutAbortSec=1s\n")
    machine.run("systemctl", "restart", SERVICE)
    old = machine.main_pid()
    machine.run("kill", "-STOP", str(old))
    wait_until(lambda: is_up(machine, old), "a new recorder", 30)
    assert int(machine.show(SERVICE, "NRestarts")) == 1
    assert ask(machine)["state"] in ("running", "degraded")
    assert [e["kind"] for e in marks(machine)[-2:]] == ["start", "start"]  # the end was not told


def test_killed_recorder(machine):
    """Nobody asked for that: systemd starts it again, and the history has what it had."""
    before = ask(machine)
    old = machine.main_pid()
    answerers = machine.children(old)
    machine.run("kill", "-KILL", str(old))
    wait_until(lambda: is_up(machine, old), "a new recorder", 30)
    after = ask(machine)
    assert after["oldest_seq"] == before["oldest_seq"]
    assert after["next_seq"] > before["next_seq"]
    assert not any(os.path.exists(machine.path(f"/proc/{pid}")) for pid in answerers)


def test_killed_answerer(machine):
    """It is started again; the recorder has not noticed but for the child."""
    since = cursor(machine)
    recorder = machine.main_pid()
    (old,) = machine.children(recorder)
    machine.run("kill", "-KILL", str(old))
    (new,) = wait_until(
        lambda: [p for p in machine.children(recorder) if p != old], "a new answerer"
    )
    assert ask(machine)["state"] in ("running", "degraded")
    assert machine.main_pid() == recorder
    entry = told(machine, since, "ANSWERER_RESTARTED")
    assert "signal 9" in entry["REASON"]


def test_journal_fields(machine):
    """Messages come with their fields, and the catalog explains each."""
    since = cursor(machine)
    machine.run("systemctl", "restart", SERVICE)
    started = told(machine, since, "STARTED")
    assert started["SYSLOG_IDENTIFIER"] == "portwatchd"
    assert started["PRIORITY"] == "6"
    assert started["_PID"] == str(machine.main_pid())
    assert started["SOURCE"] == ask(machine)["source"]
    assert told(machine, since, "STOPPED")["SYSLOG_IDENTIFIER"] == "portwatchd"

    explained = machine.run("journalctl", "-x", "--no-pager", since).stdout
    assert "The recording of listeners and connections has begun" in explained
    assert f"Source of events: {started['SOURCE']}." in explained


def test_every_message_is_in_the_catalog(machine):
    listed = machine.run("journalctl", "--list-catalog").stdout
    for name, number in messages().items():
        assert re.search(rf"^{number} portwatch: \S", listed, re.M), name


def test_reload(machine):
    """Same process, new limits."""
    pid = machine.main_pid()
    machine.configure("[Answerer]\nMaxClientsPerUser=1\n")
    machine.run("systemctl", "reload", SERVICE)

    def one_only():
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            for s in (first, second):
                s.settimeout(10)
            try:
                first.connect(machine.path(SOCKET))
                first.sendall(STATUS)
                assert first.recv(65536), "the old answerer had taken it"
            except ConnectionError as e:
                raise AssertionError(f"the old answerer had taken it: {e}")
            second.connect(machine.path(SOCKET))
            try:
                second.sendall(STATUS)
                return second.recv(65536) == b""
            except ConnectionError:
                return True

    wait_until(one_only, "the new limit")
    assert machine.main_pid() == pid
    assert machine.show(SERVICE, "NRestarts") == "0"


def test_reload_of_a_bad_file_changes_nothing(machine):
    pid = machine.main_pid()
    since = cursor(machine)
    machine.configure("[Recorder]\nHistorySize=much\n")
    machine.run("systemctl", "reload", SERVICE)
    wait_until(
        lambda: any(
            "test.conf:2:13: expected a size" in e["MESSAGE"] for e in machine.journal(since)
        ),
        "the error in the journal",
    )
    assert ask(machine)["state"] in ("running", "degraded")
    assert machine.main_pid() == pid


def test_bad_file_at_the_start(machine):
    """It does not start, and the journal names file, line and column."""
    machine.configure("[Recorder]\n\nSauce=auto\n")
    since = cursor(machine)
    machine.run("systemctl", "stop", "portwatch.socket", SERVICE)
    assert machine.run("systemctl", "start", SERVICE, check=False).returncode != 0
    said = [e["MESSAGE"] for e in machine.journal(since)]
    assert any("/etc/portwatch/portwatch.conf.d/test.conf:3:1: expected a key" in m for m in said), said


def test_without_bpf(machine):
    """Where the system call is denied it records through netlink, and says so everywhere."""
    machine.drop_in("no-bpf", "[Service]\nSystemCallFilter=~bpf\n")
    since = cursor(machine)
    machine.run("systemctl", "restart", SERVICE)
    assert ask(machine)["source"] == "netlink"
    assert "netlink" in machine.show(SERVICE, "StatusText")
    assert told(machine, since, "SOURCE_FALLBACK")["REASON"]


def test_without_capabilities(machine):
    """The least it can live with: no capability at all."""
    machine.drop_in("no-caps", "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n")
    machine.run("systemctl", "restart", SERVICE)
    assert ask(machine)["source"] == "netlink"


def test_source_that_must_be_ebpf(machine):
    """Source=ebpf does not fall back."""
    machine.drop_in("no-bpf", "[Service]\nSystemCallFilter=~bpf\nRestart=no\n")
    machine.configure("[Recorder]\nSource=ebpf\n")
    assert machine.run("systemctl", "restart", SERVICE, check=False).returncode != 0


def test_state_folder_that_cannot_be_written(machine):
    """The record goes on in memory; state and journal say so."""
    machine.drop_in("state", "[Service]\nReadOnlyPaths=/var/lib/portwatch\n")
    since = cursor(machine)
    machine.run("systemctl", "restart", SERVICE)
    assert ask(machine)["state"] == "degraded"
    assert "/var/lib/portwatch" in told(machine, since, "DEGRADED")["REASON"]


def test_history_of_another_size_is_set_aside(machine):
    machine.configure("[Recorder]\nHistorySize=16M\n")
    since = cursor(machine)
    machine.run("systemctl", "restart", SERVICE)
    assert ask(machine)["capacity_bytes"] <= 16 << 20
    assert told(machine, since, "HISTORY_SET_ASIDE")["FILE"]

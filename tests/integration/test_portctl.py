# SPDX-License-Identifier: GPL-2.0-or-later
"""portctl as its users run it: verbs, filters, JSON, exit statuses."""

import json
import os
import re
import select
import subprocess

import pytest

from harness.waiting import wait_until

JSON_TYPES = {
    "listeners": "Listener",
    "connections": "Connection",
    "inbound": "Connection",
    "outbound": "Connection",
    "history": "Event",
    "counts": "Count",
}


@pytest.fixture(scope="module")
def busy(shared, build):
    from harness.daemon import Situation

    shared.namespace.sysctl("net.ipv4.ip_local_port_range", "32768 60999")
    made = [
        Situation(build, shared.namespace, "listen", port=1102),
        Situation(build, shared.namespace, "listen-dual", port=443),
        Situation(build, shared.namespace, "udp-bind", port=5353),
        Situation(build, shared.namespace, "pair", port=8080, bytes_to_server=10),
        Situation(build, shared.namespace, "pair", port=8081, family=6, uid=65534),
    ]
    for s in made[-2:]:
        s.next()
    s = Situation(build, shared.namespace, "pair", port=8082)
    s.finish()
    s.close()
    wait_until(lambda: len(shared.connections()) == 4)
    wait_until(lambda: all(c["owner"]["attribution"] != "unknown" for c in shared.connections()))
    shared.settle()
    yield shared
    for s in made:
        s.close()


def here(d, *arguments):
    return [*arguments, f"--netns={d.namespace.inode}"]


@pytest.mark.parametrize("verb", JSON_TYPES)
def test_json_is_an_object_a_line_of_the_interface(busy, interface, verb):
    done = busy.portctl(*here(busy, verb, "-j"))
    assert done.rows
    for row in done.rows:
        interface.check_named(JSON_TYPES[verb], row)
    assert done.stderr == ""
    assert busy.portctl(*here(busy, verb, "--json=short")).rows
    pretty = busy.portctl(*here(busy, verb, "--json=pretty")).stdout
    decoder, at, n = json.JSONDecoder(), 0, 0
    while pretty[at:].strip():
        at += len(pretty[at:]) - len(pretty[at:].lstrip())
        value, at = decoder.raw_decode(pretty, at)
        interface.check_named(JSON_TYPES[verb], value)
        n += 1
    assert n == len(done.rows)
    assert "{" not in busy.portctl(*here(busy, verb, "--json=off")).stdout


def test_status_and_port_are_one_object(busy, interface):
    (row,) = busy.portctl("status", "-j").rows
    interface.check_reply("Status", row)
    (row,) = busy.portctl("port", "443", "-j").rows
    interface.check_reply("Port", row)


def test_the_same_as_the_server_says(busy):
    key = lambda r: r["id"]
    assert sorted(busy.portctl(*here(busy, "listeners", "-j")).rows, key=key) == sorted(
        busy.listeners(), key=key
    )
    assert sorted(busy.portctl(*here(busy, "connections", "-j")).rows, key=key) == sorted(
        busy.connections(), key=key
    )


def test_no_verb_is_listeners(busy):
    assert busy.portctl(*here(busy, "-j")).rows == busy.portctl(*here(busy, "listeners", "-j")).rows


def test_inbound_and_outbound(busy):
    for verb in ("inbound", "outbound"):
        rows = busy.portctl(*here(busy, verb, "-j")).rows
        assert {r["direction"] for r in rows} == {verb}
        assert len({r["id"] for r in rows}) == len(rows)
        by_port = {}
        for r in rows:
            port = (r["local"] if verb == "inbound" else r["remote"])["port"]
            by_port.setdefault(port, []).append(r["outcome"])
        assert (
            by_port[8080] == ["open"] and by_port[8081] == ["open"] and by_port[8082] == ["closed"]
        )


SELECT = [
    (["-t"], lambda l: l["transport"] == "tcp"),
    (["-u"], lambda l: l["transport"] == "udp"),
    (["-t", "-u"], lambda l: True),
    (["-4"], lambda l: l["family"] == "ipv4"),
    (["-6"], lambda l: l["family"] == "ipv6"),
    (["-4", "-6"], lambda l: True),
    (["--port=443"], lambda l: l["local"]["port"] == 443),
    (["--port=443,1102"], lambda l: l["local"]["port"] in (443, 1102)),
    (["--port=8080-8089"], lambda l: 8080 <= l["local"]["port"] <= 8089),
    (["--port=https"], lambda l: l["local"]["port"] == 443),
    (["--category=system"], lambda l: l["category"] == "system"),
    (["--user=65534"], lambda l: l["owner"]["uid"] == 65534),
    (["--user=nobody"], lambda l: l["owner"]["uid"] == 65534),
    (["--process=server"], lambda l: l["owner"]["name"] == "server"),
    (["--unit=none.service"], lambda l: False),
    (["--container=none"], lambda l: False),
]


@pytest.mark.parametrize("arguments, judge", SELECT)
def test_filters(busy, arguments, judge):
    every = busy.portctl(*here(busy, "listeners", "-j")).rows
    found = busy.portctl(*here(busy, "listeners", "-j", *arguments)).rows
    assert found == [l for l in every if judge(l)]


def test_filter_by_pid(busy):
    for row in busy.portctl(*here(busy, "connections", "-j")).rows:
        pid = row["owner"]["pid"]
        assert row in busy.portctl(*here(busy, "connections", "-j", f"--process={pid}")).rows


def test_history_lines_and_order(busy):
    every = busy.portctl(*here(busy, "history", "-j")).rows
    assert [e["seq"] for e in every] == sorted(e["seq"] for e in every)
    assert busy.portctl(*here(busy, "history", "-j", "-n", "3")).rows == every[-3:]
    assert busy.portctl(*here(busy, "history", "-j", "-r")).rows == every[::-1]
    assert busy.portctl(*here(busy, "history", "-j", "-r", "-n", "2")).rows == every[::-1][:2]
    assert busy.portctl(*here(busy, "history", "-j", "-S", "-1h")).rows == every
    assert busy.portctl(*here(busy, "history", "-j", "-U", "-1h")).rows == []
    assert busy.portctl(*here(busy, "history", "-j", "--since=tomorrow")).rows == []
    listens = busy.portctl(*here(busy, "history", "-j", "--kind=listen,unlisten")).rows
    assert listens == [e for e in every if e["listener"]]


def test_times_at_the_second(busy):
    """--since takes what the journal's does."""
    every = busy.portctl(*here(busy, "history", "-j")).rows
    middle = every[len(every) // 2]["time_usec"] // 1_000_000
    found = busy.portctl(*here(busy, "history", "-j", f"--since=@{middle}"), check=False)
    if found.returncode == 0:
        assert found.rows == [e for e in every if e["time_usec"] >= middle * 1_000_000]
    else:
        assert found.returncode == 2


@pytest.mark.parametrize("by", ["category", "service", "port", "name", "unit", "peer", "user"])
def test_counts(busy, by):
    rows = busy.portctl(*here(busy, "counts", "-j", f"--by={by}")).rows
    assert {r["key"]: r for r in rows} == busy.counts(by)


def test_counts_go_by_category(busy):
    assert (
        busy.portctl(*here(busy, "counts", "-j")).rows
        == busy.portctl(*here(busy, "counts", "-j", "--by=category")).rows
    )


# Tables


def table(d, *arguments, **kwargs):
    return d.portctl(*here(d, *arguments), **kwargs).stdout.splitlines()


def test_tables(busy):
    lines = table(busy, "listeners")
    assert lines[0].split()[:3] == ["PROTO", "LOCAL", "SERVICE"]
    body = "\n".join(lines)
    assert "127.0.0.1:1102" in body and "adobeserver-1" in body and "https" in body
    assert "\x1b" not in body, "colours in a pipe"
    for line in lines:
        assert line == line.rstrip()


def test_no_legend(busy):
    with_, without = table(busy, "listeners"), table(busy, "listeners", "--no-legend")
    assert len(without) == len(busy.listeners()) and not without[0].startswith("PROTO")
    # The header may make a column wider.
    assert [line.split() for line in without] == [
        line.split() for line in with_[1 : 1 + len(without)]
    ]


def test_columns(busy):
    lines = table(busy, "listeners", "--columns=PID,LOCAL", "--port=1102")
    assert lines[0].split() == ["PID", "LOCAL"]
    (l,) = busy.listeners(ports=[1102])
    assert lines[1].split() == [str(l["owner"]["pid"]), "127.0.0.1:1102"]
    more = table(busy, "listeners", "--columns=+UID", "--port=1102")
    assert more[0].split()[0] == "PROTO" and more[0].split()[-1] == "UID"
    assert busy.portctl("listeners", "--columns=NOTHING", check=False).returncode == 2
    names = {
        line.split()[0]
        for line in busy.portctl("listeners", "--columns=help").stdout.splitlines()
        if line.strip()
    }
    assert {"PID", "LOCAL", "UNIT", "EXPOSURE"} <= names


def test_ipv6_in_brackets(busy):
    assert "[::1]:8081" in "\n".join(table(busy, "connections"))


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_colours(busy, variable):
    """On a terminal, and not with NO_COLOR."""
    import pty

    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "PAGER": "", **variable}
    if "NO_COLOR" not in variable:
        environment.pop("NO_COLOR", None)
    process = busy.namespace.popen(
        [busy.build.portctl, f"--socket={busy.socket_path}", "--no-pager", "listeners"],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    out = b""
    while select.select([master], [], [], 10)[0]:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    os.close(master)
    assert process.wait(10) == 0
    assert (b"\x1b[" in out) == (variable == {}), out[:500]


# Following


def follow(d, *arguments):
    return d.namespace.popen(
        [d.build.portctl, f"--socket={d.socket_path}", *here(d, *arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def read_rows(process, n, deadline=15):
    """n lines of JSON, as they come."""
    rows, buffer = [], b""
    while len(rows) < n:
        assert select.select([process.stdout], [], [], deadline)[0], f"only {rows} in time"
        data = os.read(process.stdout.fileno(), 65536)
        assert data, process.stderr.read()
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        rows += [json.loads(line) for line in lines]
    return rows


@pytest.mark.parametrize("arguments", [["follow", "-j"], ["history", "-f", "-j", "-n", "0"]])
def test_follow(busy, situations, arguments, interface):
    process = follow(busy, *arguments)
    try:
        wait_until(lambda: busy.status()["followers"] == 1)
        s = situations(busy, "listen")
        (row,) = read_rows(process, 1)
        interface.check_named("Event", row)
        assert row["kind"] == "listen" and row["listener"]["local"]["port"] == s.port
        s.next()
        (row,) = read_rows(process, 1)
        assert row["kind"] == "unlisten"
    finally:
        process.terminate()
        process.communicate(timeout=10)
    wait_until(lambda: busy.status()["followers"] == 0)


def test_follow_begins_with_the_last_lines(busy):
    last = busy.portctl(*here(busy, "history", "-j", "-n", "2")).rows
    process = follow(busy, "history", "-f", "-j", "-n", "2")
    try:
        assert read_rows(process, 2) == last
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_a_pipe_that_breaks(busy):
    out = subprocess.run(
        ["sh", "-c", f"{busy.build.portctl} --socket={busy.socket_path} history | head -1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=20,
    )
    assert out.returncode == 0 and out.stderr == b""


# Exit statuses


def test_no_daemon(busy, tmp_path):
    done = busy.portctl("listeners", check=False, socket_path=tmp_path / "nobody")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "portwatchd" in done.stderr and "start" in done.stderr
    for verb in ("status", "history", "counts", "connections", "inbound", "follow"):
        assert busy.portctl(verb, check=False, socket_path=tmp_path / "nobody").returncode == 3


def test_a_socket_that_nobody_serves(busy, tmp_path):
    import socket

    path = tmp_path / "dead"
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.close()
    assert busy.portctl("status", check=False, socket_path=path).returncode == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["--nothing"],
        ["listeners", "more"],
        ["--port=x"],
        ["--port=65536"],
        ["--port=9-1"],
        ["--category=none"],
        ["--json=xml"],
        ["--peer=here"],
        ["--user=no-such-user"],
        ["history", "--kind=none"],
        ["counts", "--by=colour"],
        ["port"],
        ["port", "99999"],
        ["-n", "-1"],
        ["--since=never", "history"],
        ["status", "--port=1"],
    ],
)
def test_usage(busy, arguments):
    done = busy.portctl(*arguments, check=False)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == "" and "portctl" in done.stderr


def test_help_and_version(busy):
    text = busy.portctl("--help").stdout
    for verb in (
        "listeners",
        "connections",
        "inbound",
        "outbound",
        "history",
        "follow",
        "counts",
        "port",
        "status",
    ):
        assert re.search(rf"^\s+{verb}\b", text, re.M), verb
    assert busy.status()["version"] in busy.portctl("--version").stdout.split()


def test_a_port_by_name(busy):
    (row,) = busy.portctl("port", "https", "-j").rows
    assert row["port"] == 443


def test_status_text(busy):
    text = busy.portctl("status").stdout
    assert busy.source in text and "running" in text


# A server that lies


class HostileServer:
    """Answers whatever comes with fixed bytes."""

    def __init__(self, path, answer):
        import socket
        import threading

        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.answer = answer
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            c, _ = self.socket.accept()
            c.recv(65536)
            c.sendall(self.answer)
            c.close()
        except OSError:
            pass

    def close(self):
        self.socket.close()
        self.thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        b"nonsense\0",
        b"{}",
        b'{"parameters":[]}\0',
        b'{"parameters":{"listeners":1}}\0',
        b'{"parameters":{"listeners":[{}]}}\0',
        b'{"error":"io.portwatch.\x1b[31m","parameters":{}}\0',
        b'{"error":"a.b.C"}\0',
        b"[" * 100000 + b"\0",
        b'{"parameters":{"listeners":[' + b"1," * 50000,
        b'{"continues":true,"parameters":{"listeners":[]}}\0',
    ],
)
@pytest.mark.parametrize("form", ["-j", "--json=off"])
def test_a_server_that_lies(busy, tmp_path, answer, form):
    server = HostileServer(tmp_path / "liar", answer)
    try:
        done = busy.portctl(
            "listeners", form, check=False, socket_path=tmp_path / "liar", timeout=20
        )
    finally:
        server.close()
    assert done.returncode in (1, 3, 4), (done.returncode, done.stdout, done.stderr)
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr

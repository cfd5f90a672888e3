# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is behind a socket, and how certain that is."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys

import pytest

from harness.cgroup import control_group, joined
from harness.waiting import wait_until

CERTAINTY = ("unknown", "listener", "lookup", "exact")


def listener(d, port):
    return wait_until(lambda: d.listeners(ports=[port]), f"a listener on {port}")[0]


def check(owner, process, situation, name, attribution):
    assert owner["pid"] == process["pid"]
    assert owner["name"] == name
    assert owner["executable"] == situation.executable
    assert owner["uid"] == 0
    assert owner["attribution"] == attribution


def test_listener(shared, situations, source):
    s = situations(shared, "listen")
    if source == "netlink":
        wait_until(lambda: listener(shared, s.port)["owner"]["attribution"] == "lookup")
    owner = listener(shared, s.port)["owner"]
    check(owner, s["listener"], s, "server", "exact" if source == "ebpf" else "lookup")


def test_udp_listener(shared, situations, source):
    s = situations(shared, "udp-bind", port=5005)
    if source == "netlink":
        wait_until(lambda: listener(shared, 5005)["owner"]["attribution"] == "lookup")
    owner = listener(shared, 5005)["owner"]
    check(owner, s["listener"], s, "server", "exact" if source == "ebpf" else "lookup")


def test_outbound_and_inbound(shared, situations, source):
    s = situations(shared, "pair")
    s.next()
    wait_until(lambda: len(shared.connections(ports=[s.port])) == 2)
    if source == "ebpf":
        by = {c["direction"]: c["owner"] for c in shared.connections(ports=[s.port])}
        check(by["outbound"], s["client"], s, "client", "exact")
        # Here the acceptor is the listener's owner; only how it was learnt may differ.
        check(by["inbound"], s["accepted"], s, "server", by["inbound"]["attribution"])
        assert by["inbound"]["attribution"] in ("listener", "lookup", "exact")
    else:

        def looked_up():
            by = {c["direction"]: c["owner"] for c in shared.connections(ports=[s.port])}
            check(by["outbound"], s["client"], s, "client", "lookup")
            assert by["inbound"]["pid"] == s["accepted"]["pid"]
            return True

        wait_until(looked_up, "both owners")
    s.finish()
    e = shared.wait_event("close", s.port, direction="inbound")
    check(
        e["connection"]["owner"],
        s["accepted"],
        s,
        "server",
        e["connection"]["owner"]["attribution"],
    )
    if source == "ebpf":
        # It was closed in its owner's own call.
        assert e["connection"]["owner"]["attribution"] == "exact"


def test_short_lived(shared, situations, source):
    """Gone before anybody could look: exact on ebpf, and on netlink no more than is true."""
    s = situations(shared, "pair")
    port = s.port
    # A listener that no look of netlink's has shown leaves nothing to tell directions by.
    shared.wait_event("listen", port)
    s.finish()
    s.close()
    out = shared.wait_event("close", port, direction="outbound")["connection"]["owner"]
    inbound = shared.wait_event("close", port, direction="inbound")["connection"]["owner"]
    if source == "ebpf":
        check(out, s["client"], s, "client", "exact")
        check(inbound, s["accepted"], s, "server", "exact")
        opened = shared.wait_event("open", port, direction="outbound")["connection"]["owner"]
        check(opened, s["client"], s, "client", "exact")
    else:
        assert out["attribution"] in ("unknown", "lookup")
        assert out["pid"] in (None, s["client"]["pid"])
        assert (out["pid"] is None) == (out["name"] is None)
        assert inbound["attribution"] in ("unknown", "listener", "lookup")
        assert inbound["pid"] in (None, s["accepted"]["pid"])


def test_an_unknown_owner_is_null(shared, churn, source):
    if source == "ebpf":
        pytest.skip("ebpf: no owner is unknown here")
    churn(shared, count=50, port=22000)
    wait_until(
        lambda: len(
            shared.events(filter={"ports": [22000], "kinds": ["close"], "direction": "outbound"})
        )
        == 50
    )
    for e in shared.events(filter={"ports": [22000], "kinds": ["close"], "direction": "outbound"}):
        o = e["connection"]["owner"]
        if o["attribution"] == "unknown":
            assert {o[k] for k in ("pid", "name", "executable", "uid", "unit", "container")} == {
                None
            }


def test_certainty_never_falls(shared, situations):
    for situation in ("pair", "prefork", "fork-after-accept", "scm-rights", "threads"):
        s = situations(shared, situation)
        port = s.port
        s.finish()
        wait_until(
            lambda: any(e["kind"] == "close" for e in shared.events(filter={"ports": [port]}))
        )
        shared.settle()
        ladder = {}
        for e in shared.events(filter={"ports": [port]}):
            c = e["connection"] or e["listener"]
            step = CERTAINTY.index(c["owner"]["attribution"])
            assert step >= ladder.get(c["id"], 0), (situation, e)
            ladder[c["id"]] = step
            assert (c["owner"]["attribution"] == "unknown") == (
                c["owner"]["pid"] is None
                and c["owner"]["uid"] is None
                and c["owner"]["unit"] is None
            )


def test_threads_are_their_process(shared, situations, source):
    s = situations(shared, "threads")
    wait_until(lambda: len(shared.connections(ports=[s.port])) == 2)
    wait_until(lambda: listener(shared, s.port)["owner"]["pid"] is not None)
    check(
        listener(shared, s.port)["owner"],
        s["listener"],
        s,
        "server",
        "exact" if source == "ebpf" else "lookup",
    )
    if source == "ebpf":
        (c,) = shared.connections(ports=[s.port], direction="outbound")
        check(c["owner"], s["client"], s, "client", "exact")


def test_prefork_workers_close_what_is_theirs(shared, situations, source):
    s = situations(shared, "prefork", number=4)
    s.finish()
    wait_until(
        lambda: len(
            shared.events(filter={"ports": [s.port], "kinds": ["close"], "direction": "inbound"})
        )
        == 4
    )
    if source == "netlink":
        return
    closed = shared.events(filter={"ports": [s.port], "kinds": ["close"], "direction": "inbound"})
    by_port = {e["connection"]["remote"]["port"]: e["connection"]["owner"] for e in closed}
    for i in range(4):
        a = s[f"accepted{i}"]
        assert by_port[a["remote"]["port"]]["pid"] == a["pid"]


@pytest.mark.parametrize("uid", [65534, 4242])
def test_users(shared, situations, uid):
    s = situations(shared, "pair", uid=uid)
    s.next()
    wait_until(lambda: listener(shared, s.port)["owner"]["uid"] == uid)
    wait_until(lambda: {c["owner"]["uid"] for c in shared.connections(ports=[s.port])} == {uid})
    assert len(shared.listeners(uid=uid, ports=[s.port])) == 1
    assert shared.listeners(uid=uid + 1, ports=[s.port]) == []


HOSTILE_NAMES = [
    b"a\nb",
    b"\x1b[31mred",
    b'"quoted"',
    b"back\\slash",
    b"\xff\xfe\xc0\x80",
    "ünïcødé".encode(),
    b"nul-less 15 lon",
    b" ",
    b"\xe2\x82",
    b"tab\there",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names(shared, situations, name, interface):
    s = situations(shared, "listen", name=name)
    wait_until(lambda: listener(shared, s.port)["owner"]["pid"] is not None)
    told = listener(shared, s.port)["owner"]["name"]
    assert isinstance(told, str) and told
    try:
        text = name[:15].decode()
    except UnicodeDecodeError:
        text = None
    if text is not None:
        assert told == text
    else:
        assert "�" in told or told.isascii()
    # The whole way to the terminal: nothing of it may be taken for a command.
    table = shared.portctl("listeners", f"--port={s.port}").stdout
    assert "\x1b" not in table and len(table.splitlines()) <= 4
    (row,) = shared.portctl("listeners", "-j", f"--port={s.port}").rows
    assert row["owner"]["name"] == told


def test_an_executable_that_is_gone(shared, situations, build, tmp_path, source):
    program = tmp_path / "vanishing"
    shutil.copy(build.helper("sockmaker"), program)
    program.chmod(0o755)
    os.chmod(tmp_path, 0o755)
    s = situations(shared, "listen", program=str(program))
    program.unlink()
    wait_until(lambda: listener(shared, s.port)["owner"]["executable"] is not None)
    told = listener(shared, s.port)["owner"]["executable"]
    assert told in (str(program), f"{program} (deleted)")


CONTAINER = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "path, unit, container",
    [
        ("/system.slice/pw-test.service", "pw-test.service", None),
        ("/system.slice/system-pw.slice/pw@1.service", "pw@1.service", None),
        (f"/system.slice/docker-{CONTAINER}.scope", None, CONTAINER),
        (f"/docker/{CONTAINER}", None, CONTAINER),
        ("/pw-plain-group", None, None),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_units_and_containers(make_daemon, situations, path, unit, container, when):
    d = make_daemon(start=when == "after")
    with control_group(path) as folder:
        if when == "before":
            d.start()
        with joined(d.namespace, folder):
            s = situations(d, "listen")
        wait_until(lambda: listener(d, s.port)["owner"]["pid"] is not None)

        def told():
            o = listener(d, s.port)["owner"]
            # A container's scope is a unit of systemd too: it may be told or not.
            assert container or o["unit"] == unit, o
            assert (o["container"] is None) == (container is None), o
            assert (
                not container
                or container.startswith(o["container"])
                or o["container"].endswith(container)
            )
            return True

        wait_until(told, "its unit and container")
        if unit:
            assert len(d.listeners(unit=unit, ports=[s.port])) == 1
            assert len(d.listeners(unit=unit.removesuffix(".service"), ports=[s.port])) == 1
            assert d.listeners(unit="other.service", ports=[s.port]) == []
        s.close()


def look_at_descriptors(stop):
    """What lsof and ss do all the time here: to look at a descriptor is to hold its file."""
    while not os.path.exists(stop):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if open(f"/proc/{pid}/comm").read().startswith("churn-server"):
                    for _ in range(500):
                        for fd in os.listdir(f"/proc/{pid}/fd"):
                            with contextlib.suppress(OSError):
                                os.readlink(f"/proc/{pid}/fd/{fd}")


def test_who_looks_at_a_socket_is_not_its_owner(shared, churn, source, tmp_path):
    stop = tmp_path / "stop"
    looker = os.fork()
    if looker == 0:
        try:
            look_at_descriptors(stop)
        finally:
            os._exit(0)
    try:
        made = churn(shared, count=20000, port=20020)
    finally:
        stop.touch()
        os.waitpid(looker, 0)
    (pair,) = made["pairs"]

    def all_owners():
        # An end that the kernel did not tell comes with the look that is taken when all is quiet.
        closes = shared.events({"kinds": ["close"], "ports": [20020]})
        assert len(closes) == 2 * 20000
        return [c["connection"]["owner"] for c in closes]

    owners = wait_until(all_owners, "the end of every connection", deadline=20)
    if source == "ebpf":
        assert {o["pid"] for o in owners} == {pair["server"], pair["client"]}
    else:
        assert {o["pid"] for o in owners} <= {pair["server"], pair["client"], None}


# Each does a step when it is told to.
SERVER = """
import socket
server = socket.create_server(("127.0.0.1", 20021))
print("listens", flush=True)
accepted, _ = server.accept()
print(accepted.fileno(), flush=True)
input()
accepted.close()
print("closed", flush=True)
input()
"""
LOOKER = """
import ctypes, os, sys
PIDFD_GETFD = 438  # the same on all architectures
pidfd = os.pidfd_open(int(sys.argv[1]))
copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, int(sys.argv[2]), 0)
assert copy >= 0, os.strerror(ctypes.get_errno())
print("copied", flush=True)
input()
os.close(copy)
"""


def test_who_copied_a_descriptor_is_not_exact(shared, source):
    """pidfd_getfd(2): nobody gave it to the looker, and it is the last to close it."""

    def start(program, *arguments):
        return shared.namespace.popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def go_on(process):
        process.stdin.write("\n")
        process.stdin.flush()

    with start(SERVER) as server:
        assert server.stdout.readline() == "listens\n"
        with shared.namespace.entered():
            client = socket.create_connection(("127.0.0.1", 20021))
        with start(LOOKER, server.pid, server.stdout.readline().strip()) as looker:
            assert looker.stdout.readline() == "copied\n"
            go_on(server)
            assert server.stdout.readline() == "closed\n"
            go_on(looker)
            assert looker.wait() == 0
        assert client.recv(1) == b""
        client.close()
        end = shared.wait_event("close", 20021, direction="inbound", deadline=20)
        owner = end["connection"]["owner"]
        if source == "ebpf":
            # On kernels that tell who accepted it is the server, for sure.
            assert (owner["pid"], owner["attribution"]) in (
                (server.pid, "exact"),
                (looker.pid, "lookup"),
            )
        else:
            assert owner["attribution"] != "exact"
        go_on(server)

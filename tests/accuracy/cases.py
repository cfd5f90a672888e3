# SPDX-License-Identifier: GPL-2.0-or-later
"""The situations of the table, and what each of them makes."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness.cgroup import cgroup_root
from harness.daemon import Situation
from harness.namespace import Namespace
from harness.waiting import wait_until

from judge import Item, Swarm

# Of this run alone: another one may be under way.
NAME = f"portwatch-accuracy-{os.getpid()}"
UNIT = f"{NAME}.service"
HELD_SECONDS = 2.0


class Unavailable(Exception):
    """Why a case cannot be made here."""


class Stage:
    """Where a case is played: a namespace, a control group of its own unit, and what is in front of
    the command. Has popen(), as a Namespace has, so that Situation takes it for one."""

    port = 21100

    def __init__(self, build, namespace, unit=True, prefix=(), hook=None, recorder=None):
        self.build, self.namespace, self.prefix = build, namespace, list(prefix)
        self.hook = hook  # called at each step that stands
        self.recorder = recorder  # whose looks a case can wait for
        self.folder = None
        root = cgroup_root()
        if unit and root and os.access(root, os.W_OK):
            self.folder = os.path.join(root, "system.slice", UNIT if unit is True else unit)
            wait_until(self._make, self.folder)
        self.unit = os.path.basename(self.folder) if self.folder else None

    def _make(self):
        """Another run may take the slice away between the two steps of this."""
        with contextlib.suppress(FileNotFoundError):
            os.makedirs(self.folder, exist_ok=True)
        return os.path.isdir(self.folder)

    def next_port(self):
        Stage.port += 1
        return Stage.port

    def variant(self, **changes):
        given = {"namespace": self.namespace, "hook": self.hook, "recorder": self.recorder, **changes}
        return Stage(self.build, **given)

    def popen(self, argv, **kwargs):
        def join():
            if self.folder:
                with open(os.path.join(self.folder, "cgroup.procs"), "w") as f:
                    f.write("0")

        return self.namespace.popen(self.prefix + argv, preexec_fn=join, **kwargs)

    def close(self):
        """Takes the unit's control group away; systemd-nspawn leaves some below it."""
        for path, _, _ in os.walk(self.folder or "", topdown=False):
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not self._has_processes(path), deadline=5)
            with contextlib.suppress(OSError):
                os.rmdir(path)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(self.folder or ""))

    @staticmethod
    def _has_processes(path):
        with open(os.path.join(path, "cgroup.procs")) as f:
            return bool(f.read())


@dataclasses.dataclass
class Made:
    items: list = dataclasses.field(default_factory=list)
    netns: int = 0
    swarm: object = None
    looks: int = 0  # of somebody else at its sockets


def gone(pid):
    """True when nothing of the process is open any more."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def outer_pids(inner):
    """From pids as processes below `inner` see themselves to pids here (proc(5), NSpid)."""
    pids, spaces = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, ValueError, StopIteration):
            with open(f"/proc/{name}/status") as f:
                line = next(l for l in f if l.startswith("NSpid:")).split()[1:]
            if len(line) > 1:
                space = os.readlink(f"/proc/{name}/ns/pid")
                spaces.setdefault(space, {})[int(line[-1])] = int(line[0])
    for space in spaces.values():
        if inner in space.values():
            pids = space
    return pids


def item_of(role, facts, transport, owner):
    local = facts["local"]["port"] if facts["local"] else None
    remote = facts["remote"]["port"] if facts["remote"] else None
    if role.startswith("listener"):
        return Item("listener", transport, local, None, **owner)
    if role.startswith("accepted"):
        return Item("inbound", transport, local, remote, **owner)
    if role == "held":
        return Item("inbound", transport, local, remote, **owner)
    return Item("outbound", transport, local, remote, **owner)


def collect(s, stage, transport, translate):
    """The items that the steps of a situation told of so far."""
    items, roles = {}, {}
    for step in s.steps:
        for role, facts in step.items():
            if not isinstance(facts, dict) or (facts["error"] and not role.startswith("client")):
                continue
            owner = {
                "pids": frozenset({translate.get(facts["pid"], facts["pid"])}),
                "executables": frozenset({s.executable}),
                "unit": stage.unit,
            }
            item = item_of(role, facts, transport, owner)
            known = items.setdefault(item.key, item)
            known.pids |= item.pids
            roles.setdefault(item.key, set()).add(role)
    for key, item in items.items():
        if item.kind == "listener":
            item.times = len(roles[key])
    return items


def play(stage, situation, last="closed", hold=0.0, stand=None, transport="tcp", nested=False, **wishes):
    """Plays a situation from its first step to its last; what it made, by key.

    Connections stand for `hold` seconds; at every step but the last stand() is called."""
    # A port that no client gets: from one of the kernel's choice netlink cannot tell who is who.
    wishes.setdefault("port", stage.next_port())
    s = Situation(stage.build, stage, situation, **wishes)
    translate, pids = {}, set()
    try:
        while True:
            if s.now["step"] == "unavailable":
                raise Unavailable(f"the kernel has none: {os.strerror(s.now['error'])}")
            for facts in s.now.values():
                if isinstance(facts, dict):
                    pids.add(facts["pid"])
            if nested:
                child = wait_until(lambda: children(s.process.pid), "the child of unshare")[0]
                translate.update(outer_pids(child))
            if stage.hook:
                stage.hook()
            if s.now["step"] == last:
                break
            if hold and s.now["step"] == "connected":
                time.sleep(hold)
            if stand:
                stand()
            s.next()
        items = collect(s, stage, transport, translate)
    finally:
        s.close()
    for pid in pids:
        wait_until(lambda: gone(translate.get(pid, pid)), f"the end of process {pid}")
    return items, s


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except FileNotFoundError:
        return []


def plain(situation, sysctls=None, listener_times=1, **wishes):
    """A case that is one situation of sockmaker and nothing else."""

    def case(stage):
        for name, (value, before) in (sysctls or {}).items():
            stage.namespace.sysctl(name, value)
        try:
            items, _ = play(stage, situation, **wishes)
        finally:
            for name, (value, before) in (sysctls or {}).items():
                stage.namespace.sysctl(name, before)
        for item in items.values():
            if item.kind == "listener":
                item.times *= listener_times
        return Made(list(items.values()), stage.namespace.inode)

    return case


def udp(situation, clients, **wishes):
    """UDP: every client of the situation is a connection, or none is."""

    def case(stage):
        items, s = play(stage, situation, transport="udp", **wishes)
        kept = [i for i in items.values() if i.kind == "listener"]
        if clients:
            server = s["listener"]["local"]["port"]
            client = next(i for i in items.values() if i.kind == "outbound")
            # Its local port, chosen by the kernel in connect(), is no question here.
            kept.append(dataclasses.replace(client, local=None, remote=server))
        return Made(kept, stage.namespace.inode)

    return case


LOOK_WITHIN = 45.0  # while others keep the recorder busy; two seconds where all is quiet


def let_it_look(stage, found):
    """Until found(), or until the recorder has looked at what is open.

    Of two looks the first one may have begun before the call."""
    d = stage.recorder
    if d and d.source == "netlink":
        time.sleep(HELD_SECONDS)
    for _ in range(2 if d and d.source != "netlink" else 0):
        before = d.status()["audited_usec"]
        # It looks a while after something was told to it.
        d.settle()
        wait_until(lambda: d.status()["audited_usec"] != before, "a look", LOOK_WITHIN)
        if found():
            break


def looked_for(situation, transport, **wishes):
    """Nothing tells of this listener: it stays open for a look, and another one finds it gone."""

    def case(stage):
        def found():
            return bool(stage.recorder.listeners(transport=transport))

        def stand():
            let_it_look(stage, found)

        items, _ = play(stage, situation, stand=stand, transport=transport, **wishes)
        let_it_look(stage, lambda: not found())
        return Made(list(items.values()), stage.namespace.inode)

    return case


def association(looked_at):
    """SCTP: of the listener alone there is a record, whether there is a look meanwhile or not."""

    def case(stage):
        def stand():
            let_it_look(stage, lambda: False)

        items, _ = play(stage, "sctp-pair", stand=stand if looked_at else None, transport="sctp")
        kept = [i for i in items.values() if i.kind == "listener"]
        return Made(kept, stage.namespace.inode)

    return case


def reset_in_queue(stage):
    """Nobody ever accepted it: the listener stands for its end."""
    items, s = play(stage, "reset-in-queue")
    listener = next(i for i in items.values() if i.kind == "listener")
    client = next(i for i in items.values() if i.kind == "outbound")
    queued = dataclasses.replace(listener, kind="inbound", local=client.remote, remote=client.local)
    return Made(list(items.values()) + [queued], stage.namespace.inode)


def simultaneous_open(stage):
    """The first one's SYN goes into a listener that swallows it; see sockmaker."""
    items, s = play(stage, "simultaneous-open")
    two = next(i for i in items.values() if i.local == s["two"]["local"]["port"])
    hole = dataclasses.replace(two, kind="listener", remote=None)
    return Made(list(items.values()) + [hole], stage.namespace.inode)


def failing(situation, last="closed", refused=False):
    """A connect that comes to nothing."""

    def case(stage):
        items, s = play(stage, situation, last=last)
        listener = next(i for i in items.values() if i.kind == "listener")
        client = next(i for i in items.values() if i.kind == "outbound")
        kept = [listener, dataclasses.replace(client, kind="fail", remote=listener.local)]
        if refused:
            kept.append(Item("refuse", "tcp", listener.local, client.local))
        return Made(kept, stage.namespace.inode)

    return case


def udp_refused(stage):
    _, s = play(stage, "udp-refused", last="refused", transport="udp")
    port = s["listener"]["local"]["port"]
    listener = collect(s, stage, "udp", {})[("listener", "udp", port, None)]
    return Made([listener, Item("refuse", "udp", port, None)], stage.namespace.inode)


def other_namespace(stage):
    ns = Namespace()
    try:
        inner = stage.variant(namespace=ns)
        items, _ = play(inner, "pair")
        return Made(list(items.values()), ns.inode)
    finally:
        ns.close()


def nested_pids(stage):
    if not shutil.which("unshare"):
        raise Unavailable("no unshare(1)")
    inner = stage.variant(prefix=["unshare", "--pid", "--fork", "--kill-child"])
    items, _ = play(inner, "pair", nested=True)
    return Made(list(items.values()), stage.namespace.inode)


def nspawn(stage):
    """A container that systemd-nspawn starts as its own service template would."""
    if not shutil.which("systemd-nspawn"):
        raise Unavailable("no systemd-nspawn")
    program = stage.build.helper("sockmaker")
    folder = os.path.dirname(os.path.realpath(program))
    prefix = ["systemd-nspawn", "--quiet", "--directory=/", "--volatile=yes", "--register=no"]
    prefix += ["--keep-unit", "--console=pipe", f"--machine={NAME}", "--kill-signal=SIGKILL"]
    prefix += [f"--bind-ro={folder}", "--setenv=SYSTEMD_LOG_LEVEL=err", "--"]
    inner = stage.variant(unit=f"systemd-nspawn@{NAME}.service", prefix=prefix)
    os.environ["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
    try:
        items, _ = play(inner, "pair", nested=True)
    except AssertionError as e:
        raise Unavailable(f"systemd-nspawn does not start here: {e}")
    finally:
        inner.close()
    return Made(list(items.values()), stage.namespace.inode)


ACTIVATED = """
import os, socket
with socket.socket(fileno=3) as listener:
    connection, _ = listener.accept()
    print(os.getpid(), flush=True)
    connection.recv(1)
    connection.close()
"""
INETD = "import os; print(os.getpid(), flush=True); os.read(3, 1)"


def activated(inetd):
    """systemd-socket-activate listens; what it starts accepts (or is given what it accepted)."""

    def case(stage):
        activate = shutil.which("systemd-socket-activate")
        if not activate:
            raise Unavailable("no systemd-socket-activate")
        port = 21900 + inetd
        argv = [activate, f"--listen=127.0.0.1:{port}"] + ["--accept"] * inetd
        argv += ["--", sys.executable, "-c", INETD if inetd else ACTIVATED]
        server = stage.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: listening(stage.namespace, port), f"a listener on {port}")
            items, s = play(stage, "connect", port=port)
            told = int(server.stdout.readline())
            # It would get a signal when the one that started it ends.
            wait_until(lambda: gone(told), f"the end of process {told}")
        finally:
            if inetd:
                server.send_signal(signal.SIGTERM)
            server.communicate(timeout=20)
        client = next(iter(items.values()))
        programs = frozenset(map(os.path.realpath, (activate, sys.executable)))
        both = {"pids": frozenset({server.pid, told}), "executables": programs, "unit": stage.unit}
        inbound = Item("inbound", "tcp", port, client.local, **both)
        listener = Item("listener", "tcp", port, None, **both)
        return Made([client, inbound, listener], stage.namespace.inode)

    return case


def listening(namespace, port):
    with namespace.entered(), open("/proc/thread-self/net/tcp") as f:
        return any(l.split()[1].endswith(f":{port:04X}") and l.split()[3] == "0A" for l in f.readlines()[1:])


def swarm(port, **wishes):
    def case(stage):
        argv = [stage.build.helper("swarm"), f"--port={port}"]
        for key, value in wishes.items():
            option = "--" + key.replace("_", "-")
            argv.append(option if value is True else f"{option}={value}")
        with tempfile.TemporaryFile("w+") as out:
            process = stage.popen(argv, stdout=out, stderr=subprocess.PIPE, text=True)
            try:
                while stage.hook and process.poll() is None and stage.hook.while_running(process):
                    pass
                _, err = process.communicate(timeout=wishes.get("seconds", 120) + 10)
            finally:
                process.kill()
                process.wait()
            if process.returncode != 0:
                raise AssertionError(f"swarm ended with {process.returncode}: {err}")
            out.seek(0)
            made = json.load(out)
        made["program"] = os.path.realpath(made["program"])
        return Made(netns=stage.namespace.inode, swarm=Swarm(made, stage.unit))

    return case


# What lsof, ss -p and many a monitor do: to look at a descriptor is to hold its file for a moment.
LOOKER = """
import contextlib, os, select
print("looking", flush=True)
links = 0
while not select.select([0], [], [], 0)[0]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as f:
            if f.read() != "swarm-worker\\n":
                continue
            for fd in (3, 4, 5) * 1000:
                with contextlib.suppress(OSError):
                    links += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
print(links)
"""


def looked_at(port, **wishes):
    """A swarm, and somebody of another unit who looks at its descriptors all the time."""

    def case(stage):
        looker = subprocess.Popen(
            [sys.executable, "-c", LOOKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            looker.stdout.readline()
            made = swarm(port, **wishes)(stage)
            links, _ = looker.communicate(timeout=20)
        finally:
            looker.kill()
            looker.wait()
        if int(links) == 0:
            raise AssertionError("nobody has looked")
        made.looks = int(links)
        return made

    return case


@dataclasses.dataclass
class Case:
    name: str
    made: str
    play: object
    quick: bool = True
    crowd: bool = False
    told: bool = False  # each in its own call: what is not recorded at once is missing
    by_look: bool = False  # nothing tells of it
    netlink: bool = True  # could it be seen by netlink at all?


FAST_OPEN = {"net.ipv4.tcp_fastopen": (3, 1)}
COOKIES = {"net.ipv4.tcp_syncookies": (2, 1)}
PAIR = "listener, both ends"
NO_CONNECTION = "listener; its association is none"

CASES = [
    Case("plain", PAIR, plain("pair", bytes_to_server=10)),
    Case("plain, kept open for 2 s", PAIR, plain("pair", hold=HELD_SECONDS), quick=False),
    Case("closed by the server first", PAIR, plain("pair", first="server"), quick=False),
    Case("IPv6", PAIR, plain("pair", family=6)),
    Case("IPv4 between IPv6 sockets", PAIR, plain("pair", family=46)),
    Case("TCP Fast Open", "listener, 2 x both ends", plain("fast-open", FAST_OPEN)),
    Case("self-connect", "1 end", plain("self-connect")),
    Case("simultaneous open", "black hole, 2 outbound ends", simultaneous_open),
    Case("listen() without bind()", "listener", plain("listen-unbound")),
    Case("listens again", "2 x listener", plain("relisten", listener_times=2)),
    Case("SO_REUSEPORT x 8", "8 listeners, 16 x both ends", plain("reuseport-served", number=8)),
    Case("prefork x 8", "listener, 8 x both ends", plain("prefork", number=8)),
    Case("threads", PAIR, plain("threads")),
    Case("fork after accept", PAIR, plain("fork-after-accept")),
    Case("passed by SCM_RIGHTS", PAIR, plain("scm-rights")),
    Case("io_uring accept", PAIR, plain("io-uring")),
    Case("TCP_DEFER_ACCEPT", PAIR, plain("defer-accept")),
    Case("SYN cookies", PAIR, plain("pair", COOKIES)),
    Case("processes end without closing", PAIR, plain("exit", last="ended")),
    Case("RST in the accept queue", PAIR, reset_in_queue),
    Case("refused", "listener, failed, refused", failing("refused", refused=True)),
    Case("timed out", "black hole, failed", failing("timed-out")),
    Case("AF_UNSPEC, connected elsewhere", "2 listeners, 2 x both ends", plain("reconnect", port=0)),
    Case("MPTCP", PAIR, plain("mptcp", last="listener-closed")),
    Case("UDP bind", "listener", udp("udp-bind", False)),
    Case("UDP autobind", "listener", udp("udp-autobind", False)),
    Case("UDP connected", "listener, 1 end", udp("udp-connected", True)),
    Case("UDP refused", "listener, refused", udp_refused),
    Case("UDP-Lite bind", "listener", plain("udplite-bind", transport="udplite"), told=True, netlink=False),
    Case("raw socket", "listener", plain("raw", transport="raw", port=0), told=True, netlink=False),
    Case("packet socket, open for a look", "listener", looked_for("packet", "packet", port=0), quick=False, by_look=True, netlink=False),
    Case("vsock listener, open for a look", "listener", looked_for("vsock-listen", "vsock", port=0), quick=False, by_look=True, netlink=False),
    Case("SCTP listener", "listener", plain("sctp-listen", transport="sctp"), told=True, netlink=False),
    Case("SCTP association", NO_CONNECTION, association(False), told=True, netlink=False),
    Case("SCTP association, open for a look", NO_CONNECTION, association(True), quick=False, told=True, netlink=False),
    Case("in another network namespace", PAIR, other_namespace),
    Case("in a nested pid namespace", PAIR, nested_pids),
    Case("process gone in 1 ms", "50 x both ends", swarm(21001, processes=50, connections=1, one_by_one=True, no_exec=True)),
    Case("command that connects and ends", "50 x both ends", swarm(21002, processes=50, connections=1, one_by_one=True)),
    Case("socket activated", PAIR, activated(False), quick=False),
    Case("socket activated, inetd's way", PAIR, activated(True), quick=False),
    Case("in systemd-nspawn", PAIR, nspawn, quick=False),
    Case("looked at in /proc/PID/fd all the time", "5,000 x both ends", looked_at(21004, processes=20, connections=250, workers=1), quick=False, crowd=True),
    Case("200 processes x 100 connections", "20,000 x both ends", swarm(21003), quick=False, crowd=True),
]  # fmt: skip

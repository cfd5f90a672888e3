# SPDX-License-Identifier: GPL-2.0-or-later
"""What other tools say of the same connections: tcplife (bcc), ss -E, and ss -Htnp at the moment."""

import collections
import glob
import os
import platform
import re
import shutil
import socket
import subprocess
import threading

from harness.waiting import DeadlinePassed, Final, wait_until

from judge import SENTINEL_PORT


def port_of(address):
    return int(address.rpartition(":")[2])


def bcc(program):
    """A command line for a tracer of bcc, which wants the running kernel's headers and tracepoints.

    Where the running kernel has none, those of Debian's kernel serve in a mount namespace of its own:
    the tracepoint's fields, so addresses and pids, are the same; sizes that it reads may be off.
    """
    lines = []
    builds = sorted(glob.glob("/usr/src/linux-headers-*-amd64"))
    commons = sorted(glob.glob("/usr/src/linux-headers-*-common"))
    folder = f"/lib/modules/{platform.release()}"
    if not os.path.exists(folder + "/build") and builds and commons:
        lines = [
            "mkdir -p /lib/modules && mount -t tmpfs tmpfs /lib/modules",
            f"mkdir {folder}",
            f"ln -s {builds[-1]} {folder}/build",
            f"ln -s {commons[-1]} {folder}/source",
        ]
    lines += ["mount -t debugfs debugfs /sys/kernel/debug", "mount -t tracefs tracefs /sys/kernel/debug/tracing"]
    return ["unshare", "--mount", "sh", "-c", "\n".join(lines) + '\nexec "$0" "$@"', *program]


class Ended(Final):
    """A tool has given up, as ss -E does when it is told more than its buffer holds."""


class Tool:
    """A program that prints a line for each connection it has seen the end of."""

    name, argv = "", []

    def __init__(self, namespace):
        self.lines = []
        self.namespace = namespace
        self.start()

    def start(self):
        self.process = self.namespace.popen(
            self.argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.settle(40)

    def _read(self):
        for line in self.process.stdout:
            found = self.parse(line)
            if found:
                self.lines.append(found)

    def settle(self, deadline=5):
        """Returns when a connection made now is in the output: so is what came before it."""

        def seen():
            if self.process.poll() is not None:
                raise Ended(f"{self.name} has ended with {self.process.returncode}")
            with self.namespace.entered():
                server = socket.socket()
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("127.0.0.1", SENTINEL_PORT))
                server.listen()
                client = socket.create_connection(server.getsockname())
            accepted, (_, port) = server.accept()
            for s in (client, accepted, server):
                s.close()
            pairs = {(port, SENTINEL_PORT), (SENTINEL_PORT, port)}
            wait_until(lambda: pairs <= {l[1:] for l in self.lines[-200:]}, deadline=1)
            return True

        def tried():
            try:
                return seen()
            except DeadlinePassed:
                return False

        wait_until(tried, f"an answer of {self.name}", deadline)

    def take(self):
        """(pid, local port, remote port) of what came since the last time; None if it has ended."""
        try:
            self.settle()
        except Ended:
            self.reader.join()
            self.lines = []
            self.start()
            return None
        lines, self.lines = self.lines, []
        return [l for l in lines if SENTINEL_PORT not in l]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Tcplife(Tool):
    name, argv = "tcplife", bcc(["tcplife-bpfcc", "-s"])

    @staticmethod
    def parse(line):
        # PID,COMM,IP,LADDR,LPORT,RADDR,RPORT,TX_KB,RX_KB,MS; the name may hold anything
        m = re.match(r"(\d+),.*,[46],[^,]+,(\d+),[^,]+,(\d+),\d+,\d+,[\d.]+$", line.strip())
        return tuple(map(int, m.groups())) if m else None


class SsEvents(Tool):
    name, argv = "ss -E", ["stdbuf", "-oL", "ss", "-HEtn"]

    @staticmethod
    def parse(line):
        words = line.split()
        ends = [w for w in words if re.search(r":\d+$", w)]
        return (0, *map(port_of, ends[:2])) if len(ends) >= 2 else None


class Look:
    """ss -Htnp, run at each step at which the sockets stand: its best case."""

    name = "ss -Htnp"

    def __init__(self, namespace):
        self.namespace = namespace
        self.seen = collections.defaultdict(set)

    def __call__(self):
        done = self.namespace.run(["ss", "-Htnp"], check=False)
        for line in done.stdout.splitlines():
            words = line.split()
            if len(words) < 5 or words[0].startswith(("TIME-WAIT", "SYN")):
                continue
            self.seen[port_of(words[3]), port_of(words[4])] |= set(map(int, re.findall(r"pid=(\d+)", line)))

    def while_running(self, process):
        """One look, and a pause; False when the process has ended."""
        self()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            return True
        return False

    def take(self):
        seen, self.seen = self.seen, collections.defaultdict(set)
        # With a descriptor in several processes, one that is right is enough.
        return [(frozenset(pids), *ports) for ports, pids in seen.items()]

    def close(self):
        pass


def start(namespace):
    """The tools that are here, as a list."""
    tools = []
    if shutil.which("tcplife-bpfcc"):
        try:
            tools.append(Tcplife(namespace))
        except (DeadlinePassed, Ended):
            pass
    if shutil.which("ss") and shutil.which("stdbuf"):
        tools += [SsEvents(namespace), Look(namespace)]
    return tools


def ends(made):
    """The ends of TCP connections that a case made, as {(local, remote): right pids}."""
    if made.swarm:
        s, found = made.swarm, {}
        for i in range(s.total):
            port, client = s.made["port"], s.ports[i // s.n] + i % s.n
            # Ports alone may be those of several clients: any of them is right then.
            found.setdefault((client, port), []).append(s.pid("outbound", i))
            found.setdefault((port, client), []).append(s.pid("inbound", i))
        return found
    return {
        (i.local, i.remote): [i.pids]
        for i in made.items
        if i.kind in ("outbound", "inbound") and i.transport == "tcp"
    }


def judge(lines, made):
    """(expected, recorded, right pid, wrong pid) of a tool's lines; None if there are none to trust."""
    if lines is None:
        return None
    expected = ends(made)
    count = collections.Counter((local, remote) for _, local, remote in lines)
    right, wrong = collections.Counter(), 0
    for pid, local, remote in lines:
        wanted = expected.get((local, remote))
        if wanted is None or not pid:
            continue
        pids = pid if isinstance(pid, frozenset) else {pid}
        if any(pids & (w if isinstance(w, frozenset) else {w}) for w in wanted):
            right[local, remote] += 1
        else:
            wrong += 1
    n = sum(map(len, expected.values()))
    recorded = sum(min(count[key], len(wanted)) for key, wanted in expected.items())
    return n, recorded, sum(min(right[k], len(w)) for k, w in expected.items()), wrong

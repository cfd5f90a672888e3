# SPDX-License-Identifier: GPL-2.0-or-later
"""A real portwatchd in a namespace of its own, and what can be asked of it."""

import contextlib
import ctypes
import grp
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from .build import TOP
from .varlink import Client, parse
from .waiting import DEADLINE, wait_until

STARTUP = 20.0
SHUTDOWN = 20.0
SENTINEL_PORT = 65533
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "UndefinedBehavior")


class StartFailed(AssertionError):
    def __init__(self, message, status, log):
        super().__init__(f"{message}\n{log}")
        self.status = status
        self.log = log


def die_with_us():
    """Nothing may be left of a test run that was killed (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def exists(lookup, name):
    try:
        return bool(lookup(name))
    except KeyError:
        return False


class Daemon:
    """portwatchd --state=DIR --runtime=DIR --config=DIR: the folders outlive its restarts."""

    def __init__(self, build, interface, namespace, source, arguments=(), wrapper=()):
        self.build = build
        self.interface = interface
        self.namespace = namespace
        self.source = source
        self.arguments = list(arguments)
        self.wrapper = list(wrapper)
        self.process = None
        self.notified = []
        self.runs = 0
        self.notify = None
        # Short, for the length of a socket's path; open to others, for the tests with other users.
        self.folder = tempfile.mkdtemp(prefix="pw-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.state, self.runtime, self.config = (
            os.path.join(self.folder, n) for n in ("state", "run", "etc")
        )
        for d in (self.state, self.runtime, self.config):
            os.mkdir(d, 0o755)
        self.log_path = os.path.join(self.folder, "log")
        self.socket_path = os.path.join(self.runtime, "portwatch.sock")

    # Life

    def configure(self, text, name="portwatch.conf"):
        path = os.path.join(self.config, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def _name_answerer(self):
        """The answerer's user and group where the installed ones are not there, and none is named."""
        said = ""
        for folder, _, files in os.walk(self.config):
            for name in files:
                with open(os.path.join(folder, name)) as f:
                    said += f.read()
        lines = ["[Answerer]"]
        named = re.findall(r"^(User|Group)\s*=", said, re.M)
        if "User" not in named and not exists(pwd.getpwnam, "portwatch-answer"):
            lines.append("User=nobody")
        if "Group" not in named and not exists(grp.getgrnam, "portwatch"):
            lines.append("Group=nogroup")
        if len(lines) > 1:
            self.configure("\n".join(lines) + "\n", "portwatch.conf.d/00-answerer.conf")

    def argv(self):
        argv = self.wrapper + [
            self.build.portwatchd,
            f"--state={self.state}",
            f"--runtime={self.runtime}",
            f"--config={self.config}",
            f"--answerer={self.build.answerer}",
            f"--services={os.path.join(TOP, 'data', 'service-names.tsv')}",
        ]
        if self.source:
            argv.append(f"--source={self.source}")
        return argv + self.arguments

    def spawn(self):
        """Starts it without waiting; returns the process and its notification socket."""
        self.runs += 1
        if os.path.isdir(self.config):
            self._name_answerer()
        path = os.path.join(self.folder, f"notify{self.runs}")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        notify.bind(path)
        os.chmod(path, 0o777)
        environment = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("LISTEN_", "WATCHDOG_")) and k != "JOURNAL_STREAM"
        }
        environment["NOTIFY_SOCKET"] = path
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        log = open(self.log_path, "ab")
        with log:
            self.process = self.namespace.popen(
                self.argv(),
                preexec_fn=die_with_us,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        return self.process, notify

    def start(self, deadline=STARTUP):
        process, notify = self.spawn()
        end = time.monotonic() + deadline
        pidfd = os.pidfd_open(process.pid)
        poll = select.poll()
        poll.register(notify, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        self.notified = []
        try:
            while "READY=1" not in self.notified:
                left = end - time.monotonic()
                ready = dict(poll.poll(max(left, 0) * 1000)) if left > 0 else {}
                if notify.fileno() in ready:
                    self._take_notification(notify)
                elif ready:
                    process.wait()
                    raise StartFailed(
                        f"portwatchd ended with {process.returncode} before it was ready",
                        process.returncode,
                        self.log(),
                    )
                else:
                    process.kill()
                    process.wait()
                    raise StartFailed(f"not ready within {deadline} s", None, self.log())
        except BaseException:
            notify.close()
            self.process = None
            raise
        finally:
            os.close(pidfd)
        # Somebody has to read on, as systemd does: sd_notify() waits for room.
        self.notify = notify
        self.reader = threading.Thread(target=self._read_notifications, args=(notify,), daemon=True)
        self.reader.start()
        return self

    def _take_notification(self, notify):
        lines = notify.recv(65536).decode(errors="replace").splitlines()
        self.notified += lines
        return lines

    def _read_notifications(self, notify):
        with notify:
            while self._take_notification(notify):
                pass

    def _end_notifications(self):
        """An empty datagram from ourselves ends the reader, behind all that the daemon has said."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.notify.getsockname())
        self.reader.join(10)

    @property
    def status_text(self):
        """The last STATUS= for systemctl status."""
        told = [n for n in self.notified if n.startswith("STATUS=")]
        return told[-1][len("STATUS=") :] if told else ""

    def start_failing(self, deadline=STARTUP):
        """Starts it and expects that it gives up: its exit status and what it said this time."""
        before = len(self.log())
        process, notify = self.spawn()
        with notify:
            try:
                status = process.wait(deadline)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.process = None
                raise AssertionError(f"portwatchd went on:\n{self.log()[before:]}")
        self.process = None
        return status, self.log()[before:]

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, expect=0):
        if self.process is None:
            return
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(SHUTDOWN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"SIGTERM did not end portwatchd:\n{self.log()}")
        finally:
            self.process = None
            self._end_notifications()
        assert status == expect, f"portwatchd ended with {status}:\n{self.log()}"
        self.check_sanitizers()

    def kill(self):
        """Without any warning, its answerer too: what a power switch would do to both."""
        children = self.children()
        self.process.kill()
        self.process.wait()
        self.process = None
        if self.notify:
            self._end_notifications()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def children(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
                return [int(p) for p in f.read().split()]
        except FileNotFoundError:
            return []

    def answerer_pid(self):
        def find():
            for pid in self.children():
                with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/comm") as f:
                    # The kernel keeps 15 characters of a name.
                    if f.read().strip() == "portwatch-answe":
                        return pid
            return None

        return wait_until(find, "an answerer")

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def check_sanitizers(self):
        for word in SANITIZER_WORDS:
            assert word not in self.log(), f"{word} in the log:\n{self.log()}"

    def discard(self):
        """Ends it whatever it does, and takes its folders away."""
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Questions

    def client(self, framing=b"\0", deadline=DEADLINE):
        return Client(self.socket_path, self.interface, framing, deadline)

    def call(self, method, parameters=None, **flags):
        with self.client() as c:
            return c.call(f"io.portwatch.{method}", parameters, **flags)

    def stream(self, method, parameters=None):
        with self.client() as c:
            yield from c.stream(f"io.portwatch.{method}", parameters)

    def status(self):
        return self.call("Status")

    def _filter(self, given):
        return {"netns": self.namespace.inode, **given}

    def listeners(self, **filter_):
        return [
            l
            for r in self.stream("Listeners", {"filter": self._filter(filter_)})
            for l in r["listeners"]
        ]

    def connections(self, **filter_):
        return [
            c
            for r in self.stream("Connections", {"filter": self._filter(filter_)})
            for c in r["connections"]
        ]

    def events(self, filter=None, **parameters):
        """The history of this daemon's namespace, all of it, without the sentinel's."""
        parameters["filter"] = self._filter(filter or {})
        return [
            e
            for r in self.stream("History", parameters)
            for e in r["events"]
            if service_port(e) != SENTINEL_PORT
        ]

    def marks(self):
        """The history's own marks: start, stop, lost."""
        return [
            e
            for r in self.stream("History", {"filter": {"kinds": ["start", "stop", "lost"]}})
            for e in r["events"]
        ]

    def counts(self, by, filter=None, since_usec=None):
        parameters = {"by": by, "filter": self._filter(filter or {})}
        if since_usec is not None:
            parameters["since_usec"] = since_usec
        return {c["key"]: c for c in self.call("Counts", parameters)["counts"]}

    def wait_connections(self, ports, inbound, outbound):
        """Until so many are in the history: the kernel tells of ended sockets in its own time."""

        def complete():
            counts = self.counts("port", filter={"ports": ports}).values()
            seen = (sum(c["inbound"] for c in counts), sum(c["outbound"] for c in counts))
            assert seen == (inbound, outbound), seen
            return True

        wait_until(complete, f"{inbound} inbound and {outbound} outbound connections", 30)

    def wait_event(self, kind, port, deadline=DEADLINE, **properties):
        """The first event of a kind on a service port, as soon as it is in the history."""

        def find():
            for e in self.events(filter={"kinds": [kind], "ports": [port]}):
                subject = e["listener"] or e["connection"]
                if all(subject[k] == v for k, v in properties.items()):
                    return e
            return None

        return wait_until(find, f"{kind} on port {port} {properties or ''}", deadline)

    def settle(self):
        """Returns when all that happened before is in the history.

        A sentinel listener and a connection to it from each processor go the same way behind it: the
        kernel tells netlink of ended sockets by a queue for each. Netlink finds listeners by
        looking: two looks that show the sentinel come, then go, lie after the call.
        """
        mark = self.status()["next_seq"] - 1
        with self.namespace.entered():
            server = socket.create_server(("127.0.0.1", SENTINEL_PORT))

        def seen(kind, **properties):
            wanted = self._filter({"kinds": [kind], "ports": [SENTINEL_PORT]})
            for r in self.stream("History", {"filter": wanted, "after_seq": mark}):
                for e in r["events"]:
                    if properties.items() <= (e["listener"] or e["connection"]).items():
                        return True
            return False

        wait_until(lambda: seen("listen"), "the sentinel's listener")
        processors = os.sched_getaffinity(0)
        try:
            for processor in processors:
                os.sched_setaffinity(0, {processor})
                with self.namespace.entered():
                    client = socket.create_connection(server.getsockname())
                accepted, (_, port) = server.accept()
                client.close()
                accepted.close()
                here = {"address": "127.0.0.1", "port": port}
                for direction, end in (("outbound", "local"), ("inbound", "remote")):
                    wait_until(
                        lambda: seen("close", direction=direction, **{end: here}),
                        "the sentinel's close",
                    )
        finally:
            os.sched_setaffinity(0, processors)
        server.close()
        wait_until(lambda: seen("unlisten"), "the sentinel's unlisten")

    def portctl(self, *arguments, check=True, timeout=60, socket_path=None, wrapper=(), **kwargs):
        """Runs portctl on this daemon; .rows is its output line by line as JSON if it is JSON."""
        environment = {**os.environ, "LC_ALL": "C.UTF-8", **kwargs.pop("env", {})}
        for name in ("PORTCTL_SOCKET", "PAGER", "SYSTEMD_PAGER"):
            environment.pop(name, None)
        argv = [
            *wrapper,
            self.build.portctl,
            f"--socket={socket_path or self.socket_path}",
            *arguments,
        ]
        done = self.namespace.run(argv, check=check, timeout=timeout, env=environment, **kwargs)
        done.rows = None
        if {"-j", "--json", "--json=short"} & set(arguments):
            done.rows = [parse(line.encode()) for line in done.stdout.splitlines()]
        return done


def service_port(event):
    """The port an event is about, as the filter `ports` sees it; None for the history's marks."""
    if event["listener"]:
        return event["listener"]["local"]["port"]
    c = event["connection"]
    if c:
        return (c["remote"] if c["direction"] == "outbound" else c["local"])["port"]
    return None


class Situation:
    """A running sockmaker: .now is the step that stands, next() goes on to the next one."""

    def __init__(self, build, namespace, situation, program=None, **wishes):
        argv = [program or build.helper("sockmaker")]
        for key, value in wishes.items():
            option = "--" + key.replace("_", "-")
            if value is True:
                argv.append(option)
            elif value is not None and value is not False:
                argv.append(
                    option.encode()
                    + b"="
                    + (value if isinstance(value, bytes) else str(value).encode())
                )
        self.executable = os.path.realpath(argv[0])
        self.process = namespace.popen(
            argv + [situation],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.steps = []
        self.now = self._read()

    def _read(self):
        if not select.select([self.process.stdout], [], [], 30)[0]:
            raise AssertionError("sockmaker does not go on")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"sockmaker gave up: {self.process.stderr.read().decode()}")
        self.steps.append(json.loads(line))
        return self.steps[-1]

    def next(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        self.now = self._read()
        return self.now

    def finish(self, last="closed"):
        """Goes through all steps up to the one named so."""
        while self.now["step"] != last:
            self.next()
        return self.now

    def __getitem__(self, role):
        for step in reversed(self.steps):
            if role in step:
                return step[role]
        raise KeyError(role)

    @property
    def port(self):
        return self["listener"]["local"]["port"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

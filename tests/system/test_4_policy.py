# SPDX-License-Identifier: GPL-2.0-or-later
"""What is expected to listen: learnt, told when something else does, allowed by a rule."""

import json
import os
import re
import time

import pytest

from harness.waiting import wait_until
from test_2_service import LISTENER, listeners
from test_3_life import SERVICE, cursor, messages

LEARNED = "/var/lib/portwatch/learned.rules"
RULES = "/etc/portwatch/expected.d"
UNITS = "/run/systemd/system"
PORTS = "4100-4199"  # of these tests; others may be opened on the machine below

TEMPLATE = "portwatch-test@.service"
STARTED = "/run/portwatch-test"
ALERT = f"""
[Service]
Type=oneshot
ExecStart=/bin/mkdir -p {STARTED}
ExecStart=/usr/bin/touch {STARTED}/%i
"""

SERVER = """
import socket
s = socket.socket(fileno=3)
while True:
    c = s.accept()[0]
    c.sendall(b"served")
    c.close()
"""


class Policy:
    """The rules of the system, and what listens on it for a test."""

    def __init__(self, machine):
        self.machine = machine
        self.units = []

    def clear(self):
        """As if it had been installed just now, with nothing learnt and no rules."""
        own = [f"{UNITS}/{unit}" for unit in self.units]
        self.machine.run("systemctl", "stop", *self.units, SERVICE, check=False)
        self.machine.run("rm", "-rf", LEARNED, RULES, STARTED, *own)
        self.machine.run("systemctl", "daemon-reload")

    # Configuration

    def configure(self, text):
        self.machine.configure(text)
        self.machine.run("systemctl", "restart", SERVICE)

    def unit(self, name, text):
        self.units.append(name)
        self.machine.write(f"{UNITS}/{name}", text)
        self.machine.run("systemctl", "daemon-reload")

    def status(self):
        return self.machine.portctl_json("status")[0]

    def reload(self):
        before = self.status()["rules_usec"]
        self.machine.run("systemctl", "reload", SERVICE)
        return wait_until(
            lambda: (s := self.status())["rules_usec"] != before and s, "that the rules are read"
        )

    # Listeners

    def listener(self, port):
        (found,) = wait_until(lambda: listeners(self.machine, port), f"a listener on port {port}")
        return found

    def listen(self, port):
        """Starts a server of that port as a unit of its own."""
        unit = f"test-{port}.service"
        self.units.append(unit)
        self.machine.run(
            "systemd-run", f"--unit={unit}", "--quiet", "/usr/bin/python3", "-c", LISTENER % port
        )
        return self.listener(port)

    def stop(self, port):
        self.machine.run("systemctl", "stop", f"test-{port}.service")
        wait_until(lambda: not listeners(self.machine, port), f"no listener on port {port}")

    def socket_unit(self, port):
        """A socket unit of that port, and its service, which answers whoever connects."""
        name = f"test-activated-{port}"
        self.machine.write("/run/server.py", SERVER)
        self.unit(f"{name}.service", "[Service]\nExecStart=/usr/bin/python3 /run/server.py\n")
        self.unit(f"{name}.socket", f"[Socket]\nListenStream=127.0.0.1:{port}\n")
        self.machine.run("systemctl", "start", f"{name}.socket")
        return name

    def connect(self, port):
        script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3"
        assert self.machine.run("bash", "-c", script).stdout == "served"

    # What is said of them

    def said(self, since, name, port):
        return [
            e
            for e in self.machine.journal(since)
            if e.get("MESSAGE_ID") == messages()[name] and e["PORTWATCH_LOCAL_PORT"] == str(port)
        ]

    def told(self, since, name, port, deadline=10):
        """The one message of that name about a port, when it has come."""
        (entry,) = wait_until(
            lambda: self.said(since, name, port), f"{name} of port {port}", deadline
        )
        return entry

    def check(self):
        """Ports that `portctl check` lists; it ends with 0 when there are none, else with 1."""
        done = self.machine.portctl("check", f"--port={PORTS}", "-j", check=False)
        found = [json.loads(line)["local"]["port"] for line in done.stdout.splitlines()]
        assert done.returncode == (1 if found else 0), done.stderr
        return found

    def started(self, port):
        """Waits for the unit that OnUnexpected= has started for a port."""
        path = self.machine.path(f"{STARTED}/tcp:127.0.0.1:{port}")
        wait_until(lambda: os.path.exists(path), "the unit of OnUnexpected=")
        os.unlink(path)


@pytest.fixture
def policy(machine):
    policy = Policy(machine)
    policy.clear()
    yield policy
    policy.clear()


def test_story(machine, policy):
    policy.unit(TEMPLATE, ALERT)
    policy.configure(f"[Policy]\nLearn=14d\nOnUnexpected={TEMPLATE}\n")

    # What listens while it learns is learnt.
    assert policy.listen(4101)["expected"] is True
    with open(machine.path(LEARNED)) as f:
        learned = f.read()
    assert "tcp/4101 unit=test-4101.service exposure=loopback" in learned.splitlines()
    assert machine.run("stat", "-c", "%U %a", LEARNED).stdout.strip() == "portwatch 640"
    days = (policy.status()["learning_until_usec"] / 1e6 - time.time()) / 86400
    assert 13.9 < days <= 14
    assert policy.check() == []

    # The gate closes.
    machine.write(LEARNED, re.sub(r"(began at) \d+", r"\1 1", learned))
    assert policy.reload()["learning_until_usec"] is None
    assert policy.check() == []

    # What nobody has expected is told once, with what there is to know of it.
    since = cursor(machine)
    rogue = policy.listen(4102)
    entry = policy.told(since, "UNEXPECTED", 4102)
    owner = rogue["owner"]
    assert entry["SYSLOG_IDENTIFIER"] == "portwatchd" and entry["PRIORITY"] == "4"
    assert entry["_PID"] == str(machine.main_pid())
    fields = {k[len("PORTWATCH_") :]: v for k, v in entry.items() if k.startswith("PORTWATCH_")}
    assert fields == {
        "TRANSPORT": "tcp",
        "LOCAL_ADDRESS": "127.0.0.1",
        "LOCAL_PORT": "4102",
        "REMOTE_ADDRESS": "",
        "EXPOSURE": "loopback",
        "PID": str(machine.main_pid("test-4102.service")),
        "NAME": "python3",
        "EXECUTABLE": os.path.realpath("/usr/bin/python3"),
        "UID": "0",
        "UNIT": "test-4102.service",
        "CONTAINER": "",
        "ATTRIBUTION": "exact",
        "NETNS": str(rogue["netns"]),
        "COUNT": "1",
    }
    assert entry["MESSAGE"] == (
        f"Unexpected listener on tcp 127.0.0.1:4102 (loopback): python3, pid {owner['pid']}, "
        "user 0, unit test-4102.service."
    )
    assert int(entry["_SOURCE_REALTIME_TIMESTAMP"]) - rogue["opened_usec"] < 1_000_000
    explained = machine.run("journalctl", "-x", "--no-pager", since).stdout
    assert "Subject: Something listens that no rule expects" in explained
    assert "portctl inbound --port=4102" in explained
    policy.started(4102)
    assert policy.check() == [4102]

    # A rule for it, at once and over a restart.
    since = cursor(machine)
    machine.portctl("expect", "tcp/4102", "unit=test-4102.service")
    assert policy.listener(4102)["rule"] == "tcp/4102 unit=test-4102.service"
    assert policy.check() == []
    machine.run("systemctl", "restart", SERVICE)
    assert policy.check() == []
    assert policy.listener(4101)["expected"] is policy.listener(4102)["expected"] is True
    policy.stop(4102)
    assert policy.said(since, "UNEXPECTED", 4102) == []
    assert policy.said(since, "UNEXPECTED_GONE", 4102) == []

    # Without the rule it is told again, and when it has gone, which must last for a while.
    machine.portctl("expect", "--remove", "tcp/4102", "unit=test-4102.service")
    policy.listen(4102)
    assert policy.told(since, "UNEXPECTED", 4102)["PORTWATCH_PID"] != str(owner["pid"])
    policy.started(4102)
    assert policy.check() == [4102]
    policy.stop(4102)
    assert policy.check() == []
    assert policy.told(since, "UNEXPECTED_GONE", 4102, deadline=30)["PRIORITY"] == "5"
    assert policy.said(since, "UNEXPECTED", 4101) == []


def test_restart_does_not_tell_again(machine, policy):
    policy.configure("[Policy]\nTrustSocketUnits=yes\n")
    since = cursor(machine)
    policy.listen(4103)
    policy.told(since, "UNEXPECTED", 4103)
    machine.run("systemctl", "restart", SERVICE)
    assert policy.listener(4103)["expected"] is False
    policy.listen(4104)
    policy.told(since, "UNEXPECTED", 4104)  # what was to be said of 4103 would stand before it
    policy.told(since, "UNEXPECTED", 4103)


def test_recorder_may_start_its_own_units_alone(machine, policy):
    """polkit lets user portwatch do what OnUnexpected= is for, and nothing else."""
    policy.unit(TEMPLATE, ALERT)
    policy.unit("other@.service", ALERT)
    policy.unit("portwatch-test.service", ALERT)

    def may(method, unit):
        where = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
        call = (*where, "org.freedesktop.systemd1.Manager", method, "ss", unit, "replace")
        done = machine.run("busctl", "call", *call, user="portwatch", check=False)
        assert done.returncode == 0 or "authentication required" in done.stderr, done.stderr
        return done.returncode == 0

    assert may("StartUnit", "portwatch-test@1.service")
    for verb, unit in (
        ("StopUnit", "portwatch-test@1.service"),
        ("RestartUnit", "portwatch-test@1.service"),
        ("StartUnit", "portwatch-test.service"),
        ("StartUnit", "other@portwatch-test@1.service"),
        ("StartUnit", SERVICE),
        ("StartUnit", "poweroff.target"),
    ):
        assert not may(verb, unit), (verb, unit)


def test_unit_that_cannot_be_started(machine, policy):
    """There is no such unit, then no bus; both are said, and when there is one again it is used."""
    policy.configure(f"[Policy]\nTrustSocketUnits=yes\nOnUnexpected={TEMPLATE}\n")
    pid = machine.main_pid()

    def warned(text):
        return any(text in e["MESSAGE"] for e in machine.journal(since))

    since = cursor(machine)
    policy.listen(4105)
    wait_until(lambda: warned("OnUnexpected=: systemd did not start the unit: "), "the warning")
    policy.unit(TEMPLATE, ALERT)
    machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
    try:
        policy.listen(4106)
        wait_until(lambda: warned("OnUnexpected=: systemd could not be asked to "), "the warning")
    finally:
        machine.run("systemctl", "start", "dbus.socket", "dbus.service")
    policy.listen(4107)
    policy.started(4107)
    assert machine.main_pid() == pid


@pytest.mark.parametrize("source", ["ebpf", "netlink"])
def test_socket_units(machine, policy, source):
    """They are trusted when that is asked for, whether they or the recorder came first."""
    recorder = f"[Recorder]\nSource={source}\n[Policy]\nTrustSocketUnits="
    machine.write(f"{RULES}/10-test.rules", "tcp/9 name=nobody\n")
    policy.configure(recorder + "yes\n")
    since = cursor(machine)
    name = policy.socket_unit(4111)

    def judged(port, expected=True):
        found = policy.listener(port)
        assert found["owner"]["unit"] == f"test-activated-{port}.socket"
        assert found["expected"] is expected and found["rule"] is None
        return found

    wait_until(lambda: judged(4111), "the owner")
    assert judged(4111)["holder"] is None

    # Owner is who opened it, holder who serves it; netlink looks for it every few seconds.
    def held():
        holder = wait_until(lambda: judged(4111)["holder"], "the holder", deadline=30)
        assert holder["unit"] == f"{name}.service"
        assert holder["pid"] == machine.main_pid(f"{name}.service")

    policy.connect(4111)
    held()

    # As it is at a boot: nothing is known, and the sockets were there before the recorder.
    machine.run("systemctl", "stop", SERVICE)
    policy.socket_unit(4112)
    machine.run("rm", "/run/portwatch/live")
    machine.run("systemctl", "start", SERVICE)
    wait_until(lambda: judged(4112), "the owner of one that was there")
    assert judged(4112)["holder"] is None
    held()
    assert policy.check() == []
    for port in (4111, 4112):
        assert policy.said(since, "UNEXPECTED", port) == []

    # And otherwise they are not.
    machine.configure(recorder + "no\n")
    policy.reload()
    assert policy.told(since, "UNEXPECTED", 4112)["PORTWATCH_UNIT"] == "test-activated-4112.socket"
    judged(4112, expected=False)
    assert policy.check() == [4111, 4112]

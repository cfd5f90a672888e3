# SPDX-License-Identifier: GPL-2.0-or-later
"""The service under systemd: start, answers, what it may do, who sees what."""

import os
import re

import pytest

from harness.waiting import wait_until

LISTENER = """
import socket, signal
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", %d))
s.listen()
signal.pause()
"""


def status_of(machine, pid):
    with open(machine.path(f"/proc/{pid}/status")) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def listeners(machine, port, **kwargs):
    return machine.portctl_json("listeners", f"--port={port}", **kwargs)


@pytest.fixture
def listener(machine):
    """Starts listeners, each as a unit of its own, and ends them."""
    units = []

    def start(port, *properties, python="/usr/bin/python3"):
        unit = f"test-listener-{port}.service"
        units.append(unit)
        machine.run(
            "systemd-run", f"--unit={unit}", "--quiet", *properties, python, "-c", LISTENER % port
        )
        found = wait_until(lambda: listeners(machine, port), f"a listener on port {port}")
        assert len(found) == 1
        return unit, found[0]

    yield start
    for unit in units:
        machine.run("systemctl", "stop", unit)


def test_enable_and_start(installed):
    done = installed.run("systemctl", "enable", "portwatchd.service")
    assert "portwatch.socket" in done.stderr  # Also=
    installed.run("systemctl", "start", "portwatchd.service")
    for unit in ("portwatchd.service", "portwatch.socket"):
        assert installed.run("systemctl", "is-enabled", unit).stdout.strip() == "enabled"
        assert installed.run("systemctl", "is-active", unit).stdout.strip() == "active"
    assert installed.show("portwatchd.service", "Type") == "notify"


def test_socket(machine):
    done = machine.run("stat", "-c", "%F %a", "/run/portwatch/portwatch.sock")
    assert done.stdout.strip() == "socket 666"
    assert machine.run("stat", "-c", "%a", "/run/portwatch").stdout.strip() == "755"
    done = machine.run("stat", "-c", "%U:%G %a", "/var/lib/portwatch")
    assert done.stdout.strip() == "portwatch:portwatch 750"


def test_status_text(machine, listener):
    """STATUS= says the source and the counts, and follows them."""

    def follows():
        text = machine.show("portwatchd.service", "StatusText")
        status = machine.portctl_json("status")[0]
        return re.match(rf"Source {status['source']}; {status['listeners']} listeners, ", text)

    wait_until(follows, "the counts in the unit's status")
    listener(4001)
    wait_until(follows, "the new listener in the unit's status")


def test_source_is_ebpf(machine):
    """The unit's capabilities and system calls are enough for it."""
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        pytest.skip("the kernel has no BTF")
    assert machine.portctl_json("status")[0]["source"] == "ebpf"


def test_recorder_has_no_more_than_it_needs(machine):
    status = status_of(machine, machine.main_pid())
    uid = machine.run("id", "-u", "portwatch").stdout.strip()
    assert status["Uid"].split() == [uid] * 4
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    named = machine.show("portwatchd.service", "AmbientCapabilities").split()
    assert bin(int(status["CapEff"], 16)).count("1") == len(named) == 10
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"]


def test_answerer_has_nothing(machine):
    (pid,) = machine.children(machine.main_pid())
    status = status_of(machine, pid)
    uid = machine.run("id", "-u", "portwatch-answer").stdout.strip()
    assert status["Uid"].split() == [uid] * 4
    assert status["Groups"].strip() == ""
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert int(status["Seccomp_filters"]) > int(
        status_of(machine, machine.main_pid())["Seccomp_filters"]
    )


def test_listener_of_a_unit(machine, listener):
    unit, found = listener(4002)
    owner = found["owner"]
    assert owner["unit"] == unit
    assert owner["attribution"] == "exact"
    assert owner["uid"] == 0
    assert os.path.basename(owner["executable"]).startswith("python3")
    assert owner["pid"] == machine.main_pid(unit)
    assert found["local"] == {"address": "127.0.0.1", "port": 4002}
    assert found["exposure"] == "loopback"


@pytest.mark.parametrize("folder", ["/home/someone", "/tmp/some", "/root/bin", "/opt/some"])
def test_executable_that_the_sandbox_hides(machine, listener, folder):
    """ProtectHome= and PrivateTmp= keep the recorder from the file, not from its name."""
    python = f"{folder}/own-python"
    machine.run("mkdir", "-p", folder)
    machine.run("cp", "/usr/bin/python3", python)
    _, found = listener(4003, python=python)
    assert found["owner"]["executable"] == python


def test_other_namespace(machine, listener):
    """A listener in a network namespace of its own is seen, and told apart."""
    host = machine.portctl_json("listeners")
    _, found = listener(4004, "--property=PrivateNetwork=yes")
    assert found["netns"] != 0
    assert found["netns"] not in {l["netns"] for l in host if l["local"]["port"] == 4001}
    assert found["owner"]["unit"] == "test-listener-4004.service"


def test_who_sees_what(machine, listener):
    unit, full = listener(4005)
    assert machine.portctl_json("status")[0]["view"] == "full"

    def seen(**who):
        assert machine.portctl_json("status", **who)[0]["view"] == ("full" if who.get("groups") else "limited")
        (found,) = listeners(machine, 4005, **who)
        return found["owner"]

    assert seen(user="nobody", groups=["portwatch"]) == full["owner"]
    limited = seen(user="nobody")
    assert limited["pid"] is None and limited["executable"] is None
    assert limited["uid"] == 0  # ss shows that too


def test_own_processes_are_seen_without_privilege(machine, listener):
    _, found = listener(4006, "--uid=nobody")
    (own,) = listeners(machine, 4006, user="nobody")
    assert own["owner"]["pid"] == found["owner"]["pid"] is not None


def test_starts_at_boot_order(machine):
    """The socket is there before what wants to be recorded, and the service does not wait for it."""
    assert "sockets.target" in machine.show("portwatch.socket", "Before").split()
    assert "portwatch.socket" in machine.show("portwatchd.service", "After").split()

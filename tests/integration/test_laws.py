# SPDX-License-Identifier: GPL-2.0-or-later
"""The laws that the linker and the preprocessor can prove."""

import os
import re

import pytest

from harness.build import TOP

# What a room may include of the project: folders, or single headers. The longest prefix counts.
ROOMS = {
    "bpf": ["bpf/"],
    "lib": ["lib/"],
    "wire": ["wire/", "lib/"],
    "daemon/record": [
        "daemon/record/",
        "daemon/config.h",
        "daemon/policy.h",
        "daemon/log.h",
        "daemon/messages.h",
        "lib/",
        "bpf/",
    ],
    "daemon/answer": ["daemon/answer/", "wire/", "lib/"],
    "daemon": [
        "daemon/config.h",
        "daemon/policy.h",
        "daemon/conffile.h",
        "daemon/log.h",
        "daemon/messages.h",
        "daemon/record/",
        "lib/",
        "bpf/",
    ],
    "cli": ["cli/", "lib/record.h", "lib/ports.h", "lib/rules.h", "wire/utf8.h"],
}

# Libraries by the first part of their headers' path, and the rooms that must not know them.
FOREIGN = {
    "json-c": ["bpf", "lib", "daemon", "daemon/record"],
    "json.h": ["bpf", "lib", "daemon", "daemon/record"],
    "bpf": ["lib", "wire", "daemon", "daemon/answer", "cli"],
    "libmnl": ["bpf", "lib", "wire", "daemon", "daemon/answer", "cli"],
    "libeconf.h": ["bpf", "lib", "wire", "daemon/record", "daemon/answer", "cli"],
    "seccomp.h": ["bpf", "lib", "wire", "daemon", "daemon/record", "cli"],
    "libsmartcols": ["bpf", "lib", "wire", "daemon", "daemon/record", "daemon/answer"],
    "systemd": ["bpf", "lib", "wire", "cli"],
}

# Made by configure and bpftool, from the top of the build tree.
GENERATED = re.compile(r"config\.h|(bpf/)?[a-z.]+\.skel\.h")


def sources():
    for room in ROOMS:
        folder = os.path.join(TOP, room)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if name.endswith((".c", ".h")) and not name.endswith(".skel.h"):
                yield room, os.path.join(room, name)


def includes(path):
    with open(os.path.join(TOP, path)) as f:
        for quote, name in re.findall(r'^\s*#\s*include\s+(["<])([^">]+)[">]', f.read(), re.M):
            yield quote, name


def resolve(path, name):
    """Where a quoted include leads, from the top of the tree."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    return beside if os.path.exists(os.path.join(TOP, beside)) else name


def test_rooms_include_only_what_they_may():
    seen, wrong = 0, []
    for room, path in sources():
        for quote, name in includes(path):
            if quote == '"' and not GENERATED.fullmatch(name):
                seen += 1
                target = resolve(path, name)
                if not any(target.startswith(a) for a in ROOMS[room]):
                    wrong.append(f"{path} includes {target}")
    assert seen > 50
    assert not wrong, "\n".join(wrong)


def test_rooms_know_only_their_libraries():
    wrong = []
    for room, path in sources():
        for quote, name in includes(path):
            if quote == "<" and room in FOREIGN.get(name.split("/")[0], ()):
                wrong.append(f"{path} includes <{name}>")
    assert not wrong, "\n".join(wrong)


def test_every_file_says_its_licence():
    for room, path in sources():
        with open(os.path.join(TOP, path)) as f:
            assert f.readline().startswith("/* SPDX-License-Identifier: GPL-2.0"), path


def libraries(names):
    found = {re.match(r"lib(.+?)\.so", n).group(1) for n in names if n.startswith("lib")}
    return found - {"asan", "ubsan"}


@pytest.mark.parametrize(
    "program, forbidden",
    [
        ("portwatchd", {"json-c", "seccomp", "smartcols"}),
        ("answerer", {"bpf", "mnl", "econf", "smartcols"}),
        ("portctl", {"bpf", "mnl", "econf", "json-c", "seccomp", "systemd"}),
    ],
)
def test_the_linker_proves_it(build, needed, program, forbidden):
    found = libraries(needed(getattr(build, program)))
    assert "c" in found
    assert not found & forbidden


def test_what_is_linked_is_what_is_needed(build, needed):
    recorder = libraries(needed(build.portwatchd))
    assert {"mnl", "systemd"} <= recorder
    assert ("bpf" in recorder) == build.has_ebpf
    assert {"json-c", "seccomp", "systemd"} <= libraries(needed(build.answerer))
    assert libraries(needed(build.portctl)) == {"c"}


def test_the_interface_only_reads(interface):
    assert set(interface.methods) == {
        "Listeners",
        "Connections",
        "History",
        "Follow",
        "Counts",
        "Port",
        "Status",
    }

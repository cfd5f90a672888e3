# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion in the shells: by filling COMP_WORDS, and against what portctl says of itself."""

import os
import re
import shutil
import subprocess

import pytest

from harness.build import TOP
from harness.waiting import wait_until

BASH = os.path.join(TOP, "completions", "portctl.bash")
ZSH = os.path.join(TOP, "completions", "_portctl")
FISH = os.path.join(TOP, "completions", "portctl.fish")
VERBS = [
    "listeners",
    "connections",
    "inbound",
    "outbound",
    "refused",
    "history",
    "follow",
    "counts",
    "port",
    "status",
    "check",
    "expect",
]


def complete(build, *words, socket="/nonexistent"):
    """What bash offers for the last one of the words, which it has cut at each "=" as it does."""
    cut = [part for word in words for part in re.findall(r"=|[^=]+", word) or [""]]
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _portctl; printf "%s\\n" "${COMPREPLY[@]}"'
    path = f"{os.path.dirname(build.portctl)}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", BASH, *cut],
        env={**os.environ, "PATH": path, "PORTWATCH_SOCKET": socket},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stderr == ""
    return done.stdout.split()


def options(build):
    """The options that the help shows: long ones, and short ones."""
    text = subprocess.run(
        [build.portctl, "--help"], capture_output=True, text=True, check=True
    ).stdout
    text = text[text.index("\nOptions:") :]
    return re.findall(r"^  (?:-\w, |    )(--[a-z0-9-]+)", text, re.M), re.findall(
        r"^  (-\w)", text, re.M
    )


def test_verbs(build):
    assert complete(build, "portctl", "") == VERBS
    assert complete(build, "portctl", "co") == ["connections", "counts"]
    assert complete(build, "portctl", "-t", "in") == ["inbound"]
    assert complete(build, "portctl", "status", "") == []


def test_help_names_the_same_verbs(build):
    text = subprocess.run(
        [build.portctl, "--help"], capture_output=True, text=True, check=True
    ).stdout
    text = text[text.index("\nVerbs:") : text.index("\nOptions:")]
    assert re.findall(r"^  (\w+)", text, re.M) == VERBS


def test_no_option_is_missing_in_any_shell(build):
    longs, shorts = options(build)
    assert len(longs) > 20 and len(shorts) > 8
    offered = set()
    for verb in VERBS:
        offered |= {o.rstrip("=") for o in complete(build, "portctl", verb, "-")}
    assert offered == {*longs, *shorts}
    zsh, fish = open(ZSH).read(), open(FISH).read()
    for option in longs:
        assert re.search(re.escape(option) + r"\b", zsh), option
        assert re.search(r" -l " + re.escape(option[2:]) + r"\b", fish), option
    for option in shorts:
        assert re.search(re.escape(option) + r"\b", zsh), option
        assert re.search(r" -s " + re.escape(option[1:]) + r"\b", fish), option
    for verb in VERBS:
        assert f"'{verb}:" in zsh and f" -a {verb} " in fish


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_offered_is_taken(build, verb):
    """No option is offered to a verb that does not take it, and none that it takes is left out."""
    offered = {o.rstrip("=") for o in complete(build, "portctl", verb, "--")}
    value = {
        "--port": "22",
        "--peer": "192.0.2.1",
        "--netns": "1",
        "--category": "user",
        "--kind": "open",
        "--by": "port",
        "--since": "now",
        "--until": "now",
        "--lines": "1",
        "--json": "short",
        "--process": "a",
        "--unit": "a",
        "--user": "0",
        "--container": "a",
        "--columns": "help",
        "--socket": "/nonexistent",
        "--new-since": "7d",
        "--config": "/nonexistent",
    }
    # Never the rules of this machine.
    operands = {"port": ["22"], "expect": ["tcp/22", "--config=/nonexistent"]}
    for option in options(build)[0]:
        if option in ("--host", "--help", "--version"):
            continue
        arguments = [option + ("=" + value[option] if option in value else "")]
        given = operands.get(verb, [])
        if option in ("--current", "--list"):
            given = given[1:]
        done = subprocess.run(
            [
                build.portctl,
                "--socket=/nonexistent",
                verb,
                *arguments,
                *given,
            ],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert (option in offered) == (done.returncode != 2), (option, done.stderr)


@pytest.mark.parametrize(
    "words, offered",
    [
        (["--json="], ["short", "pretty", "off"]),
        (["--json=p"], ["pretty"]),
        (["counts", "--by=p"], ["port", "peer"]),
        (["--category", "d"], ["dynamic"]),
        (["history", "--kind=listen,un"], ["listen,unlisten"]),
        (["--columns=EXE"], ["EXECUTABLE"]),
        (["history", "--columns=DE"], ["DETAIL"]),
        (["--user=roo"], ["root"]),
        (["history", "--since=y"], ["yesterday"]),
        (["listeners", "--new-since=y"], ["yesterday"]),
        (["expect", "u"], ["udp/", "unit=", "user="]),
        (["expect", "tcp/22", "exposure=l"], ["loopback"]),
        (["expect", "tcp/22", "user=roo"], ["root"]),
        (["expect", "--check", "/etc/fsta"], ["/etc/fstab"]),
    ],
)
def test_values(build, words, offered):
    assert complete(build, "portctl", *words) == offered


def test_ports_of_this_host(shared, build):
    from harness.daemon import Situation

    made = Situation(build, shared.namespace, "listen", port=1102)
    try:
        wait_until(lambda: shared.portctl("listeners", "-j", "--port=1102").rows)
        assert complete(build, "portctl", "port", "110", socket=shared.socket_path) == ["1102"]
        assert complete(build, "portctl", "--port=110", socket=shared.socket_path) == ["1102"]
    finally:
        made.close()
    assert complete(build, "portctl", "port", "", socket="/nonexistent") == []


@pytest.mark.parametrize("shell, path", [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_syntax(shell, path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", path], check=True)

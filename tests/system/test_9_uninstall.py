# SPDX-License-Identifier: GPL-2.0-or-later
"""What is left when it goes: nothing but what it recorded, and that can be removed by name."""

import os

# The record is kept by every package manager until it is told to purge; the next boot has a new
# /run; man keeps what it has shown.
KEPT = ("/var/lib/portwatch", "/run/portwatch", "/var/cache/man/")


def named(machine):
    """All files and folders of the system that have our name, but for what is mounted for the test."""
    done = machine.run(
        "find", "/etc", "/usr", "/var", "/run", "/opt", "-xdev", "-name", "*portwatch*",
        "-o", "-xdev", "-name", "portctl*", check=False,
    )
    return [p for p in done.stdout.split("\n") if p]


def test_uninstall(installed):
    installed.restore()
    assert len(named(installed)) > 10
    installed.run("systemctl", "disable", "--now", "portwatchd.service", "portwatch.socket")
    installed.make("uninstall")
    installed.run("systemctl", "daemon-reload")

    left = [p for p in named(installed) if not p.startswith(KEPT)]
    assert left == []
    done = installed.run("systemctl", "list-unit-files", "portwatch*", check=False)
    assert "0 unit files" in done.stdout
    assert installed.run("pgrep", "-c", "portwatch", check=False).stdout.strip() == "0"
    # For whoever installs again.
    assert os.path.exists(installed.path("/var/lib/portwatch/history"))


def test_nothing_runs_on(installed):
    done = installed.run("systemctl", "list-units", "--all", "--no-legend", "portwatch*", check=False)
    assert "active running" not in done.stdout and "active listening" not in done.stdout

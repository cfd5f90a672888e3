# SPDX-License-Identifier: GPL-2.0-or-later
"""
The system tests: portwatch installed into a real system and driven by its systemd.

PORTWATCH_BUILDDIR names a build tree configured with --prefix=/usr --sysconfdir=/etc
--localstatedir=/var. The tests of a file go on where the one before left off, in the order of
their names, on one system; each begins by bringing about what it needs.
"""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import Machine, TOP, why_not  # noqa: E402


@pytest.fixture(scope="session")
def bare():
    """The system before anything was installed."""
    why = why_not()
    if why:
        pytest.skip(why)
    machine = Machine(os.environ.get("PORTWATCH_BUILDDIR", TOP))
    try:
        yield machine.start()
    finally:
        machine.stop()


@pytest.fixture(scope="session")
def installed(bare):
    """With the package's files, users and folders, as a package's scripts would leave it."""
    if not os.path.exists(bare.path("/usr/sbin/portwatchd")):
        bare.install()
    return bare


@pytest.fixture
def machine(installed):
    """With the service running under its shipped configuration."""
    installed.restore()
    return installed


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the journal."""
    report = (yield).get_result()
    machine = item.funcargs.get("installed") or item.funcargs.get("bare")
    if report.failed and machine and machine.leader:
        journal = machine.run(
            "journalctl", "--no-pager", "-n", "60", "-u", "portwatch*", check=False
        )
        report.sections.append(("journal", journal.stdout))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: real daemons in throwaway namespaces, once with each source.

PORTWATCH_BUILDDIR names the build tree (default: the top of the source tree).
"""

import contextlib
import json
import os
import re
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness.build import TOP, Build, NotBuilt  # noqa: E402
from harness.daemon import Daemon, Situation  # noqa: E402
from harness.idl import Interface  # noqa: E402
from harness.namespace import Namespace  # noqa: E402

SOURCES = ("ebpf", "netlink")
TIMEOUT = 60


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout: seconds a test may take (pytest-timeout)")


def pytest_collection_modifyitems(items):
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Attaches the logs of the daemons that a failing test used to its report."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            for daemon in getattr(value, "daemons", [value]):
                if isinstance(daemon, Daemon):
                    report.sections.append(
                        (f"portwatchd --source={daemon.source}", daemon.log()[-20000:])
                    )


@pytest.fixture(scope="session")
def build():
    if os.geteuid() != 0:
        pytest.skip("namespaces and recording need root")
    b = Build()
    try:
        b.portwatchd, b.answerer, b.portctl, b.has_ebpf
    except NotBuilt as e:
        pytest.exit(str(e), returncode=4)
    yield b
    b.close()


@pytest.fixture(scope="session")
def interface():
    with open(os.path.join(TOP, "wire", "io.portwatch.varlink")) as f:
        return Interface(f.read())


@pytest.fixture(scope="session", params=SOURCES)
def source(request, build):
    if request.param == "ebpf":
        why = build.why_no_ebpf()
        if why:
            pytest.skip(f"ebpf: {why}")
    return request.param


@pytest.fixture
def namespace():
    ns = Namespace()
    yield ns
    ns.close()


class Factory:
    """Makes daemons; ends those that the test has not ended, and checks how they end."""

    def __init__(self, build, interface, namespace, source):
        self.defaults = (build, interface)
        self.namespace, self.source = namespace, source
        self.daemons = []

    def __call__(self, start=True, source=None, namespace=None, **kwargs):
        d = Daemon(*self.defaults, namespace or self.namespace, source or self.source, **kwargs)
        self.daemons.append(d)
        return d.start() if start else d

    def finish(self):
        try:
            for d in self.daemons:
                d.stop()
        finally:
            for d in self.daemons:
                d.discard()


@pytest.fixture
def make_daemon(build, interface, namespace, source):
    factory = Factory(build, interface, namespace, source)
    yield factory
    factory.finish()


@pytest.fixture
def daemon(make_daemon):
    """A daemon of this test's own, in a namespace of its own."""
    return make_daemon()


@pytest.fixture(scope="module")
def shared(build, interface, source):
    """One daemon for a module's tests that do not disturb each other."""
    ns = Namespace()
    factory = Factory(build, interface, ns, source)
    yield factory()
    try:
        factory.finish()
    finally:
        ns.close()


@pytest.fixture
def situations(build):
    """sockmaker in a namespace: situations(namespace, name, **wishes)."""
    made = []

    def make(where, situation, **wishes):
        namespace = getattr(where, "namespace", where)
        s = Situation(build, namespace, situation, **wishes)
        made.append((s, namespace))
        return s

    yield make
    for s, namespace in made:
        s.close()
        # Some have no listener, or none that got a port.
        with contextlib.suppress(KeyError, TypeError):
            if s.port != 0 and namespace.fd >= 0:
                namespace.retire_port(s.port)


@pytest.fixture
def churn(build):
    """Runs churn in a daemon's namespace; what it says it made."""

    def run(where, **wishes):
        argv = [build.helper("churn")]
        for key, value in wishes.items():
            option = "--" + key.replace("_", "-")
            argv.append(option if value is True else f"{option}={value}")
        return json.loads(getattr(where, "namespace", where).run(argv, timeout=120).stdout)

    return run


@pytest.fixture(scope="session")
def needed():
    """The NEEDED entries of a program: the libraries it is linked to itself."""

    def read(path):
        # Programs of an uninstalled tree may be libtool's scripts.
        out = subprocess.run(["readelf", "-d", path], check=True, stdout=subprocess.PIPE, text=True)
        return re.findall(r"\(NEEDED\).*\[(.+?)\]", out.stdout)

    return read

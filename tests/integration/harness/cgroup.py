# SPDX-License-Identifier: GPL-2.0-or-later
"""Control groups of version 2."""

import contextlib
import os

from .waiting import DeadlinePassed, wait_until


def cgroup_root():
    """Where they are mounted, or None."""
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, right = line.split(" - ")
            if right.split()[0] == "cgroup2":
                return left.split()[4]
    return None


@contextlib.contextmanager
def control_group(path):
    """A control group made for this test; gone afterwards as far as it was made here."""
    # Where nothing is tested this module is read, too.
    import pytest

    root = cgroup_root()
    if not root or not os.access(root, os.W_OK):
        pytest.skip("no control groups of version 2 that can be written")
    made, full = [], root
    try:
        for part in path.strip("/").split("/"):
            full = os.path.join(full, part)
            if not os.path.isdir(full):
                os.mkdir(full)
                made.append(full)
        yield full
    finally:
        for directory in reversed(made):
            # Whoever is still in there has a failure of its own to tell.
            with contextlib.suppress(OSError, DeadlinePassed):
                wait_until(lambda: not open(os.path.join(directory, "cgroup.procs")).read())
                os.rmdir(directory)


@contextlib.contextmanager
def joined(namespace, folder):
    """What is started in the namespace meanwhile begins in this control group."""

    def join():
        with open(os.path.join(folder, "cgroup.procs"), "w") as f:
            f.write(str(os.getpid()))

    popen = namespace.popen
    namespace.popen = lambda argv, **kw: popen(argv, preexec_fn=join, **kw)
    try:
        yield
    finally:
        namespace.popen = popen

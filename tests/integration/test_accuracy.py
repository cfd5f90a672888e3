# SPDX-License-Identifier: GPL-2.0-or-later
"""The quick situations of docs/ACCURACY.md: all recorded, nobody blamed wrongly."""

import os
import sys

import pytest

from harness.build import TOP

sys.path.append(os.path.join(TOP, "tests", "accuracy"))

import accuracy  # noqa: E402
import cases  # noqa: E402

QUICK = [c for c in cases.CASES if c.quick]

# Netlink learns of listeners and namespaces by looking, and of failed attempts next to nothing:
# tests/accuracy shows how much it sees. What it must never do is to be sure and wrong.
SEEN_BY_NETLINK = ("process gone in 1 ms", "command that connects and ends", "self-connect")

# Who was handed a connection is found holding it, where the kernel does not tell who accepted.
HANDED = "passed by SCM_RIGHTS"


@pytest.fixture(scope="module")
def stage(build, shared):
    s = cases.Stage(build, shared.namespace)
    yield s
    s.close()


@pytest.mark.parametrize("case", QUICK, ids=lambda c: c.name.replace(" ", "-"))
def test_situation(shared, stage, source, case):
    try:
        result = accuracy.record(case, stage, shared)
    except cases.Unavailable as e:
        pytest.skip(str(e))
    assert result.wrong_exact == 0, result.remarks
    if source == "ebpf" or case.name in SEEN_BY_NETLINK:
        assert result.recorded == result.expected and result.extra == 0, result.remarks
    if source == "ebpf":
        assert result.pid == result.owners, result.remarks
        assert result.unit in (None, result.owners), result.remarks
        assert result.attributions["lookup"] <= (case.name == HANDED), result.attributions
        assert result.attributions["unknown"] == 0, result.attributions
    else:
        assert result.attributions["exact"] == 0

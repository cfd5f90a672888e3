# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the programs under test are, and what the build and the machine can do."""

import os
import re
import shutil
import subprocess
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

HELPERS = {
    "churn": ["tests/helpers/churn.c", "tests/helpers/helper.c"],
    "crowd": ["tests/helpers/crowd.c", "tests/helpers/helper.c"],
    "sockmaker": [
        "tests/helpers/sockmaker.c",
        "tests/helpers/situations_tcp.c",
        "tests/helpers/situations_udp.c",
        "tests/helpers/situations_owner.c",
        "tests/helpers/situations_more.c",
        "tests/helpers/actor.c",
        "tests/helpers/uring.c",
        "tests/helpers/helper.c",
    ],
    "swarm": ["tests/helpers/swarm.c", "tests/helpers/helper.c"],
    "spawntime": ["bench/spawntime.c", "tests/helpers/helper.c"],
    "querytime": ["bench/querytime.c", "tests/helpers/helper.c"],
}

CAP_PERFMON = 38
CAP_BPF = 39
CAP_SYS_ADMIN = 21


class NotBuilt(Exception):
    pass


class Build:
    def __init__(self):
        self.dir = os.path.abspath(os.environ.get("PORTWATCH_BUILDDIR", TOP))
        self._scratch = None

    def close(self):
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def find(self, *candidates):
        for c in candidates:
            path = os.path.join(self.dir, c)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                return path
        raise NotBuilt(f"none of {', '.join(candidates)} is in {self.dir}: build it first")

    @property
    def portwatchd(self):
        return self.find("portwatchd", "sbin/portwatchd", "daemon/portwatchd")

    @property
    def answerer(self):
        return self.find(
            "portwatch-answer",
            "libexec/portwatch/portwatch-answer",
            "daemon/answer/portwatch-answer",
        )

    @property
    def portctl(self):
        return self.find("portctl", "bin/portctl", "cli/portctl")

    def helper(self, name):
        """A helper program: the built one, else one compiled here and now."""
        try:
            return self.find(f"tests/helpers/{name}", f"bench/{name}")
        except NotBuilt:
            pass
        if not self._scratch:
            self._scratch = tempfile.mkdtemp(prefix="portwatch-helpers-")
            os.chmod(self._scratch, 0o755)
        path = os.path.join(self._scratch, name)
        if not os.path.exists(path):
            subprocess.run(
                ["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", f"-I{TOP}", "-o", path]
                + [os.path.join(TOP, s) for s in HELPERS[name]]
                + ["-lpthread"],
                check=True,
            )
        return path

    def _configured(self, macro):
        try:
            with open(os.path.join(self.dir, "config.h")) as f:
                return re.search(rf"^#define {macro} 1$", f.read(), re.M) is not None
        except FileNotFoundError:
            raise NotBuilt(f"{self.dir} is not configured")

    @property
    def has_ebpf(self):
        return self._configured("HAVE_EBPF")

    @property
    def has_sanitizers(self):
        return self._configured("HAVE_SANITIZERS")

    def why_no_ebpf(self):
        """A sentence, or None when the eBPF source can run here."""
        if not self.has_ebpf:
            return "configured with --disable-ebpf"
        if not os.path.exists("/sys/kernel/btf/vmlinux"):
            return "the kernel has no BTF"
        if not (has_capability(CAP_BPF) and has_capability(CAP_PERFMON)):
            return "no CAP_BPF or CAP_PERFMON"
        return None


def capabilities(which="CapEff", pid="self"):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(which + ":"):
                return int(line.split()[1], 16)
    raise KeyError(which)


def has_capability(number):
    return bool(capabilities() & (1 << number))

# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole system with a real systemd: this machine's root below a throwaway overlay, booted by nspawn."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))

from harness.waiting import wait_until  # noqa: E402

BOOT = 60.0
SHUTDOWN = 30.0
COMMAND = 20.0

DROP_INS = "/run/systemd/system/portwatchd.service.d"
CONFIGURATION = "/etc/portwatch/portwatch.conf.d/test.conf"

# What is enabled on this machine is not what is tested; the journal is only for the time of the test.
PREPARE = r"""
set -eu
mount -t tmpfs -o mode=755 tmpfs "$FOLDER"
mkdir "$FOLDER/upper" "$FOLDER/work" "$FOLDER/root"
mount -t overlay overlay \
        -o "lowerdir=/,upperdir=$FOLDER/upper,workdir=$FOLDER/work" "$FOLDER/root"
cd "$FOLDER/root"
rm -rf usr/sbin/policy-rc.d etc/systemd/system/*.wants etc/systemd/system/*.requires etc/rc?.d
rm -rf run/portwatch var/lib/portwatch
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >etc/systemd/journald.conf.d/test.conf
systemd-id128 new >etc/machine-id
exec systemd-nspawn --quiet --directory="$FOLDER/root" --machine="$NAME" --boot --register=no \
        --keep-unit --private-network --link-journal=no --console=pipe --resolv-conf=off \
        --timezone=off --capability=all --system-call-filter="bpf perf_event_open open_by_handle_at" \
        --bind-ro="$TOP" --bind-ro="$BUILD"
"""


def why_not():
    """Why there can be no such system here: a sentence, or None."""
    if os.geteuid() != 0:
        return "booting a system needs root"
    for program in ("systemd-nspawn", "nsenter", "unshare", "setpriv"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.path.exists("/lib/systemd/systemd"):
        return "systemd is not installed"
    return None


def cgroup_mounts():
    """Where the hierarchies are in which a systemd sorts its processes."""
    with open("/proc/self/mounts") as f:
        for line in f:
            _, where, kind, options = line.split()[:4]
            if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
                yield where


class Machine:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.name = f"portwatch-test-{os.getpid()}"
        self.folder = None
        self.process = None
        self.leader = None
        self.cgroups = []

    # Life

    def start(self):
        self.folder = tempfile.mkdtemp(prefix="portwatch-system-")
        self.console = open(os.path.join(tempfile.gettempdir(), self.name + ".console"), "w+")
        os.unlink(self.console.name)
        for mount in cgroup_mounts():
            path = os.path.join(mount, self.name)
            os.mkdir(path)
            self.cgroups.append(path)
        enter = "".join(f"echo $$ >{path}/cgroup.procs\n" for path in self.cgroups)
        self.process = subprocess.Popen(
            # Should this process be killed, nobody is left who would end that system.
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]
            + ["sh", "-c", enter + PREPARE],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                "FOLDER": self.folder,
                "NAME": self.name,
                "TOP": TOP,
                "BUILD": self.build,
            },
            stdin=subprocess.DEVNULL,
            stdout=self.console,
            stderr=self.console,
        )
        wait_until(self._booted, "the boot", BOOT)
        return self

    def _booted(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"systemd-nspawn ended:\n{self.output()}")
        if not self.leader:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
                children = f.read().split()
            if not children or not os.path.exists(f"/proc/{children[0]}/root/run/systemd/private"):
                return False
            self.leader = int(children[0])
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def output(self):
        self.console.seek(0)
        return self.console.read()[-10000:]

    def stop(self):
        if self.process:
            if self.leader and self.process.poll() is None:
                os.kill(self.leader, signal.SIGRTMIN + 3)
            try:
                self.process.wait(SHUTDOWN if self.leader else 0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        for top in self.cgroups:
            for path, _, _ in os.walk(top, topdown=False):
                wait_until(lambda: self._remove(path), f"the end of {path}")
        self.cgroups = []
        if self.folder:
            os.rmdir(self.folder)
            self.folder = None

    @staticmethod
    def _remove(path):
        try:
            os.rmdir(path)
        except OSError as e:
            raise AssertionError(str(e))
        return True

    # The package

    def make(self, target):
        """The build tree is there under its own path; nothing in it changes by these targets."""
        self.run("make", "-C", self.build, "--no-print-directory", target)

    def install(self):
        self.make("install")
        self.run("systemd-sysusers")
        self.run("systemd-tmpfiles", "--create")
        self.run("journalctl", "--update-catalog")
        self.run("systemctl", "daemon-reload")

    def drop_in(self, name, text):
        """Changes the service's unit until restore()."""
        self.write(f"{DROP_INS}/{name}.conf", text)
        self.run("systemctl", "daemon-reload")

    def configure(self, text):
        """Changes the configuration until restore()."""
        self.write(CONFIGURATION, text)

    def restore(self):
        """The service runs as it was shipped, whatever a test before has done to it."""
        changed = os.path.exists(self.path(DROP_INS)) or os.path.exists(self.path(CONFIGURATION))
        if changed:
            self.run("rm", "-rf", DROP_INS, os.path.dirname(CONFIGURATION))
            self.run("systemctl", "daemon-reload")
            self.run("systemctl", "stop", "portwatchd.service")
        self.run("systemctl", "reset-failed", "portwatchd.service", "portwatch.socket", check=False)
        self.run("systemctl", "start", "portwatch.socket", "portwatchd.service")

    # Commands inside

    def run(self, *argv, user=None, groups=(), check=True, timeout=COMMAND, **kwargs):
        """Runs a command in there and returns what subprocess.run() does, with its text."""
        who = []
        if user:
            who = ["setpriv", f"--reuid={user}", f"--regid={self.gid_of(user)}"]
            who += [f"--groups={','.join(groups)}"] if groups else ["--clear-groups"]
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", "--"] + who + list(argv),
            stdin=kwargs.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "PAGER": "cat"},
            **kwargs,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def gid_of(self, user):
        return self.run("id", "-g", user).stdout.strip()

    def path(self, inside):
        return f"/proc/{self.leader}/root{inside}"

    def write(self, inside, text):
        os.makedirs(os.path.dirname(self.path(inside)), exist_ok=True)
        with open(self.path(inside), "w") as f:
            f.write(text)

    # Units and their journal

    def show(self, unit, key):
        return self.run("systemctl", "show", "--value", "--property", key, unit).stdout.strip()

    def main_pid(self, unit="portwatchd.service"):
        return int(self.show(unit, "MainPID"))

    def journal(self, *match):
        """The entries of the service's journal, each as a dictionary."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "-o", "json", "--no-pager", "-u", "portwatchd.service", *match)
        return [json.loads(line) for line in lines.stdout.splitlines()]

    def children(self, pid):
        """Pids, in there, of the children of a process in there."""
        done = self.run("ps", "-o", "pid=", "--ppid", str(pid), check=False)
        return [int(p) for p in done.stdout.split()]

    def portctl(self, *arguments, **kwargs):
        return self.run("portctl", *arguments, **kwargs)

    def portctl_json(self, *arguments, **kwargs):
        lines = self.portctl(*arguments, "-j", **kwargs).stdout.splitlines()
        return [json.loads(line) for line in lines]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Throwaway network namespaces, held by a descriptor alone."""

import contextlib
import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def setns(fd):
    _check(_libc.setns(fd, CLONE_NEWNET), "setns")


class Namespace:
    """A network namespace of its own with loopback up and all ports for outgoing connections."""

    def __init__(self):
        self.fd = -1
        self._retired = set()
        error = []

        def make():
            try:
                _check(_libc.unshare(CLONE_NEWNET), "unshare")
                self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            except BaseException as e:
                error.append(e)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if error:
            self.close()
            raise error[0]
        self.inode = os.fstat(self.fd).st_ino

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is in the namespace; sockets made here stay in it."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self.fd)
            yield self
        finally:
            setns(back)
            os.close(back)

    def popen(self, argv, **kwargs):
        before = kwargs.pop("preexec_fn", None)

        def enter():
            setns(self.fd)
            if before:
                before()

        return subprocess.Popen(argv, preexec_fn=enter, **kwargs)

    def run(self, argv, check=True, timeout=60, **kwargs):
        process = self.popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **kwargs,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} ended with {done.returncode}: {err or out}")
        return done

    def retire_port(self, port):
        """The kernel chooses it no more here: what history says of it is said of one socket."""
        self._retired.add(port)
        self.sysctl("net.ipv4.ip_local_reserved_ports", ",".join(map(str, sorted(self._retired))))

    def sysctl(self, name, value):
        """Sets a per-namespace knob; /proc/sys/net shows the opener's namespace."""
        with self.entered():
            with open("/proc/sys/" + name.replace(".", "/"), "w") as f:
                f.write(str(value))

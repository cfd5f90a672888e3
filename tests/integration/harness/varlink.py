# SPDX-License-Identifier: GPL-2.0-or-later
"""A varlink client that lets a test say every byte, and checks every reply it is given."""

import json
import select
import socket
import struct
import time

from .idl import SERVICE, Violation
from .waiting import DEADLINE


class VarlinkError(Exception):
    def __init__(self, error, parameters):
        super().__init__(f"{error} {parameters}")
        self.error = error
        self.parameters = parameters


class Closed(Exception):
    """The server closed the connection."""


def _no_duplicates(pairs):
    seen = dict(pairs)
    if len(seen) != len(pairs):
        raise Violation(f"a key twice in {pairs}")
    return seen


def _no_constant(text):
    raise Violation(f"{text} is no JSON")


def parse(text):
    """Strict JSON: UTF-8, no NaN, no key twice."""
    return json.loads(
        text.decode("utf-8", errors="strict"),
        object_pairs_hook=_no_duplicates,
        parse_constant=_no_constant,
    )


class Client:
    """One connection. framing is what ends a message: NUL, or a newline."""

    def __init__(self, path, interface, framing=b"\0", deadline=DEADLINE):
        self.interface = interface
        self.framing = framing
        self.deadline = deadline
        self.buffer = b""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(deadline)
        self.socket.connect(path)

    def close(self):
        self.socket.close()

    def reset(self):
        """Leaves without a word, whatever is still to come."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, method, parameters=None, **flags):
        message = {"method": method, **flags}
        if parameters is not None:
            message["parameters"] = parameters
        self.send_bytes(json.dumps(message).encode() + self.framing)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def receive_bytes(self, deadline=None):
        """One message without its end; Closed when the server has closed."""
        end = time.monotonic() + (deadline or self.deadline)
        while self.framing not in self.buffer:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no whole reply in time; so far {self.buffer[:200]!r}")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                if self.buffer:
                    raise Violation(f"closed within a reply: {self.buffer[:200]!r}")
                raise Closed()
            self.buffer += data
        message, self.buffer = self.buffer.split(self.framing, 1)
        return message

    def receive(self, method=None, more=False, deadline=None):
        """One reply: (parameters, continues). Checks its envelope, and its types if method is given."""
        reply = parse(self.receive_bytes(deadline))
        if not isinstance(reply, dict):
            raise Violation(f"a reply is an object, not {reply!r:.200}")
        for key in reply:
            if key not in ("error", "parameters", "continues"):
                raise Violation(f"the key {key} in a reply")
        parameters = reply.get("parameters", {})
        if not isinstance(parameters, dict):
            raise Violation("parameters is no object")
        if "continues" in reply and not more:
            raise Violation("continues that was not asked for")
        continues = reply.get("continues", False)
        if type(continues) is not bool:
            raise Violation("continues is no bool")
        if "error" in reply:
            if "continues" in reply:
                raise Violation("error with continues")
            self._check_error(reply["error"], parameters)
            raise VarlinkError(reply["error"], parameters)
        if method:
            interface, _, name = method.rpartition(".")
            (SERVICE if interface == SERVICE.name else self.interface).check_reply(name, parameters)
        return parameters, continues

    def _check_error(self, error, parameters):
        interface, _, name = error.rpartition(".")
        for i in (SERVICE, self.interface):
            if i.name == interface and name in i.errors:
                i.check_error(name, parameters)
                return
        raise Violation(f"no interface has the error {error}")

    def call(self, method, parameters=None, **flags):
        """One call, one reply."""
        self.send(method, parameters, **flags)
        return self.receive(method)[0]

    def stream(self, method, parameters=None, deadline=None):
        """A call with more: yields the parameters of each reply."""
        self.send(method, parameters, more=True)
        continues = True
        while continues:
            got, continues = self.receive(method, more=True, deadline=deadline)
            yield got

    def is_closed(self, deadline=None):
        """True when the server closes without another byte within the deadline."""
        try:
            message = self.receive_bytes(deadline)
        except Closed:
            return True
        except TimeoutError:
            return False
        raise AssertionError(f"a reply came: {message[:300]!r}")

    def is_silent(self, pause=0.05):
        """True when nothing has come and the connection is open."""
        if self.buffer:
            return False
        return not select.select([self.socket], [], [], pause)[0]

# SPDX-License-Identifier: GPL-2.0-or-later
"""What was made against what was recorded: how much of it is there, and how true it is."""

import collections
import dataclasses

SENTINEL_PORT = 65533
REMARKS_MAX = 20
ATTRIBUTIONS = ("exact", "listener", "lookup", "unknown")


@dataclasses.dataclass
class Item:
    """One thing that was made: a listener, one end of a connection, an attempt."""

    kind: str  # listener, outbound, inbound, fail, refuse
    transport: str
    local: object  # port; None where it does not matter
    remote: object
    pids: frozenset = frozenset()  # all that would be right
    executables: frozenset = frozenset()
    unit: object = None
    times: int = 1
    # What was seen of it.
    begun: int = 0
    ended: int = 0
    last: dict = dataclasses.field(default_factory=dict)  # by id: the last word on its owner
    wrong_exact: list = dataclasses.field(default_factory=list)

    @property
    def key(self):
        return self.kind, self.transport, self.local, self.remote

    @property
    def recorded(self):
        whole = self.ended if self.kind in ("fail", "refuse") else min(self.begun, self.ended)
        return min(whole, self.times)

    @property
    def extra(self):
        return max(self.begun - self.times, 0) + max(self.ended - self.times, 0)

    def owner_seen(self, number, owner):
        self.last[number] = owner
        if owner["attribution"] == "exact" and not (
            owner["pid"] in self.pids
            and owner["executable"] in self.executables | {None}
            and owner["unit"] in (self.unit, None)
        ):
            self.wrong_exact.append(owner)


@dataclasses.dataclass
class Result:
    """A line of the table."""

    expected: int = 0
    recorded: int = 0
    extra: int = 0
    owners: int = 0  # how many of them have one
    pid: int = 0
    executable: int = 0
    unit: object = 0  # None: units cannot be told here
    attributions: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    wrong_exact: int = 0
    remarks: list = dataclasses.field(default_factory=list)
    strange: list = dataclasses.field(default_factory=list)  # (kind, key, pid) of what was not made
    looks: int = 0
    median_usec: int = 0  # of a client of a swarm, from its start to its end
    seconds: float = 0.0  # of a swarm, all of it
    late: int = 0  # of those recorded, which were not yet when all that came before was

    def failed(self):
        return self.recorded != self.expected or self.extra != 0 or self.wrong_exact != 0


def subject(event):
    """What an event is about as (key, is it the end, what it is about itself)."""
    kind = event["kind"]
    if event["listener"]:
        l = event["listener"]
        return ("listener", l["transport"], l["local"]["port"], None), kind == "unlisten", l
    c = event["connection"]
    if not c:
        return None
    what = kind if kind in ("fail", "refuse") else c["direction"]
    ended = kind in ("close", "fail", "refuse")
    return (what, c["transport"], c["local"]["port"], c["remote"]["port"]), ended, c


class Items:
    """What the history says of some items; see() takes raw events of their namespace and time."""

    def __init__(self, items):
        # One that was made from another by replace() has its findings, too.
        self.items = [dataclasses.replace(i, begun=0, ended=0, last={}, wrong_exact=[]) for i in items]
        self.index = {item.key: item for item in self.items}
        self.strange = []

    def find(self, key):
        """The item with this key; one that leaves a port open has any."""
        kind, transport, local, remote = key
        for k in (key, (kind, transport, None, remote), (kind, transport, local, None)):
            if k in self.index:
                return self.index[k]
        return None

    def see(self, event):
        said = subject(event)
        if not said or SENTINEL_PORT in said[0]:
            return
        key, ended, about = said
        item = self.find(key)
        if not item:
            self.strange.append((event["kind"], key, about["owner"]["pid"]))
            return
        item.ended += ended
        item.begun += not ended
        if item.pids:
            item.owner_seen(about["id"], about["owner"])

    def judge(self):
        result = Result(extra=len(self.strange), strange=self.strange)
        result.remarks += [f"not made: {kind} {key} by {pid}" for kind, key, pid in self.strange]
        for item in self.items:
            add_item(result, item)
        return result


def add_item(result, item):
    result.expected += item.times
    result.recorded += item.recorded
    result.extra += item.extra
    if item.recorded < item.times:
        result.remarks.append(f"missing: {item.key}, begun {item.begun}, ended {item.ended}")
    result.wrong_exact += bool(item.wrong_exact)
    for owner in item.wrong_exact[:1]:
        result.remarks.append(
            f"wrong: {item.key} is of {sorted(item.pids)} {sorted(item.executables)} {item.unit}, "
            f"recorded as {owner}"
        )
    if not item.pids:
        return
    result.owners += item.times
    for owner in item.last.values():
        result.attributions[owner["attribution"]] += 1
        result.pid += owner["pid"] in item.pids
        result.executable += owner["executable"] in item.executables
        result.unit += owner["unit"] == item.unit
        if owner["pid"] not in item.pids or owner["executable"] not in item.executables:
            result.remarks.append(f"owner: {item.key} is of {sorted(item.pids)}, said {owner}")


class Swarm:
    """Both ends of each connection of a swarm, in a few bytes each: there may be a million."""

    OPENED, CLOSED, PID, EXECUTABLE, UNIT, WRONG = 1, 2, 4, 8, 16, 32

    def __init__(self, made, unit):
        self.made, self.unit = made, unit
        self.n = made["connections"]
        self.of_address = {c["address"]: i for i, c in enumerate(made["clients"])}
        self.pids = [c["pid"] for c in made["clients"]]
        self.ports = [c["first_port"] for c in made["clients"]]
        self.total = self.n * len(self.pids)
        self.marks = {d: bytearray(self.total) for d in ("outbound", "inbound")}
        self.said = {d: bytearray(self.total) for d in ("outbound", "inbound")}
        self.extra, self.remarks = 0, []

    def find(self, address, port):
        """The number of the connection with this client's end."""
        client = self.of_address.get(address)
        if client is None or not 0 <= port - self.ports[client] < self.n:
            return None
        return client * self.n + port - self.ports[client]

    def pid(self, direction, i):
        return self.pids[i // self.n] if direction == "outbound" else self.made["acceptors"][i]

    def remark(self, text):
        if len(self.remarks) < REMARKS_MAX:
            self.remarks.append(text)

    def see(self, event):
        c = event["connection"]
        if not c or event["kind"] not in ("open", "close"):
            return
        direction, ended = c["direction"], event["kind"] == "close"
        near, far = c["local"], c["remote"]
        if direction == "inbound":
            near, far = far, near
        if far["port"] != self.made["port"]:
            return
        i = self.find(near["address"], near["port"])
        bit = self.CLOSED if ended else self.OPENED
        if i is None or self.marks[direction][i] & bit:
            self.extra += 1
            self.remark(f"not made: {event['kind']} {direction} {near} {far}")
            return
        owner, marks = c["owner"], self.marks[direction][i] | bit
        right = owner["pid"] == self.pid(direction, i)
        program = owner["executable"] == self.made["program"]
        unit = owner["unit"] == self.unit
        if owner["attribution"] == "exact" and not (right and (program or not owner["executable"]) and (unit or not owner["unit"])):
            marks |= self.WRONG
            self.remark(f"wrong: {direction} {near} is of {self.pid(direction, i)}, recorded as {owner}")
        if ended or not marks & self.CLOSED:
            marks &= ~(self.PID | self.EXECUTABLE | self.UNIT)
            marks |= self.PID * right | self.EXECUTABLE * program | self.UNIT * unit
            self.said[direction][i] = ATTRIBUTIONS.index(owner["attribution"]) + 1
        self.marks[direction][i] = marks

    def judge(self):
        r = Result(
            expected=2 * self.total,
            owners=2 * self.total,
            extra=self.extra,
            median_usec=self.made["median_usec"],
            seconds=self.made["seconds"],
        )
        r.remarks = list(self.remarks)
        for direction, marks in self.marks.items():
            for i, m in enumerate(marks):
                r.recorded += m & 3 == 3
                if m & 3 != 3 and len(r.remarks) < 2 * REMARKS_MAX:
                    r.remarks.append(f"missing: {self.describe(direction, i)}, has {m & 3}")
                r.pid += m >> 2 & 1
                r.executable += m >> 3 & 1
                r.unit += m >> 4 & 1
                r.wrong_exact += m >> 5 & 1
            for number, attribution in enumerate(ATTRIBUTIONS, 1):
                r.attributions[attribution] += self.said[direction].count(number)
        return r

    def describe(self, direction, i):
        client = self.made["clients"][i // self.n]
        port = client["first_port"] + i % self.n
        return f"{direction}, the client at {client['address']}:{port}"

# SPDX-License-Identifier: GPL-2.0-or-later
"""Every reply against the interface; and that the methods agree with each other.

The client of these tests checks each reply it receives. Here every method, and every shape of its
answers, is asked for once, over real sockets of every kind.
"""

import pytest

from harness.varlink import VarlinkError
from harness.waiting import wait_until

KINDS = ["listen", "unlisten", "open", "close", "fail", "refuse", "lost", "start", "stop"]


@pytest.fixture(scope="module")
def busy(shared, build):
    """The daemon with something of everything, some of it open."""
    from harness.daemon import Situation

    shared.namespace.sysctl("net.ipv4.ip_local_port_range", "32768 60999")
    open_ = [
        Situation(build, shared.namespace, "listen", port=1102),
        Situation(build, shared.namespace, "listen-dual", port=443),
        Situation(build, shared.namespace, "listen-v6only", port=50000),
        Situation(build, shared.namespace, "udp-bind", port=5353),
        Situation(build, shared.namespace, "udp-connected", port=5004),
        Situation(build, shared.namespace, "pair", port=8080, bytes_to_server=1),
        Situation(build, shared.namespace, "pair", port=8081, family=6, uid=65534),
    ]
    for s in open_[-2:]:
        s.next()
    for name, wishes in (("refused", {}), ("pair", {"reset": True}), ("pair", {"family": 46})):
        s = Situation(build, shared.namespace, name, **wishes)
        s.finish()
        s.close()
    wait_until(lambda: len(shared.connections()) >= 5)
    shared.settle()
    yield shared
    for s in open_:
        s.close()


def all_events(d, **parameters):
    return [e for r in d.stream("History", parameters) for e in r["events"]]


def test_every_method_answers(busy):
    for method, parameters in [
        ("Listeners", None),
        ("Connections", {}),
        ("History", {"limit": 5}),
        ("Port", {"port": 443}),
        ("Port", {"port": 443, "transport": "udp"}),
        ("Status", None),
    ]:
        assert list(busy.stream(method, parameters))
    for by in ("category", "service", "port", "name", "unit", "peer", "user"):
        for since in (None, 0, busy.status()["started_usec"]):
            assert busy.call("Counts", {"by": by, "since_usec": since})["counts"]


def test_fields_agree_with_each_other(busy):
    for e in all_events(busy):
        kind = e["kind"]
        assert (e["listener"] is not None) == (kind in ("listen", "unlisten"))
        assert (e["connection"] is not None) == (kind in ("open", "close", "fail", "refuse"))
        assert e["lost"] is None or kind == "lost"
        assert (e["attempts"] is None) == (kind != "refuse")
        c = e["connection"]
        if c:
            assert (c["outcome"] == "open") == (kind == "open")
            assert (c["closed_usec"] is None) == (kind == "open")
            assert c["opened_usec"] <= e["time_usec"]
            assert c["outcome"] not in ("refused", "timed_out", "failed") or kind in (
                "fail",
                "refuse",
            )
        check_numbers(e["listener"] or c)
    for s in busy.listeners() + busy.connections():
        check_numbers(s)


def check_numbers(s):
    if s is None:
        return
    for endpoint in ("local", "remote"):
        if endpoint in s:
            assert 0 <= s[endpoint]["port"] <= 65535
            assert (":" in s[endpoint]["address"]) == (s["family"] == "ipv6")
            assert not s[endpoint]["address"].startswith("::ffff:")
    assert s["id"] > 0 and s["netns"] > 0
    port = (s["remote"] if s.get("direction") == "outbound" else s["local"])["port"]
    assert s["category"] == ("system" if port < 1024 else "user" if port < 49152 else "dynamic")
    assert s["owner"]["pid"] is None or s["owner"]["pid"] > 0
    for text in ("name", "executable", "unit", "container"):
        assert s["owner"][text] != ""


def test_connections_are_their_open_events(busy):
    opens = {e["seq"]: e["connection"] for e in busy.events(filter={"kinds": ["open"]})}
    for c in busy.connections():
        o = opens[c["id"]]
        for field in ("transport", "family", "direction", "remote", "opened_usec", "netns"):
            assert c[field] == o[field]


def test_listeners_are_their_listen_events(busy):
    listens = {e["seq"]: e["listener"] for e in busy.events(filter={"kinds": ["listen"]})}
    for l in busy.listeners():
        o = listens[l["id"]]
        for field in ("transport", "family", "local", "exposure", "opened_usec", "first_seen_usec"):
            assert l[field] == o[field]


def test_status_counts_what_there_is(busy):
    def agree():
        status = busy.status()
        listeners = [l for r in busy.stream("Listeners") for l in r["listeners"]]
        connections = [c for r in busy.stream("Connections") for c in r["connections"]]
        assert status["listeners"] == len(listeners)
        assert status["connections"] == len(connections)
        assert status["unexpected"] == 0
        return True

    wait_until(agree, "counts that agree with the lists")
    status = busy.status()
    assert status["source"] == busy.source and status["state"] == "running"
    assert status["view"] == "full" and status["netns"] == busy.namespace.inode
    assert status["boot_id"] == open("/proc/sys/kernel/random/boot_id").read().strip()
    assert status["lost"] == 0 and status["degraded_reason"] is None
    assert status["oldest_seq"] == 1 and status["next_seq"] > status["events"] > 0
    assert status["capacity_bytes"] > 12 << 20
    assert status["clients"] == 1
    assert status["oldest_usec"] <= status["started_usec"] + 5_000_000
    assert status["pid"] == busy.process.pid
    for field in ("rules", "rules_error", "learning_until_usec"):
        assert status[field] is None
    assert status["judging"] is False
    if busy.source == "netlink":
        assert status["source_detail"]


# Filters


def matches(s, **wanted):
    return all(s[k] == v for k, v in wanted.items())


@pytest.mark.parametrize(
    "filter_, judge",
    [
        ({"transport": "udp"}, lambda c: c["transport"] == "udp"),
        ({"transport": "tcp"}, lambda c: c["transport"] == "tcp"),
        ({"family": "ipv6"}, lambda c: c["family"] == "ipv6"),
        ({"direction": "inbound"}, lambda c: c["direction"] == "inbound"),
        ({"direction": "outbound"}, lambda c: c["direction"] == "outbound"),
        ({"category": "user"}, lambda c: c["category"] == "user"),
        ({"ports": [8080]}, lambda c: 8080 in (c["local"]["port"], c["remote"]["port"])),
        (
            {"ports": [8080, 8081]},
            lambda c: {8080, 8081} & {c["local"]["port"], c["remote"]["port"]},
        ),
        ({"ports": []}, lambda c: False),
        ({"peer": "127.0.0.1"}, lambda c: c["remote"]["address"] == "127.0.0.1"),
        ({"peer": "127.0.0.0/8"}, lambda c: c["remote"]["address"].startswith("127.")),
        ({"peer": "::1"}, lambda c: c["remote"]["address"] == "::1"),
        ({"peer": "::/0"}, lambda c: c["family"] == "ipv6"),
        ({"peer": "10.0.0.0/8"}, lambda c: False),
        ({"uid": 65534}, lambda c: c["owner"]["uid"] == 65534),
        ({"name": "client"}, lambda c: c["owner"]["name"] == "client"),
        ({"unit": "none.service"}, lambda c: False),
        ({"container": "none"}, lambda c: False),
        ({"expected": True}, lambda c: False),
        ({"expected": False}, lambda c: False),
        ({"first_seen_since_usec": 0}, lambda c: False),
        (
            {"transport": "tcp", "family": "ipv6", "direction": "inbound"},
            lambda c: matches(c, transport="tcp", family="ipv6", direction="inbound"),
        ),
    ],
)
def test_filters_on_connections(busy, filter_, judge):
    def agree():
        every = busy.connections()
        found = busy.connections(**filter_)
        ids = lambda rows: sorted(c["id"] for c in rows)
        assert ids(found) == ids([c for c in every if judge(c)])
        return True

    wait_until(agree)


def test_filters_on_when_first_seen(busy):
    every = busy.listeners()
    times = sorted({l["first_seen_usec"] for l in every})
    assert times
    for since in (0, times[0], times[0] + 1, times[-1], times[-1] + 1):
        found = busy.listeners(first_seen_since_usec=since)
        assert sorted(l["id"] for l in found) == sorted(
            l["id"] for l in every if l["first_seen_usec"] >= since
        )
    events = busy.events(filter={"first_seen_since_usec": times[-1]})
    assert events and all(e["listener"]["first_seen_usec"] >= times[-1] for e in events)


def test_filters_on_pid(busy):
    pids = {c["owner"]["pid"] for c in busy.connections()} - {None}
    assert pids
    for pid in pids:
        assert {c["owner"]["pid"] for c in busy.connections(pid=pid)} == {pid}
    assert busy.connections(pid=1) == []
    assert busy.connections(pid=2**31 - 1) == []


def test_filters_on_the_history(busy):
    every = busy.events()
    for kind in KINDS:
        found = [e for e in busy.events(filter={"kinds": [kind]})]
        assert found == [e for e in every if e["kind"] == kind]
    assert busy.events(filter={"kinds": []}) == []
    both = busy.events(filter={"kinds": ["listen", "unlisten"]})
    assert both == [e for e in every if e["listener"]]
    half = every[len(every) // 2]
    assert busy.events(since_usec=half["time_usec"]) == [
        e for e in every if e["time_usec"] >= half["time_usec"]
    ]
    assert busy.events(until_usec=half["time_usec"]) == [
        e for e in every if e["time_usec"] <= half["time_usec"]
    ]
    assert busy.events(after_seq=half["seq"]) == [e for e in every if e["seq"] > half["seq"]]


def test_the_order_of_the_history(busy):
    every = [e["seq"] for e in busy.events()]
    assert every == sorted(every) and len(set(every)) == len(every)
    backward = [e["seq"] for e in busy.events(newest_first=True)]
    assert backward == every[::-1]
    newest = [
        e["seq"]
        for r in busy.stream("History", {"limit": 3, "newest_first": True})
        for e in r["events"]
    ]
    oldest = [e["seq"] for r in busy.stream("History", {"limit": 3}) for e in r["events"]]
    assert len(newest) == len(oldest) == 3 and oldest[0] == 1
    assert newest == sorted(newest, reverse=True) and newest[0] > oldest[-1]
    assert [e for r in busy.stream("History", {"limit": 0}) for e in r["events"]] == []


def test_pages_of_the_history(busy):
    """after_seq and limit, page by page, give what one answer gives."""
    end = busy.status()["next_seq"]
    every = [e for e in all_events(busy) if e["seq"] < end]
    # An odd size, and few pages however much else the machine does.
    size = max(7, len(every) // 40) | 1
    pages, at = [], 0
    while True:
        got = [
            e
            for r in busy.stream("History", {"after_seq": at, "limit": size})
            for e in r["events"]
            if e["seq"] < end
        ]
        if not got:
            break
        assert len(got) <= size
        pages += got
        at = got[-1]["seq"]
    assert pages == every


def test_next_seq_goes_on(busy, situations):
    """Follow after the next_seq of a history leaves nothing out and tells nothing twice."""
    last = list(busy.stream("History", {"limit": 1, "newest_first": True}))[-1]
    s = situations(busy, "listen")
    busy.wait_event("listen", s.port)
    with busy.client() as c:
        stream = c.stream(
            "io.portwatch.Follow",
            {"after_seq": last["next_seq"] - 1, "filter": {"ports": [s.port]}},
        )
        got = []
        while not got:
            got += next(stream)["events"]
        assert [e["kind"] for e in got] == ["listen"]
        s.next()
        got = []
        while not got:
            got += next(stream)["events"]
        assert [e["kind"] for e in got] == ["unlisten"]


def test_follow_filters(busy, situations):
    with busy.client() as c:
        stream = c.stream(
            "io.portwatch.Follow",
            {"filter": {"kinds": ["unlisten"], "netns": busy.namespace.inode}},
        )
        assert next(stream)["events"] == []
        s = situations(busy, "listen")
        busy.wait_event("listen", s.port)
        s.next()
        got = next(stream)["events"]
        assert [(e["kind"], e["listener"]["local"]["port"]) for e in got] == [("unlisten", s.port)]


def test_after_seq_that_is_yet_to_come(busy):
    far = busy.status()["next_seq"] + 1_000_000
    assert all_events(busy, after_seq=far) == []


def test_counts_add_up(busy):
    """Each way to count counts the same things."""
    totals = {}
    for by in ("category", "service", "port", "name", "unit", "user", "peer"):
        rows = busy.counts(by)
        assert rows, by
        for field in ("inbound", "outbound", "bytes_received", "bytes_sent", "open"):
            totals.setdefault(field, {})[by] = sum(r[field] for r in rows.values())
    for field, by in totals.items():
        assert len(set(by.values())) == 1, (field, by)
    # What sock_diag tells without its remote port is of no category.
    assert set(busy.counts("category")) <= {"system", "user", "dynamic", "unknown"}
    assert busy.counts("user")["65534"]["open"] >= 2
    ports = busy.counts("port")
    assert ports["1102"]["listeners"] == 1 and ports["1102"]["inbound"] == 0
    assert ports["8080"]["open"] == 2 and ports["8080"]["inbound"] == ports["8080"]["outbound"] == 1
    assert busy.counts("service")["adobeserver-1"]["listeners"] == 1
    assert busy.counts("port", since_usec=2**62)["1102"]["inbound"] == 0


def test_port(busy):
    answer = busy.call("Port", {"port": 1102})
    assert answer["category"] == "user" and answer["services"] == ["adobeserver-1"]
    assert not answer["ephemeral"]
    assert [
        l["local"]["port"] for l in answer["listeners"] if l["netns"] == busy.namespace.inode
    ] == [1102]
    for port, category in [
        (0, "system"),
        (1023, "system"),
        (1024, "user"),
        (49152, "dynamic"),
        (65535, "dynamic"),
    ]:
        assert busy.call("Port", {"port": port})["category"] == category
    assert "https" in busy.call("Port", {"port": 443})["services"]
    assert busy.call("Port", {"port": 5353, "transport": "tcp"})["listeners"] == []
    first, last = map(int, open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
    for port, inside in [(first - 1, False), (first, True), (last, True), (last + 1, False)]:
        if port <= 65535:
            assert busy.call("Port", {"port": port})["ephemeral"] == inside


def test_port_tells_its_story(shared, situations):
    """What has ever listened on a port, also when nothing does now."""
    port = 7801

    def story(**more):
        return shared.call("Port", {"port": port, **more})["known"]

    assert story() == []
    first = situations(shared, "relisten", port=port)
    wait_until(lambda: [l for l in shared.listeners(ports=[port]) if l["owner"]["pid"]])
    first.next()
    shared.wait_event("unlisten", port)
    first.next()
    wait_until(lambda: [l for l in shared.listeners(ports=[port]) if l["owner"]["pid"]])
    opened = max(l["opened_usec"] for l in shared.listeners(ports=[port]))

    def of_program():
        return [b for b in story() if b["program"] == first.executable]

    known = wait_until(of_program)
    assert len(known) == 1
    assert known[0]["transport"] == "tcp" and known[0]["port"] == port
    assert known[0]["exposure"] == "loopback" and known[0]["container"] is None
    assert known[0]["uid"] == 0 and known[0]["times_opened"] == 2
    assert known[0]["first_seen_usec"] < opened <= known[0]["last_seen_usec"]
    assert story(transport="tcp") == story() and story(transport="udp") == []

    first.next()
    wait_until(lambda: shared.listeners(ports=[port]) == [])
    ended = [e for e in shared.events(filter={"ports": [port]}) if e["kind"] == "unlisten"][-1]
    assert of_program()[0]["last_seen_usec"] == ended["time_usec"]
    # Another exposure is another listener; the latest comes first.
    other = situations(shared, "listen", port=port, address="0.0.0.0")
    wait_until(lambda: [l for l in shared.listeners(ports=[port]) if l["owner"]["pid"]])
    assert [b["exposure"] for b in wait_until(lambda: len(of_program()) == 2 and of_program())] == [
        "any",
        "loopback",
    ]
    times = [b["last_seen_usec"] for b in story()]
    assert times == sorted(times, reverse=True)
    other.next()


def test_expected_more_when_it_does_not_fit(make_daemon, situations, churn):
    """Without more, what fits in one reply is one reply; what does not is an error, not a part."""
    d = make_daemon()
    s = situations(d, "listen")
    wait_until(lambda: d.call("Listeners")["listeners"])
    d.namespace.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    churn(d, count=20000, processes=2, port=s.port + 1 if s.port < 60000 else 20000, addresses=8)
    d.settle()
    with pytest.raises(VarlinkError) as e:
        d.call("History", {})
    assert e.value.error == "org.varlink.service.ExpectedMore"
    assert len(d.call("History", {"limit": 10})["events"]) == 10

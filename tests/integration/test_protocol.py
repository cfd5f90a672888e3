# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server does with what clients send, right or wrong."""

import json
import socket

import pytest

from harness.varlink import Closed, VarlinkError, parse
from harness.waiting import wait_until

S = b'{"method":"io.portwatch.Status"}'
STATUS = "io.portwatch.Status"


def deep(n):
    return b'{"method":"io.portwatch.Status","parameters":{"filter":' + b"[" * n + b"]" * n + b"}}"


# What is no call at all: the connection ends.
HOSTILE = {
    "malformed": b'{"method":',
    "words": b"hello",
    "empty": b"",
    "blank": b"  ",
    "array": b"[" + S + b"]",
    "string": b'"io.portwatch.Status"',
    "number": b"1",
    "null": b"null",
    "two objects": S + S,
    "text behind": S + b" x",
    "byte order mark": b"\xef\xbb\xbf" + S,
    "comment": b"/* a comment */" + S,
    "comment in it": b'{/**/"method":"io.portwatch.Status"}',
    "single quotes": b"{'method':'io.portwatch.Status'}",
    "trailing comma": b'{"method":"io.portwatch.Status",}',
    "NaN": b'{"method":"io.portwatch.Status","parameters":{"x":NaN}}',
    "Infinity": b'{"method":"io.portwatch.Status","parameters":{"x":Infinity}}',
    "invalid UTF-8": b'{"method":"io.portwatch.\xff"}',
    "overlong UTF-8": b'{"method":"io.portwatch.\xc0\x80"}',
    "UTF-8 of a surrogate": b'{"method":"io.portwatch.\xed\xa0\x80"}',
    "escaped NUL": b'{"method":"io.portwatch.Status\\u0000"}',
    "lone surrogate": b'{"method":"io.portwatch.\\ud800"}',
    "raw control character": b'{"method":"io.portwatch.\x01"}',
    "too deep": deep(40),
    "unknown key": b'{"method":"io.portwatch.Status","extra":1}',
    "more with oneway": b'{"method":"io.portwatch.Status","more":true,"oneway":true}',
    "upgrade": b'{"method":"io.portwatch.Status","upgrade":1}',
    "more is a number": b'{"method":"io.portwatch.Status","more":1}',
    "oneway is a string": b'{"method":"io.portwatch.Status","oneway":"yes"}',
    "parameters an array": b'{"method":"io.portwatch.Status","parameters":[]}',
    "parameters a string": b'{"method":"io.portwatch.Status","parameters":""}',
    "no method": b'{"parameters":{}}',
    "no key": b"{}",
    "method twice": b'{"method":"io.portwatch.Status","method":"io.portwatch.Status"}',
    "method a number": b'{"method":1}',
    "method null": b'{"method":null}',
}


@pytest.fixture
def client(shared):
    with shared.client() as c:
        yield c


@pytest.mark.parametrize("name", HOSTILE)
def test_no_call_is_no_reply(shared, name):
    with shared.client() as c:
        c.send_bytes(HOSTILE[name] + b"\0")
        assert c.is_closed(), name
    with shared.client() as c:
        c.call(STATUS)


# Lines that are no end of a message to a person who writes JSON over several lines.
OPEN_ENDED = {"empty", "blank", "malformed"}


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - OPEN_ENDED))
def test_a_person_at_a_shell_is_told_why(shared, name):
    with shared.client(framing=b"\n") as c:
        c.send_bytes(HOSTILE[name] + b"\n")
        with pytest.raises(VarlinkError) as e:
            c.receive()
        assert e.value.error == "io.portwatch.BadRequest"
        assert e.value.parameters["reason"]
        assert c.is_closed()


def test_a_person_may_write_over_several_lines(shared):
    with shared.client(framing=b"\n") as c:
        for line in (b"\n", b"  \n", b"{\n", b'"method":\n', b'"io.portwatch.Status"\n', b"}\n"):
            assert c.is_silent(0)
            c.send_bytes(line)
        c.receive(STATUS)


def test_a_call_in_odd_sized_pieces(client):
    for byte in b'{"method":"io.portwatch.Status"}\0':
        client.send_bytes(bytes([byte]))
    client.receive(STATUS)


@pytest.mark.parametrize(
    "call",
    [
        b'{"method":"io.portwatch.Status","parameters":null}',
        b'{"method":"io.portwatch.Status","parameters":{}}',
        b'{"method":"io.portwatch.Status"}\n',
        b'\n  {\n"method" :\t"io.portwatch.Status"\r\n}\n\n',
        b'{"method":"io.portwatch.Status","more":false,"oneway":false}',
        b'{"method":"io.portwatch.St\\u0061tus"}',
        b'{"parameters":{},"method":"io.portwatch.Status"}',
    ],
)
def test_what_is_accepted(client, call):
    client.send_bytes(call + b"\0")
    client.receive(STATUS)
    client.call(STATUS)


@pytest.mark.parametrize(
    "method",
    [
        "io.portwatch.Nothing",
        "Status",
        "",
        "io.portwatch.",
        ".Status",
        "io.portwatch",
        "org.varlink.service.Nothing",
        "org.example.Status",
        "io.portwatch.status",
    ],
)
def test_unknown_methods(client, method):
    with pytest.raises(VarlinkError) as e:
        client.call(method)
    assert e.value.error == "org.varlink.service.MethodNotFound"
    assert e.value.parameters == {"method": method}
    client.call(STATUS)


def test_service(client, interface):
    info = client.call("org.varlink.service.GetInfo")
    assert set(info["interfaces"]) == {"org.varlink.service", "io.portwatch"}
    assert info["product"] == "portwatch"
    assert info["version"] == client.call(STATUS)["version"]
    text = client.call(
        "org.varlink.service.GetInterfaceDescription", {"interface": "io.portwatch"}
    )["description"]
    assert text.strip() == interface.text.strip()
    own = client.call(
        "org.varlink.service.GetInterfaceDescription", {"interface": "org.varlink.service"}
    )["description"]
    assert "interface org.varlink.service" in own


def test_unknown_interface(client):
    with pytest.raises(VarlinkError) as e:
        client.call("org.varlink.service.GetInterfaceDescription", {"interface": "org.example"})
    assert e.value.error == "org.varlink.service.InterfaceNotFound"
    assert e.value.parameters == {"interface": "org.example"}


PARAMETERS = [
    ("Status", {"x": 1}, "x"),
    ("Listeners", {"filters": {}}, "filters"),
    ("Listeners", {"filter": 1}, "filter"),
    ("Listeners", {"filter": []}, "filter"),
    ("Listeners", {"filter": {"nothing": 1}}, "nothing"),
    ("Listeners", {"filter": {"transport": "dccp"}}, "transport"),
    ("Listeners", {"filter": {"transport": 6}}, "transport"),
    ("Listeners", {"filter": {"family": "ipv5"}}, "family"),
    ("Listeners", {"filter": {"category": "well-known"}}, "category"),
    ("Listeners", {"filter": {"direction": "up"}}, "direction"),
    ("Listeners", {"filter": {"ports": 80}}, "ports"),
    ("Listeners", {"filter": {"ports": ["80"]}}, "ports"),
    ("Listeners", {"filter": {"ports": [65536]}}, "ports"),
    ("Listeners", {"filter": {"ports": [-1]}}, "ports"),
    ("Listeners", {"filter": {"ports": [1.5]}}, "ports"),
    ("Listeners", {"filter": {"ports": [True]}}, "ports"),
    ("Connections", {"filter": {"peer": "nowhere"}}, "peer"),
    ("Connections", {"filter": {"peer": "10.0.0.0/33"}}, "peer"),
    ("Connections", {"filter": {"pid": "1"}}, "pid"),
    ("Connections", {"filter": {"pid": 1.5}}, "pid"),
    ("Connections", {"filter": {"uid": -2}}, "uid"),
    ("Connections", {"filter": {"expected": "yes"}}, "expected"),
    ("Connections", {"filter": {"name": 1}}, "name"),
    ("History", {"filter": {"kinds": ["lsiten"]}}, "kinds"),
    ("History", {"filter": {"kinds": "listen"}}, "kinds"),
    ("History", {"since_usec": "yesterday"}, "since_usec"),
    ("History", {"until_usec": 1.5}, "until_usec"),
    ("History", {"after_seq": "1"}, "after_seq"),
    ("History", {"limit": True}, "limit"),
    ("History", {"limit": -1}, "limit"),
    ("History", {"newest_first": 1}, "newest_first"),
    ("Counts", {}, "by"),
    ("Counts", {"by": None}, "by"),
    ("Counts", {"by": "colour"}, "by"),
    ("Counts", {"by": 1}, "by"),
    ("Port", {}, "port"),
    ("Port", {"port": 65536}, "port"),
    ("Port", {"port": -1}, "port"),
    ("Port", {"port": "80"}, "port"),
    ("Port", {"port": 80, "transport": "icmp"}, "transport"),
    ("Follow", {"after_seq": []}, "after_seq"),
]


@pytest.mark.parametrize("method, parameters, wrong", PARAMETERS)
def test_wrong_parameters_are_named(client, method, parameters, wrong):
    flags = {"more": True} if method in ("Listeners", "Connections", "History", "Follow") else {}
    with pytest.raises(VarlinkError) as e:
        client.call(f"io.portwatch.{method}", parameters, **flags)
    assert e.value.error == "org.varlink.service.InvalidParameter"
    # A field of the filter is named by itself or with its place.
    assert e.value.parameters["parameter"] in (wrong, f"filter.{wrong}")
    client.call(STATUS)


def test_a_parameter_twice(client):
    client.send_bytes(b'{"method":"io.portwatch.Port","parameters":{"port":1,"port":2}}\0')
    with pytest.raises(VarlinkError) as e:
        client.receive()
    assert e.value.error == "org.varlink.service.InvalidParameter"
    assert e.value.parameters == {"parameter": "port"}
    client.call(STATUS)


@pytest.mark.parametrize("number", [b"1e400", b"99999999999999999999", b"-1", b"80.5"])
def test_numbers_that_do_not_fit(client, number):
    client.send_bytes(b'{"method":"io.portwatch.Port","parameters":{"port":' + number + b"}}\0")
    with pytest.raises(VarlinkError) as e:
        client.receive()
    assert e.value.parameters == {"parameter": "port"}


def test_null_is_absent(client):
    client.call(
        "io.portwatch.History",
        {
            "filter": None,
            "since_usec": None,
            "until_usec": None,
            "after_seq": None,
            "limit": 1,
            "newest_first": None,
        },
    )


def test_streaming_needs_more(client):
    with pytest.raises(VarlinkError) as e:
        client.call("io.portwatch.Follow")
    assert e.value.error == "org.varlink.service.ExpectedMore"
    assert e.value.parameters == {}
    client.call(STATUS)


def test_more_on_a_plain_method(client):
    client.send(STATUS, more=True)
    parameters, continues = client.receive(STATUS, more=True)
    assert not continues
    client.call(STATUS)


@pytest.mark.parametrize("method", [STATUS, "io.portwatch.Nothing", "org.example.Nothing"])
def test_oneway_is_silent(client, method):
    client.send(method, oneway=True)
    client.send("org.varlink.service.GetInfo")
    # What comes first is the answer to the second call.
    assert "vendor" in client.receive("org.varlink.service.GetInfo")[0]
    assert client.is_silent()


def test_oneway_with_wrong_parameters_is_silent(client):
    client.send("io.portwatch.Port", {"port": "x"}, oneway=True)
    assert "version" in client.call(STATUS)
    assert client.is_silent()


def test_pipelined_calls_are_answered_in_order(client):
    ports = list(range(1, 400))
    calls = [
        json.dumps({"method": "io.portwatch.Port", "parameters": {"port": p}}).encode()
        for p in ports
    ]
    client.send_bytes(b"\0".join(calls) + b"\0")
    assert [client.receive("io.portwatch.Port")[0]["port"] for _ in ports] == ports
    assert client.is_silent()


def test_pipelined_stream_and_calls(client):
    client.send("io.portwatch.Listeners", more=True)
    client.send("io.portwatch.Port", {"port": 7})
    continues = True
    while continues:
        _, continues = client.receive("io.portwatch.Listeners", more=True)
    assert client.receive("io.portwatch.Port")[0]["port"] == 7


def test_half_close_is_answered(client):
    client.send(STATUS)
    client.send("io.portwatch.Port", {"port": 22})
    client.half_close()
    client.receive(STATUS)
    assert client.receive("io.portwatch.Port")[0]["port"] == 22
    assert client.is_closed()


def test_half_a_call_then_the_end(client):
    client.send_bytes(b'{"method":"io.portwatch.Sta')
    client.half_close()
    assert client.is_closed()


def test_newline_in_newline_out(shared):
    with shared.client(framing=b"\n") as c:
        c.call(STATUS)
        c.send_bytes(b'{"method":"io.portwatch.Port","parameters":{"port":22}}\n' * 3)
        for _ in range(3):
            c.receive("io.portwatch.Port")
        with pytest.raises(VarlinkError) as e:
            c.call("io.portwatch.Nothing")
        assert e.value.error == "org.varlink.service.MethodNotFound"
        c.call(STATUS)


def test_answered_in_kind_call_by_call(shared):
    with shared.client() as c:
        c.send_bytes(S + b"\0")
        first = c.receive_bytes()
        assert not first.endswith(b"\n")
        c.framing = b"\n"
        c.send_bytes(S + b"\n")
        assert parse(c.receive_bytes())["parameters"]["version"]
        c.framing = b"\0"
        c.call(STATUS)


def test_a_request_of_a_mebibyte(shared):
    filler = b'{"method":"io.portwatch.Status","parameters":{"x":"' + b"x" * (1 << 20) + b'"}}\0'
    with shared.client() as c:
        try:
            c.send_bytes(filler)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert c.is_closed()
    assert shared.status()["state"] == "running"


def test_a_request_that_never_ends(shared):
    with shared.client() as c:
        try:
            for _ in range(64):
                c.send_bytes(b" " * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert c.is_closed()


def test_a_request_below_the_bound(shared):
    with shared.client() as c:
        c.send_bytes(S + b" " * 60000 + b"\0")
        c.receive(STATUS)


def test_many_empty_requests_do_not_count_as_calls(shared):
    with shared.client() as c:
        c.send_bytes(b"\0" * 1000)
        assert c.is_closed()


def test_a_client_that_never_reads(make_daemon, churn):
    """It is closed once too much is unsent; the others and the recorder do not notice."""
    d = make_daemon()
    churn(d, count=3000, port=20000, addresses=8)
    d.settle()
    with d.client() as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.socket.setblocking(False)
        call = b'{"method":"io.portwatch.History","parameters":{},"more":true}\0'
        try:
            for _ in range(4000):
                slow.socket.send(call)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass
        made = churn(d, count=2000, port=20001, addresses=8)
        assert made["accepted"] == 2000
        d.wait_connections([20001], 2000, 2000)
        assert d.status()["lost"] == 0


def test_followers_are_told_and_others_do_not_wait(shared, situations):
    with shared.client() as c, shared.client() as other:
        stream = c.stream("io.portwatch.Follow", {"filter": {"netns": shared.namespace.inode}})
        assert next(stream) == {"events": []}
        s = situations(shared, "listen")
        got = [e for e in next(stream)["events"]]
        assert got[0]["kind"] == "listen" and got[0]["listener"]["local"]["port"] == s.port
        other.call(STATUS)


def test_too_many_followers(make_daemon):
    d = make_daemon(start=False)
    d.configure("[Answerer]\nMaxFollowers=2\n")
    d.start()
    clients = [d.client() for _ in range(3)]
    try:
        for c in clients[:2]:
            assert next(c.stream("io.portwatch.Follow")) == {"events": []}
        with pytest.raises(VarlinkError) as e:
            next(clients[2].stream("io.portwatch.Follow"))
        assert e.value.error == "io.portwatch.TooManyFollowers"
        assert e.value.parameters == {"limit": 2}
        assert clients[2].call(STATUS)["followers"] == 2
        clients[0].close()
        wait_until(lambda: clients[2].call(STATUS)["followers"] == 1)
        assert next(clients[2].stream("io.portwatch.Follow")) == {"events": []}
    finally:
        for c in clients:
            c.close()


@pytest.mark.parametrize("key, limit", [("MaxClients", 4), ("MaxClientsPerUser", 4)])
def test_too_many_clients(make_daemon, key, limit):
    d = make_daemon(start=False)
    d.configure(f"[Answerer]\n{key}={limit}\n")
    d.start()
    clients = [d.client() for _ in range(limit)]
    try:
        for c in clients:
            c.call(STATUS)
        with d.client() as more:
            assert more.is_closed()
        clients.pop().close()

        def admitted():
            try:
                with d.client() as c:
                    return c.call(STATUS)["clients"] == limit
            except (Closed, BrokenPipeError, ConnectionResetError):
                return False

        wait_until(admitted, "a place that has become free")
    finally:
        for c in clients:
            c.close()


def test_clients_that_go_in_the_middle(shared):
    for _ in range(50):
        c = shared.client()
        c.send("io.portwatch.History", {}, more=True)
        c.reset()
        c = shared.client()
        c.send_bytes(S[:10])
        c.reset()
        c = shared.client()
        c.send("io.portwatch.Follow", {}, more=True)
        c.reset()
    wait_until(lambda: shared.status()["followers"] == 0, "no follower left")
    assert shared.status()["clients"] == 1


def test_hostile_clients_do_not_disturb_the_record(make_daemon, churn):
    d = make_daemon()
    for data in HOSTILE.values():
        with d.client() as c:
            c.send_bytes(data + b"\0")
            c.is_closed()
    made = churn(d, count=1000, port=21000)
    for data in HOSTILE.values():
        with d.client() as c:
            c.send_bytes(data + b"\n")
    d.wait_connections([21000], made["accepted"], made["connected"])
    status = d.status()
    assert status["lost"] == 0 and status["state"] == "running"
    assert {x["where"]: x["count"] for x in status["losses"]}.get("answer_restarts", 0) == 0

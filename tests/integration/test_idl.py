# SPDX-License-Identifier: GPL-2.0-or-later
"""The checker of replies: that it finds what it is there to find."""

import pytest

from harness.idl import Interface, Violation
from harness.varlink import parse

TEXT = """
# A comment
interface org.example.test
type Word (one, two)
type Thing (a: int, b: ?string, c: []Word, d: (x: bool), e: [string]int)
method Get(thing: Thing) -> (things: []Thing)
error Bad (why: string)
"""
GOOD = {"a": 1, "b": None, "c": ["one"], "d": {"x": True}, "e": {"k": 1}}


@pytest.fixture(scope="module")
def idl():
    return Interface(TEXT)


def test_good(idl):
    idl.check_reply("Get", {"things": [GOOD, {**GOOD, "b": "text"}]})
    idl.check_error("Bad", {"why": ""})


@pytest.mark.parametrize(
    "field, value",
    [
        ("a", None),
        ("a", "1"),
        ("a", 1.0),
        ("a", True),
        ("a", 2**63),
        ("b", 1),
        ("b", "\0"),
        ("c", None),
        ("c", ["three"]),
        ("c", {}),
        ("d", {}),
        ("d", {"x": 0}),
        ("d", {"x": True, "y": 1}),
        ("e", []),
        ("e", {"k": "1"}),
    ],
)
def test_bad_values(idl, field, value):
    with pytest.raises(Violation):
        idl.check_named("Thing", {**GOOD, field: value})


@pytest.mark.parametrize("field", GOOD)
def test_missing_fields_even_nullable_ones(idl, field):
    with pytest.raises(Violation):
        idl.check_named("Thing", {k: v for k, v in GOOD.items() if k != field})


def test_unknown_fields(idl):
    with pytest.raises(Violation):
        idl.check_named("Thing", {**GOOD, "f": 1})


@pytest.mark.parametrize(
    "text",
    [
        "interface a.b\ntype X (a: int, a: int)",
        "interface a.b\ntype X (a, b: int)",
        "interface a.b\ntype x (a)",
        "interface a.b\ntype X (a",
        "interface a.b\ntype X (a__b: int)",
        "interface a.b\nmethod X() ()",
        "interface a.b\ntype X (a)\ntype X (b)",
    ],
)
def test_bad_interfaces(text):
    with pytest.raises(ValueError):
        Interface(text)


@pytest.mark.parametrize(
    "text", [b'{"a":NaN}', b'{"a":1,"a":1}', b'{"a":"\xff"}', b"{'a':1}", b'{"a":"\n"}']
)
def test_json_that_is_none(text):
    with pytest.raises((Violation, ValueError)):
        parse(text)


def test_the_interface_itself(interface):
    """Whatever is named in the interface is in it."""

    def walk(t):
        if t[0] == "name":
            assert t[1] in interface.types, t[1]
        elif t[0] in ("optional", "array", "map"):
            walk(t[1])
        elif t[0] == "struct":
            for of in t[1].values():
                walk(of)

    for t in interface.types.values():
        walk(t)
    for parameters, reply in interface.methods.values():
        walk(parameters)
        walk(reply)
    for t in interface.errors.values():
        walk(t)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface text, parsed, so that what is answered can be checked against it.

A small parser of the varlink interface definition language (varlink.org/Interface-Definition).
Types become: ("bool"), ("int"), ("float"), ("string"), ("object"), ("any"), ("name", N),
("optional", T), ("array", T), ("map", T), ("struct", {field: T}), ("enum", [words]).
"""

import re

from .waiting import Final

TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<token>->|\[string\]|\[\]|[()?:,]|[A-Za-z][A-Za-z0-9_]*(?:[.-][A-Za-z0-9_]+)*)"""
)
BASE = ("bool", "int", "float", "string", "object", "any")
NAME = re.compile(r"[A-Z][A-Za-z0-9]*\Z")
FIELD = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*\Z")


class Violation(Final):
    pass


def _tokens(text):
    at = 0
    while at < len(text):
        m = TOKEN.match(text, at)
        if not m:
            raise ValueError(f"cannot read the interface at: {text[at:at + 40]!r}")
        at = m.end()
        if m.group("token"):
            yield m.group("token")
    yield None


class Interface:
    def __init__(self, text):
        self.text = text
        self.types, self.methods, self.errors = {}, {}, {}
        self._source = _tokens(text)
        self._token = next(self._source)
        self._expect("interface")
        self.name = self._take()
        while self._token is not None:
            self._member()

    # Parsing

    def _take(self):
        token, self._token = self._token, next(self._source, None)
        return token

    def _expect(self, token):
        got = self._take()
        if got != token:
            raise ValueError(f"expected {token!r}, found {got!r}")

    def _member(self):
        keyword, name = self._take(), self._take()
        if not NAME.match(name):
            raise ValueError(f"{name!r} is no name of a member")
        if name in self.types or name in self.methods or name in self.errors:
            raise ValueError(f"{name} is defined twice")
        if keyword == "type":
            self.types[name] = self._struct_or_enum()
        elif keyword == "error":
            self.errors[name] = self._struct_or_enum()
        elif keyword == "method":
            parameters = self._struct_or_enum()
            self._expect("->")
            self.methods[name] = (parameters, self._struct_or_enum())
        else:
            raise ValueError(f"unexpected {keyword!r}")

    def _type(self):
        if self._token == "?":
            self._take()
            return ("optional", self._type())
        if self._token == "[]":
            self._take()
            return ("array", self._type())
        if self._token == "[string]":
            self._take()
            return ("map", self._type())
        if self._token == "(":
            return self._struct_or_enum()
        token = self._take()
        return (token,) if token in BASE else ("name", token)

    def _struct_or_enum(self):
        self._expect("(")
        fields, words = {}, []
        while self._token != ")":
            name = self._take()
            if not FIELD.match(name) or name in fields or name in words:
                raise ValueError(f"{name!r} is no name of a field here")
            if self._token == ":":
                self._take()
                fields[name] = self._type()
            else:
                words.append(name)
            if self._token != ")":
                self._expect(",")
        self._expect(")")
        if fields and words:
            raise ValueError("fields and words in one type")
        return ("enum", words) if words else ("struct", fields)

    # Checking

    def check(self, type_, value, where):
        """Raises Violation unless value is of the type: every field there, of its type, no other."""
        kind = type_[0]
        if kind == "optional":
            if value is not None:
                self.check(type_[1], value, where)
        elif kind == "name":
            if type_[1] not in self.types:
                raise ValueError(f"{where}: the interface has no type {type_[1]}")
            self.check(self.types[type_[1]], value, where)
        elif kind == "struct":
            self._need(isinstance(value, dict), where, "an object", value)
            for field in value:
                self._need(field in type_[1], where, "only known fields", field)
            for field, of in type_[1].items():
                self._need(field in value, where, f"a field {field}", value)
                self.check(of, value[field], f"{where}.{field}")
        elif kind == "enum":
            self._need(value in type_[1], where, "one of " + ", ".join(type_[1]), value)
        elif kind == "array":
            self._need(isinstance(value, list), where, "an array", value)
            for i, v in enumerate(value):
                self.check(type_[1], v, f"{where}[{i}]")
        elif kind == "map":
            self._need(isinstance(value, dict), where, "an object", value)
            for k, v in value.items():
                self.check(type_[1], v, f"{where}.{k}")
        elif kind == "int":
            self._need(type(value) is int and -(2**63) <= value < 2**63, where, "an int", value)
        elif kind == "float":
            self._need(type(value) in (int, float), where, "a number", value)
        elif kind == "bool":
            self._need(type(value) is bool, where, "a bool", value)
        elif kind == "string":
            self._need(type(value) is str and "\0" not in value, where, "a string", value)
        elif kind == "object":
            self._need(isinstance(value, dict), where, "an object", value)

    @staticmethod
    def _need(condition, where, what, value):
        if not condition:
            raise Violation(f"{where}: {what} was expected, not {value!r:.300}")

    def check_named(self, name, value):
        self.check(("name", name), value, name)

    def check_reply(self, method, parameters):
        self.check(self.methods[method][1], parameters, method)

    def check_error(self, error, parameters):
        self.check(self.errors[error], parameters, error)


# varlink.org/Service: what every service has; with the errors of the reference implementation.
SERVICE = Interface(
    """
interface org.varlink.service
method GetInfo() -> (
  vendor: string, product: string, version: string, url: string, interfaces: []string
)
method GetInterfaceDescription(interface: string) -> (description: string)
error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
"""
)

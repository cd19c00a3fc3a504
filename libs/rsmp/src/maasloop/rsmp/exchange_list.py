"""Exchange lists: which statuses, commands and alarms a kind of site has, and what values they take.

The data of the list for traffic light controllers lies in ``tlc/*.toml``, one table a code, with the list versions that
have it. Every value on the wire is text, or rows of texts; a list describes what the text must look like.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from .dialect import Release
from .errors import MessageInvalid
from .messages import StatusName, Value

TLC_RELEASES = tuple(Release.parse(each) for each in ("1.0.15", "1.1.0", "1.2.0", "1.2.1"))
"""Versions of the list for traffic light controllers that this package knows, oldest first."""

CONTROLLER = "controller"
"""Kind of the component that stands for the whole site; the others are ``signal group`` and ``detector logic``."""

_INTEGER = r"-?[0-9]+"
_BOOLEAN = r"True|False"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"
_FORMS = {
    "string": re.compile(r".*", re.DOTALL),
    "string list": re.compile(r".*", re.DOTALL),
    "integer": re.compile(_INTEGER),
    "integer list": re.compile(rf"{_INTEGER}(?:,{_INTEGER})*"),
    "boolean": re.compile(_BOOLEAN),
    "boolean list": re.compile(rf"(?:{_BOOLEAN})(?:,(?:{_BOOLEAN}))*"),
    "timestamp": re.compile(_TIME),
    "base64": re.compile(r"[A-Za-z0-9+/=\s]*"),
}


@dataclass(frozen=True, slots=True)
class Argument:
    """A value of a status, command or alarm."""

    name: str
    type: str
    """A kind of ``_FORMS``, or ``array``."""
    minimum: int | None = None
    maximum: int | None = None
    values: frozenset[str] = frozenset()
    """The only texts, or the only items of a list; empty: any."""
    pattern: re.Pattern[str] | None = None
    optional: bool = False
    idle_with: tuple[str, str] | None = None
    """Name and value of another argument beside which this one means nothing: its range is not looked at."""
    absent_with: tuple[str, str] | None = None
    """Name and value of another argument beside which this one may be missing."""
    columns: Mapping[str, "Argument"] = field(default_factory=dict)
    """What the rows of an array hold."""

    def problem(self, value: Value) -> str:
        """Return what is wrong with a value, or an empty text."""
        if self.type == "array":
            return self._problem_of_rows(value)
        if not isinstance(value, str):
            return f"{self.name}: a text is expected"
        if _FORMS[self.type].fullmatch(value) is None:
            return f"{self.name}: {self.type} is expected, got {value[:40]!r}"
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            return f"{self.name}: {value[:40]!r} does not look like {self.pattern.pattern}"
        return next(filter(None, map(self._problem_of_item, self._items(value))), "")

    def _items(self, value: str) -> Iterable[str]:
        return value.split(",") if self.type.endswith(" list") else (value,)

    def _problem_of_item(self, item: str) -> str:
        if self.values and item not in self.values:
            return f"{self.name}: one of {', '.join(sorted(self.values))} is expected, got {item[:40]!r}"
        if not self._in_range(item):
            return f"{self.name}: {self.minimum} to {self.maximum} is expected, got {item[:40]!r}"
        return ""

    def _in_range(self, item: str) -> bool:
        if self.minimum is None or self.maximum is None:
            return True
        # int() refuses texts of thousands of digits with an error of its own.
        return len(item) <= DIGITS_MAX and self.minimum <= int(item) <= self.maximum

    def _problem_of_rows(self, value: Value) -> str:
        if value is None or isinstance(value, str):
            return f"{self.name}: an array is expected"
        for row in value:
            if unknown := row.keys() - self.columns.keys():
                return f"{self.name}: {min(unknown)[:40]!r} is not known"
            for column in self.columns.values():
                if column.name in row:
                    if problem := column.problem(row[column.name]):
                        return f"{self.name}.{problem}"
                elif not column.optional:
                    return f"{self.name}.{column.name} is missing"
        return ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A status, command or alarm."""

    code: str
    title: str
    component: str
    """Kind of the components that have it."""
    arguments: Mapping[str, Argument]
    order: str = ""
    """Of a command: what ``cO`` says."""
    security_level: int = 0
    """Of a command: 1 or 2 if it needs that security code."""
    reserved: bool = False
    """Of a command: the list reserves it for the future; it is not to be relied on."""
    category: str = ""
    """Of an alarm: T for traffic, D for the device."""
    priority: int = 0
    """Of an alarm: 1 highest to 3 lowest."""

    def problem(self, values: Mapping[str, Value]) -> str:
        """Return what is wrong with the values of a command or an alarm taken together, or an empty text."""
        for name, value in values.items():
            argument = self.arguments.get(name)
            if argument is not None and _beside(argument.idle_with, values):
                argument = replace(argument, minimum=None, maximum=None)
            problem = argument.problem(value) if argument else f"{name[:40]!r} is not known"
            if problem:
                return f"{self.code} {problem}"
        missing = [
            each.name
            for each in self.arguments.values()
            if each.name not in values and not each.optional and not _beside(each.absent_with, values)
        ]
        return f"{self.code} {', '.join(missing)} missing" if missing else ""


@dataclass(frozen=True, slots=True)
class ExchangeList:
    """One version of an exchange list."""

    release: Release
    statuses: Mapping[str, Entry]
    commands: Mapping[str, Entry]
    alarms: Mapping[str, Entry]

    def status_problem(self, names: Iterable[StatusName]) -> str:
        """Return why statuses cannot be asked for, or an empty text."""
        for each in names:
            entry = self.statuses.get(each.code)
            if entry is None:
                return f"status {each.code} is not in list {self.release}"
            if each.name not in entry.arguments:
                return f"status {each.code} has no {each.name[:40]!r} in list {self.release}"
        return ""

    def command_problem(self, code: str, orders: Iterable[str], values: Mapping[str, Value]) -> str:
        """Return why a command cannot be ordered, or an empty text."""
        entry = self.commands.get(code)
        if entry is None:
            return f"command {code} is not in list {self.release}"
        for order in orders:
            if order != entry.order:
                return f"command {code} is ordered by {entry.order}, not by {order[:40]!r}"
        return entry.problem(values)


DIGITS_MAX = 12
"""Longest text of a number with a range."""


@cache
def tlc(release: Release) -> ExchangeList:
    """Return a version of the list for traffic light controllers.

    Raises:
        MessageInvalid: this version is not known.
    """
    if release not in TLC_RELEASES:
        known = ", ".join(map(str, TLC_RELEASES))
        message = f"exchange list {release} is not known, only {known}"
        raise MessageInvalid(message)
    statuses = _entries("statuses", release) | _entries("traffic_counts", release)
    return ExchangeList(
        release,
        MappingProxyType(statuses),
        MappingProxyType(_entries("commands", release)),
        MappingProxyType(_entries("alarms", release)),
    )


def _entries(name: str, release: Release) -> dict[str, Entry]:
    text = resources.files("maasloop.rsmp").joinpath("tlc", f"{name}.toml").read_text()
    return {code: _entry(code, each, release) for code, each in tomllib.loads(text).items() if _valid(each, release)}


def _valid(table: Mapping[str, Any], release: Release) -> bool:
    since, until = table.get("since", "0.0"), table.get("until", "99.0")
    return Release.parse(since) <= release <= Release.parse(until)


def _entry(code: str, table: Mapping[str, Any], release: Release) -> Entry:
    return Entry(
        code=code,
        title=table["title"],
        component=table["component"],
        arguments=_arguments(table.get("arguments", []), release),
        order=table.get("order", ""),
        security_level=table.get("security_level", 0),
        reserved=table.get("reserved", False),
        category=table.get("category", ""),
        priority=table.get("priority", 0),
    )


def _arguments(tables: Iterable[Mapping[str, Any]], release: Release) -> Mapping[str, Argument]:
    found = (_argument(each, release) for each in tables if _valid(each, release))
    return MappingProxyType({each.name: each for each in found})


def _argument(table: Mapping[str, Any], release: Release) -> Argument:
    return Argument(
        name=table["name"],
        type=table["type"],
        minimum=table.get("min"),
        maximum=table.get("max"),
        values=frozenset(table.get("values", [])),
        pattern=re.compile(table["pattern"]) if "pattern" in table else None,
        optional=table.get("optional", False),
        idle_with=_pair(table.get("idle_with", {})),
        absent_with=_pair(table.get("absent_with", {})),
        columns=_arguments(table.get("columns", []), release),
    )


def _beside(pair: tuple[str, str] | None, values: Mapping[str, Value]) -> bool:
    return pair is not None and values.get(pair[0]) == pair[1]


def _pair(table: Mapping[str, str]) -> tuple[str, str] | None:
    return next(iter(table.items()), None)

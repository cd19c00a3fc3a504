"""Which status shows that a command is carried out.

An acknowledgement says that the message was understood, a response that the site took the command; only a status shows
what the controller does. Where no status of the list can, there is no expectation.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .exchange_list import ExchangeList
from .messages import Rows, StatusName, Value

type Values = Mapping[StatusName, Value]
type Arguments = Mapping[str, Value]

CLOCK_TOLERANCE_S = 60.0
"""A clock that was set is confirmed when it is at most so far from what was ordered."""

_BLOCK_NUMBER = re.compile(r"[0-9]{1,5}")
_TAKEN = frozenset({"received", "queued", "activated", "completed"})


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is to be read from the controller, and when it is enough."""

    names: tuple[StatusName, ...]
    met: Callable[[Values], bool]

    def met_by(self, values: Values) -> bool:
        """Tell whether the values, all that are needed, show it."""
        return all(isinstance(values.get(name), str | tuple) for name in self.names) and self.met(values)


def expectation(
    code: str, arguments: Arguments, exchange_list: ExchangeList, position: int | None = None
) -> Expectation | None:
    """Return what shows that a command is carried out, or None where nothing does in this list version.

    ``position`` is that of the detector logic, counted from 1, that the command is for.
    """
    make = _MAKERS.get(code)
    found = make(arguments, exchange_list) if make else None
    if code == "M0008" and position is not None:
        found = _marks("S0021", "detectorlogics", {position: _on(arguments)})
    return found if found is not None and not exchange_list.status_problem(found.names) else None


def _text(source: Mapping[str, Value], name: str) -> str:
    found = source.get(name)
    return found if isinstance(found, str) else ""


def _read(values: Values, code: str, name: str = "status") -> str:
    found = values.get(StatusName(code, name))
    return found if isinstance(found, str) else ""


def _on(arguments: Arguments, name: str = "status") -> bool:
    return _text(arguments, name) == "True"


def _flags(values: Values, code: str, intersection: str, *, wanted: bool) -> bool:
    """Tell whether intersections, joined by commas, or all for 0, have a flag of a status that lists intersections."""
    numbers = _read(values, code, "intersection").split(",")
    by_number = dict(zip(numbers, _read(values, code).split(","), strict=False))
    asked = by_number if intersection == "0" else intersection.split(",")
    return all(by_number.get(number, by_number.get("0")) == str(wanted) for number in asked)


def _of_intersections(code: str) -> tuple[StatusName, ...]:
    return StatusName(code, "intersection"), StatusName(code, "status")


def _functional_position(arguments: Arguments, _list: ExchangeList) -> Expectation:
    intersection = _text(arguments, "intersection")
    wanted = {"NormalControl": (True, False), "YellowFlash": (True, True), "Dark": (False, False)}
    on, flashing = wanted[_text(arguments, "status")]

    def met(values: Values) -> bool:
        dark = _flags(values, "S0007", intersection, wanted=on)
        return dark and _flags(values, "S0011", intersection, wanted=flashing)

    return Expectation((*_of_intersections("S0007"), *_of_intersections("S0011")), met)


def _chosen(code: str, argument: str) -> Callable[[Arguments, ExchangeList], Expectation]:
    """A plan or situation is in use as ordered, or no longer by order."""

    def make(arguments: Arguments, _list: ExchangeList) -> Expectation:
        if _on(arguments):
            number = _text(arguments, argument)
            return Expectation((StatusName(code, "status"),), lambda values: _read(values, code) == number)
        source = StatusName(code, "source")
        return Expectation((source,), lambda values: _read(values, code, "source") != "forced")

    return make


def _emergency_route(arguments: Arguments, exchange_list: ExchangeList) -> Expectation:
    route, on = _text(arguments, "emergencyroute"), _on(arguments)
    if "S0035" in exchange_list.statuses:
        name = StatusName("S0035", "emergencyroutes")
        return Expectation((name,), lambda values: any(row.get("id") == route for row in _rows(values, name)) is on)
    names = StatusName("S0006", "status"), StatusName("S0006", "emergencystage")

    def met(values: Values) -> bool:
        active = _read(values, "S0006") == "True" and _read(values, "S0006", "emergencystage") == route
        return active is on

    return Expectation(names, met)


def _rows(values: Values, name: StatusName) -> Rows:
    found = values.get(name)
    return found if isinstance(found, tuple) else ()


def _input(arguments: Arguments, _list: ExchangeList) -> Expectation:
    return _marks("S0003", "inputstatus", {int(_text(arguments, "input")): _on(arguments)})


def _inputs(arguments: Arguments, _list: ExchangeList) -> Expectation | None:
    """Blocks of sixteen: offset, bits to set, bits to unset."""
    wanted: dict[int, bool] = {}
    for block in _text(arguments, "status").split(";"):
        numbers = [int(each) for each in block.split(",") if _BLOCK_NUMBER.fullmatch(each.strip())]
        if len(numbers) != len(("offset", "set", "unset")):
            return None
        offset, on, off = numbers
        wanted |= {offset + bit: bool(on >> bit & 1) for bit in range(16) if (on | off) >> bit & 1}
    return _marks("S0003", "inputstatus", wanted)


def _forced_input(arguments: Arguments, _list: ExchangeList) -> Expectation:
    number, forced = int(_text(arguments, "input")), _on(arguments)
    shown = _marks("S0029", "status", {number: forced})
    if not forced:
        return shown
    valued = _marks("S0003", "inputstatus", {number: _on(arguments, "inputValue")})
    return Expectation((*shown.names, *valued.names), lambda values: shown.met(values) and valued.met(values))


def _marks(code: str, name: str, wanted: Mapping[int, bool]) -> Expectation:
    """Characters of a status that has one an input, counted from 1."""

    def met(values: Values) -> bool:
        text = _read(values, code, name)
        return all(text[number - 1 : number] == ("1" if on else "0") for number, on in wanted.items())

    return Expectation((StatusName(code, name),), met)


def _fixed_time(arguments: Arguments, _list: ExchangeList) -> Expectation:
    on = _on(arguments)
    return Expectation(_of_intersections("S0009"), lambda values: _flags(values, "S0009", "0", wanted=on))


def _table(code: str, entries: Callable[[Arguments], str]) -> Callable[[Arguments, ExchangeList], Expectation]:
    """A table, numbers joined by ``-`` and entries by ``,``, has all that was ordered."""

    def make(arguments: Arguments, _list: ExchangeList) -> Expectation:
        wanted = _numbers(entries(arguments))
        return Expectation((StatusName(code, "status"),), lambda values: wanted <= _numbers(_read(values, code)))

    return make


def _numbers(text: str) -> set[tuple[str, ...]]:
    entries = (entry.strip().split("-") for entry in text.split(",") if entry.strip())
    return {tuple(number.lstrip("0") or "0" for number in entry) for entry in entries}


def _bands(arguments: Arguments) -> str:
    plan = _text(arguments, "plan")
    return ",".join(f"{plan}-{band.strip()}" for band in _text(arguments, "status").split(",") if band.strip())


def _of_plan(arguments: Arguments) -> str:
    return f"{_text(arguments, 'plan')}-{_text(arguments, 'status')}"


def _priority(arguments: Arguments, _list: ExchangeList) -> Expectation:
    name, wanted = StatusName("S0033", "status"), _text(arguments, "requestId")
    ends = _text(arguments, "type") == "cancel"

    def met(values: Values) -> bool:
        states = {row.get("s") for row in _rows(values, name) if row.get("r") == wanted}
        return states <= {"completed"} if ends else not states.isdisjoint(_TAKEN)

    return Expectation((name,), met)


def _bands_timeout(arguments: Arguments, _list: ExchangeList) -> Expectation:
    minutes = _text(arguments, "status")
    return Expectation((StatusName("S0034", "status"),), lambda values: _read(values, "S0034") == minutes)


_CLOCK = ("year", "month", "day", "hour", "minute", "second")


def _clock(arguments: Arguments, _list: ExchangeList) -> Expectation | None:
    wanted = _moment([_text(arguments, name) for name in _CLOCK])
    if wanted is None:
        return None

    def met(values: Values) -> bool:
        found = _moment([_read(values, "S0096", name) for name in _CLOCK])
        return found is not None and abs(found - wanted) <= timedelta(seconds=CLOCK_TOLERANCE_S)

    return Expectation(tuple(StatusName("S0096", name) for name in _CLOCK), met)


def _moment(texts: list[str]) -> datetime | None:
    try:
        year, month, day, hour, minute, second = map(int, texts)
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


_MAKERS: Mapping[str, Callable[[Arguments, ExchangeList], Expectation | None]] = {
    "M0001": _functional_position,
    "M0002": _chosen("S0014", "timeplan"),
    "M0003": _chosen("S0015", "traficsituation"),
    "M0005": _emergency_route,
    "M0006": _input,
    "M0007": _fixed_time,
    "M0013": _inputs,
    "M0014": _table("S0023", _bands),
    "M0015": _table("S0024", _of_plan),
    "M0016": _table("S0026", lambda arguments: _text(arguments, "status")),
    "M0017": _table("S0027", lambda arguments: _text(arguments, "status")),
    "M0018": _table("S0028", _of_plan),
    "M0019": _forced_input,
    "M0021": _table("S0031", lambda arguments: _text(arguments, "status")),
    "M0022": _priority,
    "M0023": _bands_timeout,
    "M0104": _clock,
}

"""What each command does to a cabinet, and when it is refused.

``action`` reads the arguments, which the exchange list has already judged one by one, and returns what is to be done;
nothing changes before that is called.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from maasloop.rsmp.messages import Value

from .cabinet import Cabinet
from .position import Position
from .sheet import BAND_MAX_S
from .tables import MINUTES_OF_HOUR

type Action = Callable[[], None]
type Arguments = Mapping[str, str]

ITEMS_MAX = 200
"""Entries in the text of one command."""
BLOCK_BITS = 16
"""Inputs in a block of command M0013."""
BLOCK_PARTS = 3
PAIR = 2
CLOCK = ("year", "month", "day", "hour", "minute", "second")
MINUTE_S = 60
TABLES_MAX, DAYS_MAX, HOURS, PLANS_OF_TABLES_MAX = 12, 6, 24, 16
_NUMBER = re.compile(r"[0-9]{1,5}")


class Objection(Exception):
    """A command is refused; the text says why and holds no security code."""


def action(cabinet: Cabinet, component: str, code: str, values: Mapping[str, Value]) -> Action | None:
    """Return what a command will do, or None if this equipment has not implemented it.

    Raises:
        Objection: it is refused.
    """
    known = _ORDERS.get(code)
    if known is None:
        return None
    arguments = {name: value for name, value in values.items() if isinstance(value, str)}
    level, order = known
    if level and not cabinet.codes.right(level, arguments.get("securityCode", "")):
        raise Objection(f"Incorrect security code for level {level}")
    return order(cabinet, component, arguments)


def _on(arguments: Arguments, name: str = "status") -> bool:
    return arguments[name] == "True"


def numbers_of(text: str, parts: int, separator: str = ",") -> list[tuple[int, ...]]:
    """Return entries of numbers joined by ``-``, or by ``,`` where entries are divided by ``;``.

    Raises:
        Objection: an entry has another form, or there are too many.
    """
    within = "-" if separator == "," else ","
    found = []
    for entry in text.split(separator):
        numbers = entry.strip().split(within)
        if len(numbers) != parts or not all(_NUMBER.fullmatch(each.strip()) for each in numbers):
            raise Objection(f"{parts} numbers joined by {within!r} are expected, got {entry[:40]!r}")
        found.append(tuple(map(int, numbers)))
    if len(found) > ITEMS_MAX:
        raise Objection(f"more than {ITEMS_MAX} entries")
    return found


def pairs_of(text: str) -> dict[int, int]:
    """Return pairs of numbers joined by ``-``, by the first of each.

    Raises:
        Objection: an entry has another form, or there are too many.
    """
    return {entry[0]: entry[1] for entry in numbers_of(text, PAIR)}


def _plan(cabinet: Cabinet, number: int) -> int:
    """Return the number of a plan that exists; 0 stands for the one in use."""
    number = number or cabinet.programme.number
    if number not in cabinet.programme.plans:
        raise Objection(f"Plan {number} does not exist")
    return number


def existing(kind: str, number: int, count: int) -> int:
    """Return a number from 1 to ``count``.

    Raises:
        Objection: it is another.
    """
    if not 1 <= number <= count:
        raise Objection(f"{kind} {number} does not exist, only 1 to {count}")
    return number


def _position(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    intersections = set(arguments["intersection"].split(","))
    if not intersections <= {"0", "1"}:
        raise Objection(f"intersection {min(intersections - {'0', '1'})} does not exist, only 1")
    minutes = int(arguments["timeout"].split(",")[0])
    position = Position(arguments["status"])
    return lambda: cabinet.position.order(position, minutes * MINUTE_S, cabinet.now_s)


def _set_plan(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    number = _plan(cabinet, int(arguments["timeplan"])) if _on(arguments) else 0
    return partial(_order, cabinet, "ordered_plan", number)


def _situation(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    number = int(arguments["traficsituation"]) if _on(arguments) else 0
    if number and number not in cabinet.sheet.traffic_situations:
        raise Objection(f"Traffic situation {number} does not exist")
    return partial(_order, cabinet, "ordered_situation", number)


def _order(cabinet: Cabinet, name: str, value: int | bool) -> None:
    setattr(cabinet, name, value)


def _restart(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    return partial(_order, cabinet, "restart_ordered", _on(arguments))


def _emergency(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    route, on = int(arguments["emergencyroute"]), _on(arguments)
    if route not in cabinet.sheet.emergency_routes:
        raise Objection(f"Emergency route {route} does not exist")

    def do() -> None:
        active = cabinet.emergency_routes
        if on and route not in active:
            active.append(route)
            cabinet.last_emergency_route = route
        elif not on and route in active:
            active.remove(route)

    return do


def _input(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    number = existing("Input", int(arguments["input"]), len(cabinet.inputs))
    return partial(cabinet.inputs.set, number, _on(arguments))


def series_of_inputs(text: str, count: int) -> list[tuple[int, bool]]:
    """Return inputs and values of blocks of sixteen: first input, bits to set, bits to unset (command M0013).

    Raises:
        Objection: the text has another form, or names an input that there is not.
    """
    wanted: list[tuple[int, bool]] = []
    for first, on, off in numbers_of(text, BLOCK_PARTS, ";"):
        for bits, value in ((off, False), (on, True)):
            numbers = (first + bit for bit in range(BLOCK_BITS) if bits >> bit & 1)
            wanted += [(existing("Input", number, count), value) for number in numbers]
    return wanted


def _inputs(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    wanted = series_of_inputs(arguments["status"], len(cabinet.inputs))

    def do() -> None:
        for number, value in wanted:
            cabinet.inputs.set(number, value)

    return do


def _force_input(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    number = existing("Input", int(arguments["input"]), len(cabinet.inputs))
    return partial(cabinet.inputs.force, number, _on(arguments, "inputValue") if _on(arguments) else None)


def _force_output(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    # The list has the words for True and False the wrong way round here; peers mean what they mean in M0019.
    number = existing("Output", int(arguments["output"]), len(cabinet.outputs))
    return partial(cabinet.outputs.force, number, _on(arguments, "outputValue") if _on(arguments) else None)


def _fixed_time(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    return lambda: setattr(cabinet.programme, "fixed_time", _on(arguments))


def _force_detector(cabinet: Cabinet, component: str, arguments: Arguments) -> Action:
    return partial(cabinet.detectors.force, component, _on(arguments, "mode") if _on(arguments) else None)


def _start(cabinet: Cabinet, component: str, arguments: Arguments) -> Action:
    return (lambda: cabinet.calls.add(component)) if _on(arguments) else (lambda: None)


def _stop(cabinet: Cabinet, component: str, arguments: Arguments) -> Action:
    return (lambda: cabinet.calls.discard(component)) if _on(arguments) else (lambda: None)


def _start_series(_cabinet: Cabinet, _component: str, _arguments: Arguments) -> Action:
    # Reserved by the list, and peers write it in several ways: it is taken and calls nobody.
    return lambda: None


def _bands(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    number = _plan(cabinet, int(arguments["plan"]))
    bands = cabinet.programme.bands[number]
    entries = pairs_of(arguments["status"])
    for band, extension_s in entries.items():
        if not 1 <= band <= len(bands):
            raise Objection(f"Plan {number} has no band {band}, only 1 to {len(bands)}")
        if extension_s > BAND_MAX_S:
            raise Objection(f"Band {band} cannot be longer by {extension_s} s, at most by {BAND_MAX_S} s")

    def do() -> None:
        for band, extension_s in entries.items():
            bands[band - 1] = extension_s

    return do


def _of_plan(table: str) -> Callable[[Cabinet, str, Arguments], Action]:
    def order(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
        number, seconds = _plan(cabinet, int(arguments["plan"])), int(arguments["status"])
        changed: dict[int, int] = getattr(cabinet.programme, table)
        return lambda: changed.update({number: seconds})

    return order


def _week(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    days = pairs_of(arguments["status"])
    for day, table in days.items():
        if day > DAYS_MAX or table > TABLES_MAX:
            raise Objection(f"A day of 0 to {DAYS_MAX} and a table up to {TABLES_MAX} are expected, got {day}-{table}")
    return partial(cabinet.tables.set_week, days)


def _days(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    entries = []
    for table, plan, hour, minute in numbers_of(arguments["status"], 4):
        if not 1 <= table <= TABLES_MAX or hour >= HOURS or minute >= MINUTES_OF_HOUR or plan > PLANS_OF_TABLES_MAX:
            raise Objection(f"{table}-{plan}-{hour}-{minute} is no entry of a day table")
        entries.append((table, _plan(cabinet, plan) if plan else 0, hour * MINUTES_OF_HOUR + minute))
    return partial(cabinet.tables.set_days, entries)


def _trigger_levels(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    levels = pairs_of(arguments["status"])
    count = len(cabinet.sheet.detector_logics)
    for number in levels:
        existing("Detector", number, count)
    return lambda: cabinet.trigger_levels.update(levels)


def _bands_timeout(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    return partial(_order, cabinet, "bands_timeout_min", int(arguments["status"]))


def _priority(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    request, priorities = arguments["requestId"], cabinet.priorities
    level = int(arguments["level"]) if "level" in arguments else None
    match arguments["type"]:
        case "new" if priorities.known(request):
            raise Objection(f"Priority request {request[:40]!r} exists already")
        case "new" if level is None:
            raise Objection("M0022 level missing")
        case "new":
            group = arguments.get("signalGroupId", "")
            group = group if group in cabinet.sheet.signal_groups else ""
            return lambda: priorities.ask(request, group, level or 0, cabinet.now_s, cabinet.clock.now())
        case kind if not priorities.known(request):
            raise Objection(f"Priority request {request[:40]!r} is not known, so there is nothing to {kind}")
        case "update":
            return lambda: priorities.update(request, level)
        case _:
            return lambda: priorities.cancel(request, cabinet.now_s, cabinet.clock.now())


def _security_code(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    level = int(arguments["status"].removeprefix("Level"))
    if not cabinet.codes.right(level, arguments["oldSecurityCode"]):
        raise Objection(f"Incorrect security code for level {level}")
    if not arguments["newSecurityCode"]:
        raise Objection("an empty security code is none")
    return partial(cabinet.codes.change, level, arguments["newSecurityCode"])


def _clock(cabinet: Cabinet, _component: str, arguments: Arguments) -> Action:
    try:
        year, month, day, hour, minute, second = (int(arguments[each]) for each in CLOCK)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise Objection("there is no such date") from None
    return partial(cabinet.clock.set, moment)


_ORDERS: Mapping[str, tuple[int, Callable[[Cabinet, str, Arguments], Action]]] = {
    "M0001": (2, _position),
    "M0002": (2, _set_plan),
    "M0003": (2, _situation),
    "M0004": (2, _restart),
    "M0005": (2, _emergency),
    "M0006": (2, _input),
    "M0007": (2, _fixed_time),
    "M0008": (2, _force_detector),
    "M0010": (2, _start),
    "M0011": (2, _stop),
    "M0012": (2, _start_series),
    "M0013": (2, _inputs),
    "M0014": (2, _bands),
    "M0015": (2, _of_plan("offsets_s")),
    "M0016": (2, _week),
    "M0017": (2, _days),
    "M0018": (2, _of_plan("cycles_s")),
    "M0019": (2, _force_input),
    "M0020": (2, _force_output),
    "M0021": (2, _trigger_levels),
    "M0022": (0, _priority),
    "M0023": (2, _bands_timeout),
    "M0103": (0, _security_code),
    "M0104": (1, _clock),
}
"""The security level that each needs, and what it does."""

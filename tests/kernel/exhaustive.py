"""Every request at every state of a small junction: the kernel permits exactly what a plain reading finds nothing wrong with.

States are told apart by what each group shows, and for how long as far as a rule looks back; requests have every aspect in
every step, and the offsets around the times of the sheet. Nobody waits here: maximum green and wait are left to chance
(``__main__.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from tests.kernel.reading import Reader
from tests.kernel.street import Street

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceRequest, SequenceStep, judge
from maasloop.actuation.domain.signals.sheet_data import read_sheet

LOOKS_BACK_S = 8
"""Longer ago than any rule of these sheets looks back."""
KEPT_S = 12

PLAIN = (Aspect.RED, Aspect.YELLOW, Aspect.GREEN)

type Offsets = Sequence[tuple[int, ...]]

ONE_STEP: Offsets = ((0,),)
TWO_STEPS: Offsets = tuple((0, offset) for offset in (2, 3, 4, 7))
THREE_STEPS: Offsets = tuple((0, first, first + then) for first in (2, 3, 4) for then in (1, 2))


@dataclass
class Explored:
    """What came of it."""

    states: int = 0
    requests: int = 0
    permitted: int = 0
    differences: int = 0
    first: str = ""


def whole(*, conflict: bool, broken: str = "") -> Explored:
    """Explore a junction of two groups: with three steps a request where they conflict, else with yielding greens."""
    if conflict:
        return explore(two_groups(conflict=True), PLAIN, (*ONE_STEP, *TWO_STEPS, *THREE_STEPS), broken=broken)
    return explore(two_groups(conflict=False), (*PLAIN, Aspect.YIELDING), (*ONE_STEP, *TWO_STEPS), broken=broken)


def two_groups(*, conflict: bool) -> dict[str, Any]:
    """Return the sheet of two groups that conflict, or of which ``b`` gives way to ``a``."""
    pair = ["a", "b"]
    return {
        "junction": "small",
        "groups": [
            {
                "id": name,
                "kind": "vehicle",
                "lanes": [f"lane-{name}"],
                "exits": [],
                "turn": "s",
                "yellow_s": 3,
                "all_red_s": 1,
                "minimum_green_s": 5,
                "maximum_green_s": 60,
                "maximum_wait_s": 120,
            }
            for name in pair
        ],
        "compatible": [] if conflict else [pair],
        "conflicts": [pair] if conflict else [],
        "yields": [] if conflict else [["b", "a"]],
        "intergreens": [["a", "b", 2], ["b", "a", 1]] if conflict else [],
        "lanes": [{"id": f"lane-{name}", "speed_mps": 8.0, "headway_s": 1.8, "storage_m": 80.0} for name in pair],
        "exits": [],
        "detectors": [],
        "local": {"offset_s": 0, "steps": [{"state": "rr", "duration_s": 10}]},
    }


def explore(data: dict[str, Any], aspects: Sequence[Aspect], offsets: Offsets, *, broken: str = "") -> Explored:
    """Ask everything in every state that can be reached; ``broken`` is a rule that the kernel leaves out."""
    reader, found = Reader(data), Explored()
    shows = [dict(zip(("a", "b"), shown, strict=True)) for shown in product(aspects, repeat=2)]
    left = [Street(read_sheet(data))]
    known = {_key(left[0])}
    while left:
        street = left.pop()
        found.states += 1
        reached = [_after(street, None)]
        for request in _requests(street, shows, offsets):
            verdict = judge(street.sheet, street.state, request)
            permitted = isinstance(verdict, Permitted) or verdict.reason == broken
            ahead = _after(street, request)
            told = reader.breaches(ahead.seconds, since=min(len(street.seconds), KEPT_S))
            found.requests += 1
            found.permitted += permitted
            if permitted == bool(told):
                found.differences += 1
                found.first = found.first or f"{verdict}; {told[:1]}; {street.state.groups}; {request.steps}"
            elif permitted:
                reached.append(ahead)
        for one in reached:
            if (key := _key(one)) not in known:
                known.add(key)
                left.append(one)
    return found


def _requests(street: Street, shows: Sequence[dict[str, Aspect]], offsets: Offsets) -> Iterator[SequenceRequest]:
    """Return every request but those that end in yellow, which their form forbids."""
    state = street.state
    for times in offsets:
        for shown in product(shows, repeat=len(times)):
            if Aspect.YELLOW in shown[-1].values():
                continue
            steps = tuple(SequenceStep(at, one) for at, one in zip(times, shown, strict=True))
            begins_s = state.second_s + 1
            yield SequenceRequest(
                "small", steps, state.aspects(), begins_s, begins_s + times[-1] + 30, "all", Authority.ADAPTIVE
            )


def _after(street: Street, request: SequenceRequest | None) -> Street:
    """Return a street after a request was played, or after a second without one."""
    ahead = Street.resumed(street.sheet, street.state, street.seconds[-KEPT_S:])
    if request is not None:
        ahead.obey(Permitted(request))
    until_s = request.ends_s if request is not None else street.state.second_s + 1
    while ahead.state.second_s < until_s:
        ahead.tick()
    ahead.orders.clear()
    ahead.state = replace(ahead.state, busy_until_s=ahead.state.second_s, accepted_s=(), lease=None)
    return ahead


def _key(street: Street) -> tuple[tuple[str, float, float], ...]:
    now_s = street.state.second_s
    return tuple(
        (group.aspect.value, min(now_s - group.since_s, LOOKS_BACK_S), min(now_s - group.yellow_ended_s, LOOKS_BACK_S))
        for group in street.state.groups.values()
    )

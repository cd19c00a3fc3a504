"""Loops tell who passed a line and did not come out of the junction: who crosses his way waits for a while."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect, Aspects
from maasloop.actuation.domain.signals.controller import Ask, Controller
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceRequest, judge, record
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.crossing import USUAL_S, WAIT_MAX_S, Crossing
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading

PASSED = LoopReading(1, 0.4)
EMPTY = LoopReading(0, 0.0)
COVERED = LoopReading(0, 1.0)
CROSSING_S = 5
FULL_S = 160
"""From this second on nobody comes out of the junction."""
CALL_S = 168
STANDS_S = CALL_S - 8
ON_THE_WAY = ("a", "b", "d")


@pytest.fixture
def boxed(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing with two groups that give way to a third, an exit loop for each of them, and c across all."""
    loops = [one for one in sheet_data["detectors"] if one["id"] != "loop-exit"]
    exits = [
        {"id": f"exit-{name}", "position": "exit", "distance_m": 25.0, "serves": [[f"out-{name}", 1.0]]}
        for name in ON_THE_WAY
    ]
    groups = [one | {"exits": [f"out-{one['id']}"] if one["id"] in ON_THE_WAY else []} for one in sheet_data["groups"]]
    steps = [one | {"state": one["state"].replace("GGrgr", "Ggrgr")} for one in sheet_data["local"]["steps"]]
    return read_sheet(
        sheet_data
        | {
            "groups": groups,
            "exits": [{"id": f"out-{name}"} for name in ON_THE_WAY],
            "detectors": [*loops, *exits],
            "yields": [["b", "a"], ["d", "a"]],
            "local": sheet_data["local"] | {"steps": steps},
        }
    )


@dataclass
class Street:
    """What loops tell: somebody on the ways ``inside`` passes his line and is out at ``freed_s``."""

    sheet: Sheet
    freed_s: float = math.inf
    inside: tuple[str, ...] = ON_THE_WAY
    silent: str = ""
    stands: str = ""
    """On this way the first does not leave his line in green, but ``off_s`` after it."""
    off_s: float = math.inf
    red_s: float = math.inf
    out: dict[int, list[str]] = field(default_factory=dict)

    def told(self, second: int, aspects: Aspects) -> dict[str, LoopReading]:
        """Return the readings of a second in which the groups show these aspects."""
        self.red_s = min(self.red_s, second) if aspects["a"] is Aspect.RED else self.red_s
        told = {one.id: EMPTY for one in self.sheet.detectors}
        told |= {f"exit-{name}": LoopReading(count, 0.4) for name, count in Counter(self.out.pop(second, ())).items()}
        if second >= CALL_S:
            told["loop-c-stop-line"] = COVERED
        for name in ON_THE_WAY if second % 8 == 0 and aspects["a"] in GREENS else ():
            told[f"loop-{name}-stop-line"] = PASSED
            held = name in self.inside and second >= FULL_S
            due_s = max(second + CROSSING_S, self.freed_s) if held else second + CROSSING_S
            if due_s < math.inf:
                self.out.setdefault(int(due_s), []).append(name)
        if self.stands and second >= STANDS_S:
            off_s = self.red_s + self.off_s
            told[f"loop-{self.stands}-stop-line"] = PASSED if second == off_s else COVERED if second < off_s else EMPTY
        return {name: reading for name, reading in told.items() if name != self.silent}


def starts_s(street: Street) -> int:
    """Return when c becomes green."""
    controller = Controller(street.sheet)
    ways = {"a": Aspect.GREEN, "b": Aspect.YIELDING, "d": Aspect.YIELDING}
    aspects = dict.fromkeys(street.sheet.group, Aspect.RED) | ways
    state = JunctionState.first_seen(street.sheet, 0, aspects)
    request: SequenceRequest | None = None
    for second in range(1, 2 * CALL_S):
        for step in request.steps if request is not None else ():
            if request is not None and request.not_before_s + step.offset_s <= second:
                aspects = dict(step.aspects)
        if aspects["c"] in GREENS:
            return second
        state = state.observe(second, aspects, controller.hear(second, street.told(second, aspects), aspects))
        decision = controller.decide(state) if state.busy_until_s <= second and second >= CALL_S else None
        if isinstance(decision, Ask):
            verdict = judge(street.sheet, state, decision.request)
            assert isinstance(verdict, Permitted)
            request, state = decision.request, record(state, verdict)
    raise AssertionError


def test_who_crosses_waits_for_those_inside_and_not_for_ever(boxed: Sheet) -> None:
    """Where two had to give way and a third passed late, a foe starts when they are out, or some seconds later than else."""
    clear_s = starts_s(Street(boxed, inside=()))
    full_s = starts_s(Street(boxed))

    assert clear_s < starts_s(Street(boxed, freed_s=clear_s + 1)) < full_s
    assert full_s <= clear_s + WAIT_MAX_S


@pytest.mark.parametrize("inside", [("a",), ("a", "b"), ("d",)])
def test_one_who_gives_way_inside_is_not_waited_for(boxed: Sheet, inside: tuple[str, ...]) -> None:
    """Who waits for a gap leaves when the green ends, and one who is late alone has no one in his way: no time is lost."""
    assert starts_s(Street(boxed, inside=inside)) == starts_s(Street(boxed, inside=()))


def test_nobody_is_waited_for_whom_no_loop_sees_coming_out(boxed: Sheet) -> None:
    """A dead exit loop costs nothing once it is known to be dead."""
    assert starts_s(Street(boxed, silent="exit-b")) == starts_s(Street(boxed, inside=(), silent="exit-b"))


def test_who_is_held_up_at_his_own_green_is_let_out(boxed: Sheet) -> None:
    """He may be over his line: who crosses waits for a while, and when he sets off in red until he is out."""

    def waits_s(stands: str, off_s: float = math.inf) -> int:
        street = Street(boxed, inside=(), stands=stands, off_s=off_s)
        return int(starts_s(street) - street.red_s)

    assert waits_s("b") == waits_s("")
    assert waits_s("") < waits_s("a") <= WAIT_MAX_S + 1
    assert waits_s("a") < waits_s("a", 2) <= 2 + USUAL_S + 2


def waited_for(*, follows: bool) -> frozenset[str]:
    """Return who is waited for after a green of 20 s in which one from each side gives way, if another one ``follows``."""
    ways = ("left", "right")
    crossing = Crossing({name: (f"out-{name}",) for name in ways}, ways)
    greens, reds = dict.fromkeys(ways, Aspect.YIELDING), dict.fromkeys(ways, Aspect.RED)
    second = 0
    for _ in range(20):
        crossing.hear(second, greens, (), ())
        for name in ways:
            crossing.passed(name, (name,), greens)
        crossing.hear(second + CROSSING_S, greens, [f"out-{name}" for name in ways], ())
        second += 10
    for since_s in range(20):
        crossing.hear(second + since_s, greens, (), ())
        for name in ways if since_s == 0 else ("left",) if follows and since_s == 3 else ():
            crossing.passed(name, (name,), greens)
    crossing.hear(second + 20, reds, (), ())
    return crossing.late()


def test_who_stands_behind_one_who_gives_way_is_waited_for() -> None:
    """Who waits for a gap is out of the way; who came after him on his lane may stand in the middle of the junction."""
    assert waited_for(follows=False) == frozenset()
    assert waited_for(follows=True) == {"left"}


def waited_for_unseen(
    waiting: float = 1.0, out_s: int = 5, silent: tuple[str, ...] = (), green: Aspect = Aspect.YIELDING
) -> frozenset[str]:
    """Return who is waited for after 20 s of a green of a lane that nobody sees, and of which somebody came out at ``out_s``."""
    crossing = Crossing({"left": ("out",)}, ("lane",))
    for second in range(20):
        crossing.hear(second, {"left": green}, (), silent)
        crossing.not_seen("lane", ("left",), {"left": green}, waiting, 1.0 if second == out_s else 0.0)
    crossing.hear(20, {"left": Aspect.RED}, (), silent)
    crossing.not_seen("lane", ("left",), {"left": Aspect.RED}, waiting, 0.0)
    return crossing.late()


def test_out_of_an_unseen_lane_somebody_may_be_held_up_inside() -> None:
    """Somebody is taken to wait there and has to give way, and nobody has come out for a while, though the exits would tell."""
    assert waited_for_unseen() == {"left"}
    assert waited_for_unseen(waiting=0.9) == frozenset()
    assert waited_for_unseen(out_s=15) == frozenset()
    assert waited_for_unseen(silent=("out",)) == frozenset()
    assert waited_for_unseen(green=Aspect.GREEN) == frozenset()

"""People on foot and cyclists at a junction: their own times in the sheet, and time to leave whoever asks for what."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.controller import Ask, Controller
from maasloop.actuation.domain.signals.kernel import (
    Permitted,
    RefusalReason,
    Refused,
    SequenceRequest,
    SequenceStep,
    judge,
    record,
)
from maasloop.actuation.domain.signals.sequence import way_to
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet, write_sheet
from maasloop.actuation.domain.signals.stages import stages_of
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.core.errors import InvalidArgument

SECOND = 100
CROSSING_M = 9.4
CLEARANCE_S = 8
BEND = st.tuples(
    st.integers(0, 7),
    st.sampled_from("atpc"),
    st.sampled_from((Aspect.RED, Aspect.YELLOW, Aspect.GREEN, Aspect.YIELDING)),
)
TIMES = {
    "a": ("vehicle", 4, 1, 0.0),
    "t": ("vehicle", 4, 1, 0.0),
    "p": ("pedestrian", 0, CLEARANCE_S, CROSSING_M),
    "c": ("cycle", 2, 3, 0.0),
}


def _group(name: str) -> dict[str, Any]:
    kind, yellow_s, all_red_s, crossing_m = TIMES[name]
    return {
        "id": name,
        "kind": kind,
        "lanes": [f"lane-{name}"],
        "exits": [],
        "turn": "s",
        "yellow_s": yellow_s,
        "all_red_s": all_red_s,
        "minimum_green_s": 5,
        "maximum_green_s": 60,
        "maximum_wait_s": 120,
        "crossing_m": crossing_m,
    }


@pytest.fixture
def walking_data() -> dict[str, Any]:
    """Return a sheet: road a crosses all; turning traffic t gives way to people on foot p and cyclists c beside it."""
    return {
        "junction": "zebra",
        "groups": [_group(name) for name in TIMES],
        "compatible": [["t", "p"], ["c", "p"], ["t", "c"]],
        "conflicts": [["a", "t"], ["a", "p"], ["a", "c"]],
        "yields": [["t", "p"], ["t", "c"]],
        "intergreens": [
            *(["a", name, 1] for name in "tpc"),
            ["t", "a", 1],
            ["p", "a", CLEARANCE_S],
            ["c", "a", 3],
        ],
        "lanes": [{"id": f"lane-{name}", "speed_mps": 5.5, "headway_s": 1.8, "storage_m": 80.0} for name in TIMES],
        "exits": [],
        "detectors": [{"id": "button", "position": "button", "distance_m": 0, "serves": [["lane-p", 1.0]]}],
        "local": {
            "offset_s": 0,
            "steps": [
                {"state": "Grrr", "duration_s": 20},
                {"state": "yrrr", "duration_s": 4},
                {"state": "rrrr", "duration_s": 1},
                {"state": "rgGG", "duration_s": 12},
                {"state": "rgrG", "duration_s": 3},
                {"state": "ryry", "duration_s": 2},
                {"state": "ryrr", "duration_s": 2},
                {"state": "rrrr", "duration_s": 1},
            ],
        },
        "notes": [],
    }


@pytest.fixture
def walking(walking_data: dict[str, Any]) -> Sheet:
    """Return the sheet read."""
    return read_sheet(walking_data)


def _showing(sheet: Sheet, text: str, since_s: int = 30) -> JunctionState:
    state = JunctionState.first_seen(sheet, SECOND - since_s, sheet.read_state(text))
    for second in range(SECOND - since_s + 1, SECOND + 1):
        state = state.observe(second, sheet.read_state(text))
    return state


def _ask(sheet: Sheet, *steps: tuple[int, str], authority: Authority = Authority.ADAPTIVE) -> SequenceRequest:
    return SequenceRequest(
        junction="zebra",
        steps=tuple(SequenceStep(offset, sheet.read_state(text)) for offset, text in steps),
        start_state=sheet.read_state("rgGG"),
        not_before_s=SECOND + 1,
        expires_s=SECOND + 60,
        issuer="test",
        authority=authority,
    )


def test_kinds_and_crossings_survive_json(walking: Sheet) -> None:
    """What is written as JSON is read back as the same sheet, kinds and crossings among it."""
    assert read_sheet(write_sheet(walking)) == walking


def _change(name: str, key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        next(one for one in data["groups"] if one["id"] == name)[key] = value

    return change


def _hurry(data: dict[str, Any]) -> None:
    data["intergreens"] = [["p", "a", CLEARANCE_S - 1] if row[:2] == ["p", "a"] else row for row in data["intergreens"]]


def _cars_beside(data: dict[str, Any]) -> None:
    next(one for one in data["lanes"] if one["id"] == "lane-p")["speed_mps"] = 13.9


@pytest.mark.parametrize(
    ("change", "pair"),
    [
        (_hurry, "p/a"),
        (_cars_beside, "p"),
        (_change("p", "crossing_m", 9.7), "p/a"),
        (_change("p", "yellow_s", 2), "p"),
        (_change("p", "crossing_m", 0.0), "p"),
        (_change("a", "crossing_m", 9.0), "a/c"),
        (_change("c", "yellow_s", 1), "c"),
        (_change("t", "yellow_s", 2), "t"),
        (_change("p", "kind", "cycle"), "p"),
    ],
)
def test_a_sheet_without_time_to_leave_is_refused(
    walking_data: dict[str, Any], change: Callable[[dict[str, Any]], None], pair: str
) -> None:
    """A clearance shorter than the walk, a yellow too short for its kind, or a crossing for vehicles is refused.

    So are cars that share the signal of people on foot and see no yellow there.
    """
    change(walking_data)
    with pytest.raises(InvalidArgument) as caught:
        read_sheet(walking_data)
    assert caught.value.metadata["pair"] == pair


def test_half_of_the_crossing_is_walked_in_green(walking_data: dict[str, Any]) -> None:
    """The minimum green of people on foot grows with their crossing."""
    group = next(one for one in walking_data["groups"] if one["id"] == "p")
    group["crossing_m"] = group["all_red_s"] = 14.4
    walking_data["intergreens"] = [
        ["p", "a", 12] if row[:2] == ["p", "a"] else row for row in walking_data["intergreens"]
    ]
    with pytest.raises(InvalidArgument, match="minimum green of p is under 6 s"):
        read_sheet(walking_data)


@pytest.mark.parametrize(
    ("steps", "reason", "groups"),
    [
        (((0, "ryry"), (2, "ryrr"), (4, "rrrr"), (8, "Grrr")), None, ()),
        (((0, "ryry"), (2, "ryrr"), (4, "rrrr"), (7, "Grrr")), RefusalReason.INTERGREEN, ("p", "a")),
        (((0, "rgyG"), (3, "rgrG")), RefusalReason.TRANSITION, ("p",)),
        (((0, "rgGy"), (1, "rgGr")), RefusalReason.YELLOW_LENGTH, ("c",)),
        (((0, "ryGy"), (2, "ryGr"), (4, "rrGr"), (5, "GrGr")), RefusalReason.CONFLICT, ("a", "p")),
        (((0, "rgGy"), (2, "rGGr")), RefusalReason.BOTH_PROTECTED, ("t", "p")),
        (((0, "rGgy"), (2, "rGgr")), RefusalReason.BOTH_PROTECTED, ("t", "p")),
        (((0, "rgry"), (2, "rgrr"), (7, "rGrr")), RefusalReason.BOTH_PROTECTED, ("t", "p")),
        (((0, "rgry"), (2, "rgrr"), (8, "rGrr")), None, ()),
    ],
)
@pytest.mark.parametrize("authority", [Authority.ADAPTIVE, Authority.PRIORITY, Authority.EMERGENCY])
def test_nobody_hurries_those_on_the_crossing(
    walking: Sheet,
    steps: tuple[tuple[int, str], ...],
    reason: RefusalReason | None,
    groups: tuple[str, ...],
    authority: Authority,
) -> None:
    """Clearances of people on foot and cyclists hold for everybody, emergencies among them."""
    verdict = judge(walking, _showing(walking, "rgGG"), _ask(walking, *steps, authority=authority))
    if reason is None:
        assert isinstance(verdict, Permitted), verdict
    else:
        assert isinstance(verdict, Refused)
        assert (verdict.reason, verdict.groups) == (reason, groups)


def test_vehicles_go_on_while_people_on_foot_leave(walking: Sheet) -> None:
    """Turning traffic beside the crossing ends as late as the road across needs it, not when the crossing turns red."""
    steps = way_to(walking, _showing(walking, "rgGG"), frozenset("a"), SECOND + 1)
    shown = [(step.offset_s, walking.state_text(step.aspects)) for step in steps]
    assert shown == [(0, "rgrG"), (3, "ryry"), (5, "ryrr"), (7, "rrrr"), (8, "Grrr")]


def test_vehicles_go_on_while_those_leave_whose_green_ended_before(walking: Sheet) -> None:
    """The road across waits for the crossing all the same, whenever that turned red."""
    state = _showing(walking, "rgGG").observe(SECOND + 1, walking.read_state("rgrG"))
    steps = way_to(walking, state, frozenset("a"), SECOND + 2)
    shown = [(step.offset_s, walking.state_text(step.aspects)) for step in steps]
    assert shown == [(0, "rgrG"), (2, "ryry"), (4, "ryrr"), (6, "rrrr"), (7, "Grrr")]


def test_turning_traffic_gives_way_until_the_crossing_is_clear(walking: Sheet) -> None:
    """Who may go beside a crossing that people are still on gives way to them."""
    state = _showing(walking, "rrGr").observe(SECOND + 1, walking.read_state("rrrr"))
    steps = way_to(walking, state, frozenset("t"), SECOND + 2)
    assert walking.state_text(steps[-1].aspects) == "rgrr"


@pytest.mark.parametrize(("cyclists", "kept"), [(8, True), (0, False)])
def test_a_group_of_cyclists_on_its_way_finds_green(walking: Sheet, *, cyclists: int, kept: bool) -> None:
    """Green is kept for cyclists who come in some seconds while a car waits; for nobody it is not."""
    controller = Controller(walking)
    state = _showing(walking, "rgGG")
    coming = [VehicleSeen(f"cyclist-{i}", "lane-c", 20.0 + 2.0 * i, 5.5, "c") for i in range(cyclists)]
    seen = {f"lane-{name}": list[VehicleSeen]() for name in TIMES}
    seen["lane-c"], seen["lane-a"] = coming, [VehicleSeen("car", "lane-a", 1.0, 0.0, "a")]
    called = controller.hear(SECOND, {}, state.aspects(), seen)
    decision = controller.decide(state.observe(SECOND, state.aspects(), called))
    assert isinstance(decision, Ask)
    asked = walking.state_text(decision.request.steps[-1].aspects)
    assert (asked[3] == "G", asked[0] == "G") == (kept, not kept)


def _faults(seconds: list[str]) -> list[str]:
    """Read a history second by second: what would hit somebody on foot or on a bicycle."""
    found = []
    for second in range(1, len(seconds)):
        road, turning, walkers, cyclists = tuple(seconds[second])
        for slow, clear_s, shown in ((2, CLEARANCE_S, walkers), (3, 3, cyclists)):
            recent = {seconds[before][slow] for before in range(max(0, second - clear_s), second)}
            if road in "Gg" and (shown != "r" or (seconds[second - 1][0] == "r" and recent != {"r"})):
                found.append(f"{second}: the road starts while somebody is on his way")
            if slow == 2 and turning == "G" and recent | {shown} != {"r"}:
                found.append(f"{second}: turning traffic need not give way")
        if cyclists == "r" and seconds[second - 1][3] == "y" and seconds[second - 2][3] != "y":
            found.append(f"{second}: cyclists had one second of yellow")
        if walkers == "r" and seconds[second - 1][2] == "G" and "r" in {one[2] for one in seconds[second - 5 : second]}:
            found.append(f"{second}: people on foot had less than five seconds")
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_way_from_stage_to_stage_lets_them_leave(walking: Sheet, data: st.DataObject) -> None:
    """Ways from stage to stage are permitted, and what else is leaves nobody in danger by a plain reading."""
    red: dict[str, Aspect] = dict.fromkeys(walking.group, Aspect.RED)
    state = JunctionState.first_seen(walking, 0, red)
    seconds = ["rrrr"]
    for stage in data.draw(st.lists(st.sampled_from(stages_of(walking)), min_size=2, max_size=8), label="stages"):
        begins_s = state.second_s + data.draw(st.integers(1, 3), label="begins in")
        steps = way_to(walking, state, stage, begins_s)
        bends = data.draw(st.lists(BEND, max_size=2), label="bends")
        for index, name, aspect in bends:
            step = steps[index % len(steps)]
            bent = SequenceStep(step.offset_s, {**step.aspects, name: aspect})
            steps = tuple(bent if one is step else one for one in steps)
        request = replace(
            _ask(walking, (0, "rrrr")),
            steps=steps,
            start_state=state.aspects(),
            not_before_s=begins_s,
            expires_s=begins_s + steps[-1].offset_s + 30,
        )
        verdict = judge(walking, state, request)
        assert bends or isinstance(verdict, Permitted), verdict
        if not isinstance(verdict, Permitted):
            continue
        state = record(state, verdict)
        for second in range(
            int(state.second_s) + 1, int(request.ends_s) + data.draw(st.integers(0, 8), label="held") + 1
        ):
            due = [step for step in steps if begins_s + step.offset_s <= second]
            state = state.observe(second, due[-1].aspects if due else state.aspects())
            seconds.append(walking.state_text(state.aspects()))
    assert _faults(seconds) == []

"""Random requests through the kernel: what it permits never breaks a rule, by a slow and plain reading of each second."""

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import (
    IssuerLevel,
    Permitted,
    SequenceRequest,
    SequenceStep,
    judge,
    record,
)
from maasloop.actuation.domain.signals.sequence import way_to
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.stages import stages_of
from maasloop.actuation.domain.signals.state import JunctionState

History = list[dict[str, str]]
STEADY: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def breaches(data: dict[str, Any], seconds: History) -> list[str]:
    """Read a history second by second and say what is wrong; nothing before its first second is judged."""
    allowed = {frozenset(pair) for pair in data["compatible"]}
    cleared = {(row[0], row[1]): row[2] for row in data["intergreens"]}
    found: list[str] = []
    names = [group["id"] for group in data["groups"]]
    for second, shown in enumerate(seconds):
        for one in names:
            for other in names:
                if one < other and frozenset((one, other)) not in allowed and "r" not in (shown[one], shown[other]):
                    found.append(f"{second}: {one} and {other} are both not red")
                started = second > 0 and shown[one] in "Gg" and seconds[second - 1][one] == "r"
                if one != other and started and frozenset((one, other)) not in allowed:
                    due = cleared.get((other, one), 2)
                    if any(seconds[before][other] != "r" for before in range(max(0, second - due), second)):
                        found.append(f"{second}: {one} starts less than {due} s after {other}")
        for minor, major in data["yields"]:
            if shown[minor] == "G" and shown[major] == "G":
                found.append(f"{second}: {minor} and {major} are both protected")
    for name in names:
        found.extend(_runs(name, ["green" if one[name] in "Gg" else one[name] for one in seconds]))
    return found


def _runs(name: str, shown: list[str]) -> list[str]:
    found: list[str] = []
    runs: list[list[Any]] = []
    for one in shown:
        if runs and runs[-1][0] == one:
            runs[-1][1] += 1
        else:
            runs.append([one, 1])
    for (was, lasted), (now, _) in pairwise(runs[1:]):
        if was == "green" and (lasted < 5 or now != "y"):
            found.append(f"{name}: green for {lasted} s, then {now}")
        if was == "y" and (lasted < 4 or now != "r"):
            found.append(f"{name}: yellow for {lasted} s, then {now}")
        if was == "r" and now == "y":
            found.append(f"{name}: yellow out of red")
    return found


class Street:
    """A junction that plays what is permitted, and remembers every second of it."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        red: dict[str, Aspect] = dict.fromkeys(sheet.group, Aspect.RED)
        self.state = JunctionState.first_seen(sheet, 0, red)
        self.seconds: History = [dict.fromkeys(sheet.group, "r")]
        self.wait(10, red)

    def wait(self, seconds: int, aspects: dict[str, Aspect]) -> None:
        """Show the same for some seconds."""
        for _ in range(seconds):
            self.state = self.state.observe(self.state.second_s + 1, aspects)
            self.seconds.append({name: aspect.value for name, aspect in aspects.items()})

    def play(self, permitted: Permitted, hold_s: int) -> None:
        """Play a permitted sequence to its end and hold it."""
        request = permitted.request
        self.state = record(self.state, permitted)
        while self.state.second_s + 1 < request.not_before_s:
            self.wait(1, self.state.aspects())
        ends = [step.offset_s for step in request.steps[1:]] + [request.steps[-1].offset_s + hold_s]
        for step, until in zip(request.steps, ends, strict=True):
            self.wait(int(until - step.offset_s), dict(step.aspects))


def draw_request(data: st.DataObject, street: Street) -> SequenceRequest:
    """Draw a request: a sound one, a sound one bent a little, or anything at all."""
    stages = stages_of(street.sheet)
    not_before_s = street.state.second_s + data.draw(st.integers(1, 3), label="begins in")
    kind = data.draw(st.sampled_from(("sound", "bent", "wild")), label="kind")
    steps = way_to(street.sheet, street.state, data.draw(st.sampled_from(stages), label="stage"), not_before_s)
    if kind == "bent":
        steps = tuple(_bent(data, step, index) for index, step in enumerate(steps))
    elif kind == "wild":
        count = data.draw(st.integers(1, 4), label="steps")
        steps = tuple(_bent(data, SequenceStep(index * 4, street.state.aspects()), index) for index in range(count))
    return SequenceRequest(
        junction="crossing",
        steps=steps,
        start_state=street.state.aspects(),
        not_before_s=not_before_s,
        expires_s=not_before_s + steps[-1].offset_s + 30,
        issuer="test",
        level=IssuerLevel.ADAPTIVE,
    )


def _bent(data: st.DataObject, step: SequenceStep, index: int) -> SequenceStep:
    aspects = dict(step.aspects)
    for name in data.draw(st.lists(st.sampled_from(sorted(aspects)), max_size=2), label="bent"):
        aspects[name] = data.draw(st.sampled_from((Aspect.RED, Aspect.YELLOW, Aspect.GREEN, Aspect.YIELDING)))
    offset_s = 0 if index == 0 else max(index, step.offset_s + data.draw(st.integers(-2, 2), label="shift"))
    return SequenceStep(offset_s, aspects)


@settings(max_examples=300, **STEADY)
@given(data=st.data())
def test_what_is_permitted_breaks_no_rule(sheet: Sheet, sheet_data: dict[str, Any], data: st.DataObject) -> None:
    """However requests are drawn, the seconds that the kernel lets through are in order."""
    street = Street(sheet)
    for _ in range(data.draw(st.integers(1, 6), label="requests")):
        verdict = judge(sheet, street.state, draw_request(data, street))
        if isinstance(verdict, Permitted):
            street.play(verdict, data.draw(st.integers(1, 8), label="held"))
        else:
            street.wait(data.draw(st.integers(1, 4), label="waited"), street.state.aspects())
    assert breaches(sheet_data, street.seconds) == []


@settings(max_examples=200, **STEADY)
@given(data=st.data())
def test_the_way_to_a_stage_is_permitted(sheet: Sheet, sheet_data: dict[str, Any], data: st.DataObject) -> None:
    """What the builder of sequences makes passes the kernel: the property above is not empty."""
    street = Street(sheet)
    stages = stages_of(sheet)
    for stage in data.draw(st.lists(st.sampled_from(stages), min_size=2, max_size=6), label="stages"):
        not_before_s = street.state.second_s + 1
        steps = way_to(sheet, street.state, stage, not_before_s)
        expires_s = not_before_s + steps[-1].offset_s + 20
        request = SequenceRequest(
            "crossing", steps, street.state.aspects(), not_before_s, expires_s, "test", IssuerLevel.ADAPTIVE
        )
        verdict = judge(sheet, street.state, request)
        assert isinstance(verdict, Permitted), verdict
        street.play(verdict, data.draw(st.integers(1, 8), label="held"))
        assert {name for name, group in street.state.groups.items() if group.green} == stage
    assert breaches(sheet_data, street.seconds) == []


@settings(max_examples=100, **STEADY)
@given(data=st.data())
def test_without_the_kernel_rules_are_broken(sheet: Sheet, sheet_data: dict[str, Any], data: st.DataObject) -> None:
    """The same plain reading finds fault with a green that starts at once beside one that it conflicts with."""
    street = Street(sheet)
    street.wait(data.draw(st.integers(1, 10), label="green"), {**street.state.aspects(), "a": Aspect.GREEN})
    foe = data.draw(st.sampled_from(("c", "e")), label="foe")
    street.wait(3, {**street.state.aspects(), foe: Aspect.GREEN})
    assert breaches(sheet_data, street.seconds)

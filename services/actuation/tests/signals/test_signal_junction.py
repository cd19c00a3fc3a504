"""A junction at work: what it makes of loops, of persons' requests, and of its own beginning anew."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.facts import Capability, Device
from maasloop.actuation.domain.issuing import Request, issue
from maasloop.actuation.domain.junction import Junction
from maasloop.actuation.domain.reading import SECOND_US, Reading
from maasloop.actuation.domain.setpoint import LocalControl, SignalSequence
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import SequenceStep
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading

BEGIN = 1_000
LOOP = "loop-c-stop-line"
ALL_RED = dict.fromkeys("abcde", Aspect.RED)
A_GREEN = ALL_RED | {"a": Aspect.GREEN}
A_YELLOW = ALL_RED | {"a": Aspect.YELLOW}
HALF_US = SECOND_US // 2


@pytest.fixture
def district(sheet: Sheet) -> District:
    """Return a district whose crossing shows red everywhere since a while."""
    district = District("noord")
    _put(district, sheet)
    junction = district.junction("crossing")
    assert junction is not None
    for second in range(BEGIN, BEGIN + 20):
        junction.hear(Reading("crossing", "signal-state", second * SECOND_US, state="rrrrr"))
        junction.decide(second)
    return district


def _put(district: District, sheet: Sheet) -> None:
    district.facts.put(Device("crossing", "signal-controller", (), active=True, sheet=sheet))


def _heard(junction: Junction) -> list[Mapping[str, LoopReading]]:
    """Return what the controller of the junction hears from here on."""
    found: list[Mapping[str, LoopReading]] = []
    hear = junction.controller.perception.hear

    def kept(
        second_s: float,
        readings: Mapping[str, LoopReading],
        aspects: Mapping[str, Aspect],
        seen: object = None,
        heard: object = None,
    ) -> None:
        found.append(readings)
        hear(second_s, readings, aspects)

    junction.controller.perception.hear = kept  # type: ignore[method-assign]  # the test listens in
    return found


def _ask(district: District, second: int, *steps: SequenceStep, expire_us: int = 0) -> Command:
    request = Request(
        device="crossing",
        setpoint=SignalSequence(steps, ALL_RED),
        authority=Authority.OPERATOR,
        issuer="callers/unidentified",
        cause="test",
        seed=f"{second}",
        expire_us=expire_us,
    )
    batch = issue(district, frozenset({Capability.SIGNAL_SEQUENCE}), request, Moment(second * SECOND_US, 0))
    return batch.commands[-1]


def _release(district: District, second: int) -> None:
    request = Request(
        device="crossing",
        setpoint=LocalControl(),
        authority=Authority.OPERATOR,
        issuer="callers/unidentified",
        cause="test",
        seed="release",
    )
    issue(district, frozenset({Capability.SIGNAL_SEQUENCE}), request, Moment(second * SECOND_US, 0))


def test_a_wall_clock_hears_what_came_after_its_last_look(district: District) -> None:
    """A second that has just begun has no readings yet: those of the second before count, each of them once."""
    junction = district.junctions["crossing"]
    heard = _heard(junction)
    for second in range(BEGIN + 20, BEGIN + 25):
        junction.decide(second)
        for _ in range(2):
            # A message that the broker delivers twice counts once.
            junction.hear(Reading("crossing", "signal-state", second * SECOND_US + HALF_US, state="rrrrr"))
            junction.hear(Reading(LOOP, "vehicle-count", second * SECOND_US + HALF_US, 1.0))
            junction.hear(Reading(LOOP, "occupancy", second * SECOND_US + HALF_US, 0.5))

    assert heard == [{}, *[{LOOP: LoopReading(1.0, 0.5)}] * 4]


def test_a_junction_that_is_not_heard_of_tells_the_others_nothing(sheet_data: dict[str, Any]) -> None:
    """What it said last would hold them back for as long as its link is away."""
    data = copy.deepcopy(sheet_data)
    data["detectors"][-1]["distance_m"] = 7.0
    district = District("noord")
    _put(district, read_sheet(data))
    junction = district.junction("crossing")
    assert junction is not None
    junction.hear(Reading("crossing", "signal-state", BEGIN * SECOND_US, state="Grrrr"))
    junction.decide(BEGIN)
    assert junction.says(BEGIN).sending == {"out"}

    junction.decide(BEGIN + 10)
    assert not junction.says(BEGIN + 10)


def test_a_loop_that_comes_late_counts_once_and_an_old_one_not(district: District) -> None:
    """What was missing at a decision is heard with the next one, what it heard already is not, nor what is long over."""
    junction = district.junctions["crossing"]
    heard = _heard(junction)
    second = BEGIN + 20
    junction.hear(Reading(LOOP, "vehicle-count", second * SECOND_US, 2.0))
    junction.decide(second)
    junction.hear(Reading(LOOP, "vehicle-count", second * SECOND_US, 2.0))
    junction.hear(Reading("loop-a-stop-line", "vehicle-count", second * SECOND_US, 1.0))
    junction.hear(Reading("loop-b-stop-line", "vehicle-count", (second - 10) * SECOND_US, 1.0))
    junction.hear(Reading("crossing", "signal-state", (second + 1) * SECOND_US, state="rrrrr"))
    junction.decide(second + 1)

    assert heard == [{LOOP: LoopReading(2.0, 0.0)}, {"loop-a-stop-line": LoopReading(1.0, 0.0)}]


def test_a_sequence_without_an_expiry_lasts_as_long_as_the_kernel_permits(district: District) -> None:
    """Who names no expiry is not refused for one: it is as late as the rules of the junction leave room for."""
    junction = district.junctions["crossing"]
    for second in range(BEGIN + 20, BEGIN + 23):
        junction.hear(Reading("loop-c-stop-line", "occupancy", second * SECOND_US, 1.0))
        junction.hear(Reading("crossing", "signal-state", second * SECOND_US, state="rrrrr"))
        junction.decide(second)
    command = _ask(district, BEGIN + 22, SequenceStep(0, A_GREEN))

    assert (command.state, command.reason) == (State.ACCEPTED, "")
    # Somebody waits for c, so that maximum green holds from the first second on.
    assert command.expire_us == (BEGIN + 23 + 60) * SECOND_US


def test_a_malformed_sequence_without_an_expiry_is_refused_for_its_form(district: District) -> None:
    """A step that leaves a group out is refused for that, with or without an expiry."""
    command = _ask(district, BEGIN + 19, SequenceStep(0, {"a": Aspect.GREEN}))

    assert (command.state, command.reason) == (State.REFUSED, "SIGNAL_GROUP_UNKNOWN")


@pytest.mark.parametrize("change", ["sheet", "release"])
def test_a_sequence_is_played_to_its_end_whatever_changes(district: District, sheet: Sheet, change: str) -> None:
    """A data sheet that is written anew, or a release, does not make a junction forget what the field still plays."""
    second = BEGIN + 19
    steps = (SequenceStep(0, A_GREEN), SequenceStep(20, A_YELLOW), SequenceStep(24, ALL_RED))
    assert _ask(district, second, *steps).state is State.ACCEPTED
    if change == "sheet":
        _put(district, Sheet(**{name: getattr(sheet, name) for name in Sheet.__dataclass_fields__}))
    else:
        _release(district, second)
    junction = district.junction("crossing")
    assert junction is not None
    for later in range(second + 1, second + 5):
        junction.hear(Reading("crossing", "signal-state", later * SECOND_US, state="Grrrr"))
        junction.decide(later)
    request = Request(
        device="crossing",
        setpoint=SignalSequence((SequenceStep(0, A_GREEN),), A_GREEN),
        authority=Authority.EMERGENCY,
        issuer="callers/unidentified",
        cause="test",
        seed="another",
    )
    moment = Moment((second + 4) * SECOND_US, 0)
    refused = issue(district, frozenset({Capability.SIGNAL_SEQUENCE}), request, moment).commands[-1]

    assert refused.state is State.REFUSED
    assert "played to its end" in refused.detail

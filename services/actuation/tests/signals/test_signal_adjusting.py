"""A site that runs its own plan is told the controller's wishes as a plan with bands, and as inputs."""

from collections.abc import Callable
from typing import Any

import pytest

from maasloop.actuation.adapters.conditions import CelConditions
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import State, settled
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.evaluation import Evaluation
from maasloop.actuation.domain.facts import Capability, Device
from maasloop.actuation.domain.failing import failed
from maasloop.actuation.domain.plans.setpoints import ForcedState, InputSetting, InputSettings, SignalPlan
from maasloop.actuation.domain.plans.sheet import read_controls
from maasloop.actuation.domain.reading import SECOND_US, Reading
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.handlers.decide_second import DecideSecond
from maasloop.core.reasons import Reason

BEGIN = 1_000
STAGES = ("GGrgr", "rrGrr", "rGrrr")
CONTROLS = {
    "plans": [{"id": 1}, {"id": 2, "bands": [[1, 55], [2, 55], [3, 55]]}],
    "inputs": [1, 2, 3, 4, 5, 6],
    "adjustment_interval_s": 1,
}


@pytest.fixture
def site(sheet_data: dict[str, Any]) -> Sheet:
    """Return the sheet of a crossing whose site has a plan with bands and inputs."""
    stages = [
        {
            "state": state,
            "green_s": 5,
            "band_s": 10,
            "band_max_s": 55,
            "call_input": 2 * number - 1,
            "hold_input": 2 * number,
        }
        for number, state in enumerate(STAGES, start=1)
    ]
    plan = {"plan": 2, "stages": stages, "cycle_max_s": 100, "dead_man_s": 60, "interval_s": 1}
    return read_sheet({**sheet_data, "bands": plan})


class Street:
    """A crossing in its first stage, at which vehicles stand across."""

    def __init__(self, sheet: Sheet, controls: dict[str, Any]) -> None:
        self.city = City(capabilities={"rsmp-controller": frozenset({Capability.SIGNAL_PLAN})})
        self.district = self.city.district("noord")
        device = Device("crossing", "rsmp-controller", (), active=True, sheet=sheet, controls=read_controls(controls))
        self.district.facts.put(device)
        self.decide = DecideSecond(self.city, Evaluation(self.city, CelConditions()))
        self.second = BEGIN

    def live(self, seconds: int, *, plan: str = "2", across: float = 1.0) -> list[Batch]:
        """Let seconds pass; return what was decided in each."""
        return [self._second(plan, across) for _ in range(seconds)]

    def _second(self, plan: str, across: float) -> Batch:
        self.second += 1
        time_us = self.second * SECOND_US
        junction = self.district.junction("crossing")
        assert junction is not None
        junction.hear(Reading("crossing", "signal-state", time_us, state=STAGES[0]))
        if plan:
            junction.hear(Reading("crossing", "signal-plan", time_us, state=plan))
        for detector in junction.sheet.detectors:
            covered = across if detector.id == "loop-c-stop-line" else 0.0
            junction.hear(Reading(detector.id, "occupancy", time_us, covered))
        batch = Batch()
        self.decide.control_signals(self.district, self.second, Moment(time_us, time_us), batch)
        return batch


@pytest.fixture
def street(site: Sheet) -> Street:
    """Return the crossing."""
    return Street(site, CONTROLS)


def commands(batches: list[Batch]) -> list[tuple[State, object]]:
    """Return what was asked for in order: states and setpoints; that the one before gave way is left out."""
    found = [(one.state, one.setpoint) for batch in batches for one in batch.commands]
    return [(state, setpoint) for state, setpoint in found if state is not State.SUPERSEDED]


def test_a_wish_becomes_a_plan_and_inputs(street: Street) -> None:
    """The stage that serves nobody is not held, the one across is called, and all its bands are told."""
    found = commands(street.live(8))

    assert [state for state, _ in found] == [State.ACCEPTED, State.ACCEPTED]
    plan, inputs = (setpoint for _, setpoint in found)
    assert isinstance(plan, SignalPlan)
    assert (plan.plan, [each.band for each in plan.bands]) == (2, [1, 2, 3])
    assert isinstance(inputs, InputSettings)
    assert InputSetting(2, ForcedState.FORCED_OFF) in inputs.settings
    assert InputSetting(3, ForcedState.FORCED_ON) in inputs.settings
    assert InputSetting(5, ForcedState.FORCED_OFF) in inputs.settings


def test_the_reason_is_told(street: Street) -> None:
    """Each second says what was decided, which stages were compared, and which shall come."""
    told = [one for batch in street.live(8) for one in batch.signal_decisions]

    asked = next(one for one in told if one.decision == "plan")
    assert asked.chosen == ("c",)
    assert len(asked.stages) == len(STAGES)
    assert told[0].decision == "hold"
    assert told[0].detail


def test_inputs_are_ordered_again_before_they_expire(street: Street) -> None:
    """What stands is ordered anew when half of its time is over, all of it; between nothing is."""
    found = [(street.second, commands(street.live(1))) for _ in range(45)]
    sent = [second for second, some in found if some]

    assert [second - sent[0] for second in sent] == [0, 30]
    first, second = (dict(found)[one] for one in sent)
    assert first[1] == second[1]


def test_nothing_is_asked_of_a_site_that_does_not_tell_its_plan(street: Street) -> None:
    """Without its plan nobody knows what bands would do."""
    assert commands(street.live(20, plan="")) == []


def test_what_failed_is_asked_for_anew(street: Street) -> None:
    """A plan that the site did not take is sent again, with every input."""
    first = street.live(8)
    plan = next(one for batch in first for one in batch.commands if isinstance(one.setpoint, SignalPlan))
    ended = settled(plan, State.FAILED, Reason.DEVICE_SILENT, "no link", wall_us=0)
    assert ended is not None
    failed(street.district, ended, Moment(street.second * SECOND_US, 0))

    again = commands(street.live(2))
    assert [type(setpoint) for _, setpoint in again] == [SignalPlan, InputSettings]
    assert again[1][1] == commands(first)[1][1]


@pytest.mark.parametrize(
    "change",
    [
        lambda controls: controls | {"inputs": []},
        lambda controls: controls | {"plans": [{"id": 1}]},
    ],
)
def test_what_the_controls_do_not_allow_is_refused(
    site: Sheet, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """The kernel of orders has the last word; the decision says why nothing came of it."""
    batches = Street(site, change(CONTROLS)).live(8)

    assert State.REFUSED in [state for state, _ in commands(batches)]
    assert batches[-1].signal_decisions[0].decision == "hold"


def test_a_site_that_leaves_nothing_open_is_left_to_its_plan(sheet: Sheet) -> None:
    """A controller that runs plans and offers none to work with is asked for nothing, least of all for sequences."""
    batches = Street(sheet, CONTROLS).live(20)

    assert commands(batches) == []
    assert "nothing open" in batches[-1].signal_decisions[0].detail


def test_others_keep_their_sequences(sheet: Sheet) -> None:
    """A controller without such controls is asked for sequences as before."""
    district = District("noord")
    district.facts.put(Device("crossing", "signal-controller", (), active=True, sheet=sheet))
    junction = district.junction("crossing")
    assert junction is not None
    assert junction.adjusting is None
    assert not junction.by_plan

"""A plain published max-pressure (Varaiya 2013) as a baseline, ours: fixed slots, the network's own stages, no more.

The pressure of a stage is the sum over its green groups of the vehicles that want them less those on their exits.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.aspects import GREENS, Aspect, Aspects
from maasloop.actuation.domain.signals.controller import Ask, Decision, Hold
from maasloop.actuation.domain.signals.kernel import SequenceRequest, expiry_latest_s
from maasloop.actuation.domain.signals.sequence import way_to
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.stages import local_stages
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen, waiting_groups
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading
from maasloop.actuation.domain.signals.traffic.neighbourhood import NOTHING_HEARD, Hears, Says

SLOT_S = 10
HOLD_S = 40.0
MARGIN_S = 13.0


class MaxPressure:
    """The controller of one junction; ``on_exit`` counts the vehicles on an exit."""

    def __init__(self, sheet: Sheet, on_exit: Callable[[str], int]) -> None:
        """Take the stages of the network's own programme."""
        self._sheet = sheet
        self._on_exit = on_exit
        self._stages = tuple(dict.fromkeys(local_stages(sheet)))
        self._wanted: Counter[str] = Counter()
        self._next_s = 0.0

    @property
    def says(self) -> Says:
        """Return nothing: it tells nobody anything."""
        return Says()

    def hear(
        self,
        second_s: float,
        readings: Mapping[str, LoopReading],
        aspects: Aspects,
        seen: Mapping[str, Sequence[VehicleSeen]] | None = None,
        heard: Hears = NOTHING_HEARD,
    ) -> frozenset[str]:
        """Count who wants which group."""
        vehicles = [one for lane in (seen or {}).values() for one in lane]
        self._wanted = Counter(one.group for one in vehicles if one.group is not None)
        return frozenset(name for name in waiting_groups(vehicles) if aspects[name] not in GREENS)

    def decide(self, state: JunctionState) -> Decision:
        """Choose the stage of the highest pressure once a slot."""
        not_before_s = state.second_s + 1
        running = state.busy_until_s > not_before_s
        if running or state.second_s < self._next_s or any(g.aspect is Aspect.YELLOW for g in state.groups.values()):
            return Hold("not due")
        for stage in sorted(self._stages, key=self._pressure, reverse=True):
            steps = way_to(self._sheet, state, stage, not_before_s)
            ends_s = not_before_s + steps[-1].offset_s
            latest_s = expiry_latest_s(self._sheet, state, steps, not_before_s)
            if latest_s < ends_s + MARGIN_S:
                continue
            self._next_s = ends_s + SLOT_S
            expires_s = min(latest_s, ends_s + HOLD_S)
            aspects, junction = state.aspects(), self._sheet.junction
            request = SequenceRequest(
                junction, steps, aspects, not_before_s, expires_s, "max-pressure", Authority.ADAPTIVE
            )
            return Ask(request, "pressure")
        return Hold("nothing may be asked for")

    def _pressure(self, stage: frozenset[str]) -> float:
        pressure = 0.0
        for name in sorted(stage):
            exits = self._sheet.group[name].exits
            behind = sum(self._on_exit(one) for one in exits) / len(exits) if exits else 0.0
            pressure += self._wanted[name] - behind
        return pressure

"""One junction at work: its controller, what its loops and signals said, and what it was asked for."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .adjusting import SIGNAL_PLAN, Adjusting
from .authority import Authority
from .plans.setpoints import ControllerOrder
from .reading import Reading
from .signals.bands import BandsDecision
from .signals.bands_kernel import BandsRequest, RefusedBands
from .signals.controller import Controller, Decision, Hold
from .signals.kernel import (
    EXPIRY_MAX_S,
    Permitted,
    SequenceRequest,
    SequenceStep,
    Verdict,
    expiry_latest_s,
    forget,
    judge,
    record,
)
from .signals.prediction import Change, Predictor
from .signals.sheet import Sheet
from .signals.state import JunctionState, Lease
from .signals.traffic.estimate import LoopReading
from .signals.traffic.links import Link, LinkMeter
from .signals.traffic.neighbourhood import NOTHING_HEARD, Hears, Says
from .verification import SIGNAL_STATE

VEHICLE_COUNT = "vehicle-count"
OCCUPANCY = "occupancy"
LOOPS = (VEHICLE_COUNT, OCCUPANCY)
STATE_AGE_MAX_S = 2
"""An older signal state, or reading of a loop, says nothing about now."""
SECONDS_KEPT_MAX = 16


@dataclass(slots=True)
class Junction:
    """What is known of one junction between two seconds."""

    sheet: Sheet
    controller: Controller
    predictor: Predictor
    meter: LinkMeter
    state: JunctionState | None = None
    by_plan: bool = False
    """The site runs its own plan, and takes no sequences."""
    adjusting: Adjusting | None = None
    """The second hand, where such a site leaves anything open."""
    running: SequenceRequest | None = None
    """The sequence that was permitted last, until the field gave it up."""
    restored: tuple[float, Lease | None] | None = None
    """When a sequence that was commanded before a restart ends, and its lease."""
    _loops: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    """Second to loop to what it counted and how long it was covered, until a decision took it."""
    _taken: dict[str, int] = field(default_factory=dict)
    """Loop to the last second of it that a decision took."""
    _shown: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, sheet: Sheet, issuer: str, *, by_plan: bool = False) -> "Junction":
        """Begin with nothing known."""
        controller = Controller(sheet, issuer=issuer)
        adjusting = Adjusting.of(controller) if by_plan else None
        return cls(sheet, controller, Predictor(sheet), LinkMeter(sheet), by_plan=by_plan, adjusting=adjusting)

    def successor(self, sheet: Sheet, *, by_plan: bool = False) -> "Junction":
        """Begin anew with a data sheet; what the field plays, and who holds it, outlives that."""
        state = self.state
        restored = self.restored if state is None else (state.busy_until_s, state.lease)
        after = replace(Junction.of(sheet, self.controller.issuer, by_plan=by_plan), restored=restored)
        if after.adjusting is not None and self.adjusting is not None:
            after.adjusting.plan = self.adjusting.plan
        return after

    def hear(self, reading: Reading) -> None:
        """Keep a reading for the decision about its second."""
        second = reading.second
        if reading.observed_property == SIGNAL_STATE:
            self._shown[second] = reading.state
        elif reading.observed_property == SIGNAL_PLAN and self.adjusting is not None:
            self.adjusting.hear(reading)
        elif reading.observed_property in LOOPS and second > self._taken.get(reading.device, -1):
            seen = self._loops.setdefault(second, {}).setdefault(reading.device, [0.0, 0.0])
            seen[0 if reading.observed_property == VEHICLE_COUNT else 1] = reading.value
        for kept in (self._shown, self._loops):
            while len(kept) > SECONDS_KEPT_MAX:
                del kept[min(kept)]

    def decide(self, second: int, heard: Hears = NOTHING_HEARD) -> Decision | BandsDecision:
        """Observe a second and decide what to ask for from the next one on; ``heard`` is what other junctions said."""
        shown = self._shown_at(second)
        loops = self._take_loops(second)
        if shown is None:
            return Hold("no signal state was heard")
        try:
            aspects = self.sheet.read_state(shown)
        except ValueError:
            return Hold(f"the signal state {shown[:80]!r} is none of this junction")
        if self.state is None:
            self.state = self._first_seen(second, shown)
        called = self.controller.hear(second, loops, aspects, heard=heard)
        self.state = self.state.observe(second, aspects, called)
        self.predictor.hear(self.state)
        self.meter.hear(self.controller.perception.lanes)
        if self.by_plan:
            left = Hold("the site leaves nothing open to decide")
            return left if self.adjusting is None else self.adjusting.decide(self.state)
        if self.state.busy_until_s > second:
            # Its last step must be seen before another one follows, or it could never be verified.
            return Hold("a sequence is running")
        return self.controller.decide(self.state)

    def says(self, second: int) -> Says:
        """Return what the other junctions are told in a second; nothing where this one heard no signal state in it."""
        return self.controller.says if self.state is not None and self.state.second_s == second else Says()

    def links(self) -> list[Link]:
        """Return queue and travel time of each lane; nothing where the signals were never heard."""
        return [] if self.state is None else self.meter.links(self.controller.perception.lanes)

    def predict(self, second: int, *, local: bool) -> Mapping[str, Change]:
        """Return the next change of each group after the decision on a second; nothing where none was observed.

        ``local`` = nobody is going to interrupt the local programme.
        """
        if self.state is None or self.state.second_s != second:
            return {}
        if self.by_plan and not local:
            # A plan with bands is as long as it is told to be from cycle to cycle.
            return self.predictor.predict(self.state, self.running, local_until_s=None)
        return self.predictor.predict(self.state, self.running, local_until_s=math.inf if local else -math.inf)

    def judge(self, request: SequenceRequest) -> Verdict | None:
        """Ask the kernel; nothing is known of a junction whose signals were never heard."""
        return None if self.state is None else judge(self.sheet, self.state, request)

    def expiry_latest_s(self, steps: tuple[SequenceStep, ...], not_before_s: float) -> float:
        """Return the last expiry that the kernel would permit; any where the request has other faults."""
        whole = all(step.aspects.keys() == self.sheet.group.keys() for step in steps)
        if self.state is None or not steps or not whole:
            return not_before_s + EXPIRY_MAX_S
        latest_s = expiry_latest_s(self.sheet, self.state, steps, not_before_s)
        ends_s = not_before_s + steps[-1].offset_s
        # Where nothing is left to the steps, the kernel shall say why.
        return latest_s if latest_s > ends_s else self.state.second_s + EXPIRY_MAX_S

    def take(self, permitted: Permitted) -> None:
        """Remember that a sequence was sent."""
        if self.state is not None:
            self.state = record(self.state, permitted)
            self.running = permitted.request

    def orders(self, request: BandsRequest) -> list[ControllerOrder] | RefusedBands:
        """Ask the kernel, and return what the site has to be told, or why it may not be; nothing to a site unheard of."""
        if self.state is None or self.adjusting is None:
            return []
        refusal = self.adjusting.judge(self.state, request)
        return self.adjusting.orders(request) if refusal is None else refusal

    def adjust(self, request: BandsRequest) -> None:
        """Remember that bands and inputs were ordered."""
        if self.state is not None and self.adjusting is not None:
            self.state = self.adjusting.take(self.state, request)

    def restore(self, ends_s: float, issuer: str, authority: Authority, until_s: float) -> None:
        """Know of a sequence that was commanded before a restart."""
        self.restored = (ends_s, Lease(issuer, authority, until_s))

    def not_taken(self) -> None:
        """Remember that the field plays its local programme."""
        self.restored = self.running = None
        if self.adjusting is not None:
            self.adjusting.not_taken()
        if self.state is not None:
            self.state = forget(self.state)

    def let_go(self) -> None:
        """Remember that nobody holds the field any more; what it plays it plays to its end."""
        if self.restored is not None:
            self.restored = (self.restored[0], None)
        if self.state is not None:
            self.state = replace(self.state, lease=None)

    def _take_loops(self, second: int) -> dict[str, LoopReading]:
        """Return what the loops told since the last decision: on a wall clock that is mostly the second before."""
        taken: dict[str, LoopReading] = {}
        for one in sorted(one for one in self._loops if one <= second):
            for name, (count, occupancy) in self._loops.pop(one).items():
                self._taken[name] = one
                if one >= second - STATE_AGE_MAX_S:
                    before = taken.get(name)
                    taken[name] = LoopReading(count + (before.count if before else 0.0), occupancy)
        return taken

    def _first_seen(self, second: int, shown: str) -> JunctionState:
        state = JunctionState.first_seen(self.sheet, second, self.sheet.read_state(shown))
        if self.restored is None:
            return state
        busy_until_s, lease = self.restored
        return replace(state, busy_until_s=busy_until_s, lease=lease)

    def _shown_at(self, second: int) -> str | None:
        recent: Iterable[int] = range(second, second - STATE_AGE_MAX_S - 1, -1)
        return next((self._shown[one] for one in recent if one in self._shown), None)

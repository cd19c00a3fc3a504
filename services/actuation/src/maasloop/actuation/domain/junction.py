"""One junction at work: its controller, what its loops and signals said, and what it was asked for."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .reading import Reading
from .signals.controller import Controller, Decision, Hold, Parameters
from .signals.estimate import LoopReading
from .signals.kernel import Permitted, SequenceRequest, Verdict, forget, judge, record
from .signals.sheet import Sheet
from .signals.state import JunctionState, Lease
from .verification import SIGNAL_STATE

HOLD_S = 30.0
"""A sequence's last step is held for at most this long after its end; then the field is on its local programme."""
VEHICLE_COUNT = "vehicle-count"
OCCUPANCY = "occupancy"
STATE_AGE_MAX_S = 2
"""An older signal state says nothing about now."""
SECONDS_KEPT_MAX = 16


@dataclass(slots=True)
class Junction:
    """What is known of one junction between two seconds."""

    sheet: Sheet
    controller: Controller
    state: JunctionState | None = None
    restored: tuple[float, Lease] | None = None
    """When a sequence that was commanded before a restart ends, and its lease."""
    _loops: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    _shown: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, sheet: Sheet, issuer: str) -> "Junction":
        """Begin with nothing known."""
        return cls(sheet, Controller(sheet, Parameters(hold_s=HOLD_S), issuer))

    def hear(self, reading: Reading) -> None:
        """Keep a reading for the decision about its second."""
        second = reading.second
        if reading.observed_property == SIGNAL_STATE:
            self._shown[second] = reading.state
        elif reading.observed_property == VEHICLE_COUNT:
            self._loops.setdefault(second, {}).setdefault(reading.device, [0.0, 0.0])[0] = reading.value
        elif reading.observed_property == OCCUPANCY:
            self._loops.setdefault(second, {}).setdefault(reading.device, [0.0, 0.0])[1] = reading.value
        for kept in (self._shown, self._loops):
            while len(kept) > SECONDS_KEPT_MAX:
                del kept[min(kept)]

    def decide(self, second: int) -> Decision:
        """Observe a second and decide what to ask for from the next one on."""
        shown = self._shown_at(second)
        loops = {name: LoopReading(*values) for name, values in self._loops.get(second, {}).items()}
        if shown is None:
            return Hold("no signal state was heard")
        try:
            aspects = self.sheet.read_state(shown)
        except ValueError:
            return Hold(f"the signal state {shown[:80]!r} is none of this junction")
        if self.state is None:
            self.state = self._first_seen(second, shown)
        called = self.controller.hear(second, loops, aspects)
        self.state = self.state.observe(second, aspects, called)
        if self.state.busy_until_s > second:
            # Its last step must be seen before another one follows, or it could never be verified.
            return Hold("a sequence is running")
        return self.controller.decide(self.state)

    def judge(self, request: SequenceRequest) -> Verdict | None:
        """Ask the kernel; nothing is known of a junction whose signals were never heard."""
        return None if self.state is None else judge(self.sheet, self.state, request)

    def take(self, permitted: Permitted) -> None:
        """Remember that a sequence was sent."""
        if self.state is not None:
            self.state = record(self.state, permitted)

    def restore(self, ends_s: float, issuer: str, level: int, until_s: float) -> None:
        """Know of a sequence that was commanded before a restart."""
        self.restored = (ends_s, Lease(issuer, level, until_s))

    def not_taken(self) -> None:
        """Remember that the field plays its local programme."""
        self.restored = None
        if self.state is not None:
            self.state = forget(self.state)

    def _first_seen(self, second: int, shown: str) -> JunctionState:
        state = JunctionState.first_seen(self.sheet, second, self.sheet.read_state(shown))
        if self.restored is None:
            return state
        busy_until_s, lease = self.restored
        return replace(state, busy_until_s=busy_until_s, lease=lease)

    def _shown_at(self, second: int) -> str | None:
        recent: Iterable[int] = range(second, second - STATE_AGE_MAX_S - 1, -1)
        return next((self._shown[one] for one in recent if one in self._shown), None)

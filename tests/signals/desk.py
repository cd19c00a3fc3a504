"""One junction of a run: controller, data sheet and state on one side, the field device on the other."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tests.signals.senses import Loops, Seen

from maasloop.actuation.domain.signals.aspects import Aspects
from maasloop.actuation.domain.signals.controller import Ask, Controller, Decision, Hold, Release
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceRequest, forget, judge, record
from maasloop.actuation.domain.signals.priority import PriorityRequest
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading
from maasloop.actuation.domain.signals.traffic.neighbourhood import NOTHING_HEARD, Hears, Says
from maasloop.twin.street.signals import Answer, SignalDevice
from maasloop.twin.street.signals import Sequence as FieldSequence
from maasloop.twin.street.site import Junction


class Chooser(Protocol):
    """A controller that asks for sequences."""

    def hear(
        self,
        second_s: float,
        readings: Mapping[str, LoopReading],
        aspects: Aspects,
        seen: Mapping[str, Sequence[VehicleSeen]] | None = None,
        heard: Hears = NOTHING_HEARD,
    ) -> frozenset[str]:
        """Take in one second; return the groups that are called."""
        ...

    @property
    def says(self) -> Says:
        """Return what the other junctions are told."""
        ...

    def decide(self, state: JunctionState) -> Decision:
        """Decide what to ask for from the next second on."""
        ...


class Desk:
    """Hears, decides, asks the kernel, and hands what it permits to the field."""

    def __init__(self, junction: Junction, sheet: Sheet, new: Callable[[], Chooser], *, kernel: bool = True) -> None:
        """Begin in the local programme; without the kernel everything is permitted."""
        self.junction = junction
        self.sheet = sheet
        self.device = SignalDevice(junction)
        self.state: JunctionState | None = None
        self.running: SequenceRequest | None = None
        """What the field took last."""
        self.times_ms: list[float] = []
        self.red_called_max_s = 0.0
        self.answers: Counter[str] = Counter()
        self.releases = 0
        self._new = new
        self._chooser = new()
        self._kernel = kernel

    def restart(self) -> None:
        """Begin anew, as a process does that was killed: nothing is remembered, the field plays on what it plays."""
        self._chooser = self._new()
        self.state = None

    @property
    def says(self) -> Says:
        """Return what the other junctions are told."""
        return self._chooser.says

    def decide(self, second: int, shown: str, loops: Loops, seen: Seen | None, heard: Hears = NOTHING_HEARD) -> None:
        """Decide on one second."""
        began_s = time.thread_time()
        aspects = self.sheet.read_state(shown)
        called = self._chooser.hear(second, loops, aspects, seen, heard)
        if self.state is None:
            self.state = JunctionState.first_seen(self.sheet, second, aspects)
        self.state = self.state.observe(second, aspects, called)
        # Its last step must be seen before another sequence follows: so it is where commands are verified, too.
        running = self.state.busy_until_s > second
        decision: Decision = Hold("a sequence is running") if running else self._chooser.decide(self.state)
        if isinstance(decision, Ask):
            self._ask(second, decision.request, self.state)
        elif isinstance(decision, Release):
            self.device.release(second + 1)
            self.state = forget(self.state)
            self.running = None
            self.releases += 1
        self.times_ms.append((time.thread_time() - began_s) * 1_000.0)
        self.red_called_max_s = max(self.red_called_max_s, red_called_s(self.state))

    def ask_priority(self, second: int, request: PriorityRequest) -> None:
        """Hand a vehicle's request to the controller; one that knows no priority leaves it."""
        refusal = self._chooser.priorities.ask(second, request) if isinstance(self._chooser, Controller) else None
        if refusal is not None:
            self.answers[f"priority: {refusal}"] += 1

    def _ask(self, second: int, request: SequenceRequest, state: JunctionState) -> None:
        verdict = judge(self.sheet, state, request) if self._kernel else Permitted(request)
        if not isinstance(verdict, Permitted):
            self.answers[verdict.reason] += 1
            return
        steps = tuple((int(step.offset_s), self.sheet.state_text(step.aspects)) for step in request.steps)
        answer = self.device.accept(
            FieldSequence(
                f"{self.sheet.junction}-{second}",
                self.sheet.state_text(request.start_state),
                int(request.not_before_s),
                int(request.expires_s),
                steps,
            )
        )
        if answer is Answer.ACCEPTED:
            self.state = record(state, verdict)
            self.running = request
        else:
            self.answers[f"field: {answer}"] += 1
            self.state = forget(state)
            self.running = None


def red_called_s(state: JunctionState) -> float:
    """Return for how long the group that has waited longest has been red and called."""
    waits = [
        state.second_s - max(group.since_s, group.called_since_s)
        for group in state.groups.values()
        if group.called_since_s is not None
    ]
    return max(waits, default=0.0)

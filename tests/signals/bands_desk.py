"""One junction of a run whose site runs its own plan: bands and forced inputs go to it, stage and state come back."""

import time
from collections import Counter

from tests.signals.desk import Desk, red_called_s
from tests.signals.senses import Loops, Seen

from maasloop.actuation.domain.adjusting import Adjusting
from maasloop.actuation.domain.plans.setpoints import ControllerOrder, ForcedState, InputSettings, SignalPlan
from maasloop.actuation.domain.signals.bands import AskBands
from maasloop.actuation.domain.signals.bands_kernel import BandsRequest
from maasloop.actuation.domain.signals.controller import Controller, Release
from maasloop.actuation.domain.signals.kernel import forget
from maasloop.actuation.domain.signals.priority import PriorityRequest
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.neighbourhood import NOTHING_HEARD, Hears, Says
from maasloop.twin.street.plan_device import PlanDevice
from maasloop.twin.street.site import Junction


class BandsDesk:
    """Hears, decides, asks the kernel, and hands what it permits to the site."""

    def __init__(self, junction: Junction, sheet: Sheet) -> None:
        """Begin in the site's own plan; a site that offers no bands is left to it."""
        self.junction = junction
        self.sheet = sheet
        self.device = PlanDevice(junction)
        self.state: JunctionState | None = None
        self.times_ms: list[float] = []
        self.red_called_max_s = 0.0
        self.answers: Counter[str] = Counter()
        self.releases = 0
        self.requests = 0
        self._begin()

    def _begin(self) -> None:
        self._controller = Controller(self.sheet)
        self._adjusting = Adjusting.of(self._controller)

    @property
    def says(self) -> Says:
        """Return what the other junctions are told."""
        return self._controller.says

    def restart(self) -> None:
        """Begin anew, as a process does that was killed: nothing is remembered, the site goes on."""
        self.state = None
        self._begin()

    def decide(self, second: int, shown: str, loops: Loops, seen: Seen | None, heard: Hears = NOTHING_HEARD) -> None:
        """Decide on one second."""
        adjusting = self._adjusting
        if adjusting is None:
            return
        began_s = time.thread_time()
        aspects = self.sheet.read_state(shown)
        called = self._controller.hear(second, loops, aspects, seen, heard)
        device = self.device
        if self.state is None:
            self.state = JunctionState.first_seen(self.sheet, second, aspects)
        self.state = self.state.observe(second, aspects, called)
        adjusting.plan = device.plan
        decision = adjusting.decide(self.state)
        if isinstance(decision, AskBands):
            self._ask(adjusting, decision.request, self.state)
        elif isinstance(decision, Release):
            device.fall_back()
            self.state = forget(self.state)
            self.releases += 1
        self.times_ms.append((time.thread_time() - began_s) * 1_000.0)
        self.red_called_max_s = max(self.red_called_max_s, red_called_s(self.state))

    def ask_priority(self, second: int, request: PriorityRequest) -> None:
        """Leave a vehicle's request: bands know no priority."""

    def _ask(self, adjusting: Adjusting, request: BandsRequest, state: JunctionState) -> None:
        refusal = adjusting.judge(state, request)
        if refusal is not None:
            self.answers[refusal.reason] += 1
            return
        self.requests += 1
        for order in adjusting.orders(request):
            self._carry_out(order, int(request.expires_s - request.not_before_s))
        self.state = adjusting.take(state, request)

    def _carry_out(self, order: ControllerOrder, dead_man_s: int) -> None:
        """Do what the site would on these orders over its protocol."""
        match order:
            case SignalPlan():
                self.device.select_plan(order.plan)
                self.device.set_dead_man(dead_man_s)
                self.device.set_bands(order.plan, {each.band: each.extension_s for each in order.bands})
            case InputSettings():
                for each in order.settings:
                    self.device.force(each.input, _FORCED[each.state])


_FORCED = {ForcedState.FORCED_ON: True, ForcedState.FORCED_OFF: False, ForcedState.RELEASED: None}
AnyDesk = Desk | BandsDesk

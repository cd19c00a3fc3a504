"""The equipment of a site put together, as it steps through time.

Nothing here waits, reads a clock of its own or knows a socket. What is green is decided in one order: functional
position and start-up, all red by an input, emergency route, priority, plan.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from maasloop.core.clock import Clock
from maasloop.rsmp.exchange_list import CONTROLLER, tlc
from maasloop.rsmp.messages import STATE_BITS

from .clock import SiteClock
from .detectors import Detectors
from .groups import Aspect, SignalGroups
from .inputs import Contacts
from .lists import ListSheet
from .position import FunctionalPosition
from .priorities import Priorities, State
from .programme import Due, Programme
from .secret import SecurityCodes
from .sheet import SiteSheet
from .tables import MINUTES_OF_HOUR, TimeTables

SIGNAL_GROUP, DETECTOR_LOGIC = "signal group", "detector logic"
MINUTE_S = 60
FAULT_BITS = {1: 2, 2: 3, 3: 4}
"""Places in the aggregated status by the priority of an alarm."""
IN_USE_BIT, IDLE_BIT = 5, 6


class Choice(NamedTuple):
    """A number in use, and why; sources as the exchange list names them."""

    number: int
    source: str


class Cabinet:
    """One controller; call ``step`` often, ten times a second or so."""

    def __init__(self, sheet: SiteSheet, codes: SecurityCodes, clock: Clock) -> None:
        """Power on."""
        now_s = clock.monotonic_s()
        self.sheet: SiteSheet = sheet
        self.codes: SecurityCodes = codes
        self.clock: SiteClock = SiteClock(clock)
        self.list: ListSheet = sheet.exchange_lists[0]
        """The exchange list that the link speaks."""
        self.position: FunctionalPosition = FunctionalPosition(sheet.start_up, now_s)
        times = {name: each.times() for name, each in sheet.signal_groups.items()}
        pairs = {(ends, begins): s for ends, row in sheet.intergreen_s.items() for begins, s in row.items()}
        self.groups: SignalGroups = SignalGroups(times, pairs)
        plans = {number: each.plan(number) for number, each in sheet.plans.items()}
        self.programme: Programme = Programme(plans, sheet.default_plan, times, self.groups)
        days = {
            table: {_minute(each.at): each.plan for each in switches} for table, switches in sheet.day_tables.items()
        }
        self.tables: TimeTables = TimeTables(sheet.week_table, days, ZoneInfo(sheet.time_zone))
        self.detectors: Detectors = Detectors(sheet.detector_logics, sheet.counting, self.clock.now())
        self.inputs: Contacts = Contacts(sheet.inputs.count)
        self.outputs: Contacts = Contacts(sheet.outputs)
        self.priorities: Priorities = Priorities(
            sheet.priority, lambda one, other: bool(self.groups.intergreen_s(one, other))
        )
        self.trigger_levels: dict[int, int] = {}
        """By the number of the detector."""
        self.emergency_routes: list[int] = []
        """The active ones; the newest rules."""
        self.last_emergency_route: int = 0
        self.ordered_plan: int = 0
        self.ordered_situation: int = 0
        self.bands_timeout_min: int = 0
        self.restart_ordered: bool = False
        self.parameters_since: datetime = self.clock.now()
        """When the traffic parameters were changed last."""
        self.calls: set[str] = set()
        """Signal groups that somebody waits for."""
        self.due: Due = self.programme.step(now_s, 0.0, (), ())
        self._linked = True
        self._lost_s = now_s
        self._bands_timed_out = False
        self._components = {sheet.controller: CONTROLLER}
        self._components |= dict.fromkeys(sheet.signal_groups, SIGNAL_GROUP)
        self._components |= dict.fromkeys(sheet.detector_logics, DETECTOR_LOGIC)

    def step(self) -> None:
        """Let time pass since the last step."""
        now_s, now = self.now_s, self.clock.now()
        was_in_control = self.position.in_control
        self.position.step(now_s)
        if self.position.in_control and not was_in_control:
            self.groups.all_red()
        self._time_out_bands(now_s)
        self.programme.use(self.plan.number)
        self.detectors.step(now_s, now, self._green)
        self._note_calls()
        self.priorities.step(now_s, now, State(self.list.priority_without_cancellation))
        held = self.detectors.groups_with_vehicles()
        self.due = self.programme.step(now_s, now.timestamp(), held, self.calls)
        if self.position.in_control:
            self.groups.step(now_s, self._wanted())

    @property
    def now_s(self) -> float:
        """Return monotonic seconds."""
        return self.clock.monotonic_s()

    @property
    def plan(self) -> Choice:
        """Return the plan in use, and what chose it."""
        if self._bands_timed_out:
            return Choice(self.sheet.default_plan, "other")
        if self.ordered_plan:
            return Choice(self.ordered_plan, "forced")
        if self.ordered_situation:
            return Choice(self.sheet.traffic_situations[self.ordered_situation], "forced")
        by_table = self.tables.plan_at(self.clock.now())
        return Choice(by_table, "calendar_clock") if by_table else Choice(self.sheet.default_plan, "startup")

    @property
    def situation(self) -> Choice:
        """Return the traffic situation in use, and what chose it."""
        if self.ordered_situation:
            return Choice(self.ordered_situation, "forced")
        return Choice(min(self.sheet.traffic_situations), "startup")

    @property
    def all_red(self) -> bool:
        """Tell whether an input wants all red."""
        return any(each.all_red and self.inputs.on(number) for number, each in self.sheet.inputs.programming.items())

    @property
    def linked(self) -> bool:
        """Tell whether the supervisor is there; without it dynamic bands time out (command M0023)."""
        return self._linked

    @linked.setter
    def linked(self, linked: bool) -> None:
        if self._linked and not linked:
            self._lost_s = self.now_s
        if linked:
            self._bands_timed_out = False
        self._linked = linked

    def alarms(self) -> dict[tuple[str, str], tuple[bool, tuple[tuple[str, str], ...]]]:
        """Return the alarms that inputs raise, by component and code: whether they are active, and their values."""
        found: dict[tuple[str, str], tuple[bool, tuple[tuple[str, str], ...]]] = {}
        for number, each in self.sheet.inputs.programming.items():
            if each.alarm and each.alarm in tlc(self.list.release).alarms:
                active = self.inputs.on(number) or found.get((each.component, each.alarm), (False,))[0]
                found[each.component, each.alarm] = active, tuple(each.values.items())
        return found

    def aggregated(self) -> tuple[bool, ...]:
        """Return the state at a glance."""
        entries = tlc(self.list.release).alarms
        raised = {entries[code].priority for (_, code), (active, _) in self.alarms().items() if active}
        controlled = self.position.in_control or self.position.starting
        told = {bit: priority in raised for priority, bit in FAULT_BITS.items()}
        told |= {IN_USE_BIT: controlled, IDLE_BIT: not controlled}
        return tuple(told.get(bit, False) for bit in range(STATE_BITS))

    def components(self) -> Mapping[str, str]:
        """Return the kind of each component."""
        return self._components

    def signal_states(self) -> str:
        """Return one character a signal group, as status S0001 writes it."""
        shown = self.position.shown
        if shown:
            return shown * len(self.sheet.signal_groups)
        return "".join(self._character(name) for name in self.sheet.signal_groups)

    def moment_in(self, seconds: float) -> datetime:
        """Return the time that the clock shows then."""
        return self.clock.now() + timedelta(seconds=seconds)

    def _character(self, name: str) -> str:
        match self.groups.aspect(name):
            case Aspect.RED_YELLOW:
                return "0"
            case Aspect.YELLOW:
                return "N"
            case Aspect.RED:
                asked = name in self.calls or name in self.due.stage.groups
                return "h" if self.all_red else "F" if asked else "B"
            case Aspect.GREEN:
                if self.groups.in_minimum_green(name, self.now_s):
                    return "1"
                extended = self.programme.actuated and self.due.for_s >= self.due.least_s
                return "3" if extended and name in self.detectors.groups_with_vehicles() else "4"

    def _wanted(self) -> frozenset[str]:
        if self.all_red:
            return frozenset()
        if self.emergency_routes:
            return frozenset(self.sheet.emergency_routes[self.emergency_routes[-1]])
        group = self.priorities.activated
        if group and group not in self.due.stage.groups:
            stages = self.programme.plan.stages
            return next((each.groups for each in stages if group in each.groups), frozenset({group}))
        return self.due.stage.groups

    def _green(self, name: str) -> bool:
        return self.position.in_control and self.groups.aspect(name) is Aspect.GREEN

    def _note_calls(self) -> None:
        self.calls |= self.detectors.groups_with_vehicles()
        self.calls -= {name for name in self.calls if self._green(name)}

    def _time_out_bands(self, now_s: float) -> None:
        limit_s = self.bands_timeout_min * MINUTE_S
        if self._linked or not limit_s or self._bands_timed_out or now_s - self._lost_s < limit_s:
            return
        self._bands_timed_out = True
        self.ordered_plan = self.ordered_situation = 0
        self.programme.reset_bands()


def _minute(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * MINUTES_OF_HOUR + int(minute)

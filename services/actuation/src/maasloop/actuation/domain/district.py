"""The working state of one district: what is in force now. The database has what must survive; this is restored from it.

Everything here is changed by one step at a time and without waiting in between, so that no lock is needed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from maasloop.core.street_clock import StreetClock

from .arbitration import Holder, stronger
from .barrier import Barrier
from .command import Command
from .facts import Device, DistrictFacts
from .junction import Junction
from .lamps.lamp import LampState
from .override import Override
from .plans.kernel import PlanState
from .policy import Latest, ScopeState
from .reading import SECOND_US, Reading
from .setpoint import SignalSequence, holds
from .signals.traffic.neighbourhood import Hears, Neighbourhood

LATEST_AGE_MAX_US = 3_600 * SECOND_US


@dataclass(frozen=True, slots=True)
class Moment:
    """Now: on the district's clock, and on the wall."""

    street_us: int
    wall_us: int


@dataclass(slots=True)
class Wanted:
    """What the policies want of a lamp, and when it is tried next after a failure."""

    levels: dict[str, float] = field(default_factory=dict)
    cause: str = ""
    failures: int = 0
    retry_us: int = 0

    @property
    def level_percent(self) -> float | None:
        """The brightest of the wishes, so that two policies do not take turns."""
        return max(self.levels.values(), default=None)

    @property
    def policy(self) -> str:
        """The policy whose wish it is; the first by name among equals."""
        return min(self.levels, key=lambda name: (-self.levels[name], name), default="")


@dataclass(slots=True)
class District:
    """One district."""

    id: str
    facts: DistrictFacts = field(default_factory=DistrictFacts)
    clock: StreetClock = field(default_factory=StreetClock)
    barrier: Barrier = field(default_factory=Barrier)
    released: bool = False
    commands: dict[str, Command] = field(default_factory=dict)
    """Open ones by id."""
    open_by_device: dict[str, str] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    """Those that were not ended; expired ones are dropped in passing."""
    lamp_states: dict[str, LampState] = field(default_factory=dict)
    plan_states: dict[str, PlanState] = field(default_factory=dict)
    """What controllers that run plans were asked for since the start."""
    junctions: dict[str, Junction] = field(default_factory=dict)
    heard: Mapping[str, Hears] = field(default_factory=dict)
    """What junctions were told by others in the second before."""
    restored_sequences: dict[str, Command] = field(default_factory=dict)
    """What controllers were asked for before a restart, until their data sheets are there."""
    scopes: dict[tuple[str, str], ScopeState] = field(default_factory=dict)
    """Policy and scope key (device, group or district)."""
    wanted: dict[str, Wanted] = field(default_factory=dict)
    latest: dict[str, dict[str, Reading]] = field(default_factory=dict)
    """Observed property to device to newest reading, of properties that policies name."""
    newest: dict[str, Reading] = field(default_factory=dict)
    """Observed property to the newest reading of the whole district."""
    restored: dict[str, dict[str, Reading]] = field(default_factory=dict)
    """The same as ``latest``, from before a restart: looked up only where nothing newer was heard since."""
    restored_newest: dict[str, Reading] = field(default_factory=dict)
    _neighbourhood: tuple[int, Neighbourhood] = field(default_factory=lambda: (-1, Neighbourhood(())))

    def junction(self, device: str) -> Junction | None:
        """Return the junction of a controller, made afresh when its data sheet changed."""
        sheet = self.facts.junctions.get(device)
        if sheet is None:
            self.junctions.pop(device, None)
            return None
        known = self.junctions.get(device)
        if known is None or known.sheet is not sheet:
            by_plan = self.facts.devices[device].controls is not None
            issuer = f"controllers/{device}"
            known = (
                Junction.of(sheet, issuer, by_plan=by_plan)
                if known is None
                else known.successor(sheet, by_plan=by_plan)
            )
            self.junctions[device] = known
            restored = self.restored_sequences.pop(device, None)
            if restored is not None and isinstance(restored.setpoint, SignalSequence):
                ends_s = restored.not_before_us / SECOND_US + restored.setpoint.lasts_s
                known.restore(ends_s, restored.issuer, restored.authority, restored.expire_us / SECOND_US)
        return known

    def pass_on(self, second: int) -> None:
        """Let each junction hear in the next second what the others say in this one."""
        version, known = self._neighbourhood
        if version != self.facts.version:
            known = Neighbourhood(self.facts.junctions.values())
            self._neighbourhood = (self.facts.version, known)
        says = {one.sheet.junction: one.says(second) for one in self.junctions.values()}
        self.heard = known.pass_on({junction: said for junction, said in says.items() if said})

    def holder(self, device: str, street_us: int) -> Holder | None:
        """Return who holds a device: an override on it or on a group of it, or the lease of a command."""
        holder = self.holders.get(device)
        for override in self.overrides_on(device, street_us):
            holder = stronger(override.holder, holder, street_us)
        return holder

    def overrides_on(self, device: str, street_us: int) -> list[Override]:
        """Return the overrides in force on a device: the strongest first, the newest among equals."""
        if not self.overrides:
            return []
        groups = self.facts.groups_of(device)
        found = [
            override
            for override in self.overrides.values()
            if override.in_force(street_us) and (override.device == device or override.group in groups)
        ]
        return sorted(found, key=lambda one: (-one.authority, -one.create_time_us))

    def open_command(self, device: str) -> Command | None:
        """Return the command to a device that is not terminal, of those that take their target; there is at most one."""
        return self.commands.get(self.open_by_device.get(device, ""))

    def keep(self, command: Command) -> None:
        """Take the newest form of a command."""
        if not command.terminal:
            self.commands[command.id] = command
            if holds(command.setpoint):
                self.open_by_device[command.device] = command.id
            return
        self.commands.pop(command.id, None)
        if self.open_by_device.get(command.device) == command.id:
            del self.open_by_device[command.device]

    def remember(self, reading: Reading) -> bool:
        """Keep the newest reading of a series; return whether this one is."""
        series = self.latest.setdefault(reading.observed_property, {})
        known = series.get(reading.device)
        if known is not None and known.time_us >= reading.time_us:
            # Of two values for the same moment the first one stays, as in the tables.
            return False
        series[reading.device] = reading
        newest = self.newest.get(reading.observed_property)
        if newest is None or newest.time_us <= reading.time_us:
            self.newest[reading.observed_property] = reading
        return True

    def restore(self, reading: Reading) -> None:
        """Know a value from before a restart.

        It does not count as heard: what a killed process had in hand comes again and must still wake its policies.
        """
        self.restored.setdefault(reading.observed_property, {})[reading.device] = reading
        newest = self.restored_newest.get(reading.observed_property)
        if newest is None or newest.time_us < reading.time_us:
            self.restored_newest[reading.observed_property] = reading

    def latest_near(self, device: str, properties: Iterable[str], street_us: int) -> Latest:
        """Return, for each property, its newest value of the device itself, else of the whole district.

        A value that is older than ``LATEST_AGE_MAX_US`` says nothing about now.
        """
        found: dict[str, float | str] = {}
        for name in properties:
            own = _newer(self.latest.get(name, {}).get(device), self.restored.get(name, {}).get(device))
            reading = own or _newer(self.newest.get(name), self.restored_newest.get(name))
            if reading is not None and street_us - reading.time_us <= LATEST_AGE_MAX_US:
                found[name] = reading.state or reading.value
        return found

    def device(self, device: str) -> Device | None:
        """Return what the registry says about a device."""
        return self.facts.devices.get(device)


def _newer(heard: Reading | None, restored: Reading | None) -> Reading | None:
    """Return the newer of two; what was heard since the start wins among equals."""
    if heard is None or restored is None:
        return heard or restored
    return restored if restored.time_us > heard.time_us else heard

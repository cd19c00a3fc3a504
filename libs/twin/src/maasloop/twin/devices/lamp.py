"""A streetlight as it hangs in the street: level, ramp, power, presence, and light when nobody speaks to it.

Without a command in force a lamp burns at the level that its lighting class asks for (fail-on). It keeps its own record
of what it showed, which no command can improve.
"""

from collections import OrderedDict
from dataclasses import dataclass

COMMANDS_REMEMBERED_MAX = 64
FAIL_ON_RAMP_S = 2.0
DOWN_RATE_MAX_PERCENT_S = 1.0
"""Steepest descent that people do not notice: 10 % of the installed light in 10 s."""
TOLERANCE_PERCENT = 0.01


@dataclass(frozen=True, slots=True)
class LampFacts:
    """What was installed."""

    installed_power_w: float
    standby_power_w: float
    lighting_class: str
    class_level_percent: float
    floor_percent: float

    def power_w(self, level_percent: float) -> float:
        """Return the power drawn at a level."""
        return self.standby_power_w + (self.installed_power_w - self.standby_power_w) * level_percent / 100.0


@dataclass(frozen=True, slots=True)
class LightCommand:
    """A level to reach, as it arrives; seconds are of the street's clock."""

    id: str
    level_percent: float
    ramp_s: float
    not_before_s: float
    expires_s: float


class Lamp:
    """One lamp. ``tick`` moves it to a street second; seconds rise."""

    def __init__(self, facts: LampFacts) -> None:
        """Begin at the level of the lighting class, without a command."""
        self.facts = facts
        self.level_percent = facts.class_level_percent
        self.used_wh = 0.0
        self.class_wh = 0.0
        self.floor_violations = 0
        self.ramp_violations = 0
        self._command: LightCommand | None = None
        self._waiting: LightCommand | None = None
        self._ramp: tuple[float, float, float, float] | None = None
        self._known: OrderedDict[str, None] = OrderedDict()

    @property
    def target_percent(self) -> float:
        """Return the level that the lamp moves to, or is about to."""
        if self._waiting is not None:
            return self._waiting.level_percent
        return self._ramp[3] if self._ramp else self.level_percent

    @property
    def power_w(self) -> float:
        """Return what the meter shows."""
        return self.facts.power_w(self.level_percent)

    @property
    def commanded(self) -> bool:
        """Tell whether a command rules, rather than fail-on."""
        return self._command is not None

    def take(self, command: LightCommand) -> bool:
        """Take a command; an id that is known is dropped, and ``False`` says so."""
        if command.id in self._known:
            return False
        self._known[command.id] = None
        while len(self._known) > COMMANDS_REMEMBERED_MAX:
            self._known.popitem(last=False)
        self._waiting = command
        return True

    def release(self, second: float) -> None:
        """Give up remote control."""
        self._waiting = None
        if self._command is not None:
            self._fail_on(second)

    def tick(self, second: float) -> None:
        """Move to ``second``; one second passed since the call before."""
        before = self.level_percent
        if self._waiting is not None and second >= self._waiting.not_before_s:
            self._begin(self._waiting, second)
        if self._command is not None and second >= self._command.expires_s:
            self._fail_on(second)
        self._move(second)
        self._record(before)

    def _begin(self, command: LightCommand, second: float) -> None:
        self._waiting = None
        self._command = command
        self._ramp = (second - 1.0, max(command.ramp_s, 0.0), self.level_percent, command.level_percent)

    def _fail_on(self, second: float) -> None:
        self._command = None
        self._ramp = (second - 1.0, FAIL_ON_RAMP_S, self.level_percent, self.facts.class_level_percent)

    def _move(self, second: float) -> None:
        if self._ramp is None:
            return
        since, ramp_s, start, target = self._ramp
        passed_s = second - since
        if passed_s >= ramp_s:
            self.level_percent, self._ramp = target, None
        else:
            self.level_percent = start + (target - start) * passed_s / ramp_s

    def _record(self, before_percent: float) -> None:
        self.used_wh += self.power_w / 3600.0
        self.class_wh += self.facts.power_w(self.facts.class_level_percent) / 3600.0
        if self.level_percent < self.facts.floor_percent - TOLERANCE_PERCENT:
            self.floor_violations += 1
        if before_percent - self.level_percent > DOWN_RATE_MAX_PERCENT_S + TOLERANCE_PERCENT:
            self.ramp_violations += 1

"""Signal groups and what must lie between their greens.

Whatever is wanted, and however often it changes: two groups that conflict are never out of red together, a green is
never shorter than its minimum, and the intergreen of every ordered pair is whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

NEVER_S = float("-inf")


class Aspect(Enum):
    """What a signal group shows."""

    RED = auto()
    RED_YELLOW = auto()
    GREEN = auto()
    YELLOW = auto()


@dataclass(frozen=True, slots=True)
class Times:
    """Of one signal group, in seconds."""

    minimum_green_s: float
    yellow_s: float
    red_yellow_s: float


@dataclass(slots=True)
class _Group:
    times: Times
    aspect: Aspect = Aspect.RED
    since_s: float = NEVER_S
    green_ended_s: float = NEVER_S

    def turn(self, aspect: Aspect, now_s: float) -> None:
        """Show another aspect."""
        if aspect is Aspect.YELLOW:
            self.green_ended_s = now_s
        self.aspect, self.since_s = aspect, now_s


class SignalGroups:
    """The groups of one controller."""

    def __init__(self, times: Mapping[str, Times], intergreen_s: Mapping[tuple[str, str], float]) -> None:
        """Begin all red; ``intergreen_s`` has a group whose green ends, then one whose green begins."""
        self._groups = {name: _Group(each) for name, each in times.items()}
        self._before: dict[str, dict[str, float]] = {name: {} for name in times}
        for (ends, begins), seconds in intergreen_s.items():
            self._before[begins][ends] = seconds

    def aspect(self, name: str) -> Aspect:
        """Return what a group shows."""
        return self._groups[name].aspect

    def age_s(self, name: str, now_s: float) -> float:
        """Return how long it has shown it."""
        return now_s - self._groups[name].since_s

    def in_minimum_green(self, name: str, now_s: float) -> bool:
        """Tell whether a group is green and may not yet end."""
        group = self._groups[name]
        return group.aspect is Aspect.GREEN and now_s - group.since_s < group.times.minimum_green_s

    def intergreen_s(self, ends: str, begins: str) -> float:
        """Return what lies between two greens; 0 without a conflict."""
        return self._before[begins].get(ends, 0.0)

    def all_red(self) -> None:
        """Begin anew after a start-up, which has cleared the junction."""
        for group in self._groups.values():
            group.aspect, group.since_s, group.green_ended_s = Aspect.RED, NEVER_S, NEVER_S

    def step(self, now_s: float, wanted: frozenset[str]) -> None:
        """Bring the groups nearer to a state in which the wanted ones are green and no other."""
        for name, group in self._groups.items():
            shown_s = now_s - group.since_s
            match group.aspect:
                case Aspect.GREEN if name not in wanted and shown_s >= group.times.minimum_green_s:
                    group.turn(Aspect.YELLOW, now_s)
                case Aspect.YELLOW if shown_s >= group.times.yellow_s:
                    group.turn(Aspect.RED, now_s)
                case Aspect.RED_YELLOW if shown_s >= group.times.red_yellow_s:
                    group.turn(Aspect.GREEN, now_s)
                case Aspect.RED if name in wanted and self._may_begin(name, now_s):
                    group.turn(Aspect.RED_YELLOW if group.times.red_yellow_s else Aspect.GREEN, now_s)
                case _:
                    pass

    def _may_begin(self, name: str, now_s: float) -> bool:
        green_s = now_s + self._groups[name].times.red_yellow_s
        return all(
            self._groups[other].aspect is Aspect.RED and green_s - self._groups[other].green_ended_s >= seconds
            for other, seconds in self._before[name].items()
        )

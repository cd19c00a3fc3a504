"""A junction in the street that plays what the kernel permits, and remembers every second of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceRequest, record
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.state import JunctionState

ALL_RED_S = 10
"""Seconds of red in all groups that a street begins with."""


@dataclass(frozen=True, slots=True)
class Second:
    """What every group showed in one second, one character each, and who waited."""

    shown: dict[str, str]
    waiting: frozenset[str]


class Street:
    """One junction under requests of several issuers; it ends when the last permitted request expires."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin all red, for so long that every clearance is over."""
        red = dict.fromkeys(sheet.group, Aspect.RED)
        self.sheet = sheet
        self.state = JunctionState.first_seen(sheet, 0, red)
        self.seconds: list[Second] = []
        self.orders: list[tuple[int, SequenceRequest]] = []
        """What was permitted, and in which second."""
        self._called: set[str] = set()
        self._keep()
        for _ in range(ALL_RED_S):
            self.tick()

    @classmethod
    def resumed(cls, sheet: Sheet, state: JunctionState, seconds: Sequence[Second]) -> Self:
        """Go on from a state and the seconds before it; nobody waits."""
        street = cls.__new__(cls)
        street.sheet, street.state, street.seconds = sheet, state, [*seconds]
        street.orders, street._called = [], set()
        return street

    @property
    def over(self) -> bool:
        """Tell whether the field is about to return to its local programme, which is not the kernel's to judge."""
        return bool(self.orders) and self.state.second_s + 1 >= self.orders[-1][1].expires_s

    def call(self, groups: Iterable[str]) -> None:
        """Let somebody wait at groups that are not green."""
        self._called.update(groups)

    def obey(self, permitted: Permitted) -> None:
        """Take a permitted request."""
        self.state = record(self.state, permitted)
        self.orders.append((int(self.state.second_s), permitted.request))

    def tick(self) -> None:
        """Let a second pass and show what is due in it."""
        second_s = int(self.state.second_s) + 1
        aspects = self._due(second_s)
        self._called -= {name for name, aspect in aspects.items() if aspect in "Gg"}
        self.state = self.state.observe(second_s, aspects, self._called)
        self._keep()

    def _due(self, second_s: int) -> dict[str, Aspect]:
        if self.orders:
            request = self.orders[-1][1]
            for step in reversed(request.steps):
                if second_s >= request.not_before_s + step.offset_s:
                    return dict(step.aspects)
        return self.state.aspects()

    def _keep(self) -> None:
        shown = {name: aspect.value for name, aspect in self.state.aspects().items()}
        waiting = frozenset(name for name, group in self.state.groups.items() if group.called_since_s is not None)
        self.seconds.append(Second(shown, waiting))

"""What a lane is asked, and what it found, in a form that the runner, the report and a test read."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

NO_SABOTAGE = ""


class Result(StrEnum):
    """How a lane ended."""

    HELD = "held"
    BROKEN = "broken"
    """A requirement is not met."""
    FAILED = "failed"
    """The lane itself raised an error, which proves nothing."""
    NOT_RUN = "not run"
    """It cannot run here; the notes say why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a lane is to run."""

    seed: int
    scale: float = 1.0
    """Share of the cases that the full run has; the lane of every change takes a hundredth or so."""
    sabotage: str = NO_SABOTAGE
    """Name of a fault that the lane builds into what it judges; it must then end as broken."""

    def cases(self, full: int) -> int:
        """Return how many of a full run's cases this one has, at least one."""
        return max(1, round(full * self.scale))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One lane."""

    lane: str
    result: Result
    figures: Mapping[str, float | int] = field(default_factory=dict)
    """By the names under which ``security.json`` holds them; those without a limit are told beside them."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        lane: str,
        requirements: Mapping[str, bool],
        *,
        figures: Mapping[str, float | int],
        notes: tuple[str, ...] = (),
    ) -> "Outcome":
        """Hold when every requirement (a sentence) is met."""
        unmet = tuple(f"not met: {name}" for name, met in requirements.items() if not met)
        return cls(lane, Result.BROKEN if unmet else Result.HELD, figures, (*notes, *unmet))

    @classmethod
    def not_run(cls, lane: str, why: str) -> "Outcome":
        """Say why a lane could not run."""
        return cls(lane, Result.NOT_RUN, notes=(why,))


type Lane = Callable[[Plan], Awaitable[Outcome]]

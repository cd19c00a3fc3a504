"""What a lane found, in a form that a report and a test read."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.faults.checkers import NEVER_AT_REST, Verdict


class Result(StrEnum):
    """How a lane ended."""

    HELD = "held"
    """What was promised is true."""
    BROKEN = "broken"
    NOT_RUN = "not run"
    """It cannot run here; the notes say why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One lane."""

    lane: str
    result: Result
    verdict: Verdict | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        lane: str,
        verdict: Verdict,
        *,
        requirements: Mapping[str, bool] | None = None,
        figures: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
    ) -> "Outcome":
        """Hold when the verdict is good and every further requirement is met."""
        unmet = tuple(f"not met: {name}" for name, met in (requirements or {}).items() if not met)
        result = Result.HELD if verdict.good and not unmet else Result.BROKEN
        return cls(lane, result, verdict, figures or {}, (*notes, *unmet))

    @classmethod
    def not_run(cls, lane: str, why: str) -> "Outcome":
        """Say why a lane could not run."""
        return cls(lane, Result.NOT_RUN, notes=(why,))

    @classmethod
    def sabotaged(cls, lane: str, verdict: Verdict, notes: tuple[str, ...] = ()) -> "Outcome":
        """Hold when the sabotage was caught by something that is wrong for good: a reading that is late is none."""
        wrong = verdict.wrong()
        caught = ", ".join(f"{name} {count}" for name, count in wrong.items())
        result = Result.HELD if wrong.keys() - {NEVER_AT_REST} else Result.BROKEN
        return cls(lane, result, verdict, {}, (f"caught by: {caught}" if caught else "not caught", *notes))


type Lane = Callable[..., Awaitable[Outcome]]

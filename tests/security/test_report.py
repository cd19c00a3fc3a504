"""The report tells what was measured, what a limit is not met by, and what was not caught."""

from datetime import UTC, datetime

import pytest
from tests.security import report
from tests.security.outcome import Outcome, Plan, Result

HELD = Outcome.of("oracle", {"no mismatch": True}, figures={"oracle_cases": 210_000, "oracle_mismatches": 0})
CAUGHT = Outcome.of("oracle", {"no mismatch": False}, figures={"oracle_mismatches": 7})
AT = datetime(2026, 11, 27, tzinfo=UTC)


def _run(*outcomes: Outcome, scale: float = 1.0, **sabotages: Outcome) -> report.Run:
    return report.Run(7, scale, 61.0, AT, outcomes, sabotages, ("callout",))


def test_a_good_run_is_good() -> None:
    """Lanes that held within their limits, and a sabotage that was caught: the page names what is absent."""
    run = _run(HELD, wildcard=CAUGHT)

    assert run.good
    assert "| oracle_cases | 210,000 | ≥ 200,000 |" in report.page(run)
    assert "| wildcard | caught |" in report.page(run)
    assert "Absent: callout." in report.page(run)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (_run(CAUGHT), "a lane that broke"),
        (_run(Outcome.of("oracle", {}, figures={"oracle_cases": 199_999})), "too few cases"),
        (_run(HELD, wildcard=HELD), "a sabotage that nobody noticed"),
        (_run(HELD, wildcard=Outcome("oracle", Result.FAILED)), "a lane that raised an error proves nothing"),
        (_run(Outcome("oracle", Result.FAILED)), "the same without sabotage"),
    ],
)
def test_each_fault_makes_a_run_bad(run: report.Run, why: str) -> None:
    """Whatever is wrong shows in the status of the command."""
    assert not run.good, why


def test_limits_hold_for_full_runs_only() -> None:
    """A hundredth of the cases is judged by its lanes, not by the numbers of a full run."""
    assert _run(Outcome.of("oracle", {}, figures={"oracle_cases": 2_100}), scale=0.01).good
    assert Plan(1, 0.01).cases(210_000) == 2_100
    assert Plan(1, 0.01).cases(7) == 1

"""The checkers find what they are for: each fault, put into good evidence, is seen."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.faults.checkers import backward, judge, slope
from tests.faults.evidence import Evidence, Rows
from tests.faults.ledger import FAIL, OK, UNKNOWN, Batch, Ledger
from tests.faults.recovery import Sample, percentile, recovery_s

BATCHES = [
    Batch(0, "grpc", 3, 2, 1_000, 100, 6),
    Batch(1, "mqtt", 5, 1, 2_000, 200, 1),
    Batch(2, "grpc", 6, 1, 3_000, 300, 2),
    Batch(3, "http", 7, 1, 4_000, 400, 2),
]
LEDGER = Ledger.of(BATCHES, [OK, OK, UNKNOWN, FAIL])


def _rows(batches: list[Batch]) -> Rows:
    whole = Ledger.of(batches, [OK] * len(batches))
    return Rows(whole.device, whole.time_us, whole.value)


def _evidence() -> Evidence:
    """Return what is there when all is well: the unknown batch became rows, the refused one did not."""
    rows = _rows(BATCHES[:3])
    terms = dict.fromkeys(("duplicate", "conflict", "quarantined", "refused_consent", "shed", "dead_lettered"), 0)
    terms |= {"accepted": 9, "stored": 9}
    doors = {"grpc": {"accepted": 8}, "mqtt": {"accepted": 1}}
    return Evidence(rows, terms, doors, 0, {"OBSERVATIONS": 7}, {"OBSERVATIONS": 7}, 9, {}, 0, 12)


def test_good_evidence_is_good() -> None:
    """An unknown outcome may be a row, a refused one is none, and everything adds up."""
    verdict = judge(LEDGER, _evidence())

    assert verdict.good, verdict.wrong()
    assert verdict.acknowledged == 7
    assert verdict.rows == 9


def _without_first(rows: Rows) -> Rows:
    return Rows(rows.device[1:], rows.time_us[1:], rows.value[1:])


def _first_twice(rows: Rows) -> Rows:
    return Rows(*(np.append(column, column[:1]) for column in (rows.device, rows.time_us, rows.value)))


@pytest.mark.parametrize(
    ("fault", "spoil"),
    [
        ("lost", lambda good: replace(good, rows=_without_first(good.rows))),
        ("twice", lambda good: replace(good, rows=_first_twice(good.rows))),
        ("phantom", lambda good: replace(good, rows=_rows(BATCHES))),
        ("phantom", lambda good: replace(good, rows=_rows([*BATCHES[:3], Batch(9, "grpc", 1, 1, 1, 999, 1)]))),
        ("phantom", lambda good: replace(good, rows=replace(good.rows, time_us=good.rows.time_us + 1))),
        ("balance", lambda good: replace(good, terms={**good.terms, "accepted": 10})),
        ("balance against streams", lambda good: replace(good, in_streams=10)),
        ("balance against rows", lambda good: replace(good, terms={**good.terms, "stored": 8, "duplicate": 1})),
        ("doors below the ledger", lambda good: replace(good, by_door={"grpc": {"accepted": 9}})),
        ("lost by running totals", lambda good: replace(good, lost=1)),
        ("positions", lambda good: replace(good, positions={"OBSERVATIONS": 6})),
        ("rollups", lambda good: replace(good, rollup_faults={"minutes_7d": 1})),
        ("latest", lambda good: replace(good, latest_faults=1)),
    ],
)
def test_each_fault_is_seen(fault: str, spoil: Callable[[Evidence], Evidence]) -> None:
    """A checker that can't fail proves nothing."""
    assert fault in judge(LEDGER, spoil(_evidence())).wrong()


def test_a_position_that_goes_back_is_seen() -> None:
    """Positions only advance; one that appears later is none that went back."""
    assert backward([{"a": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 5}]) == 0
    assert backward([{"a": 2}, {"a": 1}, {"a": 3}]) == 1


def test_a_slope_is_that_of_the_best_line() -> None:
    """Points on a line give its slope, points without spread none."""
    assert slope([10.0, 11.0, 12.0], [5.0, 7.0, 9.0]) == pytest.approx(2.0)
    assert slope([1.0], [5.0]) == 0.0


def test_recovery_is_the_end_of_the_first_good_window() -> None:
    """An outage of two seconds, with a backlog that is settled late, is over when both rates are back."""
    samples = [
        Sample(
            at / 20,
            int(1_000 * (at / 20 - min(max(at / 20 - 5, 0), 2))),
            int(1_000 * (at / 20 - min(max(at / 20 - 5, 0), 3))),
        )
        for at in range(400)
    ]

    took = recovery_s(samples, 5.0, 1_000.0)

    assert took == pytest.approx(3.45, abs=0.1)
    assert recovery_s(samples[:120], 5.0, 1_000.0) is None


def test_percentiles_are_by_nearest_rank() -> None:
    """The share of values that do not exceed the answer is at least the one asked for."""
    values = [float(value) for value in range(1, 101)]

    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile([], 0.5) == 0.0

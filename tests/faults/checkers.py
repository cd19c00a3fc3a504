"""What must hold between the ledger and what is there; pure, so that it can be shown to fail.

Every checker returns numbers that are 0 when all is well. The unique key alone would hide a writer that stores twice or
a position that runs ahead, so positions, rollups and the balance are compared as well as rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tests.faults.evidence import Evidence, Rows
from tests.faults.ledger import FAIL, OK, Ledger

EXAMPLES_MAX = 5
NEVER_AT_REST = "never at rest"
"""The fault of a platform on which something still moved when the patience ended."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was compared, and what did not hold."""

    acknowledged: int
    rows: int
    faults: Mapping[str, int]
    examples: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """By fault, the values of some readings."""
    buckets: int = 0
    """Rollup buckets that were compared with a recomputation from rows."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.faults.values())

    def wrong(self) -> dict[str, int]:
        """Return the faults that were found."""
        return {name: count for name, count in self.faults.items() if count}


def judge(ledger: Ledger, evidence: Evidence) -> Verdict:
    """Compare everything."""
    faults, examples = readings(ledger, evidence.rows)
    faults |= balance(ledger, evidence) | positions(evidence)
    faults["rollups"] = sum(evidence.rollup_faults.values())
    faults["latest"] = evidence.latest_faults
    return Verdict(ledger.acknowledged, len(evidence.rows.value), faults, examples, evidence.rollups)


def readings(ledger: Ledger, rows: Rows) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Find acknowledged readings without a row, rows nobody sent or that were refused, and rows there twice."""
    order = np.argsort(rows.value, kind="stable")
    value, device, time_us = rows.value[order], rows.device[order], rows.time_us[order]
    twice = value[1:][value[1:] == value[:-1]]
    place = np.minimum(np.searchsorted(ledger.value, value), max(len(ledger.value) - 1, 0))
    if len(ledger.value):
        known = ledger.value[place] == value
        right = known & (ledger.device[place] == device) & (ledger.time_us[place] == time_us)
        refused = ledger.state[place] == FAIL
    else:
        right = refused = np.zeros(len(value), np.bool_)
    acknowledged = ledger.value[ledger.state == OK]
    found: dict[str, NDArray[np.int64]] = {
        "lost": acknowledged[~np.isin(acknowledged, value)],
        "phantom": value[~right | refused],
        "twice": twice,
    }
    return (
        {name: len(values) for name, values in found.items()},
        {name: values[:EXAMPLES_MAX].tolist() for name, values in found.items() if len(values)},
    )


def balance(ledger: Ledger, evidence: Evidence) -> dict[str, int]:
    """Compare the custody balance with itself, with the streams, with the rows and with the ledger."""
    terms = evidence.terms
    settled = sum(count for term, count in terms.items() if term != "accepted")
    short = sum(
        max(0, count - evidence.by_door.get(door, {}).get("accepted", 0))
        for door, count in ledger.acknowledged_by_door().items()
    )
    return {
        "balance": abs(terms["accepted"] - settled),
        "balance against streams": abs(terms["accepted"] - terms["quarantined"] - evidence.in_streams),
        "balance against rows": abs(terms["stored"] - len(evidence.rows.value)),
        "balance below the ledger": max(0, ledger.acknowledged - terms["accepted"]),
        "doors below the ledger": short,
        "lost by running totals": evidence.lost,
    }


def positions(evidence: Evidence) -> dict[str, int]:
    """At rest the position of a stream is its last sequence."""
    return {
        "positions": sum(evidence.last_sequences[stream] != position for stream, position in evidence.positions.items())
    }


def backward(samples: Sequence[Mapping[str, int]]) -> int:
    """Count the steps back of positions that only ever advance."""
    return sum(
        after[name] < before[name] for before, after in pairwise(samples) for name in before.keys() & after.keys()
    )


def slope(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the best line, in units a second; 0 for fewer than two points."""
    if len(times_s) < 2:
        return 0.0
    time, value = np.asarray(times_s) - times_s[0], np.asarray(values, np.float64)
    spread = time - time.mean()
    square = float((spread * spread).sum())
    return float((spread * (value - value.mean())).sum()) / square if square else 0.0

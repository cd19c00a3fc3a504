"""What became of the readings of a lot, counted while its transaction writes them."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.custody import Terms

from .rows import Conflict, Numbers
from .writing import Account, Lot


class Tally:
    """What became of a lot's readings, as far as a transaction has come."""

    def __init__(self, lot: Lot) -> None:
        """Count nothing yet."""
        self._lot = lot
        self.conflicts: list[Conflict] = []
        self._found: dict[tuple[int, int], float] = {}
        self.late = np.zeros(len(lot.messages), np.int64)
        """By message."""
        self.duplicates: defaultdict[tuple[int, int], int] = defaultdict(int)
        """By message and series."""

    def stored(self, rows: Sequence[Numbers]) -> None:
        """Count what became rows: only whether it was late matters, all else follows."""
        for numbers in rows:
            if numbers.late.any():
                self.late += np.bincount(numbers.origin[numbers.late], minlength=len(self.late))

    def repeated(self, numbers: Numbers) -> None:
        """Count what was stored already."""
        for origin, series, count in _counted(numbers):
            self.duplicates[origin, series] += count

    def found(self, numbers: Numbers, value: NDArray[np.float64]) -> None:
        """Remember what lies under keys, where it decides what other readings of the lot are."""
        if self._lot.repeats:
            keys = zip(numbers.series.tolist(), numbers.time_us.tolist(), strict=True)
            self._found.update(zip(keys, value.tolist(), strict=True))

    def settle_repeats(self) -> None:
        """Count the readings whose key another one of the lot took, or would have."""
        for repeats in self._lot.repeats:
            numbers, kept = repeats.numbers, repeats.kept
            if self._found:
                keys = zip(numbers.series.tolist(), numbers.time_us.tolist(), strict=True)
                pairs = zip(keys, kept.tolist(), strict=True)
                kept = np.array([self._found.get(key, first) for key, first in pairs], np.float64)
            same = numbers.value == kept
            self.repeated(numbers.take(same))
            self.conflicts += conflicts_of(numbers, np.flatnonzero(~same))

    def repeat(self, series: int, origin: int) -> None:
        """Count one reading that was stored already."""
        self.duplicates[origin, series] += 1

    def terms(self) -> dict[Account, Terms]:
        """Return the terms: everything that is in no other one is stored."""
        terms = {account: Terms() for account in self._lot.terms}
        for account, known in self._lot.terms.items():
            terms[account].add(known)
        accounts = [message.account for message in self._lot.messages]
        for (origin, _), count in self.duplicates.items():
            terms[accounts[origin]].duplicate += count
        for conflict in self.conflicts:
            terms[accounts[conflict.origin]].conflict += 1
        for origin in np.flatnonzero(self.late).tolist():
            terms[accounts[origin]].late += int(self.late[origin])
        for each in terms.values():
            settled = each.duplicate + each.conflict + each.quarantined + each.refused_consent + each.dead_lettered
            each.stored = each.accepted - settled - each.shed
        return terms


def _counted(numbers: Numbers) -> list[tuple[int, int, int]]:
    """Return message, series and how many, of some numbers."""
    if not len(numbers):
        return []
    pairs, counts = np.unique(np.stack((numbers.origin, numbers.series)), axis=1, return_counts=True)
    return [(origin, series, count) for origin, series, count in zip(*pairs.tolist(), counts.tolist(), strict=True)]


def conflicts_of(numbers: Numbers, places: NDArray[np.intp]) -> list[Conflict]:
    """Return some numbers as conflicts."""
    taken = numbers.take(places)
    columns = (taken.series, taken.time_us, taken.receipt_time_us, taken.value, taken.origin)
    return [Conflict(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

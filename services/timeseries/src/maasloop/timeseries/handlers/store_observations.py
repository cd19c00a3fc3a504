"""Store a lot of messages: rows, rollups, positions and custody in one transaction, every reading counted in one term.

``prepare`` needs no transaction and may run while lots before are being stored; ``commit`` stores. What is later than
everything in its series is copied as it is, also while the lot before is under way. What is late is compared with what
lies under its key, when everything before is stored: the same value is a duplicate, another one a conflict, of which the
first is kept and the second goes to quarantine (unless it is personal: then it is only counted).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from maasloop.core.domains import Retention
from maasloop.timeseries.domain.custody import DeviceTerms, ProducerCount, Terms
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.domain.series import TABLES, Table
from maasloop.timeseries.ports.rollups import Figures, joined, latest, minutes
from maasloop.timeseries.ports.rows import Conflict, Numbers, Other, Repeats
from maasloop.timeseries.ports.sorting import by_series
from maasloop.timeseries.ports.windows import Change, Windows
from maasloop.timeseries.ports.writing import (
    Account,
    DeviceName,
    Lot,
    Merge,
    Message,
    PositionMoved,
    RowStore,
    RowTransaction,
    SeriesIndex,
    Turn,
)


class StoreObservations:
    """The writer of one stream."""

    def __init__(
        self,
        *,
        index: SeriesIndex,
        store: RowStore,
        windows: Windows | None = None,
        behind: bool = False,
        positions_early: bool = False,
    ) -> None:
        """``index`` is this writer's own; ``behind`` says that another one writes newer rows of the same series.

        With ``windows``, which one writer has, minutes that still grow are held back; without, all is merged at once.

        ``positions_early`` is a sabotage for tests: positions are committed before the rows.
        """
        self._positions_early = positions_early
        self._index = index
        self._store = store
        self._windows = windows
        self._behind = behind
        self._producers: dict[str, ProducerCount] = {}
        self._positions: dict[str, int] = {}

    def stand_behind(self, *, behind: bool) -> None:
        """Say whether another one writes newer rows of the same series from now on."""
        self._behind = behind

    def restart(self, positions: Mapping[str, int]) -> None:
        """Begin from what is stored: at start, and after a transaction failed."""
        self._positions = dict(positions)
        self._producers.clear()
        self._index.forget()

    @property
    def in_doubt(self) -> bool:
        """Tell whether rollups have to be made again before more is stored."""
        return self._windows is not None and self._windows.in_doubt

    async def take_over(self) -> None:
        """Make rollups again where it is in doubt what they hold; nothing may be under way."""
        if self._windows is not None and self._windows.in_doubt:
            self._windows.begin(*await self._store.take_over())

    async def close_windows(self, *, everything: bool = False) -> None:
        """Merge what is held back of classes of which nothing comes, or all; nothing may be under way."""
        windows = self._windows
        if windows is None or windows.in_doubt or not (change := windows.closing(everything=everything)).edges:
            return
        with windows.doubting() as doubt:
            async with self._store.transaction() as transaction:
                await _roll_up(transaction, windows, change)
                doubt.begin()
            windows.done(change)

    async def prepare(self, life: Life, messages: Sequence[Message]) -> Lot:
        """Turn messages, in order of sequence, into rows by table; raises ``PositionMoved`` where one is stored."""
        lot = Lot(life, messages)
        # What may have to wait for a neighbour comes first: a lot that is made ready again must not count twice.
        resolved = await self._numbers(lot)
        await self._count_producers(lot)
        self._place(lot)
        terms: defaultdict[Account, Terms] = defaultdict(Terms)
        for message in messages:
            if message.settled:
                continue
            terms[message.account].add(message.terms)
            if message.device and message.terms.quarantined:
                self._of_device(lot, message.district, message.device).quarantined += message.terms.quarantined
        lot.terms = dict(terms)
        for numbers in resolved:
            if self._behind:
                await self._index.renew(np.unique(numbers.series))
            self._divide(lot, self._drop_repeated(lot, numbers))
        return lot

    async def commit(self, lot: Lot, turn: Turn | None = None, *, compare_all: bool = False) -> None:
        """Store a lot; it is stored when this returns, and was not when it raises.

        ``turn`` ends when everything before is stored. Raises ``KeyTaken`` where what was taken for new is stored
        already; with ``compare_all`` everything is compared, and a key is taken only while another writer is at work.
        """
        tally = _Tally(lot)
        if self._positions_early:
            async with self._store.transaction() as transaction:
                await transaction.settle(lot, {}, [])
            lot.positions = {}
        if self._windows is None:
            async with self._store.transaction() as transaction:
                await self._write(transaction, lot, tally, turn, compare_all=compare_all)
            return
        with self._windows.doubting() as doubt:
            async with self._store.transaction() as transaction:
                change = await self._write(transaction, lot, tally, turn, compare_all=compare_all)
                doubt.begin()
            self._windows.done(change)

    async def _write(
        self, transaction: RowTransaction, lot: Lot, tally: "_Tally", turn: Turn | None, *, compare_all: bool
    ) -> Change:
        if self._windows is None and (lot.fresh or lot.late):
            await transaction.merge_at_once()
        if not compare_all:
            for numbers in lot.fresh:
                await transaction.copy(numbers)
        if turn is not None:
            await turn()
        merges: list[Merge] = []
        if not compare_all:
            merges += lot.merges
            tally.stored(lot.fresh)
        for numbers in [*lot.late, *lot.fresh] if compare_all else lot.late:
            merges += await self._add(transaction, numbers, tally)
        change = await self._merge(transaction, merges)
        tally.settle_repeats()
        await self._add_others(transaction, lot, tally)
        await self._account(transaction, lot, tally)
        shown = [conflict for conflict in tally.conflicts if not self._index.personal(conflict.series)]
        await transaction.settle(lot, tally.terms(), shown)
        return change

    async def _merge(self, transaction: RowTransaction, merges: Sequence[Merge]) -> Change:
        """Add to newest values and to rollups, except what is held back."""
        by_class: defaultdict[Retention, list[Figures]] = defaultdict(list)
        for merge in merges:
            by_class[merge.table.retention].append(merge.minutes)
        if self._windows is not None:
            change = self._windows.change(by_class)
        else:
            change = Change(due={retention: joined(parts) for retention, parts in by_class.items()})
        await _roll_up(transaction, self._windows, change)
        for merge in merges:
            await transaction.renew(merge.latest)
        return change

    async def _add(self, transaction: RowTransaction, numbers: Numbers, tally: "_Tally") -> list[Merge]:
        """Store those numbers whose key is free, and return what they add."""
        existing = await transaction.add(numbers)
        if len(existing.places):
            same = numbers.value[existing.places] == existing.value
            tally.repeated(numbers.take(existing.places[same]))
            tally.found(numbers.take(existing.places), existing.value)
            tally.conflicts += _conflicts(numbers, existing.places[~same])
            free = np.ones(len(numbers), np.bool_)
            free[existing.places] = False
            numbers = numbers.take(free)
        if not len(numbers):
            return []
        tally.stored([numbers])
        return [_merge(numbers)]

    async def _add_others(self, transaction: RowTransaction, lot: Lot, tally: "_Tally") -> None:
        by_table: defaultdict[Table, list[Other]] = defaultdict(list)
        for other in lot.others:
            by_table[other.table].append(other)
        for table in sorted(by_table):
            others = by_table[table]
            taken = await transaction.add_others(others)
            for place, other in enumerate(others):
                if place not in taken:
                    tally.late[other.origin] += other.late
                elif taken[place] == other.result:
                    tally.repeat(other.series, other.origin)
                else:
                    tally.conflicts.append(
                        Conflict(other.series, other.time_us, other.receipt_time_us, other.result, other.origin)
                    )

    async def _account(self, transaction: RowTransaction, lot: Lot, tally: "_Tally") -> None:
        """Add to the accounts of devices of which there is more to say than what ``latest`` counts."""
        devices = {
            name: DeviceTerms(each.duplicate, each.conflict, each.quarantined) for name, each in lot.devices.items()
        }
        for (origin, series), count in tally.duplicates.items():
            name = DeviceName(lot.messages[origin].district, self._index.name(series)[0])
            devices.setdefault(name, DeviceTerms()).duplicate += count
        for conflict in tally.conflicts:
            name = DeviceName(lot.messages[conflict.origin].district, self._index.name(conflict.series)[0])
            devices.setdefault(name, DeviceTerms()).conflict += 1
        heard = [
            (DeviceName(message.district, device), count)
            for message in lot.messages
            for device, count in message.counts
        ]
        if not devices and not heard:
            return
        known = await transaction.account(devices, sorted({name for name, _ in heard}))
        for name, count in heard:
            known[name].hear(count)
        if heard:
            await transaction.count(known)

    @staticmethod
    def _of_device(lot: Lot, district: str, device: str) -> DeviceTerms:
        return lot.devices.setdefault(DeviceName(district, device), DeviceTerms())

    async def _count_producers(self, lot: Lot) -> None:
        unknown = {message.producer for message in lot.messages} - self._producers.keys() - {""}
        if unknown:
            found = await self._store.producers(lot.life.stream, sorted(unknown))
            self._producers.update({name: found.get(name, ProducerCount()) for name in unknown})
        for message in lot.messages:
            if message.producer:
                self._producers[message.producer].hear(message.producer_total, message.terms.accepted)
        changed = {message.producer for message in lot.messages if message.producer}
        lot.producers = {
            name: ProducerCount(self._producers[name].seen, self._producers[name].lost) for name in changed
        }

    def _place(self, lot: Lot) -> None:
        if any(message.sequence <= self._positions.get(message.district, -1) for message in lot.messages):
            # Another writer stored what was in hand: it must not count twice.
            raise PositionMoved(lot.life.stream)
        last = {message.district: message.sequence for message in lot.messages}
        lot.positions = {district: (self._positions.get(district, -1), sequence) for district, sequence in last.items()}
        self._positions.update(last)

    async def _numbers(self, lot: Lot) -> list[Numbers]:
        """Resolve the series of all rows and group the numbers by table, each ordered by series and then time."""
        series, tables, times_us, values, origins, lengths = [], [], [], [], [], []
        for origin, message in enumerate(lot.messages):
            if message.columns is None:
                continue
            resolved = await self._index.resolve(message, origin)
            lot.others += resolved.others
            series.append(resolved.numbers)
            tables.append(resolved.tables)
            times_us.append(message.columns.event_time_us)
            values.append(message.columns.value)
            origins.append(origin)
            lengths.append(len(resolved.numbers))
        if not sum(lengths):
            return []
        whole = Numbers(
            TABLES[0],
            np.concatenate(series),
            np.concatenate(times_us),
            np.concatenate(values),
            np.repeat(np.array(origins, np.int32), lengths),
            np.zeros(sum(lengths), np.bool_),
            np.array([message.receipt_time_us for message in lot.messages], np.int64),
        )
        return by_series(whole, np.concatenate(tables))

    def _drop_repeated(self, lot: Lot, numbers: Numbers) -> Numbers:
        """Keep the first reading under each key; what the others are is known when that one is stored, or is not."""
        again = np.zeros(len(numbers), np.bool_)
        again[1:] = (numbers.series[1:] == numbers.series[:-1]) & (numbers.time_us[1:] == numbers.time_us[:-1])
        if not again.any():
            return numbers
        first = np.maximum.accumulate(np.where(again, 0, np.arange(len(numbers))))
        lot.repeats.append(Repeats(numbers.take(again), numbers.value[first[again]]))
        return numbers.take(~again)

    def _divide(self, lot: Lot, numbers: Numbers) -> None:
        """Tell what is new in its series from what has to be compared, and remember the newest time of each series."""
        newest_us = self._index.newest_us(numbers.series)
        fresh = numbers.time_us > newest_us
        numbers.late[numbers.time_us < newest_us] = True
        last = np.ones(len(numbers), np.bool_)
        last[:-1] = numbers.series[1:] != numbers.series[:-1]
        self._index.advance(numbers.series[last], np.maximum(numbers.time_us[last], newest_us[last]))
        if fresh.all():
            self._take_fresh(lot, numbers)
            return
        if fresh.any():
            self._take_fresh(lot, numbers.take(fresh))
        lot.late.append(numbers.take(~fresh))

    @staticmethod
    def _take_fresh(lot: Lot, numbers: Numbers) -> None:
        lot.fresh.append(numbers)
        lot.merges.append(_merge(numbers))


class _Tally:
    """What became of a lot's readings, as far as a transaction has come."""

    def __init__(self, lot: Lot) -> None:
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
            self.conflicts += _conflicts(numbers, np.flatnonzero(~same))

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


def _merge(numbers: Numbers) -> Merge:
    return Merge(numbers.table, minutes(numbers), latest(numbers))


async def _roll_up(transaction: RowTransaction, windows: Windows | None, change: Change) -> None:
    # In one order, because other writers merge into the same rows.
    for retention in sorted(change.due):
        await transaction.roll_up(retention, change.due[retention])
    if windows is not None and change.edges:
        await transaction.move_windows(windows.owner, change.edges)


def _counted(numbers: Numbers) -> list[tuple[int, int, int]]:
    """Return message, series and how many, of some numbers."""
    if not len(numbers):
        return []
    pairs, counts = np.unique(np.stack((numbers.origin, numbers.series)), axis=1, return_counts=True)
    return [(origin, series, count) for origin, series, count in zip(*pairs.tolist(), counts.tolist(), strict=True)]


def _conflicts(numbers: Numbers, places: NDArray[np.intp]) -> list[Conflict]:
    taken = numbers.take(places)
    columns = (taken.series, taken.time_us, taken.receipt_time_us, taken.value, taken.origin)
    return [Conflict(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

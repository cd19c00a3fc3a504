"""Store a lot of messages: rows, rollups, positions and custody in one transaction, every reading counted in one term.

``prepare`` needs no transaction and may run while lots before are being stored; ``commit`` stores. What is later than
everything in its series is copied as it is, also while the lot before is under way. What is late is compared with what
lies under its key, when everything before is stored: the same value is a duplicate, another one a conflict, of which the
first is kept and the second goes to quarantine (unless it is personal: then it is only counted).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maasloop.core.domains import Retention
from maasloop.timeseries.domain.custody import DeviceTerms, ProducerCount, Terms
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.domain.series import TABLES, Table
from maasloop.timeseries.ports.rollups import Figures, joined, latest, minutes
from maasloop.timeseries.ports.rows import Conflict, Numbers, Other, Repeats
from maasloop.timeseries.ports.sorting import by_series
from maasloop.timeseries.ports.tallying import Tally, conflicts_of
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
        self._heard = 0

    def stand_behind(self, *, behind: bool) -> None:
        """Say whether another one writes newer rows of the same series from now on."""
        self._behind = behind

    def restart(self, positions: Mapping[str, int], heard: int) -> None:
        """Begin from what is stored: at start, and after a transaction failed.

        ``heard`` says up to where the totals of producers were counted.
        """
        self._positions = dict(positions)
        self._heard = heard
        self._producers.clear()
        self._index.forget()

    def holds(self, district: str, sequence: int) -> bool:
        """Tell whether a message is stored, or on its way."""
        return sequence <= self._positions.get(district, -1)

    def heard(self, sequence: int) -> bool:
        """Tell whether the total of a message's producer was counted."""
        return sequence <= self._heard

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
        whole, tables = await self._joined(lot)
        # Rows hold what the columns held, and the sort needs their memory.
        lot.messages = messages = [replace(message, columns=None) for message in messages]
        resolved = by_series(whole, tables) if len(whole) else []
        del whole, tables
        await self._count_producers(lot)
        self._place(lot)
        terms: defaultdict[Account, Terms] = defaultdict(Terms)
        for message in messages:
            if message.settled or message.passing:
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
        tally = Tally(lot)
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
        self, transaction: RowTransaction, lot: Lot, tally: Tally, turn: Turn | None, *, compare_all: bool
    ) -> Change:
        if self._windows is None and (lot.fresh or lot.late):
            await transaction.merge_at_once()
        merges: list[Merge] = []
        if not compare_all:
            merges += lot.merges
            tally.stored(lot.fresh)
            while lot.fresh:
                # What is copied is needed no more, and a lot may wait long for its turn.
                await transaction.copy(lot.fresh.pop(0))
        if turn is not None:
            await turn()
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
            due = {retention: joined(parts) for retention, parts in by_class.items()}
            change = Change(due=due, merged_before=set(due))
        await _roll_up(transaction, self._windows, change)
        for merge in merges:
            await transaction.renew(merge.latest)
        return change

    async def _add(self, transaction: RowTransaction, numbers: Numbers, tally: Tally) -> list[Merge]:
        """Store those numbers whose key is free, and return what they add."""
        existing = await transaction.add(numbers)
        if len(existing.places):
            same = numbers.value[existing.places] == existing.value
            tally.repeated(numbers.take(existing.places[same]))
            tally.found(numbers.take(existing.places), existing.value)
            tally.conflicts += conflicts_of(numbers, existing.places[~same])
            free = np.ones(len(numbers), np.bool_)
            free[existing.places] = False
            numbers = numbers.take(free)
        if not len(numbers):
            return []
        tally.stored([numbers])
        return [_merge(numbers)]

    async def _add_others(self, transaction: RowTransaction, lot: Lot, tally: Tally) -> None:
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

    async def _account(self, transaction: RowTransaction, lot: Lot, tally: Tally) -> None:
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
        unheard = [message for message in lot.messages if message.producer and not self.heard(message.sequence)]
        for message in unheard:
            self._producers[message.producer].hear(message.producer_total, message.terms.accepted)
        self._heard = max(self._heard, lot.messages[-1].sequence)
        changed = {message.producer for message in unheard}
        lot.producers = {
            name: ProducerCount(self._producers[name].seen, self._producers[name].lost) for name in changed
        }

    def _place(self, lot: Lot) -> None:
        stored_here = [message for message in lot.messages if not message.passing]
        if any(self.holds(message.district, message.sequence) for message in stored_here):
            # Another writer stored what was in hand: it must not count twice.
            raise PositionMoved(lot.life.stream)
        last = {message.district: message.sequence for message in stored_here}
        lot.positions = {district: (self._positions.get(district, -1), sequence) for district, sequence in last.items()}
        self._positions.update(last)

    async def _joined(self, lot: Lot) -> tuple[Numbers, NDArray[np.uint8]]:
        """Resolve the series of all numbers, and return these in the order in which they came, with the table of each."""
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
        whole = Numbers(
            TABLES[0],
            np.concatenate([np.empty(0, np.int32), *series]),
            np.concatenate([np.empty(0, np.int64), *times_us]),
            np.concatenate([np.empty(0, np.float64), *values]),
            np.repeat(np.array(origins, np.int32), lengths),
            np.zeros(sum(lengths), np.bool_),
            np.array([message.receipt_time_us for message in lot.messages], np.int64),
        )
        return whole, np.concatenate([np.empty(0, np.uint8), *tables])

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


def _merge(numbers: Numbers) -> Merge:
    return Merge(numbers.table, minutes(numbers), latest(numbers))


async def _roll_up(transaction: RowTransaction, windows: Windows | None, change: Change) -> None:
    # In one order, because other writers merge into the same rows.
    for retention in sorted(change.due):
        merged_before = retention in change.merged_before
        await transaction.roll_up(retention, change.due[retention], merged_before=merged_before)
    if windows is not None and change.edges:
        await transaction.move_windows(windows.owner, change.edges)

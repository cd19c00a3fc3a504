"""Store a lot of messages: rows, positions and custody in one transaction, every reading counted in one term.

``prepare`` needs no transaction and may run while the lot before is being stored; ``commit`` stores. What is later than
everything in its series is copied as it is. What is late is compared with what lies under its key: the same value is a
duplicate, another one a conflict, of which the first is kept and the second goes to quarantine (unless it is personal:
then it is only counted).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.custody import ProducerCount, Terms
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.domain.series import TABLES, Table
from maasloop.timeseries.ports.writing import (
    Conflict,
    KeyTaken,
    Lot,
    Message,
    Numbers,
    Other,
    PositionMoved,
    RowStore,
    RowTransaction,
    SeriesIndex,
)


class StoreObservations:
    """The writer of one stream."""

    def __init__(self, *, index: SeriesIndex, store: RowStore) -> None:
        """``index`` is this writer's own."""
        self._index = index
        self._store = store
        self._producers: dict[str, ProducerCount] = {}
        self._positions: dict[str, int] = {}

    def restart(self, positions: Mapping[str, int]) -> None:
        """Begin from what is stored: at start, and after a transaction failed."""
        self._positions = dict(positions)
        self._producers.clear()
        self._index.forget()

    async def prepare(self, life: Life, messages: Sequence[Message]) -> Lot:
        """Turn messages, in order of sequence, into rows by table."""
        lot = Lot(life, messages)
        # What may have to wait for a neighbour comes first: a lot that is made ready again must not count twice.
        resolved = await self._numbers(lot)
        await self._count_producers(lot)
        self._place(lot)
        terms: defaultdict[str, Terms] = defaultdict(Terms)
        for message in messages:
            terms[message.district].add(message.terms)
        lot.terms = terms
        for table, numbers in resolved.items():
            distinct = self._drop_repeated(lot, numbers)
            fresh = distinct.time_us > self._index.newest_us(distinct.series)
            self._advance(lot, distinct)
            for chosen, into in ((fresh, lot.fresh), (~fresh, lot.late)):
                if chosen.all():
                    into.append(distinct)
                elif chosen.any():
                    into.append(distinct.take(chosen))
            assert distinct.table == table  # noqa: S101 - numbers are grouped by their table
        return lot

    async def commit(self, lot: Lot) -> None:
        """Store a lot; it is stored when this returns, and was not when it raises."""
        try:
            await self._commit(lot, lot.fresh, lot.late)
        except KeyTaken:
            # The index was wrong about what is new: another writer was here.
            await self._commit_compared(lot)

    async def _commit_compared(self, lot: Lot) -> None:
        try:
            await self._commit(lot, [], [*lot.late, *lot.fresh])
        except KeyTaken as error:
            # Rows appear while we look: the other writer is at work.
            raise PositionMoved(lot.life.stream) from error

    async def _commit(self, lot: Lot, fresh: Sequence[Numbers], late: Sequence[Numbers]) -> None:
        terms = {district: Terms() for district in lot.terms}
        for district, known in lot.terms.items():
            terms[district].add(known)
        conflicts = list(lot.conflicts)
        async with self._store.transaction() as transaction:
            for numbers in fresh:
                await transaction.copy(numbers)
            for numbers in late:
                await self._add(transaction, numbers, terms, conflicts)
            await self._add_others(transaction, lot, terms, conflicts)
            self._settle_stored(lot, terms, conflicts)
            shown = [conflict for conflict in conflicts if not self._index.personal(conflict.series)]
            await transaction.settle(lot, terms, shown)

    async def _add(
        self,
        transaction: RowTransaction,
        numbers: Numbers,
        terms: dict[str, Terms],
        conflicts: list[Conflict],
    ) -> None:
        existing = await transaction.add(numbers)
        same = numbers.value[existing.places] == existing.value
        for series in numbers.series[existing.places[same]].tolist():
            terms[self._index.district(series)].duplicate += 1
        conflicts += _conflicts(numbers, existing.places[~same])

    async def _add_others(
        self, transaction: RowTransaction, lot: Lot, terms: dict[str, Terms], conflicts: list[Conflict]
    ) -> None:
        by_table: defaultdict[Table, list[Other]] = defaultdict(list)
        for other in lot.others:
            by_table[other.table].append(other)
        for others in by_table.values():
            for place, stored in (await transaction.add_others(others)).items():
                other = others[place]
                if stored == other.result:
                    terms[self._index.district(other.series)].duplicate += 1
                else:
                    conflicts.append(Conflict(other.series, other.time_us, other.receipt_time_us, other.result))

    def _settle_stored(self, lot: Lot, terms: dict[str, Terms], conflicts: Sequence[Conflict]) -> None:
        """Everything that is in no other term is stored."""
        for conflict in conflicts:
            terms[self._index.district(conflict.series)].conflict += 1
        for each in terms.values():
            settled = each.duplicate + each.conflict + each.quarantined + each.refused_consent + each.dead_lettered
            each.stored = each.accepted - settled - each.shed

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
        last = {message.district: message.sequence for message in lot.messages}
        lot.positions = {district: (self._positions.get(district, -1), sequence) for district, sequence in last.items()}
        self._positions.update(last)

    async def _numbers(self, lot: Lot) -> dict[Table, Numbers]:
        """Resolve the series of all rows and group the numbers by table, each ordered by series and then time."""
        series, tables, times_us, receipts_us, values = [], [], [], [], []
        for message in lot.messages:
            if message.columns is None:
                continue
            resolved = await self._index.resolve(message)
            lot.others += resolved.others
            series.append(resolved.numbers)
            tables.append(resolved.tables)
            times_us.append(message.columns.event_time_us)
            values.append(message.columns.value)
            receipts_us.append(np.full(len(resolved.numbers), message.receipt_time_us, np.int64))
        if not series:
            return {}
        whole = Numbers(
            TABLES[0],
            np.concatenate(series),
            np.concatenate(times_us),
            np.concatenate(receipts_us),
            np.concatenate(values),
        )
        table = np.concatenate(tables)
        # lexsort is stable: of two readings under one key the one that came first stays first.
        order = np.lexsort((whole.time_us, whole.series, table))
        whole, table = whole.take(order), table[order]
        return {
            TABLES[each]: _in_table(whole, TABLES[each], slice(*np.searchsorted(table, [each, each + 1])))
            for each in np.unique(table).tolist()
        }

    def _drop_repeated(self, lot: Lot, numbers: Numbers) -> Numbers:
        """Keep the first reading under each key, and count the others."""
        again = np.zeros(len(numbers), np.bool_)
        again[1:] = (numbers.series[1:] == numbers.series[:-1]) & (numbers.time_us[1:] == numbers.time_us[:-1])
        if not again.any():
            return numbers
        places = np.arange(len(numbers))
        first = np.maximum.accumulate(np.where(again, 0, places))
        same = again & (numbers.value == numbers.value[first])
        for series in numbers.series[same].tolist():
            lot.terms[self._index.district(series)].duplicate += 1
        lot.conflicts += _conflicts(numbers, np.flatnonzero(again & ~same))
        return numbers.take(~again)

    def _advance(self, lot: Lot, numbers: Numbers) -> None:
        """Remember the newest time of each series; some of them are worth a row."""
        last = np.ones(len(numbers), np.bool_)
        last[:-1] = numbers.series[1:] != numbers.series[:-1]
        renewed = self._index.advance(numbers.series[last], numbers.time_us[last])
        if len(renewed):
            lot.hints = np.concatenate((lot.hints, renewed))
            lot.hint_times_us = np.concatenate((lot.hint_times_us, self._index.newest_us(renewed)))


def _in_table(numbers: Numbers, table: Table, rows: slice) -> Numbers:
    return Numbers(
        table, numbers.series[rows], numbers.time_us[rows], numbers.receipt_time_us[rows], numbers.value[rows]
    )


def _conflicts(numbers: Numbers, places: NDArray[np.intp]) -> list[Conflict]:
    taken = numbers.take(places)
    columns = (taken.series, taken.time_us, taken.receipt_time_us, taken.value)
    return [Conflict(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

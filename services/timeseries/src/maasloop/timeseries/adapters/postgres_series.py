"""The writer's index of series: numbers by name, and the newest time of each, in arrays by number.

It grows with what is written; a series is read (or made) when it first occurs. The newest time is exact as long as only
this process writes; that it is not shows as ``KeyTaken``, and then it is read anew.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maasloop.core.clock import to_us
from maasloop.core.errors import Unavailable
from maasloop.core.observations import Names, Position, State
from maasloop.core.reasons import Reason
from maasloop.postgres.copy import EPOCH_SHIFT_US
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.timeseries.domain.series import TABLES, Kind, PropertyFacts, Table
from maasloop.timeseries.ports.columns import Columns
from maasloop.timeseries.ports.rows import Other, Resolved
from maasloop.timeseries.ports.writing import Message

from . import sql

NEVER_US = -(2**62)
PAIRS_CACHED_MAX = 2_000_000
"""Pairs of all cached dictionaries together, 4 bytes each."""
ROOM_FIRST = 1_024

type _Pair = tuple[str, str]
"""Device and observed property."""


class _Group(NamedTuple):
    """What many series share, held once: names of their own for 100,000 series take 20 MiB more."""

    district: str
    observed_property: str
    table: Table
    """Fixed for the life of a series."""


class PostgresSeriesIndex:
    """Series in PostgreSQL with their newest times in memory."""

    def __init__(self, pool: Pool, facts: Callable[[str], PropertyFacts | None]) -> None:
        """``facts`` returns what the registry says of an observed property."""
        self._pool = pool
        self._facts = facts
        self.forget()

    def forget(self) -> None:
        """Read everything anew."""
        self._groups: dict[_Group, dict[str, int]] = {}
        """Series by device."""
        self._personal: set[int] = set()
        self._pairs: OrderedDict[tuple[str, bytes], NDArray[np.int32]] = OrderedDict()
        self._pair_count = 0
        self._newest_us = np.full(ROOM_FIRST, NEVER_US, np.int64)
        self._table = np.zeros(ROOM_FIRST, np.uint8)
        self._device = [""] * ROOM_FIRST
        self._group_of: list[_Group | None] = [None] * ROOM_FIRST

    def newest_us(self, series: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the newest event time of each series."""
        return self._newest_us[series]

    def advance(self, series: NDArray[np.int32], time_us: NDArray[np.int64]) -> None:
        """Take over the newest time of each (distinct) series."""
        self._newest_us[series] = time_us

    async def renew(self, series: NDArray[np.int32]) -> None:
        """Take over the newest times that are stored."""
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql.NEWEST, (series.tolist(),))
                rows: list[Any] = await cursor.fetchall()
        stored = np.frombuffer(rows[0][0] or b"", ">i4").astype(np.int32)
        times_us = np.frombuffer(rows[0][1] or b"", ">i8").astype(np.int64) + EPOCH_SHIFT_US
        self._newest_us[stored] = np.maximum(self._newest_us[stored], times_us)

    def personal(self, series: int) -> bool:
        """Tell whether a series is personal."""
        return series in self._personal

    def name(self, series: int) -> tuple[str, str]:
        """Return device and observed property of a series."""
        group = self._group_of[series]
        assert group is not None  # noqa: S101 - only series that were resolved are asked for
        return self._device[series], group.observed_property

    async def resolve(self, message: Message, origin: int) -> Resolved:
        """Return the series of a message's rows."""
        columns = message.columns
        assert columns is not None  # noqa: S101 - only messages with rows are resolved
        found = [await self._numbers(message, batch) for batch in columns.batches()]
        numbers = found[0] if len(found) == 1 else np.concatenate(found)
        others = await self._others(message, origin) if columns.states or columns.positions else []
        return Resolved(numbers, self._table[numbers], others)

    async def _numbers(self, message: Message, columns: Columns) -> NDArray[np.int32]:
        """Return the series of numbers that came in one batch."""
        width, known, names = self._dictionary(message.district, columns.dictionary, columns.names)
        pair = columns.device_index if width == 1 else columns.device_index * np.uint32(width) + columns.property_index
        numbers = known[pair]
        if len(numbers) and int(numbers.min()) < 0:
            found = names()
            unknown = np.unique(pair[numbers < 0]).tolist()
            pairs = [(found.devices[each // width], found.observed_properties[each % width]) for each in unknown]
            known[unknown] = await self._ids_of(message, pairs, Kind.NUMBERS)
            numbers = known[pair]
        return numbers

    def _dictionary(
        self, district: str, dictionary: bytes, names: Callable[[], Names]
    ) -> tuple[int, NDArray[np.int32], Callable[[], Names]]:
        """Return what is known of the pairs of a dictionary, -1 where nothing is, and their number per device."""
        place = (district, dictionary)
        known = self._pairs.get(place)
        if known is not None:
            self._pairs.move_to_end(place)
            return int(known[-1]), known, names
        found = names()
        width = max(1, len(found.observed_properties))
        # One more place keeps the width beside the pairs.
        known = np.full(len(found.devices) * width + 1, -1, np.int32)
        known[-1] = width
        self._pairs[place] = known
        self._pair_count += len(known)
        while self._pair_count > PAIRS_CACHED_MAX and len(self._pairs) > 1:
            _, old = self._pairs.popitem(last=False)
            self._pair_count -= len(old)
        return width, known, lambda: found

    async def _others(self, message: Message, origin: int) -> list[Other]:
        columns = message.columns
        assert columns is not None  # noqa: S101 - only messages with rows are resolved
        names = columns.names()
        others: list[Other] = []
        kinds: tuple[tuple[Kind, Sequence[State] | Sequence[Position]], ...] = (
            (Kind.STATES, columns.states),
            (Kind.POSITIONS, columns.positions),
        )
        for kind, rows in kinds:
            pairs = [(names.devices[row.device_index], names.observed_properties[row.property_index]) for row in rows]
            ids = await self._ids_of(message, pairs, kind) if pairs else []
            for place, series in enumerate(ids):
                row: State | Position = rows[place]
                time_us, newest_us = row.event_time_us, int(self._newest_us[series])
                self._newest_us[series] = max(time_us, newest_us)
                table = TABLES[self._table[series]]
                receipt_us = message.receipt_time_us
                others.append(Other(table, series, time_us, receipt_us, _result(row), origin, time_us < newest_us))
        return others

    async def _ids_of(self, message: Message, pairs: Sequence[_Pair], kind: Kind) -> list[int]:
        # Asked once, because what the registry says may change while series are looked up.
        groups = {each: self._group(message.district, each, kind) for each in {name for _, name in pairs}}
        known = {each: self._groups.get(group, {}) for each, group in groups.items()}
        missing = [pair for pair in dict.fromkeys(pairs) if pair[0] not in known[pair[1]]]
        if missing:
            with translated():
                async with self._pool.connection() as connection:
                    await self._find(connection, message, [(device, groups[name]) for device, name in missing])
        return [self._groups[groups[name]][device] for device, name in pairs]

    def _group(self, district: str, observed_property: str, kind: Kind) -> _Group:
        facts = self._facts(observed_property)
        if facts is None:
            message = f"the registry's facts about {observed_property!r} have not arrived"
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "device-registry"})
        return _Group(district, observed_property, Table(kind, facts.retention))

    async def _find(self, connection: Connection, message: Message, missing: Sequence[tuple[str, _Group]]) -> None:
        """Read series, making those that do not exist, and the newest time of each."""
        arguments = {
            "district": message.district,
            "devices": [device for device, _ in missing],
            "properties": [group.observed_property for _, group in missing],
            "kinds": [str(group.table.kind) for _, group in missing],
            "retentions": [str(group.table.retention) for _, group in missing],
            "personal": message.personal,
        }
        rows: list[Any] = await (await connection.execute(sql.SERIES_FIND, arguments)).fetchall()
        if len(rows) < len(missing):
            await connection.execute(sql.SERIES_MAKE, arguments)
            rows = await (await connection.execute(sql.SERIES_FIND, arguments)).fetchall()
        if message.personal:
            # A series of nobody that became a person's hides for good, whatever the registry says of its device later.
            await connection.execute(sql.SERIES_MARK_PERSONAL, ([series for _, series, _ in rows],))
            self._personal.update(series for _, series, _ in rows)
        self._make_room(max(series for _, series, _ in rows))
        for place, series, newest in rows:
            device, group = missing[place - 1]
            self._groups.setdefault(group, {})[device] = series
            self._device[series], self._group_of[series] = device, group
            self._table[series] = TABLES.index(group.table)
            self._newest_us[series] = NEVER_US if newest is None else to_us(newest)

    def _make_room(self, highest: int) -> None:
        room = len(self._newest_us)
        if highest < room:
            return
        more = max(highest + 1, 2 * room) - room
        self._newest_us = np.concatenate((self._newest_us, np.full(more, NEVER_US, np.int64)))
        self._table = np.concatenate((self._table, np.zeros(more, np.uint8)))
        self._device += [""] * more
        self._group_of += [None] * more


def _result(row: State | Position) -> str | tuple[float, float]:
    state: str | None = getattr(row, "state", None)
    if state is not None:
        return state
    place: Any = row
    return place.position.longitude, place.position.latitude

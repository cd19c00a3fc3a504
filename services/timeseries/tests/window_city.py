"""A city whose minutes are held back: writers of two streams of one district over a real database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import build_columns
from maasloop.bus.streams import IMPORT_ROWS, OBSERVATION_ROWS
from maasloop.bus.subjects import OBSERVATION_RECORDED
from maasloop.core.clock import FakeClock, SystemClock
from maasloop.timeseries.adapters.postgres_aggregates import PostgresAggregates
from maasloop.timeseries.adapters.postgres_reads import PostgresReader
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.postgres_windows import PostgresWindows
from maasloop.timeseries.domain.aggregating import HOUR_US
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.entrypoints.storing import Storing, Taken
from maasloop.timeseries.handlers.aggregate_observations import AggregateObservations
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.reading import GapFill, Selection
from maasloop.timeseries.ports.windows import Windows

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Reading, Rig

SECOND_US = 1_000_000
DAY_US = 24 * HOUR_US
LIVES = count()
FROM_ROWS = """
    SELECT s.device, (extract(epoch FROM date_bin('{width} s', time, '2000-01-03 00:00:00+00')) * 1000000)::bigint,
        count(*), avg(value), min(value), max(value), first(value, time), last(value, time)
    FROM numbers AS n JOIN series AS s ON s.id = n.series WHERE s.district = %s GROUP BY 1, 2 ORDER BY 1, 2
"""


class Everybody:
    """Everything may be seen."""

    def ready(self) -> bool:
        """Tell that it is known whose devices are."""
        return True

    def of_person(self, _district: str, _device: str) -> bool:
        """Tell that no device is a person's."""
        return False

    def visible(self, _district: str, _device: str, *, personal: bool) -> bool:
        """Tell whether a device may be seen."""
        return not personal


class Forgetful(PostgresWindows):
    """A sabotage: takes the windows over, and makes nothing again."""

    async def make(self, *_arguments: object) -> None:
        """Leave rollups as they are."""


@dataclass
class City:
    """Writers of two streams of one district over a real database; the first has the windows."""

    rig: "Rig"
    at_us: int
    forgetful: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    sequence: int = 0

    def __post_init__(self) -> None:
        """Start."""
        self.number = next(LIVES)
        self.district = f"district-{self.number}"
        self._stores: list[PostgresRowStore] = []
        self.live = self._storing(OBSERVATION_ROWS.stream, Windows(self.clock))
        self.imports = self._storing(IMPORT_ROWS.stream, None)

    def _storing(self, stream: str, held: Windows | None) -> Storing:
        index = self.rig.index()
        store = self.rig.store(index)
        if self.forgetful:
            store._windows = Forgetful(self.rig.pool)
        self._stores.append(store)
        handler = StoreObservations(index=index, store=store, windows=held)
        made = Storing(bus=self.rig.bus, durable=OBSERVATION_ROWS, store=store, handler=handler, clock=SystemClock())
        made.begin(Life(f"{stream}-{self.number}", "", 0), {}, 0)
        return made

    async def restart(self) -> None:
        """Go on with new processes that know what is stored, as after a kill."""
        await self.close()
        self.live = self._storing(OBSERVATION_ROWS.stream, Windows(self.clock))
        positions = (await self._stores[-1].stored(f"{OBSERVATION_ROWS.stream}-{self.number}", "")).positions
        self.live.begin(Life(f"{OBSERVATION_ROWS.stream}-{self.number}", "", 0), positions, 0)
        self.imports = self._storing(IMPORT_ROWS.stream, None)
        positions = (await self._stores[-1].stored(f"{IMPORT_ROWS.stream}-{self.number}", "")).positions
        self.imports.begin(Life(f"{IMPORT_ROWS.stream}-{self.number}", "", 0), positions, 0)

    async def close(self) -> None:
        """End everything as abruptly as a kill would."""
        for storing in (self.live, self.imports):
            await storing.roll_back()
        while self._stores:
            await self._stores.pop().close()

    def message(self, *readings: "Reading") -> Taken:
        """Return the next message."""
        self.sequence += 1
        devices = sorted({reading[0] for reading in readings})
        properties = sorted({reading[1] for reading in readings})
        columns = build_columns(
            devices,
            properties,
            [devices.index(reading[0]) for reading in readings],
            [properties.index(reading[1]) for reading in readings],
            [reading[2] for reading in readings],
            [reading[3] for reading in readings],
        )
        body = PackedObservationsRecorded(district=self.district, observations=columns.packed()).SerializeToString()
        return Taken(self.sequence, OBSERVATION_RECORDED.subject(self.district, "air"), {}, body, None)

    async def store(self, *lots: Sequence["Reading"], imported: bool = False) -> None:
        """Store lots of one message each."""
        storing = self.imports if imported else self.live
        for lot in lots:
            await storing.take_on([self.message(*lot)])
        await storing.finish()

    def at(self, seconds: float, value: float = 1.0, device: str = "a") -> "Reading":
        """Return a reading."""
        return (device, "vehicle-count", self.at_us + round(seconds * SECOND_US), value)

    async def open_from_s(self) -> float | None:
        """Return where the window begins."""
        rows = await self.rig.query(
            "SELECT (extract(epoch FROM open_from) * 1000000)::bigint FROM rollup_windows WHERE retention = '7d'"
        )
        return None if rows[0][0] is None else (rows[0][0] - self.at_us) / SECOND_US

    async def check(self) -> None:
        """Compare what is read with what rows come to."""
        aggregate = AggregateObservations(
            PostgresReader(self.rig.pool), PostgresAggregates(self.rig.pool), Everybody(), SystemClock()
        )
        start_us = self.at_us - self.at_us % DAY_US
        for width_s in (60, 3_600):
            read = []
            found = aggregate(
                Selection(self.district), start_us, start_us + 2 * DAY_US, width_s, GapFill.OMIT, buckets_max=100_000
            )
            async for some in found:
                devices = [some.series[place].device for place in some.series_index]
                figures = (some.count, some.mean, some.minimum, some.maximum, some.first, some.last)
                columns = [column.tolist() for column in (some.start_us, *figures)]
                read += list(zip(devices, *columns, strict=True))
            assert read == await self.rig.query(FROM_ROWS.format(width=width_s), self.district)

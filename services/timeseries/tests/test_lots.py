"""Lots over a real database: whatever order readings come in, and whatever fails, rows and all that follows from them agree."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from maasloop.api.observation.v1.observation_pb2 import DeviceSequence
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import build_columns
from maasloop.bus.streams import OBSERVATION_ROWS
from maasloop.bus.subjects import OBSERVATION_RECORDED
from maasloop.core.clock import SystemClock
from maasloop.timeseries.domain.counting import PayloadCount
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.entrypoints.storing import Storing, Taken
from maasloop.timeseries.handlers.store_observations import StoreObservations

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Reading, Rig

DOOR = "grpc"
DAY_US = 86_400 * 1_000_000
LIVES = count()
WIDTHS = {"minutes": "1 minute", "hours": "1 hour"}
RECOMPUTED = """
    SELECT r.series, r.time, r.count, r.sum, r.minimum, r.maximum, r.first, r.last, r.first_time, r.last_time
    FROM {table} AS r ORDER BY 1, 2
"""
FROM_ROWS = """
    SELECT series, date_bin('{width}', time, '2000-01-03 00:00:00+00') AS edge, count(*), sum(value), min(value),
        max(value), first(value, time), last(value, time), min(time), max(time)
    FROM {table} GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass
class Lab:
    """A stream of no broker, and the lots of its messages."""

    rig: "Rig"
    storing: Storing
    district: str
    sequence: int = 0
    model: dict[tuple[str, str, int], float] = field(default_factory=dict)
    newest: dict[tuple[str, str], int] = field(default_factory=dict)
    terms: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def message(self, readings: Sequence["Reading"], sequences: Sequence[tuple[str, int]] = ()) -> Taken:
        """Return the next message, and remember what has to become of it."""
        self.sequence += 1
        devices = sorted({reading[0] for reading in readings} | {device for device, _ in sequences})
        properties = sorted({reading[1] for reading in readings})
        columns = build_columns(
            devices,
            properties,
            [devices.index(reading[0]) for reading in readings],
            [properties.index(reading[1]) for reading in readings],
            [reading[2] for reading in readings],
            [reading[3] for reading in readings],
            sequences=[DeviceSequence(device_index=devices.index(name), sequence=heard) for name, heard in sequences],
        )
        body = PackedObservationsRecorded(
            district=self.district, observations=columns.packed(), receipt_time_us=self.sequence, door=DOOR
        ).SerializeToString()
        for device, observed_property, time_us, value in readings:
            self._expect(device, observed_property, time_us, value)
        return Taken(self.sequence, OBSERVATION_RECORDED.subject(self.district, "air"), {}, body, None)

    def _expect(self, device: str, observed_property: str, time_us: int, value: float) -> None:
        self.terms["accepted"] += 1
        kept = self.model.setdefault((device, observed_property, time_us), value)
        series = device, observed_property
        if self.terms["accepted"] - self.terms["duplicate"] - self.terms["conflict"] > len(self.model):
            self.terms["duplicate" if kept == value else "conflict"] += 1
            return
        self.terms["late"] += time_us < self.newest.get(series, time_us)
        self.newest[series] = max(time_us, self.newest.get(series, time_us))

    async def store(self, *lots: Sequence[Taken]) -> None:
        """Store lots, two under way."""
        for lot in lots:
            await self.storing.take_on(lot)
        await self.storing.finish()

    async def check(self) -> None:
        """Compare everything that is stored with what has to be."""
        rows = await self.rig.query(
            "SELECT s.device, s.observed_property, (extract(epoch FROM n.time) * 1000000)::bigint, n.value"
            " FROM numbers AS n JOIN series AS s ON s.id = n.series WHERE s.district = %s",
            self.district,
        )
        assert {row[:3]: row[3] for row in rows} == self.model
        assert len(rows) == len(self.model)
        custody = await self.rig.query(
            "SELECT accepted, stored, duplicate, conflict, late FROM custody WHERE (district, door) = (%s, %s)",
            self.district,
            DOOR,
        )
        expected = self.terms
        stored = len(self.model)
        assert custody == [
            (expected["accepted"], stored, expected["duplicate"], expected["conflict"], expected["late"])
        ]
        await self.check_rollups()
        await self._check_latest()
        accounts = await self.rig.query(
            "SELECT coalesce(sum(duplicate), 0)::bigint, coalesce(sum(conflict), 0)::bigint FROM device_accounts"
            " WHERE district = %s",
            self.district,
        )
        assert accounts == [(expected["duplicate"], expected["conflict"])]

    async def check_rollups(self) -> None:
        """Compare rollups with what rows come to."""
        for retention in ("7d", "2y"):
            for kind, width in WIDTHS.items():
                kept = await self.rig.query(RECOMPUTED.format(table=f"{kind}_{retention}"))
                assert kept == await self.rig.query(FROM_ROWS.format(width=width, table=f"numbers_{retention}"))

    async def _check_latest(self) -> None:
        latest = await self.rig.query(
            "SELECT s.device, s.observed_property, (extract(epoch FROM l.time) * 1000000)::bigint, l.value"
            " FROM latest AS l JOIN series AS s ON s.id = l.series WHERE s.district = %s",
            self.district,
        )
        newest = {series: (time_us, self.model[(*series, time_us)]) for series, time_us in self.newest.items()}
        assert {row[:2]: row[2:] for row in latest} == newest
        counted = await self.rig.query(
            "SELECT coalesce(sum(l.stored), 0)::bigint, coalesce(sum(l.late), 0)::bigint"
            " FROM latest AS l JOIN series AS s ON s.id = l.series WHERE s.district = %s",
            self.district,
        )
        assert counted == [(len(self.model), self.terms["late"])]


@asynccontextmanager
async def lab(
    rig: "Rig", before_commit: Callable[[], Awaitable[None]] | None = None, *, positions_early: bool = False
) -> AsyncIterator[Lab]:
    """Give a fresh stream of a district of its own."""
    number = next(LIVES)
    index = rig.index()
    store = rig.store(index, before_commit)
    handler = StoreObservations(index=index, store=store, positions_early=positions_early)
    storing = Storing(bus=rig.bus, durable=OBSERVATION_ROWS, store=store, handler=handler, clock=SystemClock())
    storing.begin(Life(f"S{number}", "", 0), {}, 0)
    try:
        yield Lab(rig, storing, f"district-{number}")
    finally:
        await storing.roll_back()
        await store.close()


@pytest.fixture(name="at_us")
def _at_us() -> int:
    """Just before the midnight before last, so that what follows lies in two chunks."""
    return SystemClock().now_us() // DAY_US * DAY_US - DAY_US - 90_000_000


OFFSETS_S = st.sampled_from([0, 1, 29, 30, 59, 60, 89, 90, 91, 150, 3_689, 3_690, 7_000])
READINGS = st.tuples(
    st.sampled_from(["a", "b", "c"]), st.sampled_from(["pm25", "vehicle-count"]), OFFSETS_S, st.integers(0, 2)
)
PHASES = (Phase.explicit, Phase.generate)
"""An example takes a while: none is made smaller."""
MESSAGES = st.lists(READINGS, min_size=1, max_size=8)
LOTS = st.lists(st.lists(MESSAGES, min_size=1, max_size=3), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=PHASES)
@given(lots=LOTS)
async def test_all_that_follows_from_rows_agrees_with_them(
    rig: "Rig", at_us: int, lots: list[list[list[tuple[str, str, int, int]]]]
) -> None:
    """Late, repeated, conflicting and shuffled readings: rollups, newest values and accounts are what rows say."""

    def readings(message: list[tuple[str, str, int, int]]) -> list["Reading"]:
        return [(device, name, at_us + offset_s * 1_000_000, float(value)) for device, name, offset_s, value in message]

    async with lab(rig) as made:
        await made.store(*([made.message(readings(message)) for message in lot] for lot in lots))
        await made.check()


async def test_a_key_that_the_index_took_for_free_is_compared(rig: "Rig", at_us: int) -> None:
    """Rows from elsewhere under keys of both lots under way: what is there stays, and all is counted once."""
    async with lab(rig) as made, lab(rig) as other:
        other.district = made.district
        await made.store([made.message([("a", "pm25", at_us, 1.0)])])
        await other.store([other.message([("a", "pm25", at_us + 1, 2.0), ("a", "pm25", at_us + 3, 2.0)])])

        first = made.message([("a", "pm25", at_us + 1, 2.0), ("a", "pm25", at_us + 2, 5.0)])
        second = made.message([("a", "pm25", at_us + 3, 9.0), ("a", "pm25", at_us + 4, 5.0)])
        await made.store([first], [second])
        await made.check_rollups()

    assert await rig.query("SELECT value FROM numbers ORDER BY time") == [(1.0,), (2.0,), (5.0,), (2.0,), (5.0,)]
    assert await rig.query("SELECT accepted, stored, duplicate, conflict, late FROM custody") == [(7, 5, 1, 1, 1)]


async def test_a_lot_that_fails_takes_the_next_one_back(rig: "Rig", at_us: int) -> None:
    """The first of two lots under way fails before its commit: both are made again, and every reading counts once."""
    failures = [RuntimeError("before the commit")]
    attempts = 0

    async def fail_once() -> None:
        nonlocal attempts
        attempts += 1
        if failures:
            raise failures.pop()

    async with lab(rig, fail_once) as made:
        await made.store(*([made.message([("a", "pm25", at_us + number, 1.0)])] for number in range(3)))
        await made.check()

    assert attempts == 4


async def test_sabotage_a_position_before_its_rows_loses_readings(rig: "Rig", at_us: int) -> None:
    """With the position committed first, an end between the two leaves readings that no row and no term tells of."""
    ends: list[Exception | None] = [None, RuntimeError("killed")]

    async def end() -> None:
        if ends and (error := ends.pop(0)) is not None:
            raise error

    async with lab(rig, end, positions_early=True) as made:
        await made.store([made.message([("a", "pm25", at_us, 1.0)])])
        with pytest.raises(AssertionError):
            await made.check()

    assert await rig.query("SELECT sequence FROM positions_in_streams") == [(1,)]
    assert await rig.query("SELECT count(*) FROM numbers") == [(0,)]


async def test_a_chunk_that_is_gone_is_made_again(rig: "Rig", at_us: int) -> None:
    """Retention drops a chunk that the writer knows: the lot that meets it is made again, and stored."""
    async with lab(rig) as made:
        await made.store([made.message([("a", "vehicle-count", at_us, 1.0)])])
        await rig.query("SELECT drop_chunks('numbers_7d', older_than => now() + interval '1 day')")

        await made.store([made.message([("a", "vehicle-count", at_us + 1, 2.0)])])

    assert await rig.query("SELECT value FROM numbers_7d") == [(2.0,)]


async def test_sums_beyond_doubles_are_infinite(rig: "Rig", at_us: int) -> None:
    """Three of the largest doubles in one minute are stored, whatever their sum."""
    async with lab(rig) as made:
        for number in range(3):
            readings = [("a", "pm25", at_us + number, 1.7e308), ("b", "pm25", at_us + number, -5e-324)]
            await made.store([made.message(readings)])

    sums = await rig.query("SELECT count, sum FROM minutes_2y ORDER BY series")
    assert sums == [(3, float("inf")), (3, -1.5e-323)]


async def test_a_device_that_counts_tells_what_is_missing(rig: "Rig", at_us: int) -> None:
    """Gaps in a device's own count are missing payloads, until one of them comes late."""
    async with lab(rig) as made:

        async def hear(*counts: int) -> list[tuple[int, int]]:
            readings = [("a", "pm25", at_us + made.sequence, 1.0)]
            await made.store(*([made.message(readings, [("a", each)])] for each in counts))
            return await rig.query("SELECT last_sequence, missing FROM device_accounts")

        before = await hear(5, 6, 9, 9)
        after = await hear(7)

    assert (before, after) == ([(9, 2)], [(9, 1)])


@given(st.permutations(range(60)), st.sets(st.integers(0, 59)))
def test_what_was_not_heard_is_missing_in_any_order(order: list[int], lost: set[int]) -> None:
    """However payloads are shuffled, those after the first that never come are missing."""
    known = PayloadCount()
    heard = [each for each in order if each not in lost]
    for each in heard:
        known.hear(each)

    first = heard[0] if heard else 0
    assert known.missing == sum(1 for each in range(first, max(heard, default=0)) if each in lost)
    assert known.last == max(heard, default=None)


def test_a_device_that_began_anew_misses_nothing() -> None:
    """A count that falls far back is a new beginning."""
    known = PayloadCount()
    for each in (1_000, 1_001, 0, 1):
        known.hear(each)

    assert (known.last, known.missing) == (1, 0)

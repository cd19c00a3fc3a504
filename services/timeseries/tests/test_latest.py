"""Newest values: renewed where a series has one, begun where it has none, by one transaction at a time."""

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.ports.rollups import Latest

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

NEWEST = "SELECT series, (extract(epoch FROM time) * 1000000)::bigint, value, stored, late FROM latest ORDER BY series"


def _latest(*rows: tuple[int, int, float, int]) -> Latest:
    series, times_us, values, stored = zip(*rows, strict=True)
    newest_us = np.array(times_us, np.int64)
    late = np.zeros(len(rows), np.int64)
    counts = np.array(stored, np.int64)
    return Latest(np.array(series, np.int32), newest_us, newest_us, np.array(values, np.float64), counts, late)


async def _renew(store: PostgresRowStore, *latest: Latest) -> None:
    async with store.transaction() as transaction:
        for each in latest:
            await transaction.renew(each)


async def test_known_series_are_renewed_and_new_ones_begun(rig: "Rig") -> None:
    """Of both kinds in one lot each is counted once, and an older reading leaves the newest as it is."""
    store = rig.store(rig.index())
    await _renew(store, _latest((2, 20, 2.0, 3)))

    await _renew(store, _latest((1, 10, 1.0, 1), (2, 15, 9.0, 2), (3, 30, 3.0, 1)), _latest((3, 31, 4.0, 5)))

    assert await rig.query(NEWEST) == [(1, 10, 1.0, 1, 0), (2, 20, 2.0, 5, 0), (3, 31, 4.0, 6, 0)]
    await store.close()


async def test_two_writers_begin_the_same_series(rig: "Rig") -> None:
    """The second waits for the end of the first, whatever it renews, and adds to what that one began."""
    store, other = rig.store(rig.index()), rig.store(rig.index())
    await _renew(store, _latest((1, 10, 1.0, 1)))
    async with store.transaction() as transaction:
        await transaction.renew(_latest((1, 11, 1.0, 1), (2, 20, 2.0, 1)))
        second = asyncio.create_task(_renew(other, _latest((2, 21, 3.0, 4), (3, 30, 3.0, 1)), _latest((1, 12, 7.0, 1))))
        await asyncio.wait([second], timeout=0.3)
        assert not second.done()
        await transaction.renew(_latest((3, 31, 5.0, 2)))
    await second

    assert await rig.query(NEWEST) == [(1, 12, 7.0, 3, 0), (2, 21, 3.0, 5, 0), (3, 31, 5.0, 3, 0)]
    await store.close()
    await other.close()

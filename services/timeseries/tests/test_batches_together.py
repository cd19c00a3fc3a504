"""Messages in which several batches travel together become the same rows as the batches by themselves."""

from typing import TYPE_CHECKING

import pytest

from maasloop.api.observation.v1.events_pb2 import RowGroup
from maasloop.api.observation.v1.observation_pb2 import SeriesDictionary
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import build_columns
from maasloop.core.clock import SystemClock

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

PROPERTIES = ["pm25", "vehicle-count"]


def _together(at_us: int, groups: list[RowGroup]) -> bytes:
    """Return a message of a batch of device a, then one of b and c, each with both properties."""
    columns = build_columns(
        ["a", "b", "c"],
        PROPERTIES,
        [0, 0, 1, 2, 2],
        [0, 1, 1, 0, 1],
        [at_us] * 5,
        [1.0, 2.0, 3.0, 4.0, 5.0],
    )
    message = PackedObservationsRecorded(observations=columns.packed(), row_groups=groups, reading_count=5)
    return message.SerializeToString()


@pytest.mark.parametrize("alone_first", [False, True])
async def test_batches_that_travel_together_become_rows_of_their_own_series(rig: "Rig", *, alone_first: bool) -> None:
    """Each row lands in the series of its device and property, whether its dictionary was known before or not."""
    at_us = (SystemClock().now_us() // 1_000_000 - 60) * 1_000_000
    devices = [["a"], ["b", "c"]]
    sizes = [SeriesDictionary(devices=names).ByteSize() for names in devices]
    groups = [RowGroup(row_count=count, devices_bytes=size) for count, size in zip((2, 3), sizes, strict=True)]
    alone = [("b", "pm25", at_us, 9.0), ("c", "vehicle-count", at_us - 1, 9.0)]
    async with rig.writing():
        if alone_first:
            columns = build_columns(devices[1], PROPERTIES, [0, 1], [0, 1], [at_us, at_us - 1], [9.0, 9.0])
            await rig.send(PackedObservationsRecorded(observations=columns.packed()).SerializeToString(), readings=2)
        await rig.send(_together(at_us, groups), readings=5)
        await rig.until_accepted(5 + 2 * alone_first)

    expected = [
        ("a", "pm25", at_us, 1.0),
        ("a", "vehicle-count", at_us, 2.0),
        ("b", "vehicle-count", at_us, 3.0),
        ("c", "pm25", at_us, 4.0),
        ("c", "vehicle-count", at_us, 5.0),
    ]
    assert await rig.numbers() == sorted(expected + alone if alone_first else expected)


async def test_groups_that_do_not_fit_their_message_make_it_a_dead_letter(rig: "Rig") -> None:
    """Rows that may belong to other devices never become rows."""
    at_us = (SystemClock().now_us() // 1_000_000 - 60) * 1_000_000
    async with rig.writing():
        await rig.send(_together(at_us, [RowGroup(row_count=5, devices_bytes=3)]), readings=5)
        await rig.until_accepted(5)

    assert await rig.numbers() == []
    assert await rig.custody() == {"accepted": 5, "dead_lettered": 5}

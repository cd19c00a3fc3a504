"""Columns of observations are views of the wire's bytes and survive any legal encoding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maasloop.api.observation.v1.events_pb2 import RowGroup
from maasloop.api.observation.v1.observation_pb2 import ObservationColumns, SeriesDictionary
from maasloop.api.observation.v1.packed_pb2 import PackedColumns
from maasloop.bus.columns import build_columns, parse_columns, read_columns
from maasloop.core.errors import InvalidArgument

ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 1),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=True, width=64),
    ),
    max_size=50,
)


@settings(deadline=None)
@given(ROWS)
def test_columns_survive_the_wire(rows: list[tuple[int, int, int, float]]) -> None:
    """What is packed is read back the same, and the general message reads the same values."""
    device, observed_property, time, value = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    columns = build_columns(["a", "b", "c"], ["p", "q"], device, observed_property, time, value)

    read = parse_columns(columns.packed().SerializeToString())
    general = ObservationColumns.FromString(columns.packed().SerializeToString())

    for name in ("device_index", "property_index", "event_time_us", "value"):
        np.testing.assert_array_equal(getattr(columns, name), getattr(read, name))
        np.testing.assert_array_equal(getattr(columns, name), list(getattr(general, name)))
    assert columns.names() == general.dictionary


def test_a_column_split_over_segments_is_read_whole() -> None:
    """The encoding allows a packed column in pieces; such a message loses nothing."""
    names = SeriesDictionary(devices=["a"], observed_properties=["p"])
    pieces = [
        ObservationColumns(
            dictionary=names if piece == 0 else None,
            device_index=[0],
            property_index=[0],
            event_time_us=[piece],
            value=[float(piece)],
        ).SerializeToString()
        for piece in range(2)
    ]

    read = parse_columns(b"".join(pieces))

    np.testing.assert_array_equal([0, 1], read.event_time_us)


@pytest.mark.parametrize(
    "broken",
    [
        ObservationColumns(value=[1.0]),
        ObservationColumns(device_index=[0], property_index=[0], event_time_us=[1], value=[1.0]),
        ObservationColumns(
            dictionary=SeriesDictionary(devices=["a"], observed_properties=["p"]),
            device_index=[1],
            property_index=[0],
            event_time_us=[1],
            value=[1.0],
        ),
    ],
    ids=["lengths differ", "empty dictionary", "index outside"],
)
def test_inconsistent_columns_are_refused(broken: ObservationColumns) -> None:
    """Columns of different lengths and indexes outside the dictionary are refused with their reason."""
    with pytest.raises(InvalidArgument) as refusal:
        parse_columns(broken.SerializeToString())

    assert refusal.value.reason == "COLUMNS_INCONSISTENT"


GROUPS = [RowGroup(row_count=2, devices_bytes=3), RowGroup(row_count=1, devices_bytes=6)]


def _two_batches(device_index: list[int]) -> PackedColumns:
    """Return two rows of a batch of one device, and a row of a batch of two devices."""
    return build_columns(["a", "b", "c"], ["p"], device_index, [0, 0, 0], [1, 2, 3], [1.0, 2.0, 3.0]).packed()


def test_batches_that_travel_together_are_read_apart() -> None:
    """Each batch has its own dictionary and indexes into it; the whole stays one."""
    read = read_columns(_two_batches([0, 0, 2]), GROUPS)

    assert [list(batch.names().devices) for batch in read.batches()] == [["a"], ["b", "c"]]
    assert [batch.device_index.tolist() for batch in read.batches()] == [[0, 0], [1]]
    assert [batch.value.tolist() for batch in read.batches()] == [[1.0, 2.0], [3.0]]
    assert read.device_index.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("device_index", "groups"),
    [
        ([0, 1, 2], GROUPS),
        ([0, 0, 0], GROUPS),
        ([0, 0, 2], GROUPS[:1]),
        ([0, 0, 2], [*GROUPS, RowGroup(row_count=1)]),
        ([0, 0, 2], [RowGroup(row_count=4, devices_bytes=3), RowGroup(row_count=-1, devices_bytes=6)]),
        ([0, 0, 2], [RowGroup(row_count=3, devices_bytes=90)]),
        ([0, 0, 2], [RowGroup(row_count=3, devices_bytes=3)]),
    ],
    ids=[
        "device of the next",
        "device of the one before",
        "rows left",
        "rows missing",
        "negative",
        "beyond",
        "devices left",
    ],
)
def test_inconsistent_groups_are_refused(device_index: list[int], groups: list[RowGroup]) -> None:
    """Groups that do not hold exactly the rows and devices of a message are refused with their reason."""
    with pytest.raises(InvalidArgument) as refusal:
        read_columns(_two_batches(device_index), groups)

    assert refusal.value.reason == "COLUMNS_INCONSISTENT"

"""Large batches side by side in one message: nothing is lost, no name stands twice, and each is found again as it came."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded
from maasloop.api.observation.v1.observation_pb2 import DeviceSequence, SeriesDictionary, StateObservation
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import Columns, build_columns, read_columns
from maasloop.ingest.adapters.row_groups import one_after_another, properties_of, row_groups, side_by_side

type _Row = tuple[str, str, int, float]

PROPERTIES = ["pm10", "pm25", "so2"]


@st.composite
def _batches(draw: st.DrawFn) -> list[Columns]:
    """Return batches of different devices with the same properties."""
    properties = draw(st.lists(st.sampled_from(PROPERTIES), min_size=1, unique=True))
    made = []
    for number, devices in enumerate(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))):
        row = st.tuples(
            st.integers(0, devices - 1),
            st.integers(0, len(properties) - 1),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
        )
        rows = draw(st.lists(row, max_size=6))
        columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []]
        names = [f"d{number}-{device}" for device in range(devices)]
        made.append(build_columns(names, properties, *columns))
    return made


def _rows(columns: Columns) -> list[_Row]:
    names = columns.names()
    return [
        (names.devices[device], names.observed_properties[observed_property], time_us, value)
        for device, observed_property, time_us, value in zip(
            columns.device_index.tolist(),
            columns.property_index.tolist(),
            columns.event_time_us.tolist(),
            columns.value.tolist(),
            strict=True,
        )
    ]


def _sent(columns: Columns) -> bytes:
    message = PackedObservationsRecorded(observations=columns.packed(), row_groups=row_groups(columns))
    return message.SerializeToString()


@settings(deadline=None)
@given(_batches())
def test_what_goes_side_by_side_is_read_as_it_came(batches: list[Columns]) -> None:
    """A reader of the whole message and a reader by batch find every row; the dictionaries are those that were sent."""
    joined = side_by_side(batches)
    assert joined is not None
    body = _sent(joined)

    packed = PackedObservationsRecorded.FromString(body)
    read = read_columns(packed.observations, packed.row_groups)
    whole = read_columns(packed.observations)

    expected = [row for batch in batches for row in _rows(batch)]
    assert _rows(whole) == _rows(read) == expected
    assert [batch.dictionary for batch in read.batches()] == [batch.dictionary for batch in batches]
    assert [_rows(batch) for batch in read.batches()] == [_rows(batch) for batch in batches]
    general = ObservationsRecorded.FromString(body).observations
    names = general.dictionary
    assert len(set(names.devices)) == len(names.devices)
    assert len(set(names.observed_properties)) == len(names.observed_properties)
    assert [names.devices[index] for index in general.device_index] == [row[0] for row in expected]


def _batch(devices: list[str], first_us: int = 0, properties: list[str] | None = None) -> Columns:
    count = len(devices)
    index, times = np.arange(count), np.arange(first_us, first_us + count)
    return build_columns(devices, properties or ["pm25"], index, np.zeros(count, np.uint32), times, np.ones(count))


def test_batches_that_name_the_same_device_do_not_go_side_by_side() -> None:
    """A message names each device once, so that whoever looks a name up finds all of its rows."""
    assert side_by_side([_batch(["a", "b"]), _batch(["b", "c"])]) is None
    assert side_by_side([_batch(["a", "a"]), _batch(["b"])]) is None


def test_that_two_batches_go_side_by_side_says_nothing_about_a_third() -> None:
    """What is known of two dictionaries is not taken for what holds for three."""
    first, second, third = _batch(["a", "b"]), _batch(["c"]), _batch(["d", "a"])

    assert side_by_side([first, second]) is not None
    assert side_by_side([second, third]) is not None
    assert side_by_side([first, second, third]) is None
    assert side_by_side([second, first]) is not None


def test_batches_of_one_dictionary_become_one_batch() -> None:
    """What a sender repeats follows on each other under the names it sent."""
    joined = one_after_another([_batch(["a", "b"]), _batch(["a", "b"], 5)])

    assert _rows(joined) == [("a", "pm25", 0, 1.0), ("b", "pm25", 1, 1.0), ("a", "pm25", 5, 1.0), ("b", "pm25", 6, 1.0)]
    assert not row_groups(joined)


def test_what_cannot_be_put_side_by_side_travels_alone() -> None:
    """Words and counts are no rows, and a dictionary in another order of bytes has no part that could be cut out."""
    plain = _batch(["a"])
    word = build_columns(["a"], ["pm25"], [], [], [], [], states=[StateObservation(state="open")])
    counted = build_columns(["a"], ["pm25"], [0], [0], [0], [1], sequences=[DeviceSequence(sequence=1)])
    devices = SeriesDictionary(devices=["a"]).SerializeToString()
    properties = SeriesDictionary(observed_properties=["pm25"]).SerializeToString()
    turned = Columns(properties + devices, plain.device_index, plain.property_index, plain.event_time_us, plain.value)

    assert properties_of(plain) == properties
    assert [properties_of(each) for each in (word, counted, turned)] == [b"", b"", b""]

"""Small payloads that go through the pipeline together: the same outcome as each by itself."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maasloop.bus.columns import Columns
from maasloop.core.observations import Indexed
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.entrypoints.batches import Received
from maasloop.ingest.entrypoints.gathering import RECEIPT_SPAN_US, Gathering
from maasloop.ingest.entrypoints.payloads import JSON, SENML, decode

NOW_US = 1_764_000_000_000_000

_reading = st.fixed_dictionaries(
    {"property": st.sampled_from(["pm25", "mode", "place", "Not an id"])},
    optional={
        "device": st.sampled_from(["a", "b"]),
        "time": st.integers(NOW_US - 10, NOW_US),
        "value": st.sampled_from([1, 2.5, True, "x"]),
        "state": st.sampled_from(["on", "\ud800", "x" * 300]),
        "position": st.just({"longitude": 6.0, "latitude": 51.0}),
    },
)
_payload = st.one_of(
    st.lists(_reading, max_size=3).map(lambda readings: json.dumps({"observations": readings}).encode()),
    st.just(b"{"),
    st.just(b'{"sequence": 7, "observations": [{"property": "pm25", "value": 1}]}'),
)


def _received(sender: str, payload: bytes, content_type: str = JSON, receipt_time_us: int = NOW_US) -> Received:
    return Received(Door.MQTT, "noord", sender, receipt_time_us, content_type, payload)


def _named(columns: Columns) -> list[str]:
    names = columns.names()
    rows = zip(columns.device_index, columns.property_index, columns.event_time_us, columns.value, strict=True)
    found = [(names.devices[row[0]], names.observed_properties[row[1]], int(row[2]), float(row[3])) for row in rows]
    words: list[tuple[Indexed, str]] = [(each, each.state) for each in columns.states]
    places: list[tuple[Indexed, str]] = [(each, str(each.position)) for each in columns.positions]
    others = [
        (names.devices[each.device_index], names.observed_properties[each.property_index], each.event_time_us, result)
        for each, result in (*words, *places)
    ]
    return sorted(map(repr, [*found, *others]))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), _payload), max_size=8))
def test_what_is_gathered_is_what_each_payload_holds(payloads: list[tuple[str, bytes]]) -> None:
    """The joined batch holds the rows of the taken payloads and of no other, each under the number of its payload."""
    gathering = Gathering(Door.MQTT, "noord", NOW_US)
    taken = [each for each in payloads if gathering.take(_received(*each), lambda _: None)]

    batch, payload = gathering.batch()

    expected: list[str] = []
    for number, each in enumerate(taken):
        alone = decode(_received(*each), lambda _: None)
        assert not alone.undecoded
        assert set(alone.columns.names().devices) == {each[0]}
        assert int(np.count_nonzero(payload == number)) == len(alone.columns)
        expected += _named(alone.columns)  # type: ignore[arg-type]  # columns that are there by then
    assert _named(batch.columns) == sorted(expected)  # type: ignore[arg-type]  # columns that are there by then


@pytest.mark.parametrize(
    ("content_type", "payload"),
    [
        (JSON, b'{"observations": [{"device": "other", "property": "pm25", "value": 1}]}'),
        (JSON, b'{"observations": [{"property": "pm25", "value": "x"}]}'),
        (JSON, b'{"observations": []}'),
        (JSON, b"not JSON"),
        (SENML, b'[{"n": "temperature", "u": "K", "v": 300}]'),
        ("application/protobuf", b""),
    ],
    ids=["another device", "no number", "empty", "undecodable", "another unit", "columns"],
)
def test_what_is_not_plain_is_left_alone(content_type: str, payload: bytes) -> None:
    """Whatever may need a refusal or a conversion goes by itself, and leaves nothing in the batch."""
    gathering = Gathering(Door.MQTT, "noord", NOW_US)

    assert not gathering.take(_received("a", payload, content_type), lambda _: "Cel")

    batch, numbers = gathering.batch()
    assert (len(batch.columns), len(numbers), list(batch.columns.names().devices)) == (0, 0, [])


def test_payloads_of_another_time_are_left_alone() -> None:
    """What shares a batch shares its time of receipt."""
    gathering = Gathering(Door.MQTT, "noord", NOW_US)
    payload = b'{"observations": [{"property": "pm25", "value": 1}]}'

    assert gathering.take(_received("a", payload, receipt_time_us=NOW_US + RECEIPT_SPAN_US), lambda _: None)
    assert not gathering.take(_received("a", payload, receipt_time_us=NOW_US + RECEIPT_SPAN_US + 1), lambda _: None)

"""The coding of readings for each door."""

import json

from hypothesis import given
from hypothesis import strategies as st

from maasloop.api.observation.v1.observation_pb2 import ObservationColumns
from maasloop.twin.devices.readings import (
    Position,
    Reading,
    from_columns,
    from_json,
    in_column_order,
    to_columns,
    to_json,
    to_senml,
)

RESULTS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("rGgy", min_size=1, max_size=20),
    st.builds(Position, st.floats(-180, 180), st.floats(-90, 90)),
)
READINGS = st.builds(
    Reading,
    st.sampled_from(["lamp-0001", "lamp-0002", "air-01"]),
    st.sampled_from(["power", "signal-state", "position"]),
    st.integers(0, 2**52),
    RESULTS,
)


@given(st.lists(READINGS, max_size=30))
def test_columns_give_back_what_was_put_in(readings: list[Reading]) -> None:
    """Numbers, then states, then positions: the order in which doors answer."""
    ordered = in_column_order(readings)
    body = to_columns(ordered).SerializeToString()

    assert ordered == from_columns(ObservationColumns.FromString(body))


def test_json_carries_every_kind_of_result() -> None:
    """A number, a word and a place, each with its device and its time in microseconds."""
    readings = [
        Reading("air-01", "pm25", 5, 12.5),
        Reading("j1", "signal-state", 5, "rG"),
        Reading("bicycle-01", "position", 5, Position(5.7, 50.8)),
    ]
    body = to_json(readings)
    found = json.loads(body)["observations"]

    assert found[0] == {"device": "air-01", "property": "pm25", "time": 5, "value": 12.5}
    assert from_json(body) == readings
    assert found[1]["state"] == "rG"
    assert found[2]["position"] == {"longitude": 5.7, "latitude": 50.8}


def test_senml_has_base_name_and_base_time() -> None:
    """The first record says whose and when, the others only what and how much later."""
    readings = [Reading("air-01", "pm25", 2_000_000, 12.5), Reading("air-01", "no2", 2_500_000, 20.0)]
    first, second = json.loads(to_senml(readings, {"pm25": "ug/m3"}))

    assert first == {"bn": "air-01/", "bt": 2.0, "n": "pm25", "v": 12.5, "u": "ug/m3"}
    assert second == {"n": "no2", "v": 20.0, "t": 0.5}

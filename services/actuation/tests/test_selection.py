"""What of a batch reaches decisions."""

from collections.abc import Sequence

import pytest

from maasloop.actuation.adapters.conditions import CelConditions
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.policy import Mode, Policy
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.actuation.entrypoints.readings import Selection, Selector
from maasloop.api.observation.v1.events_pb2 import RowGroup
from maasloop.api.observation.v1.observation_pb2 import SeriesDictionary, StateObservation
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import build_columns

SECOND_US = 1_000_000


@pytest.fixture
def city() -> City:
    """Return a district with a field clock and a policy that looks at presence and illuminance."""
    found = City()
    found.district("noord").clock.follow("street-clock")
    found.put_policy(
        Policy(
            id="follow",
            display_name="Follow",
            district="noord",
            observed_properties=("presence",),
            on_condition='value > 0.5 && latest["illuminance"] < 10.0',
            on_level_percent=80,
            off_level_percent=20,
            mode=Mode.ACTIVE,
        )
    )
    return found


def _select(
    selector: Selector, rows: Sequence[tuple[str, str, float, int]], states: Sequence[tuple[str, str, str, int]] = ()
) -> Selection:
    devices = sorted({row[0] for row in (*rows, *states)})
    properties = sorted({row[1] for row in (*rows, *states)})
    columns = build_columns(
        devices,
        properties,
        [devices.index(row[0]) for row in rows],
        [properties.index(row[1]) for row in rows],
        [row[3] * SECOND_US for row in rows],
        [row[2] for row in rows],
        states=[
            StateObservation(
                device_index=devices.index(device),
                property_index=properties.index(name),
                event_time_us=second * SECOND_US,
                state=state,
            )
            for device, name, state, second in states
        ],
    )
    message = PackedObservationsRecorded(district="noord", domain="light", observations=columns.packed())
    return selector.select(message.SerializeToString())


def test_only_what_matters_becomes_a_reading(city: City) -> None:
    """Properties that wake a policy or are looked up by one matter; others are only counted."""
    selector = Selector(city, CelConditions())
    found = _select(
        selector,
        [
            ("lamp-1", "presence", 1.0, 100),
            ("sensor-1", "illuminance", 5.0, 100),
            ("air-1", "pm25", 9.0, 100),
            ("lamp-1", "power", 40.0, 101),
        ],
    )

    assert [(one.device, one.observed_property) for one in found.readings] == [
        ("lamp-1", "presence"),
        ("sensor-1", "illuminance"),
    ]
    assert found.counts == {100: 3, 101: 1}


def test_batches_that_travel_together_say_the_same(city: City) -> None:
    """Each row is read with the names of its batch, and all are counted."""
    devices, properties = ["lamp-1", "sensor-1", "air-1"], ["presence", "pm25"]
    columns = build_columns(devices, properties, [0, 1, 2], [0, 0, 1], [100 * SECOND_US] * 3, [1.0, 0.0, 9.0])
    sizes = [SeriesDictionary(devices=names).ByteSize() for names in (devices[:1], devices[1:])]
    message = PackedObservationsRecorded(
        district="noord",
        domain="light",
        observations=columns.packed(),
        row_groups=[RowGroup(row_count=1, devices_bytes=sizes[0]), RowGroup(row_count=2, devices_bytes=sizes[1])],
    )

    found = Selector(city, CelConditions()).select(message.SerializeToString())

    assert [(one.device, one.value) for one in found.readings] == [("lamp-1", 1.0), ("sensor-1", 0.0)]
    assert found.counts == {100: 3}


def test_a_power_reading_matters_while_a_command_waits(city: City) -> None:
    """The same batch says more when its lamp has an open command."""
    selector = Selector(city, CelConditions())
    rows = [("lamp-1", "power", 40.0, 100), ("lamp-2", "power", 40.0, 100)]
    before = _select(selector, rows)
    city.district("noord").keep(
        Command(
            id="c1",
            district="noord",
            device="lamp-1",
            setpoint=LightLevel(50, 0),
            authority=Authority.ADAPTIVE,
            issuer="policies/follow",
            cause="x",
            state=State.DISPATCHED,
            create_time_us=1,
            not_before_us=1,
            expire_us=2,
            verify_by_us=2,
        )
    )
    after = _select(selector, rows)

    assert before.readings == []
    assert [one.device for one in after.readings] == ["lamp-1"]


def test_the_clock_is_heard_apart_and_not_counted(city: City) -> None:
    """What the clock device says is no reading of its second."""
    selector = Selector(city, CelConditions())
    found = _select(
        selector,
        [("street-clock", "street-second", 100.0, 100), ("street-clock", "readings-sent-light", 2.0, 100)],
        [("crossing", "signal-state", "Gr", 100)],
    )

    assert [one.observed_property for one in found.clock] == ["street-second", "readings-sent-light"]
    assert [one.state for one in found.readings] == ["Gr"]
    assert found.counts == {100: 1}


def test_a_changed_policy_changes_what_matters(city: City) -> None:
    """What was looked up about a dictionary is looked up again when policies change."""
    selector = Selector(city, CelConditions())
    rows = [("air-1", "pm25", 9.0, 100)]
    before = _select(selector, rows)
    policy = city.policies["follow"]
    city.put_policy(
        Policy(
            id="air",
            display_name="Air",
            district="noord",
            observed_properties=("pm25",),
            on_condition="value > 50.0",
            on_level_percent=80,
            off_level_percent=20,
            mode=policy.mode,
        )
    )

    assert before.readings == []
    assert [one.device for one in _select(selector, rows).readings] == ["air-1"]

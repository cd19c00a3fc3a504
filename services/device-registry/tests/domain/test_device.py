"""A device's life and rules, without a database."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import FailedPrecondition, InvalidArgument, MaasloopError
from maasloop.device_registry.domain.catalogue import (
    District,
    DistrictClock,
    ObservedProperty,
    PropertyKind,
)
from maasloop.device_registry.domain.device import (
    CHANGEABLE,
    CONFIG_BYTES_MAX,
    Device,
    DeviceState,
    activated,
    fields_set,
    require_gateway,
    retired,
    updated,
)
from maasloop.device_registry.domain.importing import RowFault, refusal
from maasloop.device_registry.domain.place import BoundingBox, Point

LAMP = Device("noord", "lamp-1", "lamp")


@given(st.lists(st.sampled_from([activated, retired]), max_size=6))
def test_states_only_move_forward(steps: list[object]) -> None:
    """Whatever is asked in whatever order, no device comes back from a later state."""
    order = list(DeviceState)
    device = LAMP
    for step in steps:
        before = order.index(device.state)
        try:
            device = step(device)  # type: ignore[operator]  # the steps are parametrized
        except FailedPrecondition:
            assert device.state is DeviceState.RETIRED
        assert order.index(device.state) >= before


def test_an_update_touches_what_it_names() -> None:
    """Other fields stay; unknown ones are refused; without a mask what is set is meant."""
    wanted = Device("noord", "lamp-1", "other", display_name="New", groups=("a",))

    assert updated(LAMP, wanted, {"groups"}) == Device("noord", "lamp-1", "lamp", groups=("a",))
    assert fields_set(wanted) == {"display_name", "groups"}
    with pytest.raises(InvalidArgument):
        updated(LAMP, wanted, {"device_type"})


def test_content_is_what_the_owner_said() -> None:
    """Revision, state and times do not make another device; every changeable field does."""
    later = Device("noord", "lamp-1", "lamp", revision=9, state=DeviceState.ACTIVE, create_time=datetime.now(UTC))
    others = [
        Device("noord", "lamp-1", "lamp", **{field: Point(1, 2) if field == "location" else "x"})  # type: ignore[arg-type]  # the fields are parametrized
        for field in CHANGEABLE
    ]

    assert later.content == LAMP.content
    assert len({device.content for device in [LAMP, *others]}) == len(others) + 1


def test_a_gateway_speaks_for_itself() -> None:
    """Chains and retired gateways are refused."""
    cabinet = Device("noord", "cabinet", "cabinet")
    require_gateway(LAMP, cabinet, speaks_for_others=False)

    with pytest.raises(InvalidArgument, match="speaks for it"):
        require_gateway(LAMP, Device("noord", "c", "cabinet", gateway="d"), speaks_for_others=False)
    with pytest.raises(InvalidArgument, match="gateway itself"):
        require_gateway(LAMP, cabinet, speaks_for_others=True)
    with pytest.raises(InvalidArgument, match="retired"):
        require_gateway(LAMP, retired(cabinet), speaks_for_others=False)


@pytest.mark.parametrize(
    "resource",
    [
        Device("noord", "lamp-1", "lamp", config="x" * (CONFIG_BYTES_MAX + 1)),
        Device("noord", "lamp-1", "lamp", data_subject="someone", processing_activity="processingActivities/a"),
        District("all", "All"),
        District("noord", "Noord", clock_device="clock"),
        District("noord", "Noord", clock=DistrictClock.FIELD, clock_device="Clock"),
        District("noord", "Noord", bounds=BoundingBox(Point(5, 52), Point(4, 53))),
        ObservedProperty("x", "X", "air", PropertyKind.NUMBER, "7d", range_min=2, range_max=1),  # type: ignore[arg-type]  # plain text stands for its type here
        ObservedProperty("x", "X", "air", PropertyKind.STATE, "7d", unit="W"),  # type: ignore[arg-type]  # plain text stands for its type here
    ],
)
def test_contradictions_are_refused(resource: Device | District | ObservedProperty) -> None:
    """A resource that contradicts itself is refused with a reason."""
    with pytest.raises(MaasloopError) as refused:
        resource.check()

    assert refused.value.reason


def test_a_refused_import_fits_into_a_status() -> None:
    """However many rows are wrong and however long the sentences of their fields, headers stay below 8 KiB."""
    faults = [RowFault(99_000 + number, "processing_activity", "x" * 100) for number in range(500)]
    refused = refusal(faults, 500)
    size = len(refused.message) * 2 + sum(len(value) for value in refused.metadata.values())

    assert size < 8_000

"""DeviceService as a caller sees it: create, read, change, list, and every refusal with its reason."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from maasloop.api.common.v1.geo_pb2 import BoundingBox, Point
from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.api.device.v1.device_pb2 import Device, DeviceGroup, DeviceType, District, ObservedProperty
from maasloop.core.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    MaasloopError,
    NotFound,
)
from maasloop.rpc.client import call

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

NOORD = "districts/noord"
LAMP = f"{NOORD}/devices/lamp-1"


@pytest.fixture(name="stub")
async def _stub(registry: Any) -> "DeviceServiceAsyncStub":  # noqa: ANN401 - of conftest, which is no module
    stub: DeviceServiceAsyncStub = registry.stub
    power = ObservedProperty(
        display_name="Power", domain="energy", kind=ObservedProperty.KIND_NUMBER, unit="W", retention="2y"
    )
    await stub.CreateObservedProperty(
        pb.CreateObservedPropertyRequest(observed_property_id="power", observed_property=power)
    )
    streetlight = DeviceType(
        display_name="Streetlight",
        observed_properties=["observedProperties/power"],
        capabilities=[DeviceType.CAPABILITY_LIGHT_LEVEL],
    )
    await stub.CreateDeviceType(pb.CreateDeviceTypeRequest(device_type_id="streetlight", device_type=streetlight))
    await stub.CreateDistrict(pb.CreateDistrictRequest(district_id="noord", district=District(display_name="Noord")))
    return stub


def _lamp(**fields: Any) -> Device:  # noqa: ANN401 - any field of the message
    return Device(**{"device_type": "deviceTypes/streetlight", **fields})


async def _create(stub: "DeviceServiceAsyncStub", device_id: str, activate: bool = True, **fields: Any) -> Device:  # noqa: ANN401 - any field of the message
    request = pb.CreateDeviceRequest(parent=NOORD, device_id=device_id, device=_lamp(**fields), activate=activate)
    return await call(stub.CreateDevice, request)


async def _refusal(kind: type[MaasloopError], answer: Awaitable[Any]) -> MaasloopError:
    with pytest.raises(kind) as refused:
        await answer
    return refused.value


async def test_a_created_device_reads_as_it_was_given(stub: "DeviceServiceAsyncStub") -> None:
    """Every field comes back, with state, revision, times and etag from the registry."""
    given = _lamp(
        display_name="Lamp at the quay",
        location=Point(longitude=4.48, latitude=51.91),
        groups=["kade", "route-1"],
        data_subject="dataSubjects/someone",
        processing_activity="processingActivities/air",
    )
    given.config.update({"installed_power_w": 40, "curve": [1, {"a": None}]})
    created = await call(stub.CreateDevice, pb.CreateDeviceRequest(parent=NOORD, device_id="lamp-1", device=given))

    assert created.name == LAMP
    assert created.state == Device.STATE_REGISTERED
    assert created.revision == 4
    assert created.create_time == created.update_time
    assert created.etag
    for field in ("display_name", "location", "groups", "data_subject", "processing_activity", "config"):
        assert getattr(created, field) == getattr(given, field), field
    assert await call(stub.GetDevice, pb.GetDeviceRequest(name=LAMP)) == created


async def test_a_taken_name_is_refused(stub: "DeviceServiceAsyncStub") -> None:
    """Two devices cannot have one name."""
    await _create(stub, "lamp-1")

    refused = await _refusal(AlreadyExists, _create(stub, "lamp-1"))

    assert refused.reason == "RESOURCE_EXISTS"
    assert refused.metadata["name"] == LAMP


async def test_a_repeated_request_gets_the_same_answer(stub: "DeviceServiceAsyncStub") -> None:
    """The same request id creates once and answers twice the same; with another body it is refused."""
    request = pb.CreateDeviceRequest(parent=NOORD, device_id="lamp-1", device=_lamp(), request_id=str(uuid4()))
    first = await call(stub.CreateDevice, request)
    await call(stub.ActivateDevice, pb.ActivateDeviceRequest(name=LAMP))

    assert await call(stub.CreateDevice, request) == first

    request.device_id = "lamp-2"
    refused = await _refusal(FailedPrecondition, call(stub.CreateDevice, request))
    assert refused.reason == "REQUEST_ID_REUSED"
    request.request_id = "no uuid"
    refused = await _refusal(InvalidArgument, call(stub.CreateDevice, request))
    assert refused.metadata["field"] == "request_id"


@pytest.mark.parametrize(
    ("device_id", "fields", "field"),
    [
        ("Lamp", {}, "device_id"),
        ("lamp-1", {"device_type": "deviceTypes/unknown"}, "device_type"),
        ("lamp-1", {"gateway": "nobody"}, "gateway"),
        ("lamp-1", {"gateway": "lamp-1"}, "gateway"),
        ("lamp-1", {"gateway": "lamp-0"}, "gateway"),
        ("lamp-1", {"groups": ["Kade"]}, "groups"),
        ("lamp-1", {"data_subject": "dataSubjects/someone"}, "processing_activity"),
        ("lamp-1", {"location": Point(longitude=181, latitude=0)}, "device.location.longitude"),
    ],
)
async def test_what_contradicts_is_refused_by_field(
    stub: "DeviceServiceAsyncStub", device_id: str, fields: dict[str, Any], field: str
) -> None:
    """A refused device names the field that is wrong; lamp-0 is no gateway, because another speaks for it."""
    await _create(stub, "cabinet")
    await _create(stub, "lamp-0", gateway="cabinet")

    refused = await _refusal(InvalidArgument, _create(stub, device_id, **fields))

    assert refused.metadata["field"] == field


async def test_an_update_changes_the_named_fields(stub: "DeviceServiceAsyncStub") -> None:
    """Fields outside the mask stay; an old etag is refused; an update without effect keeps the revision."""
    created = await _create(stub, "lamp-1", display_name="Old", groups=["a"])
    change = Device(name=LAMP, display_name="New", groups=["b"], etag=created.etag)
    request = pb.UpdateDeviceRequest(device=change, update_mask=FieldMask(paths=["display_name"]))
    updated = await call(stub.UpdateDevice, request)

    assert (updated.display_name, list(updated.groups)) == ("New", ["a"])
    assert updated.revision == created.revision + 1

    refused = await _refusal(Conflict, call(stub.UpdateDevice, request))
    assert refused.reason == "ETAG_MISMATCH"
    request.device.etag = ""
    assert await call(stub.UpdateDevice, request) == updated
    request.update_mask.paths[:] = ["state"]
    assert (await _refusal(InvalidArgument, call(stub.UpdateDevice, request))).metadata["field"] == "update_mask"


async def test_a_gateway_cannot_get_one(stub: "DeviceServiceAsyncStub") -> None:
    """Chains of gateways are refused from both ends."""
    await _create(stub, "cabinet")
    await _create(stub, "other")
    await _create(stub, "lamp-1", gateway="cabinet")

    change = Device(name=f"{NOORD}/devices/cabinet", gateway="other")
    refused = await _refusal(InvalidArgument, call(stub.UpdateDevice, pb.UpdateDeviceRequest(device=change)))

    assert refused.metadata["rule"] == "gateway.chain"


async def test_a_device_lives_once(stub: "DeviceServiceAsyncStub") -> None:
    """Registered, active, retired; repeated steps change nothing, and a retired device never comes back."""
    created = await _create(stub, "lamp-1", activate=False)
    active = await call(stub.ActivateDevice, pb.ActivateDeviceRequest(name=LAMP, etag=created.etag))
    again = await call(stub.ActivateDevice, pb.ActivateDeviceRequest(name=LAMP))
    retired = await call(stub.RetireDevice, pb.RetireDeviceRequest(name=LAMP))

    assert (created.state, active.state, retired.state) == (1, 2, 3)
    assert again == active
    assert await call(stub.RetireDevice, pb.RetireDeviceRequest(name=LAMP)) == retired
    refused = await _refusal(FailedPrecondition, call(stub.ActivateDevice, pb.ActivateDeviceRequest(name=LAMP)))
    assert refused.reason == "STATE_FORBIDS"
    refused = await _refusal(AlreadyExists, _create(stub, "lamp-1"))
    assert refused.reason == "RESOURCE_EXISTS"


async def test_a_gateway_in_use_does_not_retire(stub: "DeviceServiceAsyncStub") -> None:
    """A cabinet retires after its lamps."""
    await _create(stub, "cabinet")
    await _create(stub, "lamp-1", gateway="cabinet")
    request = pb.RetireDeviceRequest(name=f"{NOORD}/devices/cabinet")

    assert (await _refusal(FailedPrecondition, call(stub.RetireDevice, request))).reason == "RESOURCE_IN_USE"

    await call(stub.RetireDevice, pb.RetireDeviceRequest(name=LAMP))
    assert (await call(stub.RetireDevice, request)).state == Device.STATE_RETIRED


async def test_lists_come_in_pages_and_by_filter(stub: "DeviceServiceAsyncStub") -> None:
    """Pages follow each other without gap or repetition; each filter takes its own."""
    for number in range(5):
        place = Point(longitude=4.0 + number, latitude=51.0)
        await _create(stub, f"lamp-{number}", activate=number > 0, location=place, groups=[f"g{number % 2}"])

    async def listed(**fields: Any) -> list[str]:  # noqa: ANN401 - any field of the message
        answer = await call(stub.ListDevices, pb.ListDevicesRequest(parent=NOORD, **fields))
        names = [device.name.rpartition("-")[2] for device in answer.devices]
        return names + (
            await listed(**{**fields, "page_token": answer.next_page_token}) if answer.next_page_token else []
        )

    box = BoundingBox(southwest=Point(longitude=5, latitude=50), northeast=Point(longitude=7, latitude=52))
    assert await listed(page_size=2) == ["0", "1", "2", "3", "4"]
    assert await listed(group="g1", page_size=1) == ["1", "3"]
    assert await listed(state=Device.STATE_REGISTERED) == ["0"]
    assert await listed(bounds=box) == ["1", "2", "3"]
    assert await listed(device_type="deviceTypes/other") == []
    anywhere = await call(stub.ListDevices, pb.ListDevicesRequest(parent="districts/-"))
    assert len(anywhere.devices) == 5


async def test_a_page_of_large_devices_is_short_but_not_the_last(stub: "DeviceServiceAsyncStub") -> None:
    """Eight devices of about 1 MiB come in several answers, each within the limit of a message."""
    for number in range(8):
        device = _lamp()
        device.config.update({"sheet": "x" * 1_000_000})
        request = pb.CreateDeviceRequest(parent=NOORD, device_id=f"junction-{number}", device=device)
        await call(stub.CreateDevice, request)

    first = await call(stub.ListDevices, pb.ListDevicesRequest(parent=NOORD))
    second = await call(stub.ListDevices, pb.ListDevicesRequest(parent=NOORD, page_token=first.next_page_token))

    assert len(first.devices) + len(second.devices) == 8
    assert first.next_page_token
    assert not second.next_page_token


async def test_the_catalogue_is_read_and_refused(stub: "DeviceServiceAsyncStub") -> None:
    """Types need known properties and only grow; a field clock needs its device; groups belong to a district."""
    unknown = DeviceType(display_name="X", observed_properties=["observedProperties/unknown"])
    refused = await _refusal(
        InvalidArgument,
        call(stub.CreateDeviceType, pb.CreateDeviceTypeRequest(device_type_id="x", device_type=unknown)),
    )
    assert refused.metadata == {"field": "observed_properties", "rule": "reference.exists"}

    change = DeviceType(name="deviceTypes/streetlight", display_name="Lamp")
    updated = await call(stub.UpdateDeviceType, pb.UpdateDeviceTypeRequest(device_type=change))
    assert (updated.display_name, list(updated.observed_properties)) == ("Lamp", ["observedProperties/power"])
    mask = FieldMask(paths=["observed_properties"])
    refused = await _refusal(
        InvalidArgument,
        call(stub.UpdateDeviceType, pb.UpdateDeviceTypeRequest(device_type=change, update_mask=mask)),
    )
    assert refused.metadata["rule"] == "observed_properties.additions"

    field_clock = District(display_name="Field", clock=District.CLOCK_FIELD)
    refused = await _refusal(
        InvalidArgument, call(stub.CreateDistrict, pb.CreateDistrictRequest(district_id="f", district=field_clock))
    )
    assert refused.metadata["field"] == "clock_device"

    group = pb.CreateDeviceGroupRequest(
        parent=NOORD, device_group_id="kade", device_group=DeviceGroup(display_name="Kade")
    )
    created = await call(stub.CreateDeviceGroup, group)
    listed = await call(stub.ListDeviceGroups, pb.ListDeviceGroupsRequest(parent=NOORD))
    assert list(listed.device_groups) == [created]
    listed_types = await call(stub.ListDeviceTypes, pb.ListDeviceTypesRequest())
    assert [found.name for found in listed_types.device_types] == ["deviceTypes/streetlight"]
    refused = await _refusal(NotFound, call(stub.GetDistrict, pb.GetDistrictRequest(name="districts/zuid")))
    assert refused.reason == "RESOURCE_NOT_FOUND"

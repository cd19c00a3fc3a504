"""What other systems call a device, how their payloads are read, and what goes first under pressure."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.api.device.v1.device_pb2 import (
    ByteField,
    ByteLayout,
    CayenneLpp,
    CayenneLppMapping,
    Device,
    DeviceType,
    District,
    ObservedProperty,
    UplinkCodec,
)
from maasloop.core.errors import InvalidArgument
from maasloop.rpc.client import call

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

EUI = "lorawan:70b3d57ed0051234"
NOORD = "districts/noord"


@pytest.fixture(name="stub")
async def _stub(registry: Any) -> "DeviceServiceAsyncStub":  # noqa: ANN401 - of conftest, which is no module
    stub: DeviceServiceAsyncStub = registry.stub
    observed = ObservedProperty(
        display_name="Temperature",
        domain="air",
        kind=ObservedProperty.KIND_NUMBER,
        unit="Cel",
        retention="7d",
        priority=ObservedProperty.PRIORITY_LOW,
    )
    request = pb.CreateObservedPropertyRequest(observed_property_id="temperature", observed_property=observed)
    await call(stub.CreateObservedProperty, request)
    probe = pb.CreateDeviceTypeRequest(device_type_id="probe", device_type=_type(CAYENNE))
    await call(stub.CreateDeviceType, probe)
    await call(stub.CreateDistrict, pb.CreateDistrictRequest(district_id="noord", district=District(display_name="N")))
    return stub


TEMPERATURE = "observedProperties/temperature"
CAYENNE = UplinkCodec(
    cayenne_lpp=CayenneLpp(mappings=[CayenneLppMapping(channel=1, type=103, observed_property=TEMPERATURE)])
)


def _type(codec: UplinkCodec, *observed: str) -> DeviceType:
    return DeviceType(display_name="Probe", observed_properties=observed or [TEMPERATURE], uplink_codec=codec)


async def _create(stub: "DeviceServiceAsyncStub", name: str, *external_ids: str) -> Device:
    device = Device(device_type="deviceTypes/probe", external_ids=external_ids)
    return await call(stub.CreateDevice, pb.CreateDeviceRequest(parent=NOORD, device_id=name, device=device))


async def _import(stub: "DeviceServiceAsyncStub", *rows: Mapping[str, object]) -> pb.ImportDevicesResponse:
    content = "".join(json.dumps({"deviceType": "deviceTypes/probe", **row}) + "\n" for row in rows).encode()
    request = pb.ImportDevicesRequest(parent=NOORD, format=pb.ImportDevicesRequest.FORMAT_JSON_LINES, content=content)
    return await stub.ImportDevices(iter([request]), timeout=20)


async def test_a_name_in_another_system_is_one_device(stub: "DeviceServiceAsyncStub") -> None:
    """A second device cannot take a name; a retired one gives it back."""
    first = await _create(stub, "a", EUI)
    assert list(first.external_ids) == [EUI]

    with pytest.raises(InvalidArgument, match="is the name of districts/noord/devices/a"):
        await _create(stub, "b", EUI)
    await call(stub.RetireDevice, pb.RetireDeviceRequest(name=first.name))

    assert list((await _create(stub, "b", EUI)).external_ids) == [EUI]


async def test_an_import_refuses_names_that_are_taken(stub: "DeviceServiceAsyncStub") -> None:
    """Both a device in the registry and an earlier row of the file hold a name; the same import again is the same."""
    row = {"name": f"{NOORD}/devices/a", "externalIds": [EUI, "sensor-community:esp8266-1"]}
    assert (await _import(stub, row)).created_count == 1
    assert (await _import(stub, row)).unchanged_count == 1

    twice = {"name": f"{NOORD}/devices/c", "externalIds": ["lorawan:01"]}
    with pytest.raises(Exception, match=r"row 1.*is the name of noord/a.*row 3.*stands on an earlier row"):
        await _import(
            stub,
            {"name": f"{NOORD}/devices/b", "externalIds": [EUI]},
            twice,
            {**twice, "name": f"{NOORD}/devices/d"},
        )


async def test_codecs_and_priorities_are_kept(stub: "DeviceServiceAsyncStub") -> None:
    """What was said about payloads and pressure is said again, and changes by an update."""
    listed = await call(stub.ListObservedProperties, pb.ListObservedPropertiesRequest())
    assert [each.priority for each in listed.observed_properties] == [ObservedProperty.PRIORITY_LOW]
    assert (await call(stub.GetDeviceType, pb.GetDeviceTypeRequest(name="deviceTypes/probe"))).uplink_codec == CAYENNE

    layout = UplinkCodec(
        byte_layout=ByteLayout(fields=[ByteField(offset=-2, width=2, scale=0.1, observed_property=TEMPERATURE)])
    )
    changed = DeviceType(name="deviceTypes/probe", display_name="Probe", uplink_codec=layout)
    updated = await call(stub.UpdateDeviceType, pb.UpdateDeviceTypeRequest(device_type=changed))

    assert updated.uplink_codec == layout


async def test_a_codec_names_what_its_type_observes(stub: "DeviceServiceAsyncStub") -> None:
    """A property that the type does not observe and a float of three bytes are refused."""
    foreign = UplinkCodec(byte_layout=ByteLayout(fields=[ByteField(width=1, observed_property="observedProperties/x")]))
    request = pb.CreateDeviceTypeRequest(device_type_id="odd", device_type=_type(foreign))
    with pytest.raises(InvalidArgument, match="the type does not observe"):
        await call(stub.CreateDeviceType, request)

    short = ByteField(width=3, encoding=ByteField.ENCODING_FLOAT, observed_property=TEMPERATURE)
    odd = _type(UplinkCodec(byte_layout=ByteLayout(fields=[short])))
    with pytest.raises(InvalidArgument, match="a float has 4 or 8 bytes"):
        await call(stub.CreateDeviceType, pb.CreateDeviceTypeRequest(device_type_id="odd", device_type=odd))

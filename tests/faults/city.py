"""The city of the fault lanes: two districts with sensors of one kind, made through the registry's own API."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from tests.faults.ledger import Batch

from maasloop.api.device.v1.device_pb2 import DeviceType, District, ObservedProperty
from maasloop.api.device.v1.device_service_pb2 import (
    CreateDeviceTypeRequest,
    CreateDistrictRequest,
    CreateObservedPropertyRequest,
    ImportDevicesRequest,
)
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.bus.columns import build_columns
from maasloop.stack.local import LocalStack

DISTRICTS = ("oost", "west")
DEVICES_A_DISTRICT = 80
OBSERVED_PROPERTY = "water-level"
VALUE_MAX = 1e12
KNOWN_TIMEOUT_S = 60.0
PRELUDE_VALUE = 1
"""Value of the reading by which it is told that ingest knows the devices; the loads begin far above."""


def district_of(device: int) -> str:
    """Return the district of a device."""
    return DISTRICTS[device // DEVICES_A_DISTRICT]


def device_id(device: int) -> str:
    """Return the id of a device."""
    return f"sensor-{device:04d}"


def request_of(batch: Batch) -> bytes:
    """Return the serialized RecordObservations request of a batch."""
    names = [device_id(batch.device + number) for number in range(batch.devices)]
    places = [place % batch.devices for place in range(batch.count)]
    columns = build_columns(
        names, [OBSERVED_PROPERTY], places, [0] * batch.count, batch.times_us(), batch.values()
    ).message()
    parent = f"districts/{district_of(batch.device)}"
    return RecordObservationsRequest(parent=parent, observations=columns).SerializeToString()


def json_of(batch: Batch) -> bytes:
    """Return the JSON payload of a batch."""
    readings = zip(batch.device_numbers(), batch.times_us(), batch.values(), strict=True)
    return json.dumps(
        {
            "observations": [
                {"device": device_id(device), "property": OBSERVED_PROPERTY, "time": time_us, "value": value}
                for device, time_us, value in readings
            ]
        }
    ).encode()


def recorder(channel: grpc.aio.Channel) -> Any:  # noqa: ANN401 - a call of the driver
    """Return the call that takes what ``request_of`` makes."""
    return channel.unary_unary(
        "/maasloop.api.observation.v1.IngestService/RecordObservations",
        request_serializer=bytes,
        response_deserializer=RecordObservationsResponse.FromString,
    )


async def build(stack: LocalStack, now_us: int) -> Sequence[Batch]:
    """Register everything, wait until ingest knows it, and return the readings that this took."""
    async with stack.channel("device-registry") as channel:
        registry: Any = DeviceServiceStub(channel)  # type: ignore[no-untyped-call, unused-ignore]  # generated code has no types everywhere
        level = ObservedProperty(
            display_name="Water level",
            domain="water",
            kind=ObservedProperty.KIND_NUMBER,
            unit="mm",
            range_min=0,
            range_max=VALUE_MAX,
            retention="7d",
        )
        await registry.CreateObservedProperty(
            CreateObservedPropertyRequest(observed_property_id=OBSERVED_PROPERTY, observed_property=level)
        )
        gauge = DeviceType(display_name="Gauge", observed_properties=[f"observedProperties/{OBSERVED_PROPERTY}"])
        await registry.CreateDeviceType(CreateDeviceTypeRequest(device_type_id="gauge", device_type=gauge))
        for number, district in enumerate(DISTRICTS):
            await registry.CreateDistrict(
                CreateDistrictRequest(district_id=district, district=District(display_name=district.title()))
            )
            await registry.ImportDevices(_lines(district, number * DEVICES_A_DISTRICT))
    return await _known(stack, now_us)


async def _lines(district: str, first: int) -> AsyncIterator[ImportDevicesRequest]:
    lines = [
        json.dumps({"name": f"districts/{district}/devices/{device_id(number)}", "deviceType": "deviceTypes/gauge"})
        for number in range(first, first + DEVICES_A_DISTRICT)
    ]
    yield ImportDevicesRequest(
        parent=f"districts/{district}",
        format=ImportDevicesRequest.FORMAT_JSON_LINES,
        activate=True,
        content=("\n".join(lines) + "\n").encode(),
    )


async def _known(stack: LocalStack, now_us: int) -> list[Batch]:
    """Send a reading of the last device of each district until it is taken."""
    taken = []
    async with stack.channel("ingest") as channel:
        ingest: Any = IngestServiceStub(channel)  # type: ignore[no-untyped-call, unused-ignore]  # generated code has no types everywhere
        for number in range(len(DISTRICTS)):
            last = (number + 1) * DEVICES_A_DISTRICT - 1
            batch = Batch(number, "grpc", last, 1, now_us, PRELUDE_VALUE + number, 1)
            request = RecordObservationsRequest.FromString(request_of(batch))
            async with asyncio.timeout(KNOWN_TIMEOUT_S):
                while not (await ingest.RecordObservations(request, timeout=5.0)).accepted_count:  # noqa: ASYNC110 - another process has no event to wait for
                    await asyncio.sleep(0.1)
            taken.append(batch)
    return taken

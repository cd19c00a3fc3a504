"""The city of the bench: 10,000 registered devices with one series each, and readings of them by the street second."""

import asyncio
import json
from collections.abc import AsyncIterator

import grpc
import numpy as np

from maasloop.api.device.v1.device_pb2 import DeviceType, District, ObservedProperty
from maasloop.api.device.v1.device_service_pb2 import (
    CreateDeviceTypeRequest,
    CreateDistrictRequest,
    CreateObservedPropertyRequest,
    ImportDevicesRequest,
)
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.packed_pb2 import PackedRecordObservationsRequest
from maasloop.bus.columns import build_columns

DISTRICT = "bench"
PARENT = f"districts/{DISTRICT}"
OBSERVED_PROPERTY = "vehicle-count"
RETENTION = "7d"
DEVICES = 10_000
ROWS_A_MESSAGE = 1_000
SEED = 7
IMPORT_CHUNK_BYTES = 512 * 1024
KNOWN_TIMEOUT_S = 60.0
KNOWN_BY = 10
"""Readings by which it is told that ingest knows the last devices."""


def device_id(number: int) -> str:
    """Return the id of a device."""
    return f"loop-{number:06d}"


async def register(channel: grpc.aio.Channel, devices: int = DEVICES, *, retention: str = RETENTION) -> None:
    """Make the catalogue and import the devices."""
    registry = DeviceServiceStub(channel)  # type: ignore[no-untyped-call, unused-ignore]  # generated code has no types everywhere
    await registry.CreateDistrict(CreateDistrictRequest(district_id=DISTRICT, district=District(display_name="Bench")))
    await registry.CreateObservedProperty(
        CreateObservedPropertyRequest(
            observed_property_id=OBSERVED_PROPERTY,
            observed_property=ObservedProperty(
                display_name="Vehicles in a second",
                domain="traffic",
                kind=ObservedProperty.KIND_NUMBER,
                unit="1",
                range_min=0,
                range_max=100,
                retention=retention,
            ),
        )
    )
    properties = [f"observedProperties/{OBSERVED_PROPERTY}"]
    await registry.CreateDeviceType(
        CreateDeviceTypeRequest(
            device_type_id="induction-loop",
            device_type=DeviceType(display_name="Induction loop", observed_properties=properties),
        )
    )
    await add(channel, first=0, devices=devices)


async def add(channel: grpc.aio.Channel, *, first: int, devices: int) -> None:
    """Import more devices."""
    registry = DeviceServiceStub(channel)  # type: ignore[no-untyped-call, unused-ignore]  # generated code has no types everywhere
    await registry.ImportDevices(_chunks(first, devices))


async def _chunks(first: int, devices: int) -> AsyncIterator[ImportDevicesRequest]:
    lines = (
        json.dumps({"name": f"{PARENT}/devices/{device_id(number)}", "deviceType": "deviceTypes/induction-loop"})
        for number in range(first, first + devices)
    )
    content = "\n".join(lines).encode() + b"\n"
    for start in range(0, len(content), IMPORT_CHUNK_BYTES):
        yield ImportDevicesRequest(
            parent=PARENT,
            format=ImportDevicesRequest.FORMAT_JSON_LINES,
            activate=True,
            content=content[start : start + IMPORT_CHUNK_BYTES],
        )


def requests(
    start_us: int, seconds: int, *, rows: int = ROWS_A_MESSAGE, devices: int = DEVICES, a_second: int = 1
) -> list[bytes]:
    """Return serialized requests of so many rows; every series so often a second.

    Rows of a request are of one moment and different series. Where there are fewer series than rows, a request takes in
    as many moments as fill it.
    """
    if devices < rows:
        return _long_requests(start_us, seconds, rows=rows, devices=devices, a_second=a_second)
    generator = np.random.default_rng(SEED)
    dictionaries = [
        [device_id(number) for number in range(first, min(first + rows, devices))] for first in range(0, devices, rows)
    ]
    made = []
    for second in range(seconds):
        for names in dictionaries:
            count = len(names)
            columns = build_columns(
                names,
                [OBSERVED_PROPERTY],
                np.arange(count),
                np.zeros(count, np.uint32),
                np.full(count, start_us + second * 1_000_000),
                generator.integers(0, 5, count).astype(np.float64),
            )
            request = PackedRecordObservationsRequest(parent=PARENT, observations=columns.packed())
            made.append(request.SerializeToString())
    return made


def _long_requests(start_us: int, seconds: int, *, rows: int, devices: int, a_second: int) -> list[bytes]:
    """Return requests of all series at several moments each; rows are a multiple of devices."""
    generator = np.random.default_rng(SEED)
    names, moments, step_us = [device_id(number) for number in range(devices)], rows // devices, 1_000_000 // a_second
    made = []
    for first in range(0, seconds * a_second, moments):
        count = min(moments, seconds * a_second - first)
        columns = build_columns(
            names,
            [OBSERVED_PROPERTY],
            np.tile(np.arange(devices), count),
            np.zeros(count * devices, np.uint32),
            start_us + step_us * (first + np.repeat(np.arange(count), devices)),
            generator.integers(0, 5, count * devices).astype(np.float64),
        )
        request = PackedRecordObservationsRequest(parent=PARENT, observations=columns.packed())
        made.append(request.SerializeToString())
    return made


def accepted(count: int) -> bytes:
    """Return the answer to a request of which everything was accepted, as it comes over the wire."""
    return RecordObservationsResponse(accepted_count=count).SerializeToString()


def recorder(channel: grpc.aio.Channel) -> grpc.aio.UnaryUnaryMultiCallable[bytes, RecordObservationsResponse]:
    """Return RecordObservations for requests that are serialized already."""
    return channel.unary_unary(
        "/maasloop.api.observation.v1.IngestService/RecordObservations",
        request_serializer=bytes,
        response_deserializer=RecordObservationsResponse.FromString,
    )


async def wait_until_known(channel: grpc.aio.Channel, time_us: int, *, last: int = DEVICES) -> None:
    """Return when ingest knows all devices: one reading of each of the last is taken."""
    newest = [device_id(number) for number in range(last - KNOWN_BY, last)]
    columns = build_columns(
        newest, [OBSERVED_PROPERTY], range(KNOWN_BY), [0] * KNOWN_BY, [time_us] * KNOWN_BY, [1.0] * KNOWN_BY
    )
    request = RecordObservationsRequest(parent=PARENT, observations=columns.message()).SerializeToString()
    async with asyncio.timeout(KNOWN_TIMEOUT_S):
        while (await recorder(channel)(request)).accepted_count < len(newest):
            await asyncio.sleep(0.2)

"""A watch is a snapshot and every change after it, and ends with a reason."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District
from maasloop.core.errors import FailedPrecondition, ResourceExhausted, Unavailable
from maasloop.rpc.client import call, stream
from maasloop.runtime import watching
from maasloop.telemetry import metrics

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

NOORD = "districts/noord"


@pytest.fixture(name="stub")
async def _stub(registry: Any) -> "DeviceServiceAsyncStub":  # noqa: ANN401 - of conftest, which is no module
    stub: DeviceServiceAsyncStub = registry.stub
    device_type = DeviceType(display_name="Lamp")
    await call(stub.CreateDeviceType, pb.CreateDeviceTypeRequest(device_type_id="lamp", device_type=device_type))
    district = District(display_name="Noord")
    await call(stub.CreateDistrict, pb.CreateDistrictRequest(district_id="noord", district=district))
    return stub


async def _create(stub: "DeviceServiceAsyncStub", device_id: str) -> Device:
    device = Device(device_type="deviceTypes/lamp")
    return await call(stub.CreateDevice, pb.CreateDeviceRequest(parent=NOORD, device_id=device_id, device=device))


async def _snapshot(lots: AsyncIterator[pb.WatchDevicesResponse]) -> tuple[list[str], int]:
    kinds: list[str] = []
    async for lot in lots:
        kinds += [str(resource.WhichOneof("resource")) for resource in lot.resources]
        if lot.snapshot_complete:
            return kinds, lot.revision
    pytest.fail("the watch ended before its snapshot")


async def test_a_snapshot_is_followed_by_changes(stub: "DeviceServiceAsyncStub") -> None:
    """Everything comes once, then each change, also one that this process has not heard of otherwise."""
    await _create(stub, "lamp-1")
    lots = stream(stub.WatchDevices, pb.WatchDevicesRequest())

    assert await _snapshot(lots) == (["device_type", "district", "device"], 3)

    created = await _create(stub, "lamp-2")
    lot = await anext(lots)
    assert [resource.device for resource in lot.resources] == [created]
    retired = await call(stub.RetireDevice, pb.RetireDeviceRequest(name=created.name))
    lot = await anext(lots)
    assert ([resource.device for resource in lot.resources], lot.revision) == ([retired], retired.revision)


async def test_an_empty_registry_has_a_snapshot_too(registry: Any) -> None:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    """Whoever follows learns that there is nothing yet."""
    assert await _snapshot(stream(registry.stub.WatchDevices, pb.WatchDevicesRequest())) == ([], 0)


async def test_a_watch_resumes_where_it_was(stub: "DeviceServiceAsyncStub") -> None:
    """With a revision only what is newer comes; a revision that was never given is refused."""
    await _create(stub, "lamp-1")

    assert await _snapshot(stream(stub.WatchDevices, pb.WatchDevicesRequest(resume_revision=2))) == (["device"], 3)
    assert await _snapshot(stream(stub.WatchDevices, pb.WatchDevicesRequest(resume_revision=3))) == ([], 3)
    with pytest.raises(FailedPrecondition) as refused:
        await _snapshot(stream(stub.WatchDevices, pb.WatchDevicesRequest(resume_revision=4)))
    assert refused.value.reason == "RESUME_TOKEN_EXPIRED"


async def test_a_watch_ends_with_a_reason(stub: "DeviceServiceAsyncStub", registry: Any) -> None:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    """At shutdown the caller hears that the server drains; above the limit that it is full."""
    lots = stream(stub.WatchDevices, pb.WatchDevicesRequest())
    await _snapshot(lots)
    await registry.server.refuse()
    with pytest.raises(Unavailable) as refused:
        await anext(lots)
    assert refused.value.reason == "DRAINING"


async def test_watches_are_limited(stub: "DeviceServiceAsyncStub", monkeypatch: pytest.MonkeyPatch) -> None:
    """One more watch than the limit is refused, and may be tried again when another has ended."""
    monkeypatch.setattr(watching, "WATCHERS_MAX", 1)
    first = stub.WatchDevices(pb.WatchDevicesRequest())
    await first.read()
    with pytest.raises(ResourceExhausted):
        await _snapshot(stream(stub.WatchDevices, pb.WatchDevicesRequest()))
    first.cancel()
    while metrics.value("maasloop_owner_watchers"):  # noqa: ASYNC110 - the server hears of the end in its own time
        await asyncio.sleep(0.02)

    await _snapshot(stream(stub.WatchDevices, pb.WatchDevicesRequest()))

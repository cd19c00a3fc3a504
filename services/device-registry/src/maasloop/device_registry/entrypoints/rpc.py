"""The gRPC door of the registry: devices, their import and their watch, on top of the catalogue's methods."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import IO, cast

from maasloop.api.device.v1 import device_pb2, events_pb2
from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.api.device.v1.device_service_pb2_grpc import (
    DeviceServiceServicer,
    add_DeviceServiceServicer_to_server,
)
from maasloop.core.errors import InvalidArgument, ResourceExhausted
from maasloop.core.ids import DeviceName, DistrictName, parse_name
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.device_registry.domain.credential import device_holder
from maasloop.device_registry.domain.device import Device, DeviceState
from maasloop.device_registry.domain.importing import ImportResult
from maasloop.device_registry.domain.resource import COLLECTIONS, Key, Kind, refuse
from maasloop.device_registry.entrypoints import messages
from maasloop.device_registry.entrypoints.import_rows import csv_rows, decoded, json_rows
from maasloop.device_registry.entrypoints.rpc_catalogue import CatalogueDoor, Context
from maasloop.device_registry.handlers.activate_device import ActivateDevice
from maasloop.device_registry.handlers.close_connections import CloseConnections
from maasloop.device_registry.handlers.create_device import CreateDevice
from maasloop.device_registry.handlers.create_resource import CreateResource
from maasloop.device_registry.handlers.get_resource import GetResource
from maasloop.device_registry.handlers.import_devices import ImportDevices
from maasloop.device_registry.handlers.list_resources import ListResources
from maasloop.device_registry.handlers.retire_device import RetireDevice
from maasloop.device_registry.handlers.update_device import UpdateDevice
from maasloop.device_registry.handlers.update_device_type import UpdateDeviceType
from maasloop.device_registry.ports import DeviceFilter
from maasloop.rpc.requests import mask_of, paging, request_of
from maasloop.rpc.server import RpcServer
from maasloop.runtime.watching import Watching

IMPORT_BYTES_MAX = 256 * 1024 * 1024
IMPORT_MEMORY_BYTES = 4 * 1024 * 1024
"""A larger file waits on disk for its import."""
IMPORTS_MAX = 2
"""Imports that run at once, others are told to come back."""
ANY_DISTRICT = "-"

FORMATS = pb.ImportDevicesRequest.Format


class DeviceDoor(CatalogueDoor, DeviceServiceServicer):
    """DeviceService."""

    def __init__(
        self,
        *,
        create_device: CreateDevice,
        update_device: UpdateDevice,
        activate_device: ActivateDevice,
        retire_device: RetireDevice,
        close_connections: CloseConnections | None,
        import_devices: ImportDevices,
        create_resource: CreateResource,
        update_device_type: UpdateDeviceType,
        get_resource: GetResource,
        list_resources: ListResources,
        watching: Watching,
    ) -> None:
        super().__init__(
            create_resource=create_resource,
            update_device_type=update_device_type,
            get_resource=get_resource,
            list_resources=list_resources,
        )
        self._create_device = create_device
        self._update_device = update_device
        self._activate_device = activate_device
        self._retire_device = retire_device
        self._closer = close_connections
        self._import_devices = import_devices
        self._watching = watching
        self._imports = 0

    def register(self, server: RpcServer) -> None:
        """Serve on this server."""
        add_DeviceServiceServicer_to_server(self, server.registrar)

    async def CreateDevice(self, request: pb.CreateDeviceRequest, context: Context) -> device_pb2.Device:
        """Create a device."""
        name = DeviceName(DistrictName.parse(request.parent).district, request.device_id)
        wanted = messages.device_from(request.device, name)
        identity = request_of(request, "CreateDevice")
        return messages.device_message(await self._create_device(wanted, identity, activate=request.activate))

    async def GetDevice(self, request: pb.GetDeviceRequest, context: Context) -> device_pb2.Device:
        """Return a device."""
        return messages.device_message(cast("Device", await self._get_resource(_key(request.name))))

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        """List devices."""
        wanted = _filter(request)
        page = paging(request, wanted=repr(wanted))
        after = (page.position[0], page.position[1]) if page.position else ("", "")
        found = await self._list_resources.of_devices(wanted, after=after, limit=page.limit)
        last = (found.items[-1].district, found.items[-1].id) if found.items else ("", "")
        devices = [messages.device_message(device) for device in found.items]
        return pb.ListDevicesResponse(devices=devices, next_page_token=page.next_token(last, more=found.more))

    async def UpdateDevice(self, request: pb.UpdateDeviceRequest, context: Context) -> device_pb2.Device:
        """Change a device."""
        message = request.device
        name = DeviceName.parse(message.name)
        changed = mask_of(request.update_mask, message)
        if not message.device_type:
            # The type is immutable, so an update need not repeat it.
            message.device_type = f"{COLLECTIONS[Kind.DEVICE_TYPE]}/unchanged"
        wanted = messages.device_from(message, name)
        identity = request_of(request, "UpdateDevice")
        return messages.device_message(await self._update_device(wanted, changed, message.etag, identity))

    async def ActivateDevice(self, request: pb.ActivateDeviceRequest, context: Context) -> device_pb2.Device:
        """Bring a device into service."""
        identity = request_of(request, "ActivateDevice")
        return messages.device_message(await self._activate_device(_key(request.name), request.etag, identity))

    async def RetireDevice(self, request: pb.RetireDeviceRequest, context: Context) -> device_pb2.Device:
        """Take a device out of service."""
        identity = request_of(request, "RetireDevice")
        device = await self._retire_device(_key(request.name), request.etag, identity)
        await self._close_connections(device)
        return messages.device_message(device)

    async def _close_connections(self, device: Device) -> None:
        if self._closer is not None:
            await self._closer(device_holder(device.district, device.id))

    async def ImportDevices(
        self, request_iterator: AsyncIterator[pb.ImportDevicesRequest], context: Context
    ) -> pb.ImportDevicesResponse:
        """Import devices."""
        if self._imports >= IMPORTS_MAX:
            raise ResourceExhausted(Reason.OVERLOADED, f"{IMPORTS_MAX} imports run already", retry_after_s=5.0)
        self._imports += 1
        try:
            done = await self._import(request_iterator)
        finally:
            self._imports -= 1
        return pb.ImportDevicesResponse(
            created_count=done.created_count, unchanged_count=done.unchanged_count, revision=done.revision
        )

    async def _import(self, chunks: AsyncIterator[pb.ImportDevicesRequest]) -> ImportResult:
        first = await anext(chunks, None)
        if first is None or first.format not in {FORMATS.FORMAT_JSON_LINES, FORMATS.FORMAT_CSV}:
            raise refuse("format", "the first chunk says the format: JSON Lines or CSV", "enum.defined_only")
        district = DistrictName.parse(first.parent).district
        await self._get_resource(Key(Kind.DISTRICT, "", district))
        with tempfile.SpooledTemporaryFile(max_size=IMPORT_MEMORY_BYTES) as spooled:
            file = cast("IO[bytes]", spooled)
            digest = await _spool(first, chunks, file)
            rows = json_rows(file) if first.format == FORMATS.FORMAT_JSON_LINES else csv_rows(file, district)
            identity = Request(first.request_id, "ImportDevices", digest)
            return await self._import_devices(district, decoded(rows), identity, activate=first.activate)

    async def WatchDevices(
        self, request: pb.WatchDevicesRequest, context: Context
    ) -> AsyncIterator[pb.WatchDevicesResponse]:
        """Send a snapshot, then changes."""
        async with aclosing(self._watching.watch(request.resume_revision)) as lots:
            async for lot in lots:
                yield pb.WatchDevicesResponse(
                    resources=[events_pb2.RegistryResource.FromString(body) for body in lot.bodies],
                    revision=lot.revision,
                    snapshot_complete=lot.snapshot_complete,
                )


async def _spool(
    first: pb.ImportDevicesRequest, others: AsyncIterator[pb.ImportDevicesRequest], file: IO[bytes]
) -> bytes:
    """Write all chunks to the file, rewind it, and return the digest of what was asked for."""
    digest = hashlib.sha256(f"{first.parent} {first.format} {first.activate} ".encode())
    size = 0
    chunk: pb.ImportDevicesRequest | None = first
    while chunk is not None:
        size += len(chunk.content)
        if size > IMPORT_BYTES_MAX:
            message = f"an import has at most {IMPORT_BYTES_MAX} bytes"
            raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message, {"limit": str(IMPORT_BYTES_MAX)})
        digest.update(chunk.content)
        file.write(chunk.content)
        chunk = await anext(others, None)
    file.seek(0)
    return digest.digest()


def _key(name: str) -> Key:
    return Key(Kind.DEVICE, *DeviceName.parse(name))


def _filter(request: pb.ListDevicesRequest) -> DeviceFilter:
    any_district = request.parent == f"{COLLECTIONS[Kind.DISTRICT]}/{ANY_DISTRICT}"
    state = device_pb2.Device.State.Name(request.state).removeprefix("STATE_") if request.state else None
    return DeviceFilter(
        district=None if any_district else DistrictName.parse(request.parent).district,
        device_type=parse_name(request.device_type, COLLECTIONS[Kind.DEVICE_TYPE])[0] if request.device_type else None,
        state=DeviceState(state) if state else None,
        group=request.group or None,
        bounds=messages.box_from(request.bounds) if request.HasField("bounds") else None,
    )

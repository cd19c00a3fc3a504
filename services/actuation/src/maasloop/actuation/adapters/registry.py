"""The device registry as a local projection: devices with their data sheets, what types can do, districts' clocks.

Configuration is read once a revision. Task: the synchroniser's ``run``, started by the composition root; the
subscriptions are nats-py's own tasks.
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.json_format import MessageToDict
from nats.aio.msg import Msg

from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.facts import Capability, Device, read_device
from maasloop.actuation.domain.street_clock import ClockKind
from maasloop.api.device.v1 import device_pb2, events_pb2
from maasloop.api.device.v1.device_service_pb2 import WatchDevicesRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.bus import subjects
from maasloop.bus.connection import Bus
from maasloop.core.clock import Clock
from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.rpc.client import stream
from maasloop.runtime.projection import Change, Projection, Snapshot
from maasloop.runtime.synchroniser import FETCH_TIMEOUT_S, Synchroniser

_FACTS = (
    subjects.DEVICE_REGISTERED,
    subjects.DEVICE_UPDATED,
    subjects.DEVICE_ACTIVATED,
    subjects.DEVICE_RETIRED,
)
_CAPABILITIES = {
    device_pb2.DeviceType.Capability.Value(f"CAPABILITY_{capability}"): capability for capability in Capability
}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeviceItem:
    """A device of a district."""

    district: str
    device: Device


@dataclass(frozen=True, slots=True)
class TypeItem:
    """What a device type can do."""

    capabilities: frozenset[Capability]


@dataclass(frozen=True, slots=True)
class DistrictItem:
    """What moves a district's clock."""

    clock: ClockKind
    clock_device: str


Item = DeviceItem | TypeItem | DistrictItem


class Registry:
    """Keeps a city's facts as the registry has them."""

    def __init__(self, bus: Bus, channel: grpc.aio.Channel, city: City, clock: Clock) -> None:
        """Follow the registry behind the channel."""
        self._bus = bus
        self._stub = DeviceServiceStub(channel)
        self._city = city
        self._projection: Projection[Item] = Projection("devices", clock)
        self._projection.listen(self._take)
        self.synchroniser = Synchroniser(self._projection, self._fetch, clock)
        self.synchronised = asyncio.Event()
        """Set with the first snapshot: before it no reading can be told from one of an unknown device."""

    async def subscribe(self) -> None:
        """Hear changes from now on; the first snapshot comes with the synchroniser."""
        for fact in _FACTS:
            await self._bus.listen(fact.wildcard(), self._hear)
        await self._bus.listen(subjects.DEVICE_CONFIRMED.wildcard(), self._hear_revision)

    async def _fetch(self) -> Snapshot[Item]:
        items: dict[str, Item] = {}
        async for answer in stream(self._stub.WatchDevices, WatchDevicesRequest(), timeout_s=FETCH_TIMEOUT_S):
            items.update({key: item for key, item in _items(answer.resources).items() if item is not None})
            if answer.snapshot_complete:
                return Snapshot(answer.revision, items)
        raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's snapshot ended before it was complete")

    async def _hear(self, message: Msg) -> None:
        changed = events_pb2.DevicesChanged.FromString(message.data)
        revision = max((_revision(resource) for resource in changed.resources), default=0)
        self._projection.apply(Change(changed.previous_revision, revision, _items(changed.resources)))

    async def _hear_revision(self, message: Msg) -> None:
        self._projection.confirm(events_pb2.RevisionConfirmed.FromString(message.data).revision)

    def _take(self, items: Mapping[str, Item | None]) -> None:
        self.synchronised.set()
        for key, item in items.items():
            match item:
                case DeviceItem(district=district, device=device):
                    self._city.district(district).facts.put(device)
                    if device.config_refusal:
                        _log.warning("device_never_commanded", device=key, reason=device.config_refusal)
                case TypeItem(capabilities=capabilities):
                    self._city.capabilities[key.rpartition("/")[2]] = capabilities
                case DistrictItem():
                    self._city.district(key.rpartition("/")[2]).clock.set(item.clock, item.clock_device)
                case None:
                    self._drop(key)

    def _drop(self, key: str) -> None:
        parts = key.split("/")
        if parts[0] == "districts" and parts[2:3] == ["devices"]:
            self._city.district(parts[1]).facts.drop(parts[3])


def _items(resources: Any) -> dict[str, Item | None]:  # noqa: ANN401 - a repeated field
    found: dict[str, Item | None] = {}
    for resource in resources:
        kind = resource.WhichOneof("resource")
        message = getattr(resource, kind)
        found[message.name] = _item(kind, message)
    return found


def _item(kind: str, message: Any) -> Item | None:  # noqa: ANN401 - one of the registry's resources
    if kind == "device":
        return _device(message)
    if kind == "device_type":
        known = (_CAPABILITIES.get(number) for number in message.capabilities)
        return TypeItem(frozenset(capability for capability in known if capability is not None))
    if kind == "district":
        field = message.clock == device_pb2.District.CLOCK_FIELD
        return DistrictItem(ClockKind.FIELD if field else ClockKind.WALL, message.clock_device)
    return None


def _device(message: device_pb2.Device) -> DeviceItem | None:
    if message.state == device_pb2.Device.STATE_RETIRED:
        return None
    _, district, _, name = message.name.split("/")
    config = MessageToDict(message.config) if message.HasField("config") else {}
    groups = tuple(sys.intern(group) for group in message.groups)
    device_type = sys.intern(message.device_type.rpartition("/")[2])
    active = message.state == device_pb2.Device.STATE_ACTIVE
    return DeviceItem(sys.intern(district), read_device(name, device_type, groups, config, active=active))


def _revision(resource: events_pb2.RegistryResource) -> int:
    kind = resource.WhichOneof("resource")
    return 0 if kind is None else int(getattr(resource, kind).revision)

"""The device registry as a local projection: devices with their data sheets, what types can do, districts' clocks.

Configuration is read once a revision. Task: ``run``, which follows the registry's watch and facts.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import grpc
import structlog
from google.protobuf.json_format import MessageToDict

from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.facts import Capability, Device, read_device
from maasloop.api.device.v1 import device_pb2
from maasloop.api.device.v1.events_pb2 import RegistryResource
from maasloop.bus.connection import Bus
from maasloop.core.clock import Clock
from maasloop.rsmp.errors import SheetInvalid
from maasloop.rsmp.supervised import SupervisedSite, read_site
from maasloop.runtime.following import Follower, Owner, devices
from maasloop.runtime.projection import Projection

_CAPABILITIES: dict[int, Capability] = {
    int(device_pb2.DeviceType.Capability.Value(f"CAPABILITY_{capability}")): capability for capability in Capability
}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeviceItem:
    """A device of a district."""

    district: str
    device: Device
    site: SupervisedSite | None = None
    """How the device is met over RSMP, where it is."""
    groups: tuple[str, ...] = ()
    """Signal groups of such a device, in the order of its state texts."""


@dataclass(frozen=True, slots=True)
class TypeItem:
    """What a device type can do, and what it observes."""

    capabilities: frozenset[Capability]
    observed: frozenset[str]


@dataclass(frozen=True, slots=True)
class DistrictItem:
    """What moves a district's clock."""

    clock_device: str
    """Empty for wall time."""


Item = DeviceItem | TypeItem | DistrictItem


type Refused = Callable[[str, Device], None]
"""Hears of a device whose configuration is refused, with its district."""
type Sites = Callable[[str, str, SupervisedSite | None, tuple[str, ...]], None]
"""Hears of an RSMP site: district, device, the site or None where there is none, and its signal groups in order."""


class Registry:
    """Keeps a city's facts as the registry has them."""

    def __init__(
        self, bus: Bus, channel: grpc.aio.Channel, city: City, clock: Clock, refused: Refused, sites: Sites
    ) -> None:
        """Follow the registry behind the channel."""
        self._city = city
        self._refused = refused
        self._sites = sites
        self.synchronised = asyncio.Event()
        """Set with the first snapshot: before it no reading can be told from one of an unknown device."""
        projection: Projection[Item] = Projection("devices", clock)
        projection.listen(self._take)
        owner: Owner[Item] = devices(channel, translated)
        follower = Follower(bus, projection, owner, clock)
        self.run = follower.run
        self.check = follower.check

    def _take(self, items: Mapping[str, Item | None]) -> None:
        self.synchronised.set()
        for key, item in items.items():
            match item:
                case DeviceItem(district=district, device=device):
                    self._city.district(district).facts.put(device)
                    self._sites(district, device.id, item.site if device.active else None, item.groups)
                    if device.config_refusal:
                        _log.warning("device_never_commanded", device=key, reason=device.config_refusal)
                        self._refused(district, device)
                case TypeItem(capabilities=capabilities, observed=observed):
                    self._city.capabilities[key.rpartition("/")[2]] = capabilities
                    self._city.observed[key.rpartition("/")[2]] = observed
                case DistrictItem():
                    self._city.district(key.rpartition("/")[2]).clock.follow(item.clock_device)
                case None:
                    self._drop(key)

    def _drop(self, key: str) -> None:
        parts = key.split("/")
        if parts[0] == "districts" and parts[2:3] == ["devices"]:
            self._city.district(parts[1]).facts.drop(parts[3])
            self._sites(parts[1], parts[3], None, ())


def translated(resource: RegistryResource) -> tuple[str, Item | None] | None:
    """Return what decisions need of a resource; nothing for a kind that they do not need."""
    match resource.WhichOneof("resource"):
        case "device":
            return resource.device.name, _device(resource.device)
        case "device_type":
            known = (_CAPABILITIES.get(number) for number in resource.device_type.capabilities)
            capabilities = frozenset(capability for capability in known if capability is not None)
            observed = frozenset(name.rpartition("/")[2] for name in resource.device_type.observed_properties)
            return resource.device_type.name, TypeItem(capabilities, observed)
        case "district":
            field = resource.district.clock == device_pb2.District.CLOCK_FIELD
            return resource.district.name, DistrictItem(resource.district.clock_device if field else "")
        case _:
            return None


def _device(message: device_pb2.Device) -> DeviceItem | None:
    if message.state == device_pb2.Device.STATE_RETIRED:
        return None
    _, district, _, name = message.name.split("/")
    config = MessageToDict(message.config) if message.HasField("config") else {}
    groups = tuple(sys.intern(group) for group in message.groups)
    device_type = sys.intern(message.device_type.rpartition("/")[2])
    active = message.state == device_pb2.Device.STATE_ACTIVE
    device = read_device(name, device_type, groups, config, active=active)
    if not isinstance(config.get("rsmp"), dict):
        return DeviceItem(sys.intern(district), device)
    try:
        site = read_site(config["rsmp"])
    except SheetInvalid as error:
        return DeviceItem(sys.intern(district), replace(device, config_refusal=f"rsmp.{error.reason}"))
    sheet = device.sheet
    order = tuple(group.id for group in sheet.groups) if sheet else tuple(site.signal_groups.values())
    return DeviceItem(sys.intern(district), device, site, order)

"""A device and its life: registered, active, retired."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from maasloop.core.errors import FailedPrecondition
from maasloop.core.ids import parse_name, require_id
from maasloop.core.reasons import Reason

from .place import Point
from .resource import Key, Kind, etag_of, refuse, require_key

CONFIG_BYTES_MAX = 1_048_576
CHANGEABLE = frozenset({
    "display_name", "location", "groups", "gateway", "data_subject", "processing_activity", "config",
    "external_ids",
})  # fmt: skip
"""Fields of a device that an update may change."""


class DeviceState(StrEnum):
    """Where a device stands in its life."""

    REGISTERED = "REGISTERED"
    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"
    QUARANTINED = "QUARANTINED"


@dataclass(frozen=True, slots=True)
class Device:
    """A sensor, an actuator, or both."""

    district: str
    id: str
    device_type: str
    display_name: str = ""
    location: Point | None = None
    groups: tuple[str, ...] = ()
    gateway: str = ""
    """Id of the device that speaks for this one."""
    data_subject: str = ""
    """Resource name of the person's pseudonym; set, all series of the device are personal."""
    processing_activity: str = ""
    config: str = ""
    """Facts of this device as a JSON object, empty for none."""
    external_ids: tuple[str, ...] = ()
    """What other systems call it, ``{system}:{id}``; no two devices that are not retired share one."""
    state: DeviceState = DeviceState.REGISTERED
    revision: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None

    @property
    def key(self) -> Key:
        """Its identity."""
        return Key(Kind.DEVICE, self.district, self.id)

    @property
    def etag(self) -> str:
        """What a caller sends back to be sure that nobody came between."""
        return etag_of(self.revision)

    @property
    def content(self) -> str:
        """What its owner said about it, as a text: two devices with the same content are the same."""
        said = [getattr(self, field) for field in ("id", "device_type", *sorted(CHANGEABLE - {"external_ids"}))]
        # Devices without external ids keep the content that they were imported with.
        return repr((*said, self.external_ids) if self.external_ids else tuple(said))

    def references(self) -> Iterator[tuple[str, Key]]:
        """Yield what must exist before it, with the field that says so."""
        yield "parent", Key(Kind.DISTRICT, "", self.district)
        yield "device_type", Key(Kind.DEVICE_TYPE, "", self.device_type)
        if self.gateway:
            yield "gateway", Key(Kind.DEVICE, self.district, self.gateway)

    def check(self) -> None:
        """Refuse what contradicts itself."""
        require_key(self.key, "device_id")
        for group in self.groups:
            require_id(group, "groups")
        if self.gateway:
            require_id(self.gateway, "gateway")
        if self.gateway == self.id:
            raise refuse("gateway", "a device needs no gateway to speak for itself", "gateway.other")
        if len(self.config.encode()) > CONFIG_BYTES_MAX:
            raise refuse("config", f"config may have {CONFIG_BYTES_MAX} bytes as JSON", "config.max_bytes")
        self._check_person()

    def _check_person(self) -> None:
        if self.data_subject:
            parse_name(self.data_subject, "dataSubjects")
            if not self.processing_activity:
                raise refuse(
                    "processing_activity",
                    "personal readings need the activity under which they are processed",
                    "person.activity",
                )
        if self.processing_activity:
            parse_name(self.processing_activity, "processingActivities")


def activated(device: Device) -> Device:
    """Return the device in service; an active one stays as it is, and one in quarantine is released by another call."""
    _require_alive(device)
    if device.state is DeviceState.QUARANTINED:
        raise _forbidden(device, "is in quarantine: release it")
    return device if device.state is DeviceState.ACTIVE else replace(device, state=DeviceState.ACTIVE)


def quarantined(device: Device) -> Device:
    """Return an active device without trust; one in quarantine stays as it is."""
    if device.state not in {DeviceState.ACTIVE, DeviceState.QUARANTINED}:
        raise _forbidden(device, "is not active, so that there is no trust to take")
    return device if device.state is DeviceState.QUARANTINED else replace(device, state=DeviceState.QUARANTINED)


def released(device: Device) -> Device:
    """Return a device in quarantine in service again; an active one stays as it is."""
    if device.state not in {DeviceState.ACTIVE, DeviceState.QUARANTINED}:
        raise _forbidden(device, "is not in quarantine")
    return device if device.state is DeviceState.ACTIVE else replace(device, state=DeviceState.ACTIVE)


def retired(device: Device) -> Device:
    """Return the device out of service for good; a retired one stays as it is."""
    return device if device.state is DeviceState.RETIRED else replace(device, state=DeviceState.RETIRED)


def updated(device: Device, wanted: Device, changed: Collection[str]) -> Device:
    """Return the device with the named fields of ``wanted``."""
    _require_alive(device)
    unknown = sorted(set(changed) - CHANGEABLE)
    if unknown:
        raise refuse("update_mask", f"an update cannot change {', '.join(unknown)}", "update_mask.known")
    values: dict[str, Any] = {field: getattr(wanted, field) for field in changed}
    return replace(device, **values)


def fields_set(wanted: Device) -> frozenset[str]:
    """Return the changeable fields that have a value: what an update without a mask means."""
    defaults = {field.name: field.default for field in fields(Device)}
    return frozenset(field for field in CHANGEABLE if getattr(wanted, field) != defaults[field])


def require_gateway(device: Device, gateway: Device, *, speaks_for_others: bool) -> None:
    """Refuse chains: a gateway speaks for itself, and who has a gateway is none."""
    if gateway.gateway:
        sentence = f"{gateway.id} cannot be a gateway: {gateway.gateway} speaks for it"
        raise refuse("gateway", sentence, "gateway.chain")
    if speaks_for_others:
        raise refuse("gateway", f"{device.id} is a gateway itself, so that nobody can speak for it", "gateway.chain")
    if gateway.state is DeviceState.RETIRED:
        raise refuse("gateway", f"{gateway.id} is retired and cannot be a gateway", "gateway.alive")


def require_names_free(device: Device, holders: Mapping[str, Key]) -> None:
    """Refuse a name in another system that is another device's."""
    for name, key in holders.items():
        if key != device.key:
            raise refuse("external_ids", f"{name} is the name of {key}", "external_ids.unique")


def _require_alive(device: Device) -> None:
    if device.state is DeviceState.RETIRED:
        raise _forbidden(device, "is retired, and stays so")


def _forbidden(device: Device, why: str) -> FailedPrecondition:
    return FailedPrecondition(Reason.STATE_FORBIDS, f"{device.key} {why}", {"state": device.state})

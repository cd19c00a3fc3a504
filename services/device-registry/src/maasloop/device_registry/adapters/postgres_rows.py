"""What every statement of the registry shares: how resources are coded, told and searched by."""

import hashlib
from collections.abc import Sequence
from typing import Protocol
from uuid import uuid4

from maasloop.api.device.v1.events_pb2 import DevicesChanged
from maasloop.bus import subjects
from maasloop.device_registry.adapters import sql
from maasloop.device_registry.domain.device import Device, DeviceState
from maasloop.device_registry.domain.resource import Happening, Key, Kind
from maasloop.device_registry.ports import Resource
from maasloop.runtime.outbox import OutboxRow
from maasloop.runtime.owning import OwnedChange
from maasloop.telemetry import tracing

FACTS: dict[Happening, subjects.Fact] = {
    Happening.REGISTERED: subjects.DEVICE_REGISTERED,
    Happening.UPDATED: subjects.DEVICE_UPDATED,
    Happening.ACTIVATED: subjects.DEVICE_ACTIVATED,
    Happening.RETIRED: subjects.DEVICE_RETIRED,
}
CATALOGUE = "catalogue"
"""Key of facts about what is no device."""


class Codec(Protocol):
    """How resources are stored and travel."""

    def encode(self, resource: Resource) -> bytes:
        """Return a resource as it is stored."""
        ...

    def decode(self, body: bytes) -> Resource:
        """Return a stored resource."""
        ...

    def changed(self, bodies: Sequence[bytes], previous_revision: int) -> bytes:
        """Return the event of resources that changed together."""
        ...


def fact(subject: str, body: bytes, revision: int) -> OutboxRow:
    """Return an event that ends with this revision."""
    return OutboxRow(
        subject=subject,
        ce_id=str(uuid4()),
        ce_type=DevicesChanged.DESCRIPTOR.full_name,
        body=body,
        traceparent=tracing.inject(),
        revision=revision,
    )


async def put_devices(owned: OwnedChange, devices: Sequence[Device]) -> None:
    """Store what devices are searched by."""
    columns = zip(*(_searched(device) for device in devices), strict=True)
    await owned.connection.execute(sql.PUT_DEVICES, [list(column) for column in columns])
    keys = [[device.district for device in devices], [device.id for device in devices]]
    await owned.connection.execute(sql.FORGET_EXTERNAL_IDS, keys)
    alive = [device for device in devices if device.state is not DeviceState.RETIRED]
    named = [(name, device.district, device.id) for device in alive for name in device.external_ids]
    if named:
        await owned.connection.execute(sql.PUT_EXTERNAL_IDS, [list(column) for column in zip(*named, strict=True)])


def content_digest(device: Device) -> bytes:
    """Return the digest by which an import knows that a device is the same."""
    return hashlib.sha256(device.content.encode()).digest()


def _searched(device: Device) -> tuple[object, ...]:
    place = device.location
    return (
        device.district,
        device.id,
        device.device_type,
        device.state,
        " ".join(device.groups),
        device.gateway,
        place and place.longitude,
        place and place.latitude,
        content_digest(device),
    )


def subject_of(key: Key, happening: Happening) -> str:
    """Return the subject on which a change of one resource travels."""
    if key.kind is Kind.DEVICE:
        return FACTS[happening].subject(key.district, key.id)
    return FACTS[happening].subject(subjects.ALL_DISTRICTS, CATALOGUE)

"""Ingest's view of the registry: from its resources to the few facts that a reading needs."""

import sys

from maasloop.api.device.v1 import device_pb2
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, ObservedProperty
from maasloop.api.device.v1.events_pb2 import RegistryResource
from maasloop.core.domains import RETENTION_DAYS, Domain, Retention
from maasloop.ingest.domain.byte_layout import ByteField, ByteLayout, Encoding
from maasloop.ingest.domain.cayenne_lpp import CayenneLpp
from maasloop.ingest.domain.facts import (
    VALUE_MAX,
    DeviceFacts,
    Facts,
    Kind,
    Priority,
    PropertyFacts,
    TypeFacts,
)

DAY_US = 86_400 * 1_000_000
FOREVER_US = 2**62

_KINDS = {
    ObservedProperty.KIND_NUMBER: Kind.NUMBER,
    ObservedProperty.KIND_BOOLEAN: Kind.BOOLEAN,
    ObservedProperty.KIND_STATE: Kind.STATE,
    ObservedProperty.KIND_POSITION: Kind.POSITION,
}

_PRIORITIES = {
    ObservedProperty.PRIORITY_HIGH: Priority.HIGH,
    ObservedProperty.PRIORITY_LOW: Priority.LOW,
}
_ENCODINGS = {
    device_pb2.ByteField.ENCODING_SIGNED: Encoding.SIGNED,
    device_pb2.ByteField.ENCODING_FLOAT: Encoding.FLOAT,
}


def facts_of(resource: RegistryResource) -> tuple[str, Facts | None] | None:
    """Return the name and the facts of a resource, facts of ``None`` where it is gone, nothing for other resources."""
    which = resource.WhichOneof("resource")
    if which == "device":
        return resource.device.name, _device(resource.device)
    if which == "device_type":
        return resource.device_type.name, _device_type(resource.device_type)
    if which == "observed_property":
        return resource.observed_property.name, _observed_property(resource.observed_property)
    return None


def _device(device: Device) -> DeviceFacts | None:
    if device.state == Device.STATE_RETIRED and not device.data_subject:
        # A person's device stays known: what it sends is refused, and must not be kept.
        return None
    # A type, a gateway and an activity are shared by thousands of devices: one text each.
    return DeviceFacts(
        device_type=sys.intern(device.device_type.removeprefix("deviceTypes/")),
        active=device.state == Device.STATE_ACTIVE,
        gateway=sys.intern(device.gateway),
        data_subject=device.data_subject.removeprefix("dataSubjects/"),
        processing_activity=sys.intern(device.processing_activity.removeprefix("processingActivities/")),
        external_ids=tuple(device.external_ids),
    )


def _device_type(device_type: DeviceType) -> TypeFacts:
    names = device_type.observed_properties
    codec = _codec(device_type.uplink_codec) if device_type.HasField("uplink_codec") else None
    return TypeFacts(frozenset(map(_property_id, names)), codec)


def _property_id(name: str) -> str:
    return sys.intern(name.removeprefix("observedProperties/"))


def _codec(codec: device_pb2.UplinkCodec) -> CayenneLpp | ByteLayout | None:
    match codec.WhichOneof("codec"):
        case "cayenne_lpp":
            mappings = codec.cayenne_lpp.mappings
            return CayenneLpp({(each.channel, each.type): _property_id(each.observed_property) for each in mappings})
        case "byte_layout":
            return ByteLayout(tuple(map(_field, codec.byte_layout.fields)))
        case _:
            return None


def _field(field: device_pb2.ByteField) -> ByteField:
    return ByteField(
        observed_property=_property_id(field.observed_property),
        offset=field.offset,
        width=field.width,
        f_port=field.f_port,
        encoding=_ENCODINGS.get(field.encoding, Encoding.UNSIGNED),
        little_endian=field.little_endian,
        bit_mask=field.bit_mask,
        scale=field.scale or 1.0,
        shift=field.shift,
        unit=field.unit,
    )


def _observed_property(found: ObservedProperty) -> PropertyFacts:
    days = RETENTION_DAYS[Retention(found.retention)]
    boolean = found.kind == ObservedProperty.KIND_BOOLEAN
    return PropertyFacts(
        domain=Domain(found.domain),
        kind=_KINDS[found.kind],
        unit=found.unit,
        range_min=found.range_min if found.HasField("range_min") else 0.0 if boolean else -VALUE_MAX,
        range_max=found.range_max if found.HasField("range_max") else 1.0 if boolean else VALUE_MAX,
        retention_us=FOREVER_US if days is None else days * DAY_US,
        priority=_PRIORITIES.get(found.priority, Priority.NORMAL),
    )

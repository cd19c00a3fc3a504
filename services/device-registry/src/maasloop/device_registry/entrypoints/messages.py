"""Resources as messages of ``maasloop.api.device.v1``, and back: one function each way.

Output-only fields of a request are not read; stored messages are read whole by ``MessageCodec``.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from maasloop.api.common.v1 import geo_pb2
from maasloop.api.device.v1 import device_pb2, events_pb2
from maasloop.core.domains import Domain, Retention
from maasloop.core.ids import DeviceName, DistrictName, parse_name
from maasloop.device_registry.domain.catalogue import (
    DeviceGroup,
    DeviceType,
    District,
    DistrictClock,
    ObservedProperty,
    Priority,
    PropertyKind,
)
from maasloop.device_registry.domain.device import Device, DeviceState
from maasloop.device_registry.domain.place import BoundingBox, Point
from maasloop.device_registry.domain.resource import COLLECTIONS, Kind, refuse
from maasloop.device_registry.ports import Resource
from maasloop.rpc.times import datetime_from, duration_from_s, s_from_duration, timestamp_from

_TYPES = COLLECTIONS[Kind.DEVICE_TYPE]
_PROPERTIES = COLLECTIONS[Kind.OBSERVED_PROPERTY]
FLOAT_WIDTHS = frozenset({4, 8})


def device_message(device: Device) -> device_pb2.Device:
    """Return the message of a device."""
    message = device_pb2.Device(
        name=str(device.key),
        device_type=f"{_TYPES}/{device.device_type}",
        display_name=device.display_name,
        groups=device.groups,
        gateway=device.gateway,
        data_subject=device.data_subject,
        processing_activity=device.processing_activity,
        state=device_pb2.Device.State.Value(f"STATE_{device.state}"),
        revision=device.revision,
        create_time=_timestamp(device.create_time),
        update_time=_timestamp(device.update_time),
        etag=device.etag,
    )
    if device.location is not None:
        message.location.CopyFrom(_point_message(device.location))
    message.external_ids.extend(device.external_ids)
    if device.config:
        message.config.update(json.loads(device.config))
    return message


def device_from(message: device_pb2.Device, name: DeviceName) -> Device:
    """Return what a message says about the device of this name."""
    (device_type,) = parse_name(message.device_type, _TYPES)
    return Device(
        district=name.district,
        id=name.device,
        device_type=device_type,
        display_name=message.display_name,
        location=_point(message.location) if message.HasField("location") else None,
        groups=tuple(message.groups),
        gateway=message.gateway,
        data_subject=message.data_subject,
        processing_activity=message.processing_activity,
        config=_config(message.config) if message.HasField("config") else "",
        external_ids=tuple(message.external_ids),
    )


def device_type_message(device_type: DeviceType) -> device_pb2.DeviceType:
    """Return the message of a device type."""
    silence_after_s = device_type.silence_after_s
    message = device_pb2.DeviceType(
        name=str(device_type.key),
        display_name=device_type.display_name,
        observed_properties=[f"{_PROPERTIES}/{observed}" for observed in device_type.observed_properties],
        capabilities=[
            device_pb2.DeviceType.Capability.Value(f"CAPABILITY_{name}") for name in device_type.capabilities
        ],
        silence_after=None if silence_after_s is None else duration_from_s(silence_after_s),
        revision=device_type.revision,
        etag=device_type.etag,
    )
    if device_type.uplink_codec:
        message.uplink_codec.MergeFromString(device_type.uplink_codec)
    return message


def device_type_from(message: device_pb2.DeviceType, device_type_id: str) -> DeviceType:
    """Return what a message says about the device type of this id."""
    capabilities = (device_pb2.DeviceType.Capability.Name(value) for value in message.capabilities)
    return DeviceType(
        id=device_type_id,
        display_name=message.display_name,
        observed_properties=tuple(parse_name(name, _PROPERTIES)[0] for name in message.observed_properties),
        capabilities=tuple(name.removeprefix("CAPABILITY_") for name in capabilities),
        silence_after_s=s_from_duration(message.silence_after) if message.HasField("silence_after") else None,
        uplink_codec=message.uplink_codec.SerializeToString(deterministic=True),
        uplink_properties=tuple(_uplink_properties(message.uplink_codec)),
    )


def _uplink_properties(codec: device_pb2.UplinkCodec) -> Iterator[str]:
    for field in codec.byte_layout.fields:
        if field.encoding == device_pb2.ByteField.ENCODING_FLOAT and field.width not in FLOAT_WIDTHS:
            raise refuse("uplink_codec", f"a float has 4 or 8 bytes; got {field.width}", "uplink_codec.float")
        yield parse_name(field.observed_property, _PROPERTIES)[0]
    for mapping in codec.cayenne_lpp.mappings:
        yield parse_name(mapping.observed_property, _PROPERTIES)[0]


def observed_property_message(observed: ObservedProperty) -> device_pb2.ObservedProperty:
    """Return the message of an observed property."""
    return device_pb2.ObservedProperty(
        name=str(observed.key),
        display_name=observed.display_name,
        domain=observed.domain,
        kind=device_pb2.ObservedProperty.Kind.Value(f"KIND_{observed.kind}"),
        unit=observed.unit,
        range_min=observed.range_min,
        range_max=observed.range_max,
        retention=observed.retention,
        priority=device_pb2.ObservedProperty.Priority.Value(f"PRIORITY_{observed.priority}"),
        revision=observed.revision,
    )


def observed_property_from(message: device_pb2.ObservedProperty, observed_property_id: str) -> ObservedProperty:
    """Return what a message says about the observed property of this id."""
    return ObservedProperty(
        id=observed_property_id,
        display_name=message.display_name,
        domain=Domain(message.domain),
        kind=PropertyKind(device_pb2.ObservedProperty.Kind.Name(message.kind).removeprefix("KIND_")),
        unit=message.unit,
        range_min=message.range_min if message.HasField("range_min") else None,
        range_max=message.range_max if message.HasField("range_max") else None,
        retention=Retention(message.retention),
        priority=Priority(device_pb2.ObservedProperty.Priority.Name(message.priority).removeprefix("PRIORITY_")),
    )


def district_message(district: District) -> device_pb2.District:
    """Return the message of a district."""
    message = device_pb2.District(
        name=str(district.key),
        display_name=district.display_name,
        clock=device_pb2.District.Clock.Value(f"CLOCK_{district.clock}"),
        clock_device=district.clock_device,
        revision=district.revision,
        create_time=_timestamp(district.create_time),
        update_time=_timestamp(district.update_time),
        etag=district.etag,
    )
    if district.bounds is not None:
        message.bounds.southwest.CopyFrom(_point_message(district.bounds.southwest))
        message.bounds.northeast.CopyFrom(_point_message(district.bounds.northeast))
    return message


def district_from(message: device_pb2.District, district_id: str) -> District:
    """Return what a message says about the district of this id."""
    field_clock = message.clock == device_pb2.District.CLOCK_FIELD
    return District(
        id=district_id,
        display_name=message.display_name,
        bounds=box_from(message.bounds) if message.HasField("bounds") else None,
        clock=DistrictClock.FIELD if field_clock else DistrictClock.WALL,
        clock_device=message.clock_device,
    )


def device_group_message(group: DeviceGroup) -> device_pb2.DeviceGroup:
    """Return the message of a group."""
    return device_pb2.DeviceGroup(name=str(group.key), display_name=group.display_name, revision=group.revision)


def device_group_from(message: device_pb2.DeviceGroup, district: str, device_group_id: str) -> DeviceGroup:
    """Return what a message says about the group of this id."""
    return DeviceGroup(district=district, id=device_group_id, display_name=message.display_name)


def box_from(message: geo_pb2.BoundingBox) -> BoundingBox:
    """Return the box of a message."""
    return BoundingBox(_point(message.southwest), _point(message.northeast))


def resource_message(resource: Resource) -> events_pb2.RegistryResource:
    """Return the message of any resource, as projections hold it."""
    match resource:
        case Device():
            return events_pb2.RegistryResource(device=device_message(resource))
        case DeviceType():
            return events_pb2.RegistryResource(device_type=device_type_message(resource))
        case ObservedProperty():
            return events_pb2.RegistryResource(observed_property=observed_property_message(resource))
        case District():
            return events_pb2.RegistryResource(district=district_message(resource))
        case DeviceGroup():
            return events_pb2.RegistryResource(device_group=device_group_message(resource))


class MessageCodec:
    """Stored resources and events are messages: what is kept is what travels."""

    def encode(self, resource: Resource) -> bytes:
        """Return a resource as it is stored."""
        return resource_message(resource).SerializeToString()

    def decode(self, body: bytes) -> Resource:
        """Return a stored resource."""
        return _stored(events_pb2.RegistryResource.FromString(body))

    def changed(self, bodies: Sequence[bytes], previous_revision: int) -> bytes:
        """Return the event of resources that changed together."""
        resources = [events_pb2.RegistryResource.FromString(body) for body in bodies]
        event = events_pb2.DevicesChanged(resources=resources, previous_revision=previous_revision)
        return event.SerializeToString()


def _stored(message: events_pb2.RegistryResource) -> Resource:
    match message.WhichOneof("resource"):
        case "device":
            device = message.device
            return replace(
                device_from(device, DeviceName.parse(device.name)),
                state=DeviceState(device_pb2.Device.State.Name(device.state).removeprefix("STATE_")),
                revision=device.revision,
                create_time=_time(device.create_time),
                update_time=_time(device.update_time),
            )
        case "device_type":
            found_type = device_type_from(message.device_type, parse_name(message.device_type.name, _TYPES)[0])
            return replace(found_type, revision=message.device_type.revision)
        case "observed_property":
            observed_id = parse_name(message.observed_property.name, _PROPERTIES)[0]
            observed = observed_property_from(message.observed_property, observed_id)
            return replace(observed, revision=message.observed_property.revision)
        case "district":
            district = message.district
            return replace(
                district_from(district, DistrictName.parse(district.name).district),
                revision=district.revision,
                create_time=_time(district.create_time),
                update_time=_time(district.update_time),
            )
        case _:
            group = message.device_group
            ids = parse_name(group.name, COLLECTIONS[Kind.DISTRICT], COLLECTIONS[Kind.DEVICE_GROUP])
            return replace(device_group_from(group, *ids), revision=group.revision)


def _config(config: Struct) -> str:
    return json.dumps(json_format.MessageToDict(config), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _point(message: geo_pb2.Point) -> Point:
    return Point(message.longitude, message.latitude)


def _point_message(point: Point) -> geo_pb2.Point:
    return geo_pb2.Point(longitude=point.longitude, latitude=point.latitude)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else timestamp_from(moment)


def _time(timestamp: Timestamp) -> datetime:
    return datetime_from(timestamp)

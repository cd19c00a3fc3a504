"""Makes the platform know the district: catalogue, devices, consent, policies, alert rules and who is to be told.

Catalogue resources outlive a demo, so that finding them there is right; everything else belongs to this run's district.
"""

import json
import uuid
from collections.abc import AsyncIterator, Iterable

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson

from maasloop.api.command.v1.policy_service_pb2 import CreatePolicyRequest, Policy, SetPolicyModeRequest
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceStub
from maasloop.api.common.v1.geo_pb2 import BoundingBox, Point
from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.consent_service_pb2 import CreateProcessingActivityRequest, GrantConsentRequest
from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
from maasloop.api.device.v1.device_pb2 import Device, District
from maasloop.api.device.v1.device_service_pb2 import (
    CreateDeviceGroupRequest,
    CreateDeviceTypeRequest,
    CreateDistrictRequest,
    CreateObservedPropertyRequest,
    ImportDevicesRequest,
    ImportDevicesResponse,
)
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.core.errors import AlreadyExists
from maasloop.core.ids import DeviceName, DistrictName
from maasloop.rpc.client import call
from maasloop.twin.play.cast import ACTIVITY_AIR, ACTIVITY_HEALTH, CLOCK, Cast, DeviceSpec
from maasloop.twin.play.catalogue import DEVICE_TYPES, OBSERVED_PROPERTIES

CHUNK_BYTES = 256 * 1024
IMPORT_TIMEOUT_S = 60.0
DAY_S = 86_400
NOTICE_VERSION = "2026-1"
HOLD_S = 20
DARK_LX = 20
CLASS_LEVEL_PERCENT = 80.0


async def register_catalogue(channel: grpc.aio.Channel) -> None:
    """Make sure that observed properties and device types exist."""
    stub = DeviceServiceStub(channel)
    for observed in OBSERVED_PROPERTIES:
        request = CreateObservedPropertyRequest(observed_property_id=observed.name, observed_property=observed)
        request.observed_property.ClearField("name")
        await _unless_there(stub.CreateObservedProperty, request)
    for device_type in DEVICE_TYPES:
        wanted = CreateDeviceTypeRequest(device_type_id=device_type.name, device_type=device_type)
        wanted.device_type.ClearField("name")
        await _unless_there(stub.CreateDeviceType, wanted)


async def _unless_there[Request, Answer](
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer], request: Request
) -> None:
    try:
        await call(method, request)
    except AlreadyExists:
        return


async def register_district(channel: grpc.aio.Channel, cast: Cast) -> ImportDevicesResponse:
    """Register the district with its groups and devices, all in service."""
    stub = DeviceServiceStub(channel)
    places = [cast.to_position(lamp.x, lamp.y) for lamp in cast.lamps]
    longitudes, latitudes = [place.longitude for place in places], [place.latitude for place in places]
    bounds = BoundingBox(
        southwest=Point(longitude=min(longitudes), latitude=min(latitudes)),
        northeast=Point(longitude=max(longitudes), latitude=max(latitudes)),
    )
    district = District(
        display_name=f"The twin's {cast.site.scenario.name}",
        bounds=bounds,
        clock=District.Clock.CLOCK_FIELD,
        clock_device=CLOCK,
    )
    await call(stub.CreateDistrict, CreateDistrictRequest(district_id=cast.district, district=district))
    parent = str(DistrictName(cast.district))
    for street in cast.streets:
        group = CreateDeviceGroupRequest(parent=parent, device_group_id=street)
        group.device_group.display_name = street.replace("-", " ").capitalize()
        await call(stub.CreateDeviceGroup, group)
    answers = stub.ImportDevices(_chunks(parent, cast.devices(), cast.district), timeout=IMPORT_TIMEOUT_S)
    imported: ImportDevicesResponse = await answers
    return imported


async def _chunks(parent: str, devices: Iterable[DeviceSpec], district: str) -> AsyncIterator[ImportDevicesRequest]:
    content = b"".join(_json_line(device, district) for device in devices)
    for start in range(0, len(content), CHUNK_BYTES):
        chunk = ImportDevicesRequest(content=content[start : start + CHUNK_BYTES])
        if start == 0:
            chunk.parent = parent
            chunk.format = ImportDevicesRequest.Format.FORMAT_JSON_LINES
            chunk.activate = True
            chunk.request_id = str(uuid.uuid4())
        yield chunk


def _json_line(spec: DeviceSpec, district: str) -> bytes:
    device = Device(
        name=str(DeviceName(district, spec.id)),
        device_type=f"deviceTypes/{spec.device_type}",
        display_name=spec.display_name,
        location=Point(longitude=spec.position.longitude, latitude=spec.position.latitude),
        groups=spec.groups,
        gateway=spec.gateway,
        data_subject=f"dataSubjects/{spec.data_subject}" if spec.data_subject else "",
        processing_activity=f"processingActivities/{spec.processing_activity}" if spec.processing_activity else "",
    )
    if spec.config:
        device.config.update(spec.config)
    return (json.dumps(json.loads(MessageToJson(device)), separators=(",", ":")) + "\n").encode()


async def grant_consents(channel: grpc.aio.Channel, cast: Cast) -> dict[str, str]:
    """Describe why citizens' readings are processed, let them consent, and return the record of each person."""
    stub = ConsentServiceStub(channel)
    activities = {
        ACTIVITY_AIR: ProcessingActivity(
            display_name="Citizens measure air",
            purpose="Finer maps of air quality along cycle routes",
            legal_basis=ProcessingActivity.LegalBasis.LEGAL_BASIS_CONSENT,
            data_categories=["pm25", "position"],
            controller="City of Maastricht",
        ),
        ACTIVITY_HEALTH: ProcessingActivity(
            display_name="Walking programme",
            purpose="Advice to participants who want to move more",
            legal_basis=ProcessingActivity.LegalBasis.LEGAL_BASIS_EXPLICIT_CONSENT,
            data_categories=["heart-rate"],
            controller="Public health service",
        ),
    }
    for activity_id, activity in activities.items():
        activity.retention.CopyFrom(Duration(seconds=7 * DAY_S))
        request = CreateProcessingActivityRequest(processing_activity_id=activity_id, processing_activity=activity)
        await _unless_there(stub.CreateProcessingActivity, request)
    records = {}
    for person, activity_id in ((cast.rider, ACTIVITY_AIR), (cast.walker, ACTIVITY_HEALTH)):
        grant = GrantConsentRequest(
            consent_record=ConsentRecord(
                data_subject=f"dataSubjects/{person}",
                processing_activity=f"processingActivities/{activity_id}",
                notice_version=NOTICE_VERSION,
                notice_language="nl",
                method="app",
            ),
            request_id=str(uuid.uuid4()),
        )
        records[person] = (await call(stub.GrantConsent, grant)).name
    return records


async def create_policy(channel: grpc.aio.Channel, cast: Cast) -> str:
    """Create the production policy of the lamps and let it act; returns its name."""
    stub = PolicyServiceStub(channel)
    policy = Policy(
        display_name="Light where somebody moves in the dark",
        district=cast.district,
        observed_properties=["presence"],
        on_condition=f'value > 0.5 && latest["illuminance"] < {DARK_LX:.1f}',
        hold=Duration(seconds=HOLD_S),
        scope=Policy.Scope.SCOPE_DEVICE,
        on_level_percent=CLASS_LEVEL_PERCENT,
        off_level_percent=0.0,
    )
    created = await call(stub.CreatePolicy, CreatePolicyRequest(policy_id=f"lamps-{cast.district}", policy=policy))
    mode = SetPolicyModeRequest(name=created.name, mode=Policy.Mode.MODE_ACTIVE)
    await call(stub.SetPolicyMode, mode)
    return created.name

"""The calls of the selftest: a district of its own, what stands in it, and what is asked of the six services."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from google.protobuf.json_format import MessageToDict

from maasloop.api.command.v1.command_pb2 import Command, LightLevel, Setpoint
from maasloop.api.command.v1.command_service_pb2 import GetCommandRequest, IssueCommandRequest, ListCommandsRequest
from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.consent_service_pb2 import (
    CreateProcessingActivityRequest,
    GrantConsentRequest,
    WithdrawConsentRequest,
)
from maasloop.api.device.v1.credential_pb2 import IssuedCredential
from maasloop.api.device.v1.credential_service_pb2 import EnrolRequest, GenerateEnrolmentClaimsRequest
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District, ObservedProperty
from maasloop.api.device.v1.device_service_pb2 import (
    CreateDeviceTypeRequest,
    CreateDistrictRequest,
    CreateObservedPropertyRequest,
    ImportDevicesRequest,
)
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.observation_pb2 import ObservationColumns, SeriesDictionary
from maasloop.api.observation.v1.series_service_pb2 import (
    AggregateObservationsRequest,
    ListLatestObservationsRequest,
    SeriesSelection,
)
from maasloop.cli.calling import COMMANDS, CONSENT, CREDENTIALS, DEVICES, INGEST, SERIES, Door
from maasloop.core.domains import Domain, Retention
from maasloop.core.errors import AlreadyExists, NotFound, Retryable
from maasloop.rpc import client

LAMP, BIKE, METER = "lamp", "bike", "meter"
POWER, AIR = "power", "pm25"
RETENTION_S = 86_400
MINUTE_US = 60_000_000
CALL_TIMEOUT_S = 20.0
PAUSE_S = 0.1
OPEN = (Command.STATE_ACCEPTED, Command.STATE_DISPATCHED, Command.STATE_ACKNOWLEDGED)
"""States of a command without an outcome."""

type Opened = Callable[[Door], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, slots=True)
class City:
    """A running city and a district in it that nobody else uses."""

    opened: Opened
    district: str

    @property
    def parent(self) -> str:
        """Name of the district."""
        return f"districts/{self.district}"

    async def describe(self) -> None:
        """Make sure of the catalogue, and make the district."""
        for name, domain, unit in ((POWER, Domain.ENERGY, "W"), (AIR, Domain.AIR, "ug/m3")):
            observed = ObservedProperty(
                display_name=name, domain=domain, kind=ObservedProperty.KIND_NUMBER, unit=unit, range_max=2000.0,
                retention=Retention.WEEK,
            )  # fmt: skip
            made = CreateObservedPropertyRequest(observed_property_id=name, observed_property=observed)
            await self._unless_there(DEVICES, "CreateObservedProperty", made)
        light = DeviceType.Capability.CAPABILITY_LIGHT_LEVEL
        for name, observed_property, can in (("selftest-lamp", POWER, [light]), ("selftest-bike", AIR, [])):
            properties = [f"observedProperties/{observed_property}"]
            kind = DeviceType(display_name=name, observed_properties=properties, capabilities=can)
            made_type = CreateDeviceTypeRequest(device_type_id=name, device_type=kind)
            await self._unless_there(DEVICES, "CreateDeviceType", made_type)
        district = CreateDistrictRequest(district_id=self.district, district=District(display_name="Selftest"))
        await self.call(DEVICES, "CreateDistrict", district)
        activity = ProcessingActivity(
            display_name="Selftest",
            purpose="Know that consent is asked.",
            legal_basis=ProcessingActivity.LEGAL_BASIS_CONSENT,
            data_categories=[AIR],
            controller="The operator",
        )
        activity.retention.FromSeconds(RETENTION_S)
        described = CreateProcessingActivityRequest(processing_activity_id="selftest", processing_activity=activity)
        await self._unless_there(CONSENT, "CreateProcessingActivity", described)

    async def add_devices(self, installed: Any) -> None:
        """Register a lamp, a bike of a person, and a meter that only counts, in service."""
        lamp = Device(name=f"{self.parent}/devices/{LAMP}", device_type="deviceTypes/selftest-lamp")
        lamp.config.update(asdict(installed))
        bike = Device(
            name=f"{self.parent}/devices/{BIKE}",
            device_type="deviceTypes/selftest-bike",
            data_subject=f"dataSubjects/{self.district}",
            processing_activity="processingActivities/selftest",
        )
        meter = Device(name=f"{self.parent}/devices/{METER}", device_type="deviceTypes/selftest-lamp")
        content = "".join(f"{json.dumps(MessageToDict(each))}\n" for each in (lamp, bike, meter)).encode()
        form = ImportDevicesRequest.FORMAT_JSON_LINES
        request = ImportDevicesRequest(parent=self.parent, format=form, activate=True, content=content)
        async with self.opened(DEVICES) as stub:
            await stub.ImportDevices(iter([request]), timeout=CALL_TIMEOUT_S)

    async def enrol(self) -> IssuedCredential:
        """Let the lamp have its credential."""
        asked = GenerateEnrolmentClaimsRequest(parent=self.parent, devices=[LAMP])
        (claim,) = (await self.call(CREDENTIALS, "GenerateEnrolmentClaims", asked)).claims
        issued: IssuedCredential = await self.call(
            CREDENTIALS, "Enrol", EnrolRequest(name=claim.device, claim=claim.claim)
        )
        return issued

    async def record(self, device: str, name: str, readings: Sequence[tuple[int, float]]) -> RecordObservationsResponse:
        """Send readings of one series: microseconds and values."""
        columns = ObservationColumns(
            dictionary=SeriesDictionary(devices={device: 0}, observed_properties={name: 0}),
            device_index=[0] * len(readings),
            property_index=[0] * len(readings),
            event_time_us=[time_us for time_us, _ in readings],
            value=[value for _, value in readings],
        )
        request = RecordObservationsRequest(parent=self.parent, observations=columns)
        answer: RecordObservationsResponse = await self.call(INGEST, "RecordObservations", request)
        return answer

    async def latest(self) -> dict[str, float]:
        """Return the latest value of each device that is shown."""
        request = ListLatestObservationsRequest(selection=SeriesSelection(parent=self.parent))
        found = (await self.call(SERIES, "ListLatestObservations", request)).observations
        return {each.device.rpartition("/")[2]: each.value for each in found}

    async def count(self, device: str, first_us: int, last_us: int) -> int:
        """Return how many readings of a device are stored in the minutes from one to the other."""
        request = AggregateObservationsRequest(selection=SeriesSelection(parent=self.parent, devices=[device]))
        request.start_time.FromMicroseconds(first_us - first_us % MINUTE_US)
        request.end_time.FromMicroseconds(last_us - last_us % MINUTE_US + MINUTE_US)
        request.bucket.FromSeconds(60)
        found = (await self.call(SERIES, "AggregateObservations", request)).series
        return sum(bucket.count for one in found for bucket in one.buckets)

    async def issue(self, level_percent: float) -> Command:
        """Ask for a level of the lamp."""
        setpoint = Setpoint(light_level=LightLevel(level_percent=level_percent))
        request = IssueCommandRequest(
            parent=self.parent, command=Command(device=LAMP, setpoint=setpoint), request_id=str(uuid4())
        )
        command: Command = await self.call(COMMANDS, "IssueCommand", request)
        return command

    async def command(self, name: str) -> Command:
        """Return a command as it stands."""
        command: Command = await self.call(COMMANDS, "GetCommand", GetCommandRequest(name=name))
        return command

    async def open_commands(self) -> int:
        """Return how many commands of the district have no outcome; counts no further than a page of each state."""
        asked = [ListCommandsRequest(parent=self.parent, state=state) for state in OPEN]
        return sum([len((await self.call(COMMANDS, "ListCommands", each)).commands) for each in asked])

    async def grant(self) -> str:
        """Let the person of the bike consent, and return the record."""
        record = ConsentRecord(
            data_subject=f"dataSubjects/{self.district}",
            processing_activity="processingActivities/selftest",
            notice_version="1",
            method="selftest",
        )
        request = GrantConsentRequest(consent_record=record, request_id=str(uuid4()))
        return str((await self.call(CONSENT, "GrantConsent", request)).name)

    async def withdraw(self, record: str) -> None:
        """Withdraw it."""
        await self.call(CONSENT, "WithdrawConsent", WithdrawConsentRequest(name=record))

    async def call(self, door: Door, method: str, request: Any) -> Any:
        """Call a method."""
        async with self.opened(door) as stub:
            return await client.call(getattr(stub, method), request, timeout_s=CALL_TIMEOUT_S)

    async def _unless_there(self, door: Door, method: str, request: Any) -> None:
        try:
            await self.call(door, method, request)
        except AlreadyExists:
            return


async def until[Found](ask: Callable[[], Awaitable[Found]], timeout_s: float) -> Found:
    """Ask until the answer is true, and return it; what is not known yet, not reached or has no room is asked again.

    Raises ``TimeoutError``.
    """
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                if answer := await ask():
                    return answer
            except (NotFound, Retryable):
                pass
            await asyncio.sleep(PAUSE_S)

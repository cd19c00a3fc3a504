"""A city small enough to look at: the four services of the data path over real servers, with a catalogue."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest

from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.consent_service_pb2 import (
    CreateProcessingActivityRequest,
    GrantConsentRequest,
    WithdrawConsentRequest,
)
from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District, ObservedProperty
from maasloop.api.device.v1.device_service_pb2 import (
    CreateDeviceRequest,
    CreateDeviceTypeRequest,
    CreateDistrictRequest,
    CreateObservedPropertyRequest,
)
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.api.observation.v1.series_service_pb2 import CustodyBalance, GetCustodyBalanceRequest
from maasloop.api.observation.v1.series_service_pb2_grpc import SeriesServiceStub
from maasloop.bus.columns import build_columns
from maasloop.core.clock import SystemClock
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.testing.plugin import running_stack

SERVICES = ("device-registry", "consent", "ingest", "timeseries")
DISTRICT = "noord"
PARENT = f"districts/{DISTRICT}"
PROPERTIES: Mapping[str, tuple[str, Any, str, float, float, str]] = {
    "pm25": ("air", ObservedProperty.KIND_NUMBER, "ug/m3", 0, 2_000, "2y"),
    "temperature": ("air", ObservedProperty.KIND_NUMBER, "Cel", -60, 80, "2y"),
    "presence": ("mobility", ObservedProperty.KIND_BOOLEAN, "", 0, 1, "90d"),
    "signal-state": ("traffic", ObservedProperty.KIND_STATE, "", 0, 0, "7d"),
    "position": ("mobility", ObservedProperty.KIND_POSITION, "", 0, 0, "7d"),
}
DEVICES: Mapping[str, dict[str, Any]] = {
    "station": {},
    "cabinet": {},
    "lamp": {"gateway": "cabinet"},
    "bike": {"data_subject": "dataSubjects/anna", "processing_activity": "processingActivities/bike-air"},
}
SETTLE_TIMEOUT_S = 60.0


@dataclass
class City:
    """A running stack and what tests ask of it."""

    stack: LocalStack
    district: str = DISTRICT
    parent: str = PARENT

    @staticmethod
    def now_us() -> int:
        """Return wall time."""
        return SystemClock().now_us()

    @staticmethod
    def payload(*readings: dict[str, object]) -> bytes:
        """Return a JSON payload."""
        return json.dumps({"observations": readings}).encode()

    @asynccontextmanager
    async def channel(self, service: str) -> AsyncIterator[grpc.aio.Channel]:
        """Open a channel to a service."""
        async with self.stack.channel(service) as opened:
            yield opened

    @asynccontextmanager
    async def ingest(self) -> AsyncIterator[Any]:
        """Return IngestService."""
        async with self.channel("ingest") as channel:
            yield IngestServiceStub(channel)

    @asynccontextmanager
    async def series(self) -> AsyncIterator[Any]:
        """Return SeriesService."""
        async with self.channel("timeseries") as channel:
            yield SeriesServiceStub(channel)

    async def until[Answer](
        self, ask: Callable[[], Awaitable[Answer]], *, timeout_s: float = SETTLE_TIMEOUT_S
    ) -> Answer:
        """Ask other processes until the answer is true, and return it."""
        async with asyncio.timeout(timeout_s):
            while not (answer := await ask()):  # noqa: ASYNC110 - what is waited for happens in another process
                await asyncio.sleep(0.05)
        return answer

    def rows(self, query: str, *arguments: object) -> list[Any]:
        """Ask the database."""
        with psycopg.connect(self.stack.postgres_dsn) as connection:
            return connection.execute(query.encode(), arguments).fetchall()

    def stored(self) -> set[tuple[str, str, int]]:
        """Return the keys of all rows: device, observed property, event time in microseconds."""
        keys: set[tuple[str, str, int]] = set()
        for kind in ("numbers", "states", "positions"):
            found = self.rows(
                "SELECT device, observed_property, (extract(epoch FROM time) * 1000000)::bigint"
                f" FROM timeseries.{kind} AS r JOIN timeseries.series AS s ON s.id = r.series"
            )
            assert len(found) == len(set(found))
            keys |= set(found)
        return keys

    async def until_stored(self, *keys: tuple[str, str, int]) -> None:
        """Return when rows of these keys are there."""

        async def stored() -> bool:
            return set(keys) <= self.stored()

        await self.until(stored)

    async def balance(self) -> CustodyBalance:
        """Return the custody balance."""
        async with self.series() as series:
            balance: CustodyBalance = await series.GetCustodyBalance(GetCustodyBalanceRequest())
            return balance

    async def settled(self) -> CustodyBalance:
        """Return the custody balance as soon as nothing is on its way, and require that it is exact."""

        async def quiet() -> CustodyBalance | None:
            try:
                balance = await self.balance()
                return balance if not balance.in_stream_count and balance == await self.balance() else None
            except grpc.aio.AioRpcError:
                return None

        balance = await self.until(quiet)
        assert balance is not None
        assert balance.lost_count == 0
        assert balance.accepted_count == (
            balance.stored_count
            + balance.duplicate_count
            + balance.conflict_count
            + balance.quarantined_count
            + balance.refused_consent_count
            + balance.shed_count
            + balance.dead_lettered_count
        )
        return balance

    async def grant(self) -> str:
        """Let the cyclist consent, and return the record's name."""
        async with self.channel("consent") as channel:
            consent: Any = ConsentServiceStub(channel)
            record = ConsentRecord(
                data_subject="dataSubjects/anna",
                processing_activity="processingActivities/bike-air",
                notice_version="1",
                method="app",
            )
            granted = await consent.GrantConsent(GrantConsentRequest(consent_record=record, request_id=str(uuid4())))
        return str(granted.name)

    async def withdraw(self, name: str) -> None:
        """Let the cyclist withdraw."""
        async with self.channel("consent") as channel:
            consent: Any = ConsentServiceStub(channel)
            await consent.WithdrawConsent(WithdrawConsentRequest(name=name))


async def _build(city: City) -> None:
    async with city.channel("device-registry") as channel:
        registry: Any = DeviceServiceStub(channel)
        await registry.CreateDistrict(
            CreateDistrictRequest(district_id=DISTRICT, district=District(display_name="Noord"))
        )
        for name, (domain, kind, unit, low, high, retention) in PROPERTIES.items():
            found = ObservedProperty(display_name=name, domain=domain, kind=kind, unit=unit, retention=retention)
            if kind == ObservedProperty.KIND_NUMBER:
                found.range_min, found.range_max = low, high
            request = CreateObservedPropertyRequest(observed_property_id=name, observed_property=found)
            await registry.CreateObservedProperty(request)
        thing = DeviceType(
            display_name="Thing", observed_properties=[f"observedProperties/{name}" for name in PROPERTIES]
        )
        await registry.CreateDeviceType(CreateDeviceTypeRequest(device_type_id="thing", device_type=thing))
        for name, fields in DEVICES.items():
            device = Device(device_type="deviceTypes/thing", **fields)
            await registry.CreateDevice(
                CreateDeviceRequest(parent=PARENT, device_id=name, device=device, activate=True)
            )
    async with city.channel("consent") as channel:
        consent: Any = ConsentServiceStub(channel)
        activity = ProcessingActivity(
            display_name="Air on bikes",
            purpose="Know the air where people ride.",
            legal_basis=ProcessingActivity.LEGAL_BASIS_CONSENT,
            data_categories=["pm25"],
            controller="Gemeente",
        )
        activity.retention.FromSeconds(7 * 86_400)
        request_activity = CreateProcessingActivityRequest(
            processing_activity_id="bike-air", processing_activity=activity
        )
        await consent.CreateProcessingActivity(request_activity)
    await _known(city)


async def _known(city: City) -> None:
    """Return when ingest knows the last device."""
    columns = build_columns(["lamp"], ["presence"], [0], [0], [city.now_us()], [1.0]).message()
    request = RecordObservationsRequest(parent=PARENT, observations=columns)

    async def accepted() -> int:
        async with city.ingest() as ingest:
            return int((await ingest.RecordObservations(request)).accepted_count)

    await city.until(accepted)


@pytest.fixture(name="city")
def _city() -> Iterator[City]:
    with running_stack(StackOptions(services=SERVICES)) as stack:
        city = City(stack)
        asyncio.run(_build(city))
        yield city


@pytest.fixture(name="shared_city", scope="module")
def _shared_city() -> Iterator[City]:
    with running_stack(StackOptions(services=SERVICES)) as stack:
        city = City(stack)
        asyncio.run(_build(city))
        yield city

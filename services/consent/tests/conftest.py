"""The whole of consent in this process, on a clock that the test moves: real database, broker, gRPC server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from pydantic import SecretStr

from maasloop.api.consent.v1 import consent_service_pb2 as pb
from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
from maasloop.bus import connection as bus_connection
from maasloop.bus.connection import Bus
from maasloop.bus.ensure import ensure
from maasloop.consent.app import PACKAGE, assemble
from maasloop.consent.settings import ConsentSettings
from maasloop.core.clock import FakeClock
from maasloop.postgres.migrate import migrate, of_package
from maasloop.rpc import client
from maasloop.rpc.client import call
from maasloop.rpc.server import RpcServer
from maasloop.rpc.times import timestamp_from

if TYPE_CHECKING:
    from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceAsyncStub


@dataclass
class RunningConsent:
    """What a test talks to."""

    stub: "ConsentServiceAsyncStub"
    clock: FakeClock
    bus: Bus
    dsn: str


async def _give(stub: "ConsentServiceAsyncStub", expire: datetime | None = None) -> ConsentRecord:
    """Let ``dataSubjects/someone`` consent to ``processingActivities/air``, which is created."""
    activity = ProcessingActivity(
        display_name="Air by bike",
        purpose="Map the air where people ride.",
        legal_basis=ProcessingActivity.LEGAL_BASIS_CONSENT,
        data_categories=["pm25"],
        retention=Duration(seconds=86_400),
        controller="City",
    )
    created = pb.CreateProcessingActivityRequest(processing_activity_id="air", processing_activity=activity)
    await call(stub.CreateProcessingActivity, created)
    record = ConsentRecord(
        data_subject="dataSubjects/someone",
        processing_activity="processingActivities/air",
        notice_version="2026-1",
        method="app",
        expire_time=timestamp_from(expire) if expire else None,
    )
    return await call(stub.GrantConsent, pb.GrantConsentRequest(consent_record=record, request_id=str(uuid4())))


@pytest.fixture(name="give")
def _give_fixture() -> Callable[..., Awaitable[ConsentRecord]]:
    """Return what lets somebody consent over a stub."""
    return _give


@pytest.fixture(name="consent")
async def _consent(service_dsn: Callable[[str], str], nats_url: str) -> AsyncIterator[RunningConsent]:
    dsn = service_dsn("consent")
    await migrate(dsn, of_package(PACKAGE))
    clock = FakeClock()
    settings = ConsentSettings(postgres_dsn=SecretStr(dsn), nats_url=nats_url, insecure_on_loopback=True)
    async with bus_connection.connect(nats_url, name="test") as bus, assemble(settings, clock) as service:
        await ensure(bus)
        server = cast("RpcServer", service.doors[0])
        await server.start()
        tasks = [asyncio.ensure_future(work()) for work in service.tasks.values()]
        async with client.connected(server.address) as channel:
            yield RunningConsent(ConsentServiceStub(channel), clock, bus, dsn)
        await server.stop(0)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

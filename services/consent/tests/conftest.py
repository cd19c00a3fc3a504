"""The whole of consent in this process, on a clock that the test moves: real database, broker, gRPC server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest
from pydantic import SecretStr

from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
from maasloop.bus import connection as bus_connection
from maasloop.bus.connection import Bus
from maasloop.bus.ensure import ensure
from maasloop.consent.app import PACKAGE, assemble
from maasloop.consent.settings import ConsentSettings
from maasloop.core.clock import FakeClock
from maasloop.postgres.migrate import migrate, of_package
from maasloop.rpc import client
from maasloop.rpc.server import RpcServer

if TYPE_CHECKING:
    from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceAsyncStub


@dataclass
class RunningConsent:
    """What a test talks to."""

    stub: "ConsentServiceAsyncStub"
    clock: FakeClock
    bus: Bus
    dsn: str


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

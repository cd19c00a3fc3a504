"""Whoever enforces consent hears of a withdrawal whatever dies in between, and closes when it cannot know."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress

import psycopg
import pytest

from maasloop.api.consent.v1 import consent_service_pb2 as pb
from maasloop.api.consent.v1.consent_pb2 import ConsentRecord
from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
from maasloop.api.consent.v1.events_pb2 import ConsentResource
from maasloop.bus import connection as bus_connection
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.rpc import client
from maasloop.rpc.client import call
from maasloop.runtime.following import Follower, consent
from maasloop.runtime.projection import Projection
from maasloop.stack.ports import free_ports
from maasloop.stack.servers.nats import NatsServer
from maasloop.testing.service_process import service_process

type Give = Callable[..., Awaitable[ConsentRecord]]

pytestmark = pytest.mark.timeout(180)
"""Starting processes takes long on a busy machine."""

CONFIRM_WITHIN_S = 3.0
LOOK_S = 0.05


def _consent(dsn: str, nats_url: str, port: int) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    return service_process("consent", postgres_dsn=dsn, nats_url=nats_url, grpc_address=f"127.0.0.1:{port}")


def _translate(resource: ConsentResource) -> tuple[str, int] | None:
    if not resource.HasField("consent_record"):
        return None
    return resource.consent_record.name, resource.consent_record.state


@asynccontextmanager
async def _following(address: str, nats_url: str) -> AsyncIterator[Projection[int]]:
    clock = SystemClock()
    projection: Projection[int] = Projection("consent", clock, confirm_within_s=CONFIRM_WITHIN_S)
    async with client.connected(address) as channel, bus_connection.connect(nats_url, name="follower") as bus:
        task = asyncio.create_task(Follower(bus, projection, consent(channel, _translate), clock).run())
        try:
            yield projection
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - a projection has no event for everything a test waits for
        await asyncio.sleep(LOOK_S)


async def test_a_withdrawal_outlives_every_crash(
    service_dsn: Callable[[str], str], nats_process: NatsServer, give: Give
) -> None:
    """Withdrawn while the broker is away, consent then killed: the enforcer closes, and opens with the withdrawal."""
    (port,) = free_ports(1)
    address, dsn = f"127.0.0.1:{port}", service_dsn("consent")
    async with bus_connection.connect(nats_process.url, name="test") as bus:
        await ensure(bus)
    async with _following(address, nats_process.url) as projection, client.connected(address) as channel:
        stub = ConsentServiceStub(channel)
        with _consent(dsn, nats_process.url, port):
            await client.wait_ready(channel, "consent")
            record = await give(stub)
            await _until(lambda: projection.open and projection.get(record.name) == ConsentRecord.STATE_GIVEN)
            nats_process.kill9()
            await call(stub.WithdrawConsent, pb.WithdrawConsentRequest(name=record.name))
        await _until(lambda: not projection.open)
        nats_process.start()
        with _consent(dsn, nats_process.url, port):
            await _until(lambda: projection.open)

            assert projection.get(record.name) == ConsentRecord.STATE_WITHDRAWN


async def test_a_withdrawal_arrives_though_its_event_cannot_leave(
    service_dsn: Callable[[str], str], nats_url: str, give: Give
) -> None:
    """Nothing is relayed, but the enforcer learns from the confirmation that it is behind, and asks."""
    (port,) = free_ports(1)
    address, dsn = f"127.0.0.1:{port}", service_dsn("consent")
    lead = "SELECT pg_advisory_lock(hashtextextended('maasloop.outbox.' || current_schema(), 0))"
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as leader:
        await leader.execute(lead)
        async with _following(address, nats_url) as projection, client.connected(address) as channel:
            stub = ConsentServiceStub(channel)
            with _consent(dsn, nats_url, port):
                await client.wait_ready(channel, "consent")
                record = await give(stub)
                await _until(lambda: projection.open and projection.get(record.name) == ConsentRecord.STATE_GIVEN)
                await call(stub.WithdrawConsent, pb.WithdrawConsentRequest(name=record.name))
                await _until(lambda: projection.get(record.name) == ConsentRecord.STATE_WITHDRAWN)

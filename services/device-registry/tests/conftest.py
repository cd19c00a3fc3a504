"""The whole registry in this process: real database, real broker, real gRPC server and channel."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest
from pydantic import SecretStr

from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.bus import connection as bus_connection
from maasloop.bus.ensure import ensure
from maasloop.device_registry.app import PACKAGE, assemble
from maasloop.device_registry.settings import DeviceRegistrySettings
from maasloop.postgres.migrate import migrate, of_package
from maasloop.rpc import client
from maasloop.rpc.server import RpcServer

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub


@dataclass
class RunningRegistry:
    """What a test talks to."""

    stub: "DeviceServiceAsyncStub"
    server: RpcServer
    dsn: str
    nats_url: str


@pytest.fixture(name="registry")
async def _registry(service_dsn: Callable[[str], str], nats_url: str) -> AsyncIterator[RunningRegistry]:
    dsn = service_dsn("device-registry")
    await migrate(dsn, of_package(PACKAGE))
    async with bus_connection.connect(nats_url, name="test") as bus:
        await ensure(bus)
    settings = DeviceRegistrySettings(postgres_dsn=SecretStr(dsn), nats_url=nats_url, insecure_on_loopback=True)
    async with assemble(settings) as service:
        server = cast("RpcServer", service.doors[0])
        await server.start()
        tasks = [asyncio.ensure_future(work()) for work in service.tasks.values()]
        async with client.connected(server.address) as channel:
            yield RunningRegistry(DeviceServiceStub(channel), server, dsn, nats_url)
        await server.stop(0)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

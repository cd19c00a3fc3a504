"""Clients that have every right to be there, and whose waiting tells what an attack costs others."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from maasloop.api.device.v1.device_service_pb2 import ListDistrictsRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.bus.connection import connect
from maasloop.bus.rights import OPERATOR
from maasloop.stack.local import LocalStack


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One client and its question."""

    name: str
    ask: Callable[[], Awaitable[object]]


@asynccontextmanager
async def neighbours(stack: LocalStack) -> AsyncIterator[list[Neighbour]]:
    """Connect a gRPC client of the registry and a NATS client."""
    user = stack.state(ready=True).nats_user(OPERATOR)
    async with (
        stack.channel("device-registry") as channel,
        connect(**user.options(), name="neighbour") as bus,
    ):
        registry = DeviceServiceStub(channel)
        yield [
            Neighbour("gRPC", lambda: registry.ListDistricts(ListDistrictsRequest())),
            Neighbour("NATS", bus.client.flush),
        ]

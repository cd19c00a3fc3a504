"""Where a running stack listens, and the connections that the demo holds to it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import httpx2

from maasloop.bus.connection import Bus, connect
from maasloop.bus.rights import OPERATOR
from maasloop.identity.tls import client_context
from maasloop.rpc.client import Peer, connected
from maasloop.stack.state import StackState
from maasloop.twin.doors.http import ANSWER_TIMEOUT_S


@dataclass(frozen=True)
class Connections:
    """Open connections to every service, the broker and ingest's HTTP door."""

    bus: Bus
    http: httpx2.AsyncClient
    ingest: grpc.aio.Channel
    registry: grpc.aio.Channel
    timeseries: grpc.aio.Channel
    actuation: grpc.aio.Channel
    notification: grpc.aio.Channel
    consent: grpc.aio.Channel


@asynccontextmanager
async def connected_to(state: StackState) -> AsyncIterator[Connections]:
    """Connect to everything in a stack for the block."""
    async with AsyncExitStack() as stack:

        async def channel(service: str) -> grpc.aio.Channel:
            peer = Peer(service, state.tls) if state.tls else None
            return await stack.enter_async_context(connected(state.services[service].grpc, peer=peer))

        def known(request: httpx2.Request) -> httpx2.Request:
            # The stack renews the file.
            request.headers.update(state.http_headers())
            return request

        trusted = client_context(state.tls.authority) if state.tls else ssl.create_default_context()
        base_url = f"http{'s' if state.tls else ''}://{state.services['ingest'].http}"
        yield Connections(
            bus=await stack.enter_async_context(connect(**state.nats_user(OPERATOR).options(), name="twin")),
            http=await stack.enter_async_context(
                httpx2.AsyncClient(base_url=base_url, timeout=ANSWER_TIMEOUT_S, verify=trusted, auth=known)
            ),
            ingest=await channel("ingest"),
            registry=await channel("device-registry"),
            timeseries=await channel("timeseries"),
            actuation=await channel("actuation"),
            notification=await channel("notification"),
            consent=await channel("consent"),
        )

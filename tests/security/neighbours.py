"""Clients that have every right to be there, and whose waiting tells what an attack costs others.

``python -m tests.security.neighbours ROOT`` is a process of its own that speaks for them, so that what it measures is not
the haste of whoever drives the attack: each line of standard input is a number of seconds to ask for, each line of standard
output what the questions took by client, in milliseconds, as JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.lab import ROOT

from maasloop.api.device.v1.device_service_pb2 import ListDistrictsRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.bus.connection import connect
from maasloop.bus.rights import OPERATOR
from maasloop.rpc.client import Peer, channel
from maasloop.stack.state import StackState, StateDirectory

PAUSE_S = 0.002
"""Between an answer and the next question."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One client and its question."""

    name: str
    ask: Callable[[], Awaitable[object]]


@asynccontextmanager
async def neighbours(state: StackState) -> AsyncIterator[list[Neighbour]]:
    """Connect a gRPC client of the registry and a NATS client."""
    user, files, service = state.nats_user(OPERATOR), state.tls, "device-registry"
    assert files is not None
    async with (
        channel(state.services[service].grpc, peer=Peer(service, files)) as registry_channel,
        connect(**user.options(), name="neighbour") as bus,
    ):
        registry = DeviceServiceStub(registry_channel)
        yield [
            Neighbour("gRPC", lambda: registry.ListDistricts(ListDistrictsRequest())),
            Neighbour("NATS", bus.client.flush),
        ]


class Waiting:
    """The process of the neighbours, asked from here."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        """Take a started process; made by ``waiting``."""
        assert child.stdin is not None
        assert child.stdout is not None
        self._asked, self._told = child.stdin, child.stdout

    async def during(self, seconds: float) -> dict[str, list[float]]:
        """Return how long each question of so many seconds took, in milliseconds, by client."""
        self._asked.write(f"{seconds}\n".encode())
        found: dict[str, list[float]] = json.loads(await self._told.readline())
        return found


@asynccontextmanager
async def waiting(root: Path) -> AsyncIterator[Waiting]:
    """Start the process for a stack under ``root``, and end it with the block."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", __name__, str(root)]
    # A line holds every question of a window.
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe, limit=16 << 20)
    try:
        made = Waiting(child)
        await made.during(0.1)
        yield made
    finally:
        with suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


async def _speak(state: StackState) -> None:
    async with neighbours(state) as others:
        while line := await asyncio.to_thread(sys.stdin.readline):
            until_s = time.monotonic() + float(line)
            took_ms = await asyncio.gather(*(_ask(other, until_s) for other in others))
            told = {other.name: took for other, took in zip(others, took_ms, strict=True)}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


async def _ask(other: Neighbour, until_s: float) -> list[float]:
    took_ms = []
    while (began_s := time.monotonic()) < until_s:
        await other.ask()
        took_ms.append((time.monotonic() - began_s) * 1_000)
        await asyncio.sleep(PAUSE_S)
    return took_ms


if __name__ == "__main__":
    asyncio.run(_speak(StateDirectory(Path(sys.argv[1])).read()))

"""How many clients does one callout let in a second, and how long do 100,000 devices need after a restart of the broker?

Clients speak NATS over TLS, each connection with a handshake and no session: MQTT's sessions would measure the broker's
store, and its guard against clients that flap. What the callout itself costs is told by the processor time of its process.
A callout that is dead is measured too: what is new is refused in time, what was there stays.
"""

import asyncio
import json
import math
import os
import signal
import statistics
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiomqtt
from tests.security.doors.registry import registries
from tests.security.outcome import Outcome, Plan

from maasloop.api.device.v1.credential_pb2 import IssuedCredential
from maasloop.core.clock import SystemClock
from maasloop.stack.ports import LOOPBACK
from maasloop.testing.town import Town

DEVICES = 200
CONNECTS = 4_000
AT_ONCE = 32
CITY = 100_000
REFUSALS = 4
REFUSED_MAX_S = 3.0
TIMEOUT_S = 30.0
PUBACK_TIMEOUT_S = 20.0

clock = SystemClock()


async def run(plan: Plan) -> Outcome:
    """Connect again and again, then kill the callout."""
    with registries() as made:
        await made.town.ensure()
        async with made.desk(made.start()) as desk:
            await desk.populate()
            issued = await desk.enrolled(plan.cases(DEVICES), "lamp")
        connects = plan.cases(CONNECTS)
        before_s = _processor_s(made.processes[0].pid)
        seconds, refused = await _connects(made.town, issued, connects)
        spent_s = _processor_s(made.processes[0].pid) - before_s
        stayed, refusals = await _without_callout(made.town, issued[0], lambda: made.end(signal.SIGKILL))
    per_s = connects / seconds
    return Outcome.of(
        "callout",
        {
            "every client that shows its credential gets in": not refused,
            "a connection outlives the callout": stayed,
            f"without a callout a client is refused within {REFUSED_MAX_S:g} s": max(refusals) <= REFUSED_MAX_S,
        },
        figures={
            "connects": connects,
            "connects_per_s": round(per_s),
            "reconnect_100000_s": round(CITY / per_s),
            "callout_processor_ms": round(1_000 * spent_s / connects, 2),
            "refused_without_callout_s": round(statistics.median(refusals), 3),
        },
        notes=("one replica with its database, the broker and the clients on the same machine",),
    )


async def _connects(town: Town, issued: Sequence[IssuedCredential], count: int) -> tuple[float, int]:
    """Return the seconds that ``count`` connections took, and how many were refused."""
    left = iter(range(count))
    refused = 0

    async def connect() -> None:
        nonlocal refused
        for number in left:
            refused += not await asyncio.wait_for(_let_in(town, issued[number % len(issued)]), TIMEOUT_S)

    began_s = clock.monotonic_s()
    await asyncio.gather(*(connect() for _ in range(AT_ONCE)))
    return clock.monotonic_s() - began_s, refused


async def _let_in(town: Town, issued: IssuedCredential) -> bool:
    """Connect over TLS as a NATS client does, and tell whether the first ping is answered."""
    reader, writer = await asyncio.open_connection(LOOPBACK, town.server.ports.client)
    try:
        await reader.readline()
        await writer.start_tls(town.tls_context(), server_hostname=LOOPBACK)
        said = {"user": issued.user_name, "pass": issued.password, "verbose": False, "tls_required": True}
        writer.write(f"CONNECT {json.dumps(said)}\r\nPING\r\n".encode())
        return (await reader.readline()).startswith(b"PONG")
    finally:
        writer.close()


async def _without_callout(town: Town, issued: IssuedCredential, kill: Callable[[], None]) -> tuple[bool, list[float]]:
    """Return whether a connection outlives the callout, and how long refusals take (endless = let in), at the same time."""

    async def refused_s(number: int) -> float:
        began_s = clock.monotonic_s()
        with suppress(aiomqtt.MqttError):
            async with town.mqtt(issued.user_name, issued.password, client_id=f"{issued.user_name}-other-{number}"):
                return math.inf
        return clock.monotonic_s() - began_s

    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(town.mqtt(issued.user_name, issued.password))
        kill()
        refusals = await asyncio.gather(*map(refused_s, range(REFUSALS)))
        topic = f"dev/v1/{issued.user_name}/up/observations-json"
        try:
            await client.publish(topic, b"{}", qos=1, timeout=PUBACK_TIMEOUT_S)
        except aiomqtt.MqttError:
            return False, refusals
    return True, refusals


def _processor_s(pid: int) -> float:
    """Return the seconds that a process has had a processor (proc(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

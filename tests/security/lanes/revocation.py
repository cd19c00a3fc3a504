"""How long does a revoked device stay? Live connections under load, with the service running, half stopped, and dead.

A time runs from the call until the connection was closed, where an attempt that begins at that moment is refused. How
long that refusal takes is told apart: where the broker asks a replica that stands still, it is the broker's time-out.
"""

import asyncio
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import NamedTuple

import aiomqtt
from tests.security.doors.registry import MODULE, Desk, Registries, device_of, registries
from tests.security.outcome import Outcome, Plan

from maasloop.api.device.v1.credential_pb2 import IssuedCredential
from maasloop.core.clock import SystemClock

REVOKED = 200
REVOKED_ALONE = 12
TALKERS = 10
P99_MAX_S, MAX_S, REFUSED_MAX_S = 2.0, 5.0, 3.0
PATIENCE_S = 15.0
"""Longest wait for one device before the lane says that it stayed."""
NO_KICK = "no-kick"
UNKICKED = "tests.security.doors.unkicked"
TALK_EVERY_S = 0.02

clock = SystemClock()


class Stay(NamedTuple):
    """One revoked device."""

    seconds: float
    """From the call until its connection was closed."""
    refused_s: float
    """How long the refusal of the next one took; endless if there was none."""


class _Victim(NamedTuple):
    """A device that is connected and will be revoked."""

    issued: IssuedCredential
    client: aiomqtt.Client


type Revoke = Callable[[IssuedCredential], Awaitable[None]]


async def run(plan: Plan) -> Outcome:
    """Revoke devices one after the other, each while it is connected, and try each again."""
    times: dict[str, list[Stay]] = {}
    with registries() as made:
        await made.town.ensure()
        first = made.start(UNKICKED if plan.sabotage == NO_KICK else MODULE)
        async with made.desk(first) as desk:
            await desk.populate()
            count, alone = plan.cases(REVOKED), max(2, plan.cases(REVOKED_ALONE))
            talkers = await desk.enrolled(TALKERS, "talker")
            victims = await desk.enrolled(count, "victim")
            halves = await desk.enrolled(max(2, count // 10), "half")
            last = await desk.enrolled(alone, "last")
            async with _talking(made, talkers):
                times["running"] = await _each(made, victims, desk.quarantine)
                if plan.sabotage != NO_KICK:
                    times["half"] = await _half(made, halves, desk)
                    times["dead"] = await _dead(made, last)
    every = sorted(stay.seconds for stays in times.values() for stay in stays)
    refused_s = max(stay.refused_s for stays in times.values() for stay in stays)
    p99_s = every[math.ceil(0.99 * len(every)) - 1]
    return Outcome.of(
        "revocation",
        {
            f"99 of 100 revoked devices are gone within {P99_MAX_S:g} s": p99_s <= P99_MAX_S,
            f"every one is within {MAX_S:g} s": every[-1] <= MAX_S,
            f"each next attempt is refused within {REFUSED_MAX_S:g} s": refused_s <= REFUSED_MAX_S,
        },
        figures={
            "revoked": len(every),
            "revoke_p99_s": round(p99_s, 3),
            "revoke_max_s": round(every[-1], 3),
            "revoke_refused_max_s": round(refused_s, 3),
            **{f"revoke_{name}_max_s": round(max(stays).seconds, 3) for name, stays in times.items()},
        },
        notes=("running: one replica; half: a second one is stopped by SIGSTOP; dead: both are killed",),
    )


async def _each(made: Registries, victims: list[IssuedCredential], revoke: Revoke) -> list[Stay]:
    """Revoke devices one after the other, each while it alone is connected."""
    stays: list[Stay] = []
    for victim in victims:
        async with _connected(made, [victim]) as connected:
            stays += await _stays(made, connected, revoke)
        if stays[-1].seconds == math.inf:
            # Waiting for the others as long would show the same.
            break
    return stays


async def _half(made: Registries, victims: list[IssuedCredential], desk: Desk) -> list[Stay]:
    """Let a second replica stand still; clients that it is asked about wait in vain, so connect before."""
    async with made.desk(made.start()):
        pass
    async with _connected(made, victims) as connected:
        made.processes[-1].send_signal(signal.SIGSTOP)
        try:
            return await _stays(made, connected, desk.quarantine)
        finally:
            made.processes[-1].send_signal(signal.SIGCONT)


async def _dead(made: Registries, victims: list[IssuedCredential]) -> list[Stay]:
    """Connect, kill every replica, and revoke by the command that needs none."""
    async with _connected(made, victims) as connected:
        made.end()
        return await _stays(made, connected, partial(_revoke_alone, made))


@asynccontextmanager
async def _connected(made: Registries, victims: list[IssuedCredential]) -> AsyncIterator[list[_Victim]]:
    async with AsyncExitStack() as stack:
        yield [
            _Victim(victim, await stack.enter_async_context(made.town.mqtt(victim.user_name, victim.password)))
            for victim in victims
        ]


async def _stays(made: Registries, connected: list[_Victim], revoke: Revoke) -> list[Stay]:
    """Revoke one after the other; each tries again as its connection ends, and waits beside those that follow."""
    seconds: list[float] = []
    attempts: list[asyncio.Future[float]] = []
    for issued, client in connected:
        began_s = clock.monotonic_s()
        revoking = asyncio.ensure_future(revoke(issued))
        seconds.append(await _ended(client) - began_s)
        attempts.append(asyncio.ensure_future(_refused(made, issued)))
        await revoking
    return [Stay(*each) for each in zip(seconds, await asyncio.gather(*attempts), strict=True)]


async def _ended(client: aiomqtt.Client) -> float:
    """Return when a connection was closed; endless if it stays."""
    try:
        await asyncio.wait_for(anext(aiter(client.messages)), PATIENCE_S)
    except aiomqtt.MqttError:
        return clock.monotonic_s()
    except TimeoutError:
        pass
    return math.inf


async def _refused(made: Registries, victim: IssuedCredential) -> float:
    """Return how long the refusal of a new connection takes; endless if it is let in."""
    began_s = clock.monotonic_s()
    with suppress(aiomqtt.MqttError):
        async with made.town.mqtt(victim.user_name, victim.password, timeout_s=PATIENCE_S):
            return math.inf
    return clock.monotonic_s() - began_s


async def _revoke_alone(made: Registries, victim: IssuedCredential) -> None:
    environment = {**os.environ, **made.environment()}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", MODULE, "revoke", device_of(victim), env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    await child.wait()


@asynccontextmanager
async def _talking(made: Registries, talkers: list[IssuedCredential]) -> AsyncIterator[None]:
    """Let devices publish all the while."""

    async def talk(issued: IssuedCredential) -> None:
        async with made.town.mqtt(issued.user_name, issued.password) as client:
            topic = f"dev/v1/{issued.user_name}/up/observations-json"
            while True:
                await client.publish(topic, b"{}", qos=1, timeout=PATIENCE_S)
                await clock.sleep(TALK_EVERY_S)

    tasks = [asyncio.create_task(talk(each)) for each in talkers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

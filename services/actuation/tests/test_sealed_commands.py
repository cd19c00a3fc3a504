"""What goes to the field is sealed once, again as it is, and above all that an earlier process sealed."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from maasloop.actuation.adapters import downlink
from maasloop.actuation.adapters.downlink import NativeDownlink
from maasloop.actuation.adapters.postgres_generation import next_generation
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.bus import connection, subjects
from maasloop.core.clock import FakeClock
from maasloop.identity.command_keys import SigningKey, VerificationKeys
from maasloop.identity.commands import CommandGuard, CommandSealer, counters_of
from maasloop.postgres.migrate import migrate, of_package
from maasloop.postgres.pool import open_pool

KEY = SigningKey.make()


def light(name: str) -> Command:
    """Return a command to a lamp."""
    return Command(
        id=name,
        district="noord",
        device="lamp-1",
        setpoint=LightLevel(80.0, 0.0),
        authority=Authority.ADAPTIVE,
        issuer="policies/follow",
        cause="x",
        state=State.DISPATCHED,
        create_time_us=1,
        not_before_us=1_764_000_000_000_000,
        expire_us=1_764_000_900_000_000,
        verify_by_us=1,
    )


@pytest.mark.integration
async def test_a_command_that_is_sent_again_is_the_same_envelope(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The field knows a repetition; one that was forgotten meanwhile is a new envelope for the same command."""
    monkeypatch.setattr(downlink, "ENVELOPES_MAX", 1)
    guard = CommandGuard("noord", ["lamp-1"], VerificationKeys([KEY.private.public_key()]))
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Any) -> None:  # noqa: ANN401 - a message of the driver
        heard.put_nowait(message.data)

    async with connection.connect(nats_url, name="test-sealed") as bus:
        await bus.listen(subjects.downlink("noord", "lamp-1", subjects.DownlinkKind.COMMANDS), hear)
        await bus.client.flush()
        driver = NativeDownlink(bus, CommandSealer(KEY, counters_of(1)))
        for name in ("first", "first", "second", "first"):
            await driver.send(light(name))
        envelopes = [await heard.get() for _ in range(4)]

    opened = [guard.open(one, device="lamp-1", now_us=1_764_000_000_000_000) for one in envelopes]
    assert [one.repeated for one in opened] == [False, True, False, False]
    assert envelopes[0] == envelopes[1] != envelopes[3]


@pytest.mark.integration
async def test_each_start_counts_above_the_one_before(service_dsn: Callable[[str], str]) -> None:
    """Counters rise over restarts, where the clock went back as well as where the table came from a backup."""
    clock, dsn = FakeClock(), service_dsn("actuation")
    await migrate(dsn, of_package("maasloop.actuation"))
    async with open_pool(dsn, name="test-generation") as pool:
        first = await next_generation(pool, clock)
        again = await next_generation(pool, FakeClock(clock.now() - timedelta(days=1)))
        later = await next_generation(pool, FakeClock(clock.now() + timedelta(days=1)))

    assert first == int(clock.now().timestamp())
    assert again == first + 1
    assert later == first + 86_400
    assert next(counters_of(again)) > next(counters_of(first)) + 1_000_000

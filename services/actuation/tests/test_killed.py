"""kill -9 in the middle of the loop: what was decided goes on, what was in hand comes again, nothing happens twice."""

# ruff: noqa: ANN401 - the classes of the fixtures live in conftest, which cannot be imported by name

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest

from maasloop.actuation.app import PACKAGE
from maasloop.actuation.entrypoints.stream import ANNOUNCEMENT_AGE_MAX_S
from maasloop.api.device.v1 import device_pb2
from maasloop.api.observation.v1.events_pb2 import DeviceResponse
from maasloop.bus import connection, subjects
from maasloop.bus.connection import Bus
from maasloop.bus.streams import STREET
from maasloop.postgres.migrate import migrate, of_package
from maasloop.stack.ports import free_ports

LAMPS = [f"lamp-{number}" for number in range(10, 40)]
SECOND_US = 1_000_000
REDELIVERED_WITHIN_S = 60.0


@asynccontextmanager
async def _process(servers: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the service as a process of its own, and make sure that it is gone afterwards."""
    (port,) = free_ports(1)
    prefix = "MAASLOOP_ACTUATION__"
    environment = {
        f"{prefix}NATS_URL": servers.nats_url,
        f"{prefix}POSTGRES_DSN": servers.dsn,
        f"{prefix}GRPC_ADDRESS": f"127.0.0.1:{port}",
        f"{prefix}DEVICE_REGISTRY_ADDRESS": servers.registry_address,
        f"{prefix}DRAIN_S": "2",
        f"{prefix}INSECURE_ON_LOOPBACK": "true",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PACKAGE, env=os.environ | environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


@pytest.fixture
async def many_lamps(servers: Any) -> None:
    """Add lamps, and an active policy in the tables."""
    for lamp in LAMPS:
        config = {"installed_power_w": 100, "standby_power_w": 2, "class_level_percent": 80, "floor_percent": 20}
        servers.registry.add_device(lamp, "streetlight", config)
    await migrate(servers.dsn, of_package(PACKAGE))
    rule = {
        "display_name": "Follow",
        "district": "noord",
        "observed_properties": ["presence"],
        "on_condition": "value > 0.5",
        "off_condition": "",
        "hold_us": 0,
        "scope": "DEVICE",
        "on_level_percent": 80.0,
        "off_level_percent": 20.0,
        "mode": "ACTIVE",
    }
    async with await psycopg.AsyncConnection.connect(servers.dsn) as database:
        await database.execute("INSERT INTO policies VALUES ('follow', 1, %s, 'e1', 1)", (json.dumps(rule),))


@pytest.mark.timeout(240)
async def test_killed_in_the_middle_every_lamp_still_gets_its_light(
    servers: Any, many_lamps: None, make_talk: Callable[[Any], Any], now_us: Callable[[], int]
) -> None:
    """Presence that was heard before, during and after the kill leads to one verified command a lamp."""
    async with connection.connect(servers.nats_url, name="test-devices") as bus:
        talk = make_talk(bus)

        async def obey(command: dict[str, Any]) -> None:
            await talk.respond(command, DeviceResponse.ANSWER_ACKNOWLEDGED)
            await talk.report([(command["device"], "power", 2 + 98 * 0.8, now_us())], domain="energy")

        talk.answer = obey
        every = subjects.downlink("noord", "every", subjects.DownlinkKind.COMMANDS).replace(".every.", ".*.")
        await bus.listen(every, talk.hear_command)
        async with _process(servers) as first:
            while not talk.received:
                # What is older than ten seconds causes nothing, and a process may take longer to start.
                await talk.report([("lamp-1", "presence", 1.0, now_us())])
                await asyncio.sleep(0.2)
            for lamp in LAMPS[:20]:
                await talk.report([(lamp, "presence", 1.0, now_us())])
            first.send_signal(signal.SIGKILL)
            await first.wait()
        for lamp in LAMPS[20:]:
            await talk.report([(lamp, "presence", 1.0, now_us())])
        async with _process(servers):
            states: list[tuple[str, str]] = []
            while Counter(state for _, state in states)["VERIFIED"] < len(LAMPS) + 1:
                # For the same reason a sensor says again what is still so.
                heard = {device for device, _ in states}
                for lamp in set(LAMPS) - heard if states else ():
                    await talk.report([(lamp, "presence", 1.0, now_us())])
                await asyncio.sleep(1.0)
                async with await psycopg.AsyncConnection.connect(servers.dsn) as database:
                    cursor = await database.execute("SELECT device, state FROM commands")
                    states = await cursor.fetchall()

    assert Counter(device for device, _ in states) == Counter(["lamp-1", *LAMPS])


@pytest.mark.timeout(240)
async def test_killed_before_a_dispatch_was_written_down_its_proof_counts(
    servers: Any, many_lamps: None, make_talk: Callable[[Any], Any], now_us: Callable[[], int]
) -> None:
    """What the device answered and the one reading that shows the effect were stored before the next process began."""
    async with connection.connect(servers.nats_url, name="test-devices") as bus:
        talk = make_talk(bus)
        await bus.listen(subjects.downlink("noord", LAMPS[0], subjects.DownlinkKind.COMMANDS), talk.hear_command)
        async with _process(servers):
            while not talk.received:
                await talk.report([(LAMPS[0], "presence", 1.0, now_us())])
                await asyncio.sleep(0.2)
            await _in_state(servers.dsn, "DISPATCHED")
        async with await psycopg.AsyncConnection.connect(servers.dsn) as database:
            await database.execute(
                "UPDATE commands SET state = 'ACCEPTED', state_rank = 1, dispatch_time_us = 0, dispatch_street_us = 0"
            )
        await talk.respond(talk.received[0], DeviceResponse.ANSWER_ACKNOWLEDGED)
        await talk.report([(LAMPS[0], "power", 2 + 98 * 0.8, now_us())], domain="energy")
        async with _process(servers):
            await _in_state(servers.dsn, "VERIFIED")


async def _in_state(dsn: str, state: str) -> None:
    """Wait until the only command is in a state."""
    states: list[tuple[str]] = []
    while states != [(state,)]:
        await asyncio.sleep(0.1)
        async with await psycopg.AsyncConnection.connect(dsn) as database:
            states = await (await database.execute("SELECT state FROM commands")).fetchall()


async def _delivered(bus: Bus) -> int:
    """Return how often the street's durable delivered anything."""
    found = await bus.api(f"CONSUMER.INFO.{STREET.stream}.{STREET.name}")
    return int(found["delivered"]["consumer_seq"])


async def _until_delivered(bus: Bus, count: int) -> None:
    async with asyncio.timeout(REDELIVERED_WITHIN_S):
        while await _delivered(bus) < count:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
async def test_killed_before_its_second_is_decided_a_reading_still_causes_its_command(
    servers: Any, many_lamps: None, make_talk: Callable[[Any], Any], now_us: Callable[[], int]
) -> None:
    """On a field clock what waits for its second is not acknowledged: after a kill it comes again and is decided upon."""
    servers.registry.add(
        district=device_pb2.District(
            name="districts/noord", clock=device_pb2.District.CLOCK_FIELD, clock_device="street-clock"
        )
    )
    servers.registry.add_type("street-clock")
    servers.registry.add_device("street-clock", "street-clock")
    begin = now_us() // SECOND_US - 600
    async with connection.connect(servers.nats_url, name="test-devices") as bus:
        talk = make_talk(bus)
        every = subjects.downlink("noord", "every", subjects.DownlinkKind.COMMANDS).replace(".every.", ".*.")
        await bus.listen(every, talk.hear_command)
        decided = asyncio.Event()

        async def hear_decision(_message: Any) -> None:
            decided.set()

        await bus.listen(subjects.DECISION_RECORDED.wildcard(), hear_decision)

        async def pass_second(second: int) -> int:
            """Return the first second from this one that is decided: an announcement that is heard late is skipped."""
            decided.clear()
            while not decided.is_set():
                clock = ("street-clock", "street-second", float(second), second * SECOND_US)
                await talk.report([clock], domain="traffic")
                with suppress(TimeoutError):
                    await asyncio.wait_for(decided.wait(), ANNOUNCEMENT_AGE_MAX_S)
                second += 1
            return second - 1

        async with _process(servers) as first:
            second = await pass_second(begin) + 1
            before = await _delivered(bus)
            await talk.report([(LAMPS[0], "presence", 1.0, second * SECOND_US)])
            await _until_delivered(bus, before + 1)
            # Time in which what is acknowledged at once would have been.
            await asyncio.sleep(0.5)
            first.send_signal(signal.SIGKILL)
            await first.wait()
        async with _process(servers):
            await _until_delivered(bus, before + 2)
            await pass_second(second + 1)
            await talk.until(lambda: talk.received)

    assert [command["device"] for command in talk.received[:1]] == [LAMPS[0]]

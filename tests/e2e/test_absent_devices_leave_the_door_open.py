"""Absent devices leave the door open: what is sent to them is stored nowhere, and others go on being heard."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest
from nats.aio.msg import Msg

from maasloop.api.command.v1.command_pb2 import Command, LightLevel, Setpoint
from maasloop.api.command.v1.command_service_pb2 import IssueCommandRequest
from maasloop.api.command.v1.command_service_pb2_grpc import CommandServiceStub
from maasloop.api.device.v1.device_pb2 import Device
from maasloop.bus.connection import Bus
from maasloop.bus.subjects import (
    MQTT_STORED_PREFIX,
    MQTT_STREAM,
    DownlinkKind,
    UplinkKind,
    downlink,
    mqtt_topic,
    uplink,
)
from maasloop.testing.buses import devices_bus, devices_listener
from maasloop.twin.devices.lamp import LampFacts
from maasloop.twin.devices.readings import Reading, to_json

if TYPE_CHECKING:
    from tests.e2e.conftest import Town

ABSENT = 1_000
AT_ONCE = 16
FACTS = LampFacts(
    installed_power_w=36.0, standby_power_w=0.8, lighting_class="P4", class_level_percent=80.0, floor_percent=30.0
)
LAMPS = tuple(f"lamp-{number:04}" for number in range(ABSENT))
PRESENT = "lamp-present"


async def _all(work: Callable[[str], Awaitable[object]], names: Iterable[str]) -> None:
    """Do the same for many devices, some at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with room:
            await work(name)

    await asyncio.gather(*(one(name) for name in names))


def _client(town: "Town", name: str, *, clean_session: bool) -> aiomqtt.Client:
    protocol = aiomqtt.ProtocolVersion.V311
    return aiomqtt.Client(
        **town.stack.mqtt.options(), identifier=name, clean_session=clean_session, protocol=protocol, timeout=60
    )


def _down(town: "Town", name: str, kind: DownlinkKind) -> str:
    return mqtt_topic(downlink(town.district, name, kind))


async def _register(town: "Town") -> None:
    lamps = [Device(name=name, device_type="deviceTypes/streetlight") for name in (*LAMPS, PRESENT)]
    for lamp in lamps:
        lamp.config.update(asdict(FACTS))
    dusk = Device(name="dusk", device_type="deviceTypes/light-sensor")
    await town.add_devices([*lamps, dusk], Reading("dusk", "illuminance", town.now_us(), 2.0))


async def _stored_downlinks(town: "Town", bus: Bus) -> int:
    """Return how many messages to devices the MQTT door keeps."""
    wanted = MQTT_STORED_PREFIX + downlink(town.district, "every", DownlinkKind.COMMANDS).replace(
        ".every.down.commands", ".*.down.>"
    )
    info = await bus.api(f"STREAM.INFO.{MQTT_STREAM}", {"subjects_filter": wanted})
    return sum((info["state"].get("subjects") or {}).values())


async def _leave(town: "Town") -> None:
    """Let every lamp subscribe with QoS 1 in a session that outlives its connection, and go away."""

    async def leave(name: str) -> None:
        async with _client(town, name, clean_session=False) as client:
            await client.subscribe([(_down(town, name, kind), 1) for kind in DownlinkKind])

    await _all(leave, LAMPS)


async def _speak_to(town: "Town") -> None:
    """Send a command to every lamp, and cause a receipt for each by a reading that is refused."""
    async with town.channel("actuation") as channel, _client(town, "cabinet", clean_session=True) as cabinet:
        commands: Any = CommandServiceStub(channel)

        async def speak(name: str) -> None:
            setpoint = Setpoint(light_level=LightLevel(level_percent=100.0))
            command = Command(device=name, setpoint=setpoint)
            await commands.IssueCommand(
                IssueCommandRequest(parent=town.parent, command=command, request_id=town.request_id())
            )
            topic = mqtt_topic(uplink(town.district, name, UplinkKind.OBSERVATIONS_JSON))
            await cabinet.publish(topic, to_json([Reading(name, "power", town.now_us(), -1.0)]), qos=1, timeout=60)

        await _all(speak, LAMPS)


@pytest.mark.timeout(300)
async def test_absent_devices_leave_the_door_open(town: "Town") -> None:
    """A thousand commands and receipts to sessions without a device fill nothing, and another lamp is heard."""
    await _register(town)
    await _leave(town)
    told: dict[str, set[str]] = {"commands": set(), "receipts": set()}

    async def note(message: Msg) -> None:
        *_, device, _, kind = message.subject.split(".")
        told[kind].add(device)

    async with devices_bus(town.stack) as bus:
        for kind in DownlinkKind:
            await bus.listen(downlink(town.district, "every", kind).replace(".every.", ".*."), note)
        await bus.client.flush()
        await _speak_to(town)

        async def all_told() -> bool:
            return all(len(devices) == ABSENT for devices in told.values())

        await town.until(all_told)
        stored = await _stored_downlinks(town, bus)

        time_us = town.now_us()
        async with _client(town, PRESENT, clean_session=True) as present:
            topic = mqtt_topic(uplink(town.district, PRESENT, UplinkKind.OBSERVATIONS_JSON))
            await present.publish(topic, to_json([Reading(PRESENT, "power", time_us, 28.96)]), qos=1, timeout=10)

        async def row() -> bool:
            query = "SELECT 1 FROM timeseries.numbers WHERE time = to_timestamp(%s::numeric / 1000000)"
            return bool(town.rows(query, time_us))

        await town.until(row)

        # The same check finds what a sender with QoS 1 would leave behind.
        async with aiomqtt.Client(**devices_listener(town.stack).options(), identifier="careless") as careless:
            await careless.publish(_down(town, LAMPS[0], DownlinkKind.COMMANDS), b"{}", qos=1, timeout=10)
        careless_stored = await _stored_downlinks(town, bus)

    assert stored == 0
    assert careless_stored == 1

"""Puts a play together: the street, its doors, its ledger, and who waits for what."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from maasloop.api.command.v1.command_pb2 import DeviceCommand
from maasloop.bus.connection import Bus
from maasloop.core.clock import Clock
from maasloop.identity.command_keys import Keys
from maasloop.stack.doors import MqttListener
from maasloop.twin.devices.desk import CommandDesk, Gateway
from maasloop.twin.devices.readings import MICROSECONDS
from maasloop.twin.doors.http import HttpDoor
from maasloop.twin.doors.rpc import ColumnsDoor
from maasloop.twin.play.cast import CLOCK, LIGHT_SENSOR, RAIN_GAUGE, Cast
from maasloop.twin.play.decisions import DECISION_DEADLINE_S, Decisions
from maasloop.twin.play.doors import Doors
from maasloop.twin.play.faults import LATE_S, FaultyField
from maasloop.twin.play.ledger import Ledger
from maasloop.twin.play.run import Play
from maasloop.twin.play.sites import Sites, Supervision
from maasloop.twin.play.street_play import StreetPlay, Traffic
from maasloop.twin.play.tally import LoopTimer, Tally

LEDGER_MARGIN_S = 86_400
FAULTS_AFTER_S = LATE_S + 5
FAULTS_UNTIL_S = 15
CONNECT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Course:
    """When a play begins (street second), how long it lasts, how fast, and with which seed."""

    begin_s: int
    duration_s: int
    speed: float
    seed: int
    deadline_s: float = DECISION_DEADLINE_S


@dataclass(frozen=True)
class Sockets:
    """What the devices speak through."""

    mqtt: MqttListener
    http: HttpDoor
    grpc: ColumnsDoor
    nats: ColumnsDoor
    rsmp: Supervision | None = None
    command_keys: Keys | None = None
    """Whose commands devices obey; without, anybody's."""


def build_play(cast: Cast, traffic: Traffic, sockets: Sockets, course: Course, clock: Clock) -> Play:
    """Return a play of which nothing runs yet."""
    decisions, tally = Decisions(cast.district, CLOCK), Tally()
    timer = LoopTimer(tally)

    def taken() -> None:
        tally.commands_arrived += 1
        decisions.arrived_unnamed()

    sites = Sites(sockets.rsmp, clock, taken)
    street = StreetPlay(cast, traffic, sites, begin_s=course.begin_s, duration_s=course.duration_s, seed=course.seed)

    def arrived(command: DeviceCommand) -> None:
        tally.commands_arrived += 1
        decisions.arrived(command.command_id)
        if command.setpoint.HasField("light_level"):
            level_percent = command.setpoint.light_level.level_percent
            timer.end(command.device, clock.monotonic_s(), level_percent=level_percent)

    desk = CommandDesk(
        cast.district, sockets.command_keys, street_us=lambda: street.second * MICROSECONDS, arrived=arrived
    )
    tally.commands_refused = desk.refused
    doors = Doors(
        cast.district,
        mqtt=sockets.mqtt,
        http=sockets.http,
        grpc=sockets.grpc,
        nats=sockets.nats,
        ledger=Ledger((course.begin_s - LEDGER_MARGIN_S) * MICROSECONDS),
        clock=clock,
        desk=desk,
    )
    gateways: list[Gateway] = [*street.controllers.values(), *street.cabinets.values()]
    for gateway in gateways:
        doors.add_gateway(gateway)
    single = (CLOCK, LIGHT_SENSOR, RAIN_GAUGE, *cast.noise_stations, *cast.waste_containers)
    for device in (*single, *cast.detector_units.values()):
        doors.add_device(device)
    end_s = course.begin_s + course.duration_s
    faults = FaultyField(course.seed, begin_s=course.begin_s + FAULTS_AFTER_S, end_s=end_s - FAULTS_UNTIL_S)
    return Play(
        street=street,
        doors=doors,
        decisions=decisions,
        faults=faults,
        tally=tally,
        timer=timer,
        clock=clock,
        begin_s=course.begin_s,
        duration_s=course.duration_s,
        speed=course.speed,
        deadline_s=course.deadline_s,
    )


@asynccontextmanager
async def connected(play: Play, bus: Bus) -> AsyncIterator[None]:
    """Keep the links of a play up for the block; everything is connected inside."""
    await play.decisions.listen(bus)
    links = asyncio.create_task(play.doors.run(), name="links")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await play.doors.connected()
        yield
        await play.doors.settle()
    finally:
        links.cancel()
        await asyncio.gather(links, return_exceptions=True)

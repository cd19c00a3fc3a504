"""Lockstep over a real nats-server: devices on MQTT, and a scripted actuation in place of the service."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest
from google.protobuf.json_format import MessageToDict
from nats.aio.msg import Msg

from maasloop.api.command.v1.command_pb2 import DeviceCommand, LightLevel, Setpoint
from maasloop.api.command.v1.events_pb2 import DecisionRecorded
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.observation_pb2 import ObservationColumns
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.bus.subjects import DECISION_RECORDED, DownlinkKind, UplinkKind, downlink, parse_uplink, uplink
from maasloop.core.clock import SystemClock
from maasloop.core.domains import Domain
from maasloop.identity.command_keys import SigningKey, VerificationKeys
from maasloop.identity.commands import CommandSealer, counters_of
from maasloop.stack.doors import MqttListener
from maasloop.twin.devices.cabinet import Trouble
from maasloop.twin.devices.readings import MICROSECONDS, Reading, from_columns
from maasloop.twin.doors.http import HttpDoor
from maasloop.twin.doors.rpc import ColumnsDoor
from maasloop.twin.play.assemble import Course, Sockets, build_play, connected
from maasloop.twin.play.cast import CLOCK, Cast, gather_cast
from maasloop.twin.play.catalogue import DOMAIN_OF, SENT_DOMAINS, STREET_SECOND, readings_sent
from maasloop.twin.play.faults import Fault
from maasloop.twin.play.run import DecisionsMissing, Play
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import Site, read_site

DISTRICT = "testing"
PLATFORM = SigningKey.make()
TRUSTED = VerificationKeys([PLATFORM.private.public_key()])
BEGIN_S = 1_700_000_000
SECONDS = 40
COLUMNS_ONLY = ("traffic", "energy", "mobility")
"""Domains of which every reading travels in columns over MQTT, where the script hears it."""


class OneVehicle:
    """Traffic of one vehicle that drives past the lamps."""

    def __init__(self, site: Site, cast: Cast) -> None:
        """Begin at the first lamp."""
        self._site = site
        self._way = [(lamp.x, lamp.y) for lamp in cast.lamps]
        self._states: dict[str, str] = {}
        self._second = 0

    def show(self, junction_id: str, state: str) -> None:
        """Take a state."""
        self._states[junction_id] = state

    def step(self) -> int:
        """Drive on."""
        self._second += 1
        return self._second

    def signal_states(self) -> dict[str, str]:
        """Return what was shown."""
        return dict(self._states)

    def loop_readings(self) -> dict[str, LoopReading]:
        """Return empty loops."""
        return dict.fromkeys(self._site.loops, LoopReading(0, 0.0))

    def vehicle_positions(self) -> dict[str, tuple[float, float]]:
        """Return the vehicle."""
        return {"vehicle": self._way[self._second % len(self._way)]}


@dataclass
class ScriptedActuation:
    """Decides as the service would, by a script: light where somebody is, the floor where nobody is."""

    bus: Bus
    deaf: bool = False
    readings: list[Reading] = field(default_factory=list)
    announced: dict[int, dict[str, int]] = field(default_factory=dict)
    counted: dict[int, Counter[str]] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)
    key: SigningKey = PLATFORM
    counters: Iterator[int] = field(default_factory=lambda: counters_of(1))

    async def listen(self) -> None:
        """Hear every device of the district."""
        await self.bus.listen(uplink(DISTRICT, CLOCK, UplinkKind.OBSERVATIONS_PB).replace(CLOCK, "*"), self.hear)

    async def hear(self, message: Msg) -> None:
        """Keep readings, and decide when the clock has spoken."""
        readings = from_columns(ObservationColumns.FromString(message.data))
        if parse_uplink(message.subject).device != CLOCK:
            self.readings += readings
        elif not self.deaf:
            second = next(
                int(str(r.result).removesuffix(".0")) for r in readings if r.observed_property == STREET_SECOND
            )
            self.announced[second] = {r.observed_property: int(float(str(r.result))) for r in readings}
            await self.decide(second)

    async def decide(self, second: int) -> None:
        """Publish the decision on a second, after its commands."""
        now = [reading for reading in self.readings if reading.event_time_us == second * MICROSECONDS]
        self.counted[second] = Counter(DOMAIN_OF[reading.observed_property] for reading in now)
        commands = [self.command(reading, second) for reading in now if reading.observed_property == "presence"]
        for command in commands:
            subject = downlink(DISTRICT, command.device, DownlinkKind.COMMANDS)
            await self.bus.tell(subject, CommandSealer(self.key, self.counters).seal(MessageToDict(command)))
        self.issued += [command.command_id for command in commands]
        record = DecisionRecorded(
            district=DISTRICT, street_second=second, command_ids=[command.command_id for command in commands]
        )
        await self.bus.tell(DECISION_RECORDED.subject(DISTRICT, CLOCK), record.SerializeToString())

    def command(self, reading: Reading, second: int) -> DeviceCommand:
        """Return the command that a presence reading causes."""
        light = LightLevel(level_percent=80.0 if reading.result == 1.0 else 30.0, ramp_s=0.0)
        return DeviceCommand(
            command_id=f"c-{second}-{reading.device}",
            district=DISTRICT,
            device=reading.device,
            setpoint=Setpoint(light_level=light),
            not_before_time_us=(second + 1) * MICROSECONDS,
            expire_time_us=(second + 901) * MICROSECONDS,
        )


async def take_all(request: RecordObservationsRequest) -> RecordObservationsResponse:
    """Answer as ingest does when everything is good."""
    columns = request.observations
    return RecordObservationsResponse(accepted_count=len(columns.value) + len(columns.states) + len(columns.positions))


@asynccontextmanager
async def street(
    nats_url: str,
    mqtt_address: tuple[str, int],
    *,
    deaf: bool = False,
    deadline_s: float = 5.0,
    key: SigningKey | None = None,
) -> AsyncIterator[tuple[Play, ScriptedActuation]]:
    """Run a small district with its links up."""
    site = read_site(load_scenario("cologne1"))
    cast = gather_cast(DISTRICT, site, lamp_count=40)
    accept = httpx2.MockTransport(lambda _request: httpx2.Response(200, json={"refusals": []}))
    async with (
        connect(nats_url, name="test") as bus,
        httpx2.AsyncClient(transport=accept, base_url="http://ingest") as client,
    ):
        await ensure(bus, mqtt_url=f"mqtt://{mqtt_address[0]}:{mqtt_address[1]}")
        batches = ColumnsDoor(DISTRICT, take_all)
        sockets = Sockets(
            MqttListener(*mqtt_address), HttpDoor(client, DISTRICT, {}), batches, batches, command_keys=TRUSTED
        )
        course = Course(BEGIN_S, SECONDS, 1_000.0, 7, deadline_s)
        play = build_play(cast, OneVehicle(site, cast), sockets, course, SystemClock())
        actuation = ScriptedActuation(bus, deaf=deaf, key=key or PLATFORM)
        await actuation.listen()
        async with connected(play, bus):
            yield play, actuation


async def nothing(passed_s: int) -> None:
    """Do nothing after a second."""


async def test_every_second_is_decided_and_its_commands_arrive_before_the_next(
    nats_url: str, mqtt_address: tuple[str, int]
) -> None:
    """The clock speaks last, so that a decision rests on all readings of its second."""
    async with street(nats_url, mqtt_address) as (play, actuation):
        await play.warm_up()
        await play.run(nothing)

    seconds = range(BEGIN_S, BEGIN_S + SECONDS)
    for second in seconds:
        announced = {domain: actuation.announced[second][readings_sent(Domain(domain))] for domain in COLUMNS_ONLY}
        assert announced == {domain: actuation.counted[second][domain] for domain in COLUMNS_ONLY}
    assert play.tally.late_decisions == 0
    assert play.tally.commands_arrived == len(actuation.issued) > 0


async def test_lamps_obey_what_arrived(nats_url: str, mqtt_address: tuple[str, int]) -> None:
    """A lamp burns brightly where the vehicle was seen and at its floor where nobody is."""
    async with street(nats_url, mqtt_address) as (play, _):
        await play.run(nothing)
        healthy = [mounted for mounted in play.street.lamps if mounted.trouble is Trouble.NONE]
        levels = {(mounted.present, mounted.lamp.target_percent) for mounted in healthy}

    assert (False, 30.0) in levels
    assert play.tally.latency_ms(0.5) is not None


async def test_every_pubacked_reading_is_in_the_ledger(nats_url: str, mqtt_address: tuple[str, int]) -> None:
    """What the play sent and somebody took is what the ledger holds."""
    async with street(nats_url, mqtt_address) as (play, _):
        await play.run(nothing)

    repeated = sum(play.faults.injected.counts()[fault] for fault in (Fault.DUPLICATE, Fault.CONFLICTING))
    clock_readings = SECONDS * (1 + len(SENT_DOMAINS))
    assert play.doors.ledger.good_count == play.tally.readings_sent - repeated + clock_readings


async def test_a_second_without_a_decision_is_late_and_passes(nats_url: str, mqtt_address: tuple[str, int]) -> None:
    """The street does not wait for ever; each such second is counted."""
    async with street(nats_url, mqtt_address, deaf=True, deadline_s=0.01) as (play, _):
        await play.run(nothing)

    assert play.tally.late_decisions == SECONDS


async def test_a_play_does_not_begin_before_somebody_decides(nats_url: str, mqtt_address: tuple[str, int]) -> None:
    """Without actuation the play says so instead of running unheard."""
    async with street(nats_url, mqtt_address, deaf=True, deadline_s=0.01) as (play, _):
        with pytest.raises(DecisionsMissing):
            await play.warm_up()


async def test_a_stranger_moves_no_lamp(nats_url: str, mqtt_address: tuple[str, int]) -> None:
    """Commands that another key signed arrive at no device: lamps burn on as their class asks, and each one is counted."""
    async with street(nats_url, mqtt_address, deadline_s=0.2, key=SigningKey.make()) as (play, actuation):
        await play.run(nothing)
        commanded = [mounted.place.id for mounted in play.street.lamps if mounted.lamp.commanded]

    assert commanded == []
    assert play.tally.commands_arrived == 0
    assert play.tally.commands_refused == {"KEY_UNKNOWN": len(actuation.issued)}
    assert actuation.issued

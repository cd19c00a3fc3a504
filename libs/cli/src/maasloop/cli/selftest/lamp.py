"""A lamp of the selftest: it enrols, obeys commands that the city signed, and its meter tells what it draws."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiomqtt
from google.protobuf.json_format import MessageToJson, Parse

from maasloop.api.command.v1.command_pb2 import DeviceCommand
from maasloop.api.device.v1.credential_pb2 import IssuedCredential
from maasloop.api.observation.v1.events_pb2 import DeviceResponse
from maasloop.bus.subjects import DownlinkKind, UplinkKind, downlink, mqtt_topic, uplink
from maasloop.core.clock import Clock
from maasloop.identity.command_keys import Keys
from maasloop.identity.commands import CommandGuard
from maasloop.stack.doors import MqttListener
from maasloop.stack.errors import StackError

MICROSECONDS = 1_000_000
KEEPALIVE_S = 30
PUBACK_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Installed:
    """The facts in the registry from which actuation knows what a meter should show."""

    installed_power_w: float = 200.0
    standby_power_w: float = 2.0
    lighting_class: str = "P4"
    class_level_percent: float = 80.0
    floor_percent: float = 68.0

    def power_w(self, level_percent: float) -> float:
        """Return the power drawn at a level."""
        return self.standby_power_w + (self.installed_power_w - self.standby_power_w) * level_percent / 100.0


@dataclass(slots=True)
class Ramp:
    """A level that is on its way to another."""

    since_us: int
    seconds: float
    start_percent: float
    target_percent: float

    def level_percent(self, now_us: int) -> float:
        """Return the level at a time."""
        passed = (now_us - self.since_us) / MICROSECONDS
        share = min(passed / self.seconds, 1.0) if self.seconds > 0.0 else 1.0
        return self.start_percent + (self.target_percent - self.start_percent) * share


class Lamp:
    """One lamp of a district. Tasks of ``living``: it hears commands, and tells its power every second."""

    def __init__(self, district: str, name: str, keys: Keys, clock: Clock) -> None:
        """Begin at the level of the lighting class."""
        self.installed = Installed()
        self._district, self._name, self._clock = district, name, clock
        self._guard = CommandGuard(district, [name], keys)
        level = self.installed.class_level_percent
        self._ramp = Ramp(clock.now_us(), 0.0, level, level)

    @contextlib.asynccontextmanager
    async def living(self, listener: MqttListener, credential: IssuedCredential) -> AsyncIterator[None]:
        """Connect as itself, and live until the end of the context; raises ``StackError`` where the lamp itself failed."""
        options = listener.options() | {"username": credential.user_name, "password": credential.password}
        client = aiomqtt.Client(
            **options, identifier=credential.client_id, protocol=aiomqtt.ProtocolVersion.V311, keepalive=KEEPALIVE_S
        )
        async with client:
            await client.subscribe(mqtt_topic(downlink(self._district, self._name, DownlinkKind.COMMANDS)))
            living = [asyncio.create_task(self._obey(client)), asyncio.create_task(self._meter(client))]
            try:
                yield
            finally:
                for task in living:
                    task.cancel()
                for ended in await asyncio.gather(*living, return_exceptions=True):
                    if isinstance(ended, Exception):
                        raise StackError("selftest", f"the lamp itself failed: {ended!r}") from ended

    async def _obey(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            now_us = self._clock.now_us()
            opened = self._guard.open(_bytes(message.payload), device=self._name, now_us=now_us)
            command = Parse(opened.payload, DeviceCommand(), ignore_unknown_fields=True)
            light = command.setpoint.light_level
            self._ramp = Ramp(now_us, light.ramp_s, self._ramp.level_percent(now_us), light.level_percent)
            await self._say(client, UplinkKind.RESPONSES_JSON, self._acknowledged(command, now_us))

    async def _meter(self, client: aiomqtt.Client) -> None:
        while True:
            now_us = self._clock.now_us()
            second_us = now_us - now_us % MICROSECONDS
            power_w = self.installed.power_w(self._ramp.level_percent(second_us))
            reading = {"device": self._name, "property": "power", "time": second_us, "value": power_w}
            await self._say(client, UplinkKind.OBSERVATIONS_JSON, json.dumps({"observations": [reading]}).encode())
            await self._clock.sleep(1.0 - (self._clock.now_us() - second_us) % MICROSECONDS / MICROSECONDS)

    async def _say(self, client: aiomqtt.Client, kind: UplinkKind, body: bytes) -> None:
        await client.publish(
            mqtt_topic(uplink(self._district, self._name, kind)), body, qos=1, timeout=PUBACK_TIMEOUT_S
        )

    def _acknowledged(self, command: DeviceCommand, now_us: int) -> bytes:
        response = DeviceResponse(
            device=self._name,
            command_id=command.command_id,
            answer=DeviceResponse.Answer.ANSWER_ACKNOWLEDGED,
            event_time_us=now_us,
        )
        return MessageToJson(response, indent=None).encode()


def _bytes(payload: Any) -> bytes:
    return bytes(payload) if isinstance(payload, bytes | bytearray) else str(payload).encode()

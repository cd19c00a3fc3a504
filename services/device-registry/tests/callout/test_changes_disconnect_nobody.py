"""Certificates and accounts change while devices speak: nobody is disconnected."""

import asyncio
import json
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aiomqtt
import pytest

from maasloop.bus.accounts import integrator_account
from maasloop.bus.rights import ACCOUNTS
from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.nats.keys import KeyPair, Role

if TYPE_CHECKING:
    from .conftest import Doors

DEVICES = 20
WAIT_S = 30
CLAIMS_UPDATE = "$SYS.REQ.CLAIMS.UPDATE"

pytestmark = pytest.mark.integration


class _Device:
    """A device that publishes with QoS 1, one reading after the other."""

    def __init__(self, client: aiomqtt.Client, topic: str) -> None:
        self.acknowledged = 0
        self._client, self._topic = client, topic
        self._told = asyncio.Event()

    async def speak(self) -> None:
        """Publish until cancelled; raises as soon as the connection is gone."""
        while True:
            await self._client.publish(self._topic, b"{}", qos=1, timeout=WAIT_S)
            self.acknowledged += 1
            self._told.set()

    async def more(self, count: int) -> None:
        """Return after so many further acknowledgements."""
        wanted = self.acknowledged + count
        while self.acknowledged < wanted:
            self._told.clear()
            await self._told.wait()


async def test_a_certificate_and_an_account_change_under_load(doors: "Doors") -> None:
    """The server takes a new certificate and a new account; every device that the callout let in speaks on."""
    town = doors.town
    speaking: list[asyncio.Task[None]] = []
    async with AsyncExitStack() as stack:
        devices = [await _connected(stack, doors, number) for number in range(DEVICES)]
        try:
            speaking += [asyncio.create_task(device.speak()) for device in devices]
            await _all_speak(devices, speaking)
            before = await asyncio.to_thread(_shown, doors)
            await asyncio.to_thread(_renew, doors)
            async with asyncio.timeout(WAIT_S):
                while await asyncio.to_thread(_shown, doors) == before:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            await _all_speak(devices, speaking)
            town.city.add_integrator("weather")
            await _push(doors, town.city.token(integrator_account("weather")))
            town.city.revoke(town.city.devices, KeyPair.generate(Role.USER).public_key)
            await _push(doors, town.city.token(town.city.devices))
            await _all_speak(devices, speaking)
        finally:
            for task in speaking:
                task.cancel()
            ended = await asyncio.gather(*speaking, return_exceptions=True)
    assert [each for each in ended if not isinstance(each, asyncio.CancelledError)] == []


async def _connected(stack: AsyncExitStack, doors: "Doors", number: int) -> _Device:
    issued = await doors.enrolled(f"speaker-{number}")
    client = await stack.enter_async_context(doors.mqtt(issued))
    return _Device(client, f"dev/v1/noord/speaker-{number}/up/observations-json")


async def _all_speak(devices: list[_Device], speaking: list[asyncio.Task[None]]) -> None:
    """Return when each device has got three more acknowledgements; an ended one ends the wait."""
    async with asyncio.timeout(2 * WAIT_S), asyncio.TaskGroup() as group:
        more = [group.create_task(device.more(3)) for device in devices]
        while not all(task.done() for task in more):
            await asyncio.wait([*more, *speaking], timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
            for task in speaking:
                assert not task.done(), task.exception()


async def _push(doors: "Doors", token: str) -> None:
    async with doors.town.connected(ACCOUNTS) as system:
        answer = json.loads(await system.ask(CLAIMS_UPDATE, token.encode(), timeout_s=WAIT_S))
    assert answer["data"]["code"] == 200


def _renew(doors: "Doors") -> None:
    town = doors.town
    town.tls.certificate.unlink()
    DevelopmentCertificates(town.tls.certificate.parent, SystemClock()).ensure([Holder("nats")])
    town.server.reload()


def _shown(doors: "Doors") -> str:
    """Return the certificate that the MQTT listener shows."""
    town = doors.town
    return ssl.get_server_certificate(town.server.mqtt_address, ca_certs=str(town.tls.authority), timeout=WAIT_S)

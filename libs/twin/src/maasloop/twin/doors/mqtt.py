"""The MQTT door as a device uses it: one connection, QoS 1 up, and a new connection whenever the old one is gone.

A reading is acknowledged when its PUBACK came. When it does not come, the payload is sent again over the next
connection, which is safe: a row is known by series and event time.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import aiomqtt
import structlog

from maasloop.stack.doors import MqttListener

RECONNECT_WAIT_S = 0.5
PUBACK_TIMEOUT_S = 5.0
SEND_TIMEOUT_S = 60.0
KEEPALIVE_S = 30
IN_FLIGHT_MAX = 8
"""Publishes of one device without a PUBACK yet."""

log = structlog.get_logger(__name__)


class NotAcknowledged(Exception):
    """No PUBACK came within ``SEND_TIMEOUT_S``."""


class MqttLink:
    """The connection of one gateway or device. Run ``run`` as a task; ``send`` waits for a connection."""

    def __init__(
        self, listener: MqttListener, client_id: str, topics: Sequence[str], heard: Callable[[str, bytes], None]
    ) -> None:
        """Prepare; ``heard`` gets topic and payload and must not block."""
        self._listener = listener
        self._options = listener.options()
        self._client_id = client_id
        self._topics = [(topic, 0) for topic in topics]
        self._heard = heard
        self._client: aiomqtt.Client | None = None
        self._connected = asyncio.Event()
        self._in_flight = asyncio.Semaphore(IN_FLIGHT_MAX)
        self.resent = 0

    def identify(self, user_name: str, password: str) -> None:
        """Connect as this user from the next time on."""
        self._options = replace(self._listener, username=user_name, password=password).options()

    async def connected(self) -> None:
        """Wait until the link stands and its topics are subscribed."""
        await self._connected.wait()

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        while True:
            client = aiomqtt.Client(
                **self._options,
                identifier=self._client_id,
                protocol=aiomqtt.ProtocolVersion.V311,
                keepalive=KEEPALIVE_S,
            )
            try:
                async with client:
                    if self._topics:
                        await client.subscribe(self._topics)
                    self._client = client
                    self._connected.set()
                    async for message in client.messages:
                        self._heard(str(message.topic), _bytes(message.payload))
            except aiomqtt.MqttError as error:
                log.info("mqtt_link_lost", client=self._client_id, why=str(error))
            finally:
                self._connected.clear()
                self._client = None
            await asyncio.sleep(RECONNECT_WAIT_S)

    async def send(self, topic: str, payload: bytes) -> int:
        """Publish with QoS 1 and return after the PUBACK how often it was sent again, or raise ``NotAcknowledged``."""
        again = 0
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S), self._in_flight:
                while not await self._sent(topic, payload):
                    again += 1
        except TimeoutError as error:
            message = f"{self._client_id}: no PUBACK on {topic} for {SEND_TIMEOUT_S:g} s"
            raise NotAcknowledged(message) from error
        self.resent += again
        return again

    async def _sent(self, topic: str, payload: bytes) -> bool:
        await self._connected.wait()
        client = self._client
        if client is None:
            await asyncio.sleep(RECONNECT_WAIT_S)
            return False
        try:
            await client.publish(topic, payload, qos=1, timeout=PUBACK_TIMEOUT_S)
        except aiomqtt.MqttError as error:
            log.info("mqtt_publish_failed", client=self._client_id, why=str(error))
            await asyncio.sleep(RECONNECT_WAIT_S)
            return False
        return True


def _bytes(payload: object) -> bytes:
    if isinstance(payload, bytes | bytearray):
        return bytes(payload)
    return str(payload).encode()

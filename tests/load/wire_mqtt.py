"""An MQTT client that publishes QoS 1 and counts PUBACKs, with bytes made beforehand wherever that is possible."""

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Self

from maasloop.stack.doors import MqttListener

_CONNACK, _PUBACK, _PUBLISH, _PINGRESP, _SUBACK = 0x20, 0x40, 0x30, 0xD0, 0x90
_KIND = 0xF0
_CONNECT_TIMEOUT_S = 10.0
_IDENTIFIERS = 65_535
_SMALL = 128


class Connection(asyncio.Protocol):
    """One MQTT 3.1.1 connection with a clean session."""

    def __init__(self, on_puback: Callable[[int], None] | None = None) -> None:
        """``on_puback`` hears the packet identifier of each acknowledgement."""
        self.acknowledged = 0
        self.published = 0
        self.lost = False
        self.on_message: Callable[[bytes, bytes, float], None] | None = None
        self._on_puback = on_puback
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room = asyncio.Event()
        self._room.set()
        self._in_flight_max = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits for room."""
        self.lost = True
        self._room.set()
        if not self._ready.done():
            self._ready.set_exception(ConnectionError(f"the server closed the connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Take whole packets."""
        heard_s = time.perf_counter()
        buffer = self._buffer
        buffer += data
        at = 0
        while (found := _packet(buffer, at)) is not None:
            start, end = found
            self._take(buffer[at], bytes(buffer[start:end]), heard_s)
            at = end
        del buffer[:at]

    def _take(self, first: int, body: bytes, heard_s: float) -> None:
        kind = first & _KIND
        if kind == _PUBACK:
            self.acknowledged += 1
            self._room.set()
            if self._on_puback is not None:
                self._on_puback(int.from_bytes(body[:2]))
        elif kind == _PUBLISH and self.on_message is not None:
            size = int.from_bytes(body[:2])
            # Subscriptions here are of QoS 0, so that no identifier follows the topic.
            self.on_message(body[2 : 2 + size], body[2 + size :], heard_s)
        elif kind in {_CONNACK, _SUBACK} and not self._ready.done():
            self._ready.set_result(None)

    async def open(self, identifier: str, listener: MqttListener) -> None:
        """Say hello and wait for the answer."""
        named = [listener.username.encode(), listener.password.encode()] if listener.username else []
        flags = b"\xc2" if named else b"\x02"
        body = b"\x00\x04MQTT\x04" + flags + b"\x00\x00" + b"".join(map(_text, [identifier.encode(), *named]))
        await self._asked(b"\x10" + _length(len(body)) + body)

    async def subscribe(self, topic: str, on_message: Callable[[bytes, bytes, float], None]) -> None:
        """Hear a topic with QoS 0: topic, payload and the moment on ``time.perf_counter``."""
        self.on_message = on_message
        self._ready = asyncio.get_running_loop().create_future()
        body = b"\x00\x01" + _text(topic.encode()) + b"\x00"
        await self._asked(b"\x82" + _length(len(body)) + body)

    async def _asked(self, packet: bytes) -> None:
        assert self._transport is not None
        self._transport.write(packet)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await self._ready

    def publish(self, topic: bytes, payload: bytes) -> int:
        """Send one QoS 1 publish and return its packet identifier."""
        identifier = self.published % _IDENTIFIERS + 1
        self.published += 1
        size = 4 + len(topic) + len(payload)
        head = b"\x32" + _length(size) + struct.pack(">H", len(topic))
        assert self._transport is not None
        self._transport.write(head + topic + struct.pack(">H", identifier) + payload)
        return identifier

    async def publish_all(self, messages: list[tuple[bytes, bytes]], *, in_flight: int) -> None:
        """Publish all with so many unacknowledged at most, and return after the last PUBACK."""
        first = self.acknowledged
        for number, (topic, payload) in enumerate(messages):
            await self._until(first + number - in_flight + 1)
            self.publish(topic, payload)
        await self._until(first + len(messages))

    async def _until(self, acknowledged: int) -> None:
        while self.acknowledged < acknowledged:
            if self.lost:
                raise ConnectionError("the server closed the connection")
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Say goodbye."""
        if self._transport is not None:
            self._transport.write(b"\xe0\x00")
            self._transport.close()


class Publishers:
    """Several connections, each with a name of its own."""

    def __init__(self, listener: MqttListener, count: int, *, name: str) -> None:
        """Prepare."""
        self._listener = listener
        self._names = [f"{name}-{number}" for number in range(count)]
        self.connections: list[Connection] = []

    async def __aenter__(self) -> Self:
        """Connect all."""
        for name in self._names:
            self.connections.append(await connect(self._listener, name))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all."""
        for connection in self.connections:
            connection.close()

    async def publish_all(self, messages: list[tuple[bytes, bytes]], *, in_flight: int) -> None:
        """Deal the messages out and return after the last PUBACK."""
        async with asyncio.TaskGroup() as group:
            for number, connection in enumerate(self.connections):
                dealt = messages[number :: len(self.connections)]
                group.create_task(connection.publish_all(dealt, in_flight=in_flight))


async def connect(listener: MqttListener, name: str, on_puback: Callable[[int], None] | None = None) -> Connection:
    """Return an open connection."""
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(on_puback), listener.host, listener.port, ssl=listener.context()
    )
    await connection.open(name, listener)
    return connection


def _packet(buffer: bytearray, at: int) -> tuple[int, int] | None:
    """Return where the body of the next packet begins and ends, or nothing while it is incomplete."""
    size, shift, place = 0, 0, at + 1
    while place < len(buffer):
        digit = buffer[place]
        size |= (digit & (_SMALL - 1)) << shift
        shift += 7
        place += 1
        if digit < _SMALL:
            return (place, place + size) if len(buffer) >= place + size else None
    return None


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, digit = divmod(size, _SMALL)
        out.append(digit | _SMALL if size else digit)
        if not size:
            return bytes(out)


def _text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text

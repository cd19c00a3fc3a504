"""NATS and MQTT clients that say anything, many times a round trip, and tell everything that came back."""

import json
import re
import socket
import ssl
import struct
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maasloop.identity.nats.credentials import read_credentials
from maasloop.identity.nats.keys import KeyPair

PATIENCE_S = 60.0
READ_BYTES = 1 << 18
_VIOLATION = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]*)\"", re.IGNORECASE)
_REFUSED = 0x80


class Closed(ConnectionError):
    """The server ended the connection."""


class _Link:
    """A socket with what was read and not yet taken."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket: socket.socket = socket.create_connection(address, PATIENCE_S)
        self.buffer = bytearray()

    def secure(self, authority: Path) -> None:
        """Go on in TLS."""
        self._socket = ssl.create_default_context(cafile=authority).wrap_socket(
            self._socket, server_hostname="127.0.0.1"
        )

    def send(self, data: bytes) -> None:
        """Send all, and read meanwhile what a server says that would else stop listening."""
        self._socket.sendall(data)

    def more(self) -> None:
        """Wait for more."""
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise Closed(bytes(self.buffer[-200:]).decode(errors="replace"))
        self.buffer += data

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@dataclass(slots=True)
class Heard:
    """What a round trip brought."""

    publishes_refused: list[str] = field(default_factory=list)
    subscriptions_refused: list[str] = field(default_factory=list)
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    """Subscription and payload."""
    errors: list[str] = field(default_factory=list)


class NatsWire:
    """A NATS connection with credentials."""

    def __init__(self, address: tuple[str, int], credentials: Path, authority: Path) -> None:
        """Connect; raises ``Closed`` where the server refuses."""
        self._link = _Link(address)
        info = json.loads(self._line().removeprefix(b"INFO "))
        self._link.secure(authority)
        token, seed = read_credentials(credentials.read_text(encoding="utf-8"))
        signature = urlsafe_b64encode(KeyPair(seed).sign(info["nonce"].encode())).rstrip(b"=").decode()
        hello = {
            "verbose": False,
            "pedantic": False,
            "jwt": token,
            "sig": signature,
            "headers": True,
            "no_responders": True,
        }
        self._link.send(b"CONNECT " + json.dumps({**hello, "protocol": 1, "lang": "oracle"}).encode() + b"\r\n")
        self.heard()

    def send(self, data: bytes) -> None:
        """Send lines of the protocol."""
        self._link.send(data)

    def heard(self) -> Heard:
        """Return what the server said until it had read everything that was sent."""
        self._link.send(b"PING\r\n")
        heard = Heard()
        while not (line := self._line()).startswith(b"PONG"):
            if line.startswith((b"MSG ", b"HMSG ")):
                parts = line.split()
                body = self._bytes(int(parts[-1]) + 2)[:-2]
                heard.messages.append((int(parts[2]), body[int(parts[-2]) if line.startswith(b"H") else 0 :]))
            elif line.startswith(b"-ERR"):
                self._note(heard, line.decode(errors="replace"))
            elif line.startswith(b"PING"):
                self._link.send(b"PONG\r\n")
        return heard

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    @staticmethod
    def _note(heard: Heard, line: str) -> None:
        found = _VIOLATION.search(line)
        if found is None:
            heard.errors.append(line)
        elif found[1].lower() == "publish":
            heard.publishes_refused.append(found[2])
        else:
            heard.subscriptions_refused.append(found[2])

    def _line(self) -> bytes:
        buffer = self._link.buffer
        while (end := buffer.find(b"\r\n")) < 0:
            self._link.more()
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def _bytes(self, size: int) -> bytes:
        buffer = self._link.buffer
        while len(buffer) < size:
            self._link.more()
        data = bytes(buffer[:size])
        del buffer[:size]
        return data


class MqttWire:
    """An MQTT 3.1.1 connection that shows a token as its password."""

    def __init__(
        self,
        address: tuple[str, int],
        authority: Path,
        *,
        client: str,
        token: str,
        clean: bool = True,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        """Connect; raises ``Closed`` where the server refuses."""
        self._link = _Link(address)
        self._link.secure(authority)
        self._next = 0
        flags = 0xC0 | (0x02 if clean else 0) | (0x0C if will else 0)
        body = b"\x00\x04MQTT\x04" + bytes([flags]) + b"\x00\x00" + _text(client)
        if will is not None:
            body += _text(will[0]) + struct.pack(">H", len(will[1])) + will[1]
        self._link.send(_packet(0x10, body + _text("token") + _text(token)))
        kind, answer = self._read()
        if kind >> 4 != 2 or answer[1]:
            self._link.close()
            message = f"CONNACK {answer[1]}"
            raise Closed(message)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish; what comes of it is seen elsewhere."""
        identifier = b""
        if qos:
            self._next = self._next % 60_000 + 1
            identifier = struct.pack(">H", self._next)
        self._link.send(_packet(0x30 | qos << 1 | retain, _text(topic) + identifier + payload))

    def subscribe(self, filters: Sequence[str], qos: int = 0) -> tuple[list[bool], list[tuple[str, bytes]]]:
        """Return which filters were let in, and what came meanwhile (retained messages come before the answer)."""
        wanted = b"".join(_text(one) + bytes([qos]) for one in filters)
        self._link.send(_packet(0x82, b"\xf0\x00" + wanted))
        body, messages = self._until(9)
        return [code != _REFUSED for code in body[2:]], messages

    def unsubscribe(self, filters: Sequence[str]) -> list[tuple[str, bytes]]:
        """Give up filters."""
        self._link.send(_packet(0xA2, b"\xf0\x01" + b"".join(map(_text, filters))))
        return self._until(11)[1]

    def heard(self) -> list[tuple[str, bytes]]:
        """Return what came until the server had read everything that was sent: topic and payload."""
        self._link.send(b"\xc0\x00")
        return self._until(13)[1]

    def break_off(self) -> None:
        """Close the socket without a goodbye, upon which the server publishes the will."""
        self._link.close()

    def _until(self, wanted: int) -> tuple[bytes, list[tuple[str, bytes]]]:
        messages: list[tuple[str, bytes]] = []
        while True:
            kind, body = self._read()
            if kind >> 4 == wanted:
                return body, messages
            if kind >> 4 == 3:
                end = 2 + int.from_bytes(body[:2])
                identified = 2 if kind & 0x06 else 0
                if identified:
                    self._link.send(_packet(0x40, body[end : end + 2]))
                messages.append((body[2:end].decode(errors="replace"), body[end + identified :]))

    def _read(self) -> tuple[int, bytes]:
        buffer = self._link.buffer
        while True:
            size, shift = 0, 0
            for place, digit in enumerate(buffer[1:5], 2):
                size |= (digit & 0x7F) << shift
                shift += 7
                if digit < _REFUSED and len(buffer) >= place + size:
                    kind, body = buffer[0], bytes(buffer[place : place + size])
                    del buffer[: place + size]
                    return kind, body
                if digit < _REFUSED:
                    break
            self._link.more()


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _packet(kind: int, body: bytes) -> bytes:
    size, length = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | 128 if size else digit)
        if not size:
            return bytes([kind]) + bytes(length) + body

"""Good frames of each protocol, what its language is made of, and how frames follow each other on one connection.

Frames are mutated by ``tests.fuzz.mutators``. What goes out before them is left whole half of the time, so that mutations
meet the parser behind the first packet and not only the one of the first packet.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutators import payloads
from tests.fuzz.target import Target


@dataclass(frozen=True, slots=True)
class Language:
    """What is said on one kind of listener."""

    name: str
    opening: bytes
    frames: tuple[bytes, ...]
    words: tuple[bytes, ...]
    frames_max: int
    """Most frames of a connection: few where the server hangs up at the first that is wrong."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What one connection sends."""

    frames: int
    data: bytes


def bursts(language: Language, seed: int, times: int = 1) -> Iterator[Burst]:
    """Yield what connections send, for ever and the same for the same seed, with so many times the frames."""
    random = Random(f"{language.name} {seed} bursts")
    mutated = payloads(Target(language.name, _nothing, language.frames, language.words), seed)
    while True:
        count = 1 + random.randrange(times * language.frames_max)
        parts = [random.choice(language.frames) if random.getrandbits(2) == 0 else next(mutated) for _ in range(count)]
        opening = language.opening if random.getrandbits(1) else b""
        yield Burst(count, opening + b"".join(parts))


def _nothing(_: bytes) -> None:
    """Frames are made here, not decoded."""


def _text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def _mqtt(kind: int, body: bytes) -> bytes:
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | 128 if size else digit)
        if not size:
            return bytes([kind]) + bytes(length) + body


_CONNECT = b"\x00\x04MQTT\x04"
_WILL = _text(b"dev/v1/harbour/lamp-1/up/observations-json") + _text(b"gone")
MQTT = Language(
    "mqtt",
    b"",
    (
        _mqtt(0x10, _CONNECT + b"\x02\x00\x3c" + _text(b"lamp-1")),
        _mqtt(0x10, _CONNECT + b"\xc2\x00\x3c" + _text(b"lamp-1") + _text(b"harbour/lamp-1") + _text(b"no secret")),
        _mqtt(0x10, _CONNECT + b"\xee\x00\x3c" + _text(b"lamp-1") + _WILL + _text(b"lamp-1") + _text(b"no secret")),
        _mqtt(0x10, b"\x00\x06MQIsdp\x03\x02\x00\x3c" + _text(b"lamp-1")),
        _mqtt(0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x3c" + _text(b"lamp-1")),
        _mqtt(0x32, _text(b"dev/v1/harbour/lamp-1/up/observations-json") + b"\x00\x01{}"),
        _mqtt(0x82, b"\x00\x02" + _text(b"dev/v1/harbour/lamp-1/down/#") + b"\x01" + _text(b"$SYS/#") + b"\x00"),
        _mqtt(0xA2, b"\x00\x03" + _text(b"dev/v1/harbour/lamp-1/down/#")),
        _mqtt(0x62, b"\x00\x01"),
        b"\xc0\x00",
        b"\xe0\x00",
    ),
    (
        b"MQTT",
        b"\x00\x00",
        b"\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff",
        b"#",
        b"+",
        b"/",
        b"$SYS",
        b"\x10",
        b"\x32",
        b"\x82",
    ),
    2,
)
_OPTIONS = {"verbose": False, "pedantic": False, "lang": "x", "version": "1", "protocol": 1, "headers": True}
NATS = Language(
    "nats",
    b"PING\r\n",
    (
        b"CONNECT " + json.dumps(_OPTIONS).encode() + b"\r\n",
        b"CONNECT " + json.dumps({**_OPTIONS, "user": "lamp-1", "pass": "no secret"}).encode() + b"\r\n",
        b"CONNECT " + json.dumps({**_OPTIONS, "jwt": "e30.e30.AAAA", "nkey": "UA", "sig": "AAAA"}).encode() + b"\r\n",
        b"PING\r\n",
        b"PONG\r\n",
        b"PUB dev.v1.harbour.lamp-1.up.observations-json 2\r\n{}\r\n",
        b"HPUB $JS.API.STREAM.LIST reply 12 14\r\nNATS/1.0\r\n\r\n{}\r\n",
        b"SUB > 1\r\n",
        b"SUB $SYS.> workers 2\r\n",
        b"UNSUB 1 1\r\n",
        b"INFO {}\r\n",
        b"RS+ A foo\r\n",
        b"LS+ foo\r\n",
    ),
    (
        b"\r\n",
        b" ",
        b">",
        b"*",
        b"$SYS.",
        b"$JS.API.",
        b"CONNECT ",
        b"PUB ",
        b"4294967296",
        b"-1",
        b"{",
        b"NATS/1.0\r\n",
    ),
    3,
)
_HEAD = b"Host: city.example\r\nUser-Agent: lamp\r\n"
_BODY = b'{"observations":[{"device":"lamp-1","property":"power","time":1764000000000000,"value":1}]}'
HTTP = Language(
    "http",
    b"GET /v1/observations HTTP/1.1\r\n" + _HEAD + b"\r\n",
    (
        b"POST /v1/observations?district=harbour HTTP/1.1\r\n"
        + _HEAD
        + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
        + _BODY,
        b"POST /v1/observations?district=harbour HTTP/1.1\r\n"
        + _HEAD
        + b"Content-Type: application/senml+json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        b"POST /v1/sensor-community HTTP/1.1\r\n" + _HEAD + b"X-Sensor: esp8266-1\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /v1/observations HTTP/1.1\r\n" + _HEAD + b"Authorization: Bearer e30.e30.AAAA\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + _HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HEAD / HTTP/1.0\r\n\r\n",
    ),
    (
        b"\r\n",
        b"\r\n\r\n",
        b": ",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked",
        b"99999999999",
        b"-1",
        b"\0",
        b"%00",
        b"/",
    ),
    12,
)


def _h2(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


_METHOD = b"/maasloop.api.observation.v1.IngestService/RecordObservations"
_HEADERS = (
    b"\x83\x86"
    + _literal(b":path", _METHOD)
    + _literal(b":authority", b"city.example")
    + _literal(b"content-type", b"application/grpc")
    + _literal(b"te", b"trailers")
    + _literal(b"authorization", b"Bearer e30.e30.AAAA")
)
GRPC = Language(
    "grpc",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _h2(4, 0, 0, b""),
    (
        _h2(1, 4, 1, _HEADERS),
        _h2(0, 1, 1, b"\x00\x00\x00\x00\x02\x0a\x00"),
        _h2(1, 0, 3, _HEADERS[:40]),
        _h2(9, 4, 3, _HEADERS[40:]),
        _h2(1, 5, 5, _HEADERS),
        _h2(4, 0, 0, struct.pack(">HIHI", 4, 2**31 - 1, 5, 2**14)),
        _h2(6, 0, 0, b"maasloop"),
        _h2(3, 0, 1, struct.pack(">I", 8)),
        _h2(8, 0, 0, struct.pack(">I", 2**31 - 1)),
        _h2(2, 0, 1, struct.pack(">IB", 0, 16)),
        _h2(7, 0, 0, struct.pack(">II", 0, 0)),
    ),
    (
        b"\x00\x00\x00",
        b"\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\x80\x00\x00\x01",
        b"\x01\x04",
        b"\x09\x00",
        b"grpc-timeout",
        b"\x3f\xe1\x1f",
    ),
    24,
)
LANGUAGES = {language.name: language for language in (MQTT, NATS, HTTP, GRPC)}

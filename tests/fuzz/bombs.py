"""Payloads of 64 KiB that are made to be expensive: depth, claimed lengths, many small pieces, long texts, hard numbers.

Every bomb must be refused or decoded within the same limits of time and memory as anything else.
"""

import json
from collections.abc import Iterator, Mapping

import cbor2
from tests.fuzz.mutators import SIZE_MAX
from tests.fuzz.target import Target
from tests.fuzz.targets import NOW_US

from maasloop.api.observation.v1.observation_pb2 import ObservationColumns, SeriesDictionary
from maasloop.ingest.domain.readings import READINGS_MAX

COLLIDING_STEP = 2**40
"""Whole numbers this far apart begin in the same place of a dictionary."""


def bombs(target: Target) -> Iterator[tuple[str, bytes]]:
    """Yield the bombs of a target, each with its name, none larger than 64 KiB."""
    for name, payload in {**_anywhere(target), **_SPECIAL.get(target.name, {})}.items():
        yield name, payload[:SIZE_MAX]


def _anywhere(target: Target) -> Mapping[str, bytes]:
    found = {
        f"byte {byte:02x}": bytes([byte]) * SIZE_MAX for byte in b"\x00\x0a\x2c\x31\x5b\x7b\x22\x80\x81\x9f\xa1\xc4\xff"
    }
    for number, seed in enumerate(target.seeds):
        found[f"seed {number} again and again"] = seed * (SIZE_MAX // len(seed))
    return found


def _fill(head: str, piece: str, tail: str, count_max: int = SIZE_MAX) -> bytes:
    """Repeat a piece between head and tail up to 64 KiB."""
    count = min((SIZE_MAX - len(head) - len(tail)) // (len(piece) + 1), count_max)
    return (head + ",".join([piece] * count) + tail).encode()


def _names(head: str, piece: str, tail: str, count_max: int = SIZE_MAX) -> bytes:
    """The same with a number in each piece, so that no two are the same."""
    pieces: list[str] = []
    size = len(head) + len(tail)
    while size < SIZE_MAX and len(pieces) <= count_max:
        pieces.append(piece.replace("#", f"{len(pieces):x}"))
        size += len(pieces[-1]) + 1
    return (head + ",".join(pieces[:-1]) + tail).encode()


def _deep(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


_JSON = {
    "deep lists": b"[" * (SIZE_MAX // 2) + b"]" * (SIZE_MAX // 2),
    "deep maps": _deep(SIZE_MAX // 8),
    "long number": b"[" + b"9" * (SIZE_MAX - 2) + b"]",
    "numbers of 4,300 digits": _fill("[", "9" * 4_299, "]"),
    "long exponent": b"[1e" + b"9" * (SIZE_MAX - 4) + b"]",
    "escapes": b'["' + b"\\u00e9" * (SIZE_MAX // 6 - 2) + b'"]',
    "one key again and again": _fill("{", '"a":1', "}"),
    "other keys": _names("{", '"#":1', "}"),
    "empty maps": _fill("[", "{}", "]"),
    "ones": _fill("[", "1", "]"),
}
_OBSERVATIONS = '{"observations":['
_PLAIN = {
    **_JSON,
    "empty readings": _fill(_OBSERVATIONS, "{}", "]}", READINGS_MAX),
    "no readings": _fill(_OBSERVATIONS, "1", "]}", READINGS_MAX),
    "short readings": _fill(_OBSERVATIONS, '{"property":"p","value":1}', "]}", READINGS_MAX),
    "short words": _fill(_OBSERVATIONS, '{"property":"p","state":""}', "]}", READINGS_MAX),
    "places": _fill(_OBSERVATIONS, '{"property":"p","position":{"longitude":1,"latitude":1}}', "]}", READINGS_MAX),
    "other names": _names(_OBSERVATIONS, '{"property":"a#","value":1}', "]}", READINGS_MAX),
    "other devices": _names(_OBSERVATIONS, '{"device":"#","property":"a#","value":1}', "]}", READINGS_MAX),
    "times": _fill(_OBSERVATIONS, '{"property":"p","value":1,"time":"2025-01-01T00:00:00+14:00"}', "]}", READINGS_MAX),
}
_SENML = {
    **_JSON,
    "short records": _fill("[", '{"n":"p","v":1}', "]", READINGS_MAX),
    "shortest records": _fill("[", '{"v":1}', "]", READINGS_MAX),
    "floats": _fill("[", '{"n":"p","v":1.5}', "]", READINGS_MAX),
    "words": _fill("[", '{"n":"p","vs":""}', "]", READINGS_MAX),
    "wrong records": _fill("[", '{"n":1}', "]", READINGS_MAX),
    "other bases": _names("[", '{"bn":"d#/","n":"p","v":1}', "]", READINGS_MAX),
    "other names": _names("[", '{"n":"#/a#","v":1.5}', "]", READINGS_MAX),
    "other units": _names("[", '{"n":"power","u":"#","v":1.5}', "]", READINGS_MAX),
    "long base": ('[{"bn":"' + "a" * (SIZE_MAX // 2) + '"},' + ",".join(['{"n":"p","v":1.5}'] * 1_800) + "]").encode(),
}


def _cbor_records(record: bytes) -> bytes:
    count = min((SIZE_MAX - 3) // len(record), READINGS_MAX)
    return b"\x99" + count.to_bytes(2, "big") + record * count


_CBOR = {
    "short records": _cbor_records(b"\xa1\x02\x01"),
    "empty records": _cbor_records(b"\xa0"),
    "records with a name": _cbor_records(cbor2.dumps({0: "p", 2: 1.5})),
    "words": _cbor_records(cbor2.dumps({0: "p", 3: ""})),
    "records of 23 fields": _cbor_records(b"\xb7" + bytes(each for key in range(23) for each in (key, 1))),
    "records with a list": _cbor_records(b"\xa1\x02\x81\x01"),
    "records with a fraction": _cbor_records(b"\xa1\x02\xc4\x82\x20\x01"),
    "fractions in 8 KiB": b"\x99" + (1_000).to_bytes(2, "big") + b"\xa1\x02\xc4\x82\x20\x01" * 1_000,
    "deep": b"\x81\xa1\x02" + b"\x81" * SIZE_MAX,
    "deep fractions": b"\x81\xa1\x02" + b"\xc4\x82" * 2_000,
    "claimed list": b"\x9b" + b"\x7f" * 8,
    "claimed map": b"\x81\xbb" + b"\x7f" * 8,
    "claimed text": b"\x81\xa1\x00\x7b" + b"\x7f" * 8,
    "claimed bytes": b"\x81\xa1\x08\x5a\x7f\xff\xff\xff",
    "large number": b"\x81\xa1\x02\xc2\x59\xf0\x00" + b"\xff" * 0xF000,
    "colliding keys": b"\x81" + cbor2.dumps(dict.fromkeys(range(0, COLLIDING_STEP * 5_000, COLLIDING_STEP), 1)),
    "colliding keys in 8 KiB": b"\x81\xa1\x02"
    + cbor2.dumps(dict.fromkeys(range(0, COLLIDING_STEP * 800, COLLIDING_STEP), 1)),
    "other names": b"\x99"
    + READINGS_MAX.to_bytes(2, "big")
    + b"".join(cbor2.dumps({0: f"{name:x}/a{name:x}", 2: 1.5}) for name in range(READINGS_MAX)),
    "other series": b"\x99"
    + READINGS_MAX.to_bytes(2, "big")
    + b"".join(cbor2.dumps({0: f"{name:x}/a{name % 50:x}", 2: 1.5}) for name in range(READINGS_MAX)),
}
_HEADER = b"time,device,property,value\n"
_CSV = {
    "shortest lines": b"property,value\n" + b"p,1\n" * READINGS_MAX,
    "words": b"property,value\n" + b"p,x\n" * READINGS_MAX,
    "empty lines": _HEADER + b"\n" * READINGS_MAX,
    "more lines than are heard": _HEADER + b"\n" * SIZE_MAX,
    "quotes": _HEADER + b'"1",d,p,1\n' * READINGS_MAX,
    "open quotes": _HEADER + b'"\n' * READINGS_MAX,
    "one line of cells": _HEADER + b"," * SIZE_MAX,
    "one cell": _HEADER + b"a" * SIZE_MAX,
    "header of cells": b"," * SIZE_MAX,
    "long header": b"a" * SIZE_MAX,
    "times": _HEADER + b"".join(b"%d.5,d,p,1\n" % (1_000_000_000 + at) for at in range(READINGS_MAX)),
    "other names": _HEADER + b"".join(b"1,%x,a%x,1\n" % (at, at) for at in range(READINGS_MAX)),
    "other series": _HEADER + b"".join(b"1,%x,a%x,1\n" % (at, at % 50) for at in range(READINGS_MAX)),
    "long numbers": _HEADER + b"1,d,p," + b"9" * SIZE_MAX,
    "long time": _HEADER + b"9" * 60_000 + b",d,p,1\n",
}
_VALUES = '{"sensordatavalues":['
_EVENT = b'{"deviceInfo":{"devEui":"70b3d57ed0051234"},"fCnt":1,"fPort":1,"data":"'
_PAIRS = ObservationColumns(
    dictionary=SeriesDictionary(
        devices=[f"{at:x}" for at in range(5_000)], observed_properties=[f"a{at:x}" for at in range(199)]
    )
)
_PROTO = {
    "empty states": b"\x32\x00" * (SIZE_MAX // 2),
    "empty places": b"\x3a\x00" * (SIZE_MAX // 2),
    "empty counts": b"\x42\x00" * (SIZE_MAX // 2),
    "empty names": b"\x0a\x80\x80\x04" + b"\x0a\x00" * (SIZE_MAX // 2),
    "split columns": b"\x15\x00\x00\x00\x00" * (SIZE_MAX // 5),
    "unknown fields": b"\xf8\x01\x00" * (SIZE_MAX // 3),
    "groups": b"\x0b" * SIZE_MAX,
    "claimed length": b"\x0a\xff\xff\xff\xff\x07",
    "many pairs": _PAIRS.SerializeToString(),
}
_SPECIAL: Mapping[str, Mapping[str, bytes]] = {
    "json": _PLAIN,
    "senml-json": _SENML,
    "senml-cbor": _CBOR,
    "csv": _CSV,
    "csv-import": _CSV,
    "sensor-community": {
        **_JSON,
        "empty values": _fill(_VALUES, "{}", "]}"),
        "values": _fill(_VALUES, '{"value_type":"P1","value":"1"}', "]}"),
        "long value": b'{"sensordatavalues":[{"value_type":"P1","value":"' + b"1" * 65_000 + b'"}]}',
    },
    "chirpstack-json": {
        **_JSON,
        "long data": _EVENT + b"AAAA" * 16_000 + b'"}',
        "data that is none": _EVENT + b"A===" * 16_000 + b'"}',
        "frames": _EVENT + b"AAAA" * 85 + b'"}',
    },
    "chirpstack-pb": {**_PROTO, "tags": b"\x1a\x04\x4a\x02\x0a\x00" * (SIZE_MAX // 6)},
    "columns-pb": _PROTO,
    "grpc-request": {
        **{name: b"\x12" + b"\x80\x80\x04" + each[: SIZE_MAX - 4] for name, each in _PROTO.items()},
        "names": b"\x0a" + b"\x80\x80\x04" + b"a" * SIZE_MAX,
    },
    "response-json": {
        **_JSON,
        "reason": json.dumps({"commandId": "1", "reason": "x" * 65_000}).encode(),
        "time": json.dumps({"eventTimeUs": str(NOW_US), "answer": "ANSWER_COMPLETED"}).encode(),
    },
    "response-pb": _PROTO,
    "units": {"letters": b"a" * (SIZE_MAX // 2) + b" " + b"b" * (SIZE_MAX // 2 - 1)},
    "subjects": {"tokens": b"a." * (SIZE_MAX // 2), "token": b"maasloop." + b"a" * SIZE_MAX},
}

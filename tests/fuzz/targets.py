"""What is fuzzed: every codec and every door's decoder, from the bytes of a payload to a batch of columns.

A target returns or raises ``InvalidArgument`` with a reason; anything else is a fault. It also judges what it was given:
no row stands twice in a payload, and none is both a row and refused.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import cbor2
from tests.fuzz.target import Target

from maasloop.api.observation.v1.chirpstack_pb2 import ChirpstackDeviceInfo, ChirpstackUplink
from maasloop.api.observation.v1.events_pb2 import DeviceResponse
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.api.observation.v1.observation_pb2 import (
    ObservationColumns,
    PositionObservation,
    SeriesDictionary,
    StateObservation,
)
from maasloop.bus.columns import build_columns
from maasloop.bus.subjects import UplinkKind, parse_fact, stored_uplink
from maasloop.ingest.domain.byte_layout import ByteField, ByteLayout, Encoding
from maasloop.ingest.domain.cayenne_lpp import CayenneLpp
from maasloop.ingest.domain.chirpstack import DATA_MAX_BYTES
from maasloop.ingest.domain.csv_rows import decode_lines, lines_of, read_header
from maasloop.ingest.domain.facts import Named
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.domain.units import conversion
from maasloop.ingest.entrypoints.batches import Received, batch_of_decoded
from maasloop.ingest.entrypoints.events import CHIRPSTACK, decode_event, push_type
from maasloop.ingest.entrypoints.payloads import (
    COLUMNS,
    CSV,
    JSON,
    SENML,
    SENML_CBOR,
    decode,
    decode_response,
)
from maasloop.ingest.entrypoints.rpc import batch_of, read_request
from maasloop.ingest.ports import Batch

NOW_US = 1_764_000_000_000_000
UNITS: Mapping[str, str] = {"power": "W", "temperature": "Cel", "pm25": "ug/m3", "mode": "", "presence": ""}
EUI = "70b3d57ed0051234"
CAYENNE = CayenneLpp(
    {
        (channel, kind): name
        for channel in range(8)
        for kind, name in ((0, "presence"), (2, "power"), (103, "temperature"), (104, "humidity"), (136, "position"))
    }
)
LAYOUT = ByteLayout(
    tuple(
        ByteField("temperature", offset, width, f_port, encoding, little_endian, mask, 0.1, -40.0, "K")
        for offset, width, f_port in ((0, 2, 0), (2, 1, 1), (-4, 4, 2), (-8, 8, 0))
        for encoding in Encoding
        for little_endian in (False, True)
        for mask in (0, 0x7F0)
    )
)


def judged(batch: Batch) -> Batch:
    """Return the batch, or raise where it contradicts itself."""
    index = range(len(batch.columns)) if batch.payload_index is None else batch.payload_index
    rows = set(index)
    undecoded = batch.undecoded or {}
    if len(rows) != len(batch.columns) or rows & undecoded.keys():
        message = f"{len(rows)} positions for {len(batch.columns)} rows, {len(rows & undecoded.keys())} of them refused"
        raise AssertionError(message)
    return batch


def _payload(content_type: str, sender: str = "lamp") -> Callable[[bytes], object]:
    received = Received(Door.MQTT, "noord", sender, NOW_US, content_type, b"")
    return lambda payload: judged(decode(replace(received, payload=payload), UNITS.get))


def _event(content_type: str, codec: CayenneLpp | ByteLayout | None) -> Callable[[bytes], object]:
    received = Received(Door.CHIRPSTACK, "", "", NOW_US, content_type, b"")
    named = Named("noord", "probe", codec)
    return lambda payload: judged(decode_event(replace(received, payload=payload), lambda _: named, UNITS.get))


def _import(payload: bytes) -> object:
    header, _, rest = payload.partition(b"\n")
    decoded = decode_lines(lines_of(rest), read_header(header.decode("utf-8", "replace")), NOW_US)
    return judged(batch_of_decoded(Received(Door.IMPORT, "noord", "", NOW_US, CSV, b""), decoded, UNITS.get))


def _radio(codec: CayenneLpp | ByteLayout) -> Callable[[bytes], object]:
    return lambda payload: [value for port in (0, 1, 2) for value in codec.read(payload[:DATA_MAX_BYTES], port)]


def _response(kind: UplinkKind) -> Callable[[bytes], object]:
    received = Received(Door.MQTT, "noord", "lamp", NOW_US, "", b"")
    return lambda payload: decode_response(replace(received, payload=payload), kind)


def _unit(payload: bytes) -> object:
    given, _, wanted = payload.decode("utf-8", "replace").partition(" ")
    return conversion(given, wanted)


def _subject(payload: bytes) -> object:
    text = payload.decode("utf-8", "replace")
    return (stored_uplink if text.startswith("$") else parse_fact)(text)


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


_PLAIN = {
    "sequence": 7,
    "observations": [
        {"device": "lamp", "property": "power", "time": "2025-11-24T16:00:00Z", "value": 12.5},
        {"property": "mode", "time": NOW_US, "state": "rG"},
        {"property": "place", "position": {"longitude": 6.9, "latitude": 50.9}},
        {"property": "presence", "value": True},
    ],
}
_RECORDS: list[dict[str, Any]] = [
    {"bn": "lamp/", "bt": 1_764_000_000.5, "bu": "W", "bv": 1, "bver": 10, "n": "power", "v": 20.5},
    {"n": "power", "u": "kW", "v": 1, "t": -3},
    {"n": "mode", "vs": "night", "t": 4},
    {"n": "presence", "vb": True},
    {"n": "data", "vd": "AAEC"},
    {"bs": 5, "n": "energy", "s": 500, "ut": 1},
]
_LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip
_NUMBERED = [{_LABELS[name]: value for name, value in record.items()} for record in _RECORDS]
_FRACTION = [{0: "lamp/power", 2: cbor2.CBORTag(4, [-2, 2_750])}]
_LINES = (
    b"time,device,property,value\n2025-11-24T16:00:00Z,lamp,power,12.5\n1764000000,lamp,mode,rG\n"
    b'1764000000000,"lamp",presence,true\n1764000000000000,lamp,power,1e3\n'
)
_VALUES = {
    "software_version": "NRZ-2020-133",
    "sensordatavalues": [
        {"value_type": "SDS_P1", "value": "12.30"},
        {"value_type": "P2", "value": 7.25},
        {"value_type": "BME280_temperature", "value": "11.5"},
        {"value_type": "signal", "value": "-66"},
    ],
}
_RADIO = bytes.fromhex("01670110026867038806765ff2960a0003e8")
_EVENT = {
    "time": "2025-11-24T16:00:00.123456789Z",
    "deviceInfo": {"devEui": EUI, "tags": {"street": "a"}},
    "fCnt": 42,
    "fPort": 2,
    "data": "AWcBEAJozgOIBnZf8pYKAAPo",
    "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -35, "snr": 5.2}],
}
_PACKED = ChirpstackUplink(device_info=ChirpstackDeviceInfo(dev_eui=EUI), f_cnt=8, f_port=1, data=_RADIO)
_PACKED.receipt_time.FromSeconds(1_764_000_000)
_COLUMNS = build_columns(
    ["lamp", "cabinet"],
    ["power", "mode"],
    [0, 1, 0],
    [0, 0, 1],
    [NOW_US, NOW_US + 1, NOW_US + 2],
    [1.0, 2.0, 3.0],
    states=[StateObservation(device_index=0, property_index=1, event_time_us=NOW_US, state="rG")],
    positions=[PositionObservation(device_index=1, property_index=0, event_time_us=NOW_US)],
).message()
_REQUEST = RecordObservationsRequest(parent="districts/noord", observations=_COLUMNS, request_id="1")
_ANSWER = DeviceResponse(device="lamp", command_id="9f2c", answer=DeviceResponse.ANSWER_REFUSED, reason="no")

_SUBJECTS = (
    b"$MQTT.msgs.dev.v1.noord.lamp.up.observations-json",
    b"maasloop.observation.recorded.v1.noord.light",
    b"maasloop.command.issued.v1.noord.lamp",
)
_TEXTS = ("lamp", "cabinet", "power", "mode", "", "a" * 64, "Lamp", "a/b", "\0", "\u00e9", "x" * 300)
_TIMES = (NOW_US, 0, -1, NOW_US + 10**9, 2**63 - 1, -(2**63))
_NUMBERS = (0.0, -1.5, 1e308, float("nan"), float("inf"), 5e-324)


def _make_columns(random: Random) -> ObservationColumns:
    devices, properties = (random.choices(_TEXTS, k=random.randrange(5)) for _ in range(2))
    rows = random.randrange(6)
    device_max, property_max = len(devices) + (random.random() < 0.1), len(properties) + (random.random() < 0.1)

    def place(most: int) -> int:
        return random.randrange(most) if most else 0

    columns = ObservationColumns(
        dictionary=SeriesDictionary(devices=devices, observed_properties=properties),
        device_index=[place(device_max) for _ in range(rows)],
        property_index=[place(property_max) for _ in range(rows)],
        event_time_us=random.choices(_TIMES, k=rows),
        value=random.choices(_NUMBERS, k=rows + (random.random() < 0.05)),
    )
    for _ in range(random.randrange(3)):
        where = {"device_index": place(device_max), "property_index": place(property_max)}
        columns.states.add(**where, event_time_us=random.choice(_TIMES), state=random.choice(_TEXTS))
        columns.positions.add(**where, event_time_us=random.choice(_TIMES)).position.longitude = random.choice(_NUMBERS)
        columns.sequences.add(device_index=place(device_max), sequence=random.choice(_TIMES))
    return columns


def _make_request(random: Random) -> bytes:
    parent = random.choice(("districts/noord", "districts/noord", "districts/", "noord", "districts/a/devices/b"))
    return RecordObservationsRequest(parent=parent, observations=_make_columns(random)).SerializeToString()


def _make_uplink(random: Random) -> bytes:
    event = ChirpstackUplink(
        device_info=ChirpstackDeviceInfo(dev_eui=random.choice((EUI, EUI.upper(), "", "x" * 16))),
        f_cnt=random.choice((0, 1, 2**32 - 1, 2**32, -1)),
        f_port=random.choice((0, 1, 2, 255, 256, -1)),
        data=random.randbytes(random.choice((0, 1, 12, 242, 300))),
    )
    event.receipt_time.seconds = random.choice((0, 1_764_000_000, 2**62, -(2**62)))
    event.receipt_time.nanos = random.choice((0, 999_999_999, 2**31 - 1, -(2**31)))
    return event.SerializeToString()


def _make_answer(random: Random) -> bytes:
    return DeviceResponse(
        device=random.choice(_TEXTS),
        command_id=random.choice(_TEXTS),
        answer=random.choice((0, 1, 2, 3, 99)),  # type: ignore[arg-type]  # a number that is no answer is what is tried
        reason=random.choice(_TEXTS) * random.randrange(3),
        event_time_us=random.choice(_TIMES),
    ).SerializeToString()


def _make_csv(random: Random) -> bytes:
    delimiter = random.choice(",;\t")
    columns = random.sample(("time", "device", "property", "value", "unit"), random.randrange(2, 6))
    lines = [columns if {"property", "value"} <= set(columns) else ["time", "device", "property", "value"]]
    cells = (
        "2025-11-24T16:00:00Z",
        "1764000000",
        "1764000000000",
        "1764000000.5",
        "-1",
        "1e400",
        "nan",
        "1_0",
        *_TEXTS,
    )
    for _ in range(random.randrange(8)):
        row = [random.choice(cells) for _ in lines[0]]
        lines.append([f'"{cell}"' if random.random() < 0.1 else cell for cell in row])
    return random.choice(("\n", "\r\n")).join(delimiter.join(line) for line in lines).encode()


def _make_subject(random: Random) -> bytes:
    tokens = ("$MQTT", "msgs", "dev", "v1", "noord", "lamp", "up", "observations-json", "maasloop", "observation", "")
    seed = random.choice(_SUBJECTS).decode().split(".")
    seed[random.randrange(len(seed))] = random.choice(tokens)
    return ".".join(seed).encode()


_SAID = {"commandId": "1", "answer": 2, "device": "lamp", "reason": "no", "eventTimeUs": "5"}
_JSON_WORDS = (
    b"null", b"true", b"1e400", b"-1e-400", b"NaN", b"Infinity", b"9" * 400, b'"\\ud800"', b'"\\u0000"', b"[]", b"{}", b"[",
    b'{"', b'":', b",", b"0.1", b"18446744073709551616", b"\xef\xbb\xbf", b"\xff", b'"a":1,',
)  # fmt: skip
_CBOR_WORDS = (
    b"\x9f", b"\xff", b"\xbf", b"\x5f", b"\xc4\x82\x20\x01", b"\xc2\x41\x01", b"\xfb\x7f\xf0" + b"\0" * 6, b"\xf9\x7e\x00",
    b"\x1b" + b"\xff" * 8, b"\x3b" + b"\xff" * 8, b"\x9b" + b"\xff" * 8, b"\xbb" + b"\xff" * 8, b"\x7b\x7f" + b"\xff" * 7,
    b"\xd8\x1c", b"\xd8\x1d\x00", b"\xf7", b"\xa0", b"\x80", b"\x60", b"\xf6",
)  # fmt: skip
_CSV_WORDS = (
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r\n",
    b'"',
    b'""',
    b"nan",
    b"1e999",
    b"1_0",
    b"\x00",
    b"\xef\xbb\xbf",
    b"-",
    b"9" * 30,
)
_PROTO_WORDS = (
    b"\x0a\x00", b"\xff" * 9 + b"\x01", b"\x80" * 10, b"\x32\x00", b"\x3a\x00", b"\x12\x00", b"\x0a\xff\xff\xff\xff\x0f",
    b"\x00", struct.pack("<d", float("nan")), struct.pack("<q", -(2**63)), b"\x0b", b"\x0c", b"\x1a\x00", b"\x42\x00",
)  # fmt: skip

TARGETS: tuple[Target, ...] = (
    Target("json", _payload(JSON), (_json(_PLAIN),), _JSON_WORDS, _PLAIN),
    Target("senml-json", _payload(SENML), (_json(_RECORDS),), _JSON_WORDS, _RECORDS),
    Target(
        "senml-cbor",
        _payload(SENML_CBOR),
        (cbor2.dumps(_NUMBERED), cbor2.dumps(_FRACTION)),
        _CBOR_WORDS,
        _NUMBERED,
        cbor2.dumps,
    ),
    Target("csv", _payload(CSV, ""), (_LINES, _LINES.replace(b",", b";")), _CSV_WORDS, make=_make_csv),
    Target("csv-import", _import, (_LINES, _LINES.replace(b",", b"\t")), _CSV_WORDS, make=_make_csv),
    Target("sensor-community", _event(push_type("esp8266-1"), None), (_json(_VALUES),), _JSON_WORDS, _VALUES),
    Target("chirpstack-json", _event(CHIRPSTACK, CAYENNE), (_json(_EVENT),), _JSON_WORDS, _EVENT),
    Target(
        "chirpstack-pb", _event(CHIRPSTACK, LAYOUT), (_PACKED.SerializeToString(),), _PROTO_WORDS, make=_make_uplink
    ),
    Target("cayenne-lpp", _radio(CAYENNE), (_RADIO,), (b"\x01\x67", b"\x03\x88", b"\x02\x68", b"\x00\x00", b"\xff")),
    Target("byte-layout", _radio(LAYOUT), (_RADIO,), (b"\xff", b"\x00", b"\x7f\xf0", b"\x80")),
    Target(
        "columns-pb",
        _payload(COLUMNS),
        (_COLUMNS.SerializeToString(),),
        _PROTO_WORDS,
        make=lambda random: _make_columns(random).SerializeToString(),
    ),
    Target(
        "grpc-request",
        lambda payload: judged(batch_of(read_request(payload), Door.GRPC, NOW_US)),
        (_REQUEST.SerializeToString(),),
        _PROTO_WORDS,
        make=_make_request,
    ),
    Target("response-json", _response(UplinkKind.RESPONSES_JSON), (_json(_SAID),), _JSON_WORDS, _SAID),
    Target(
        "response-pb",
        _response(UplinkKind.RESPONSES_PB),
        (_ANSWER.SerializeToString(),),
        _PROTO_WORDS,
        make=_make_answer,
    ),
    Target("units", _unit, (b"kW.h J", b"Cel K", b"[degF] Cel", b"dBm dBW"), (b" ", b"/", b".", b"[", b"\xc2\xb5")),
    Target("subjects", _subject, _SUBJECTS, (b".", b"*", b">", b" ", b"\r\n", b"-", b"v1"), make=_make_subject),
)

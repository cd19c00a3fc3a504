"""What is no JSON of ours: CSV lines, pushes of Sensor.Community, and radio payloads by the codec of their type."""

import json
import struct
from typing import Any

import pytest

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.byte_layout import ByteField, ByteLayout, Encoding
from maasloop.ingest.domain.cayenne_lpp import CayenneLpp
from maasloop.ingest.domain.chirpstack import decode_uplink, read_uplink
from maasloop.ingest.domain.csv_rows import decode_csv
from maasloop.ingest.domain.readings import Place, RawReading
from maasloop.ingest.domain.sensor_community import decode_push

NOW_US = 1_764_000_000_000_000


def test_csv_lines_are_read_one_by_one() -> None:
    """Numbers, words, truth, quotes and three ways to write a time; a wrong line is refused by its number."""
    lines = [
        "property;time;value;device",
        "power;2025-11-24T16:00:00Z;12.5;lamp-1",
        'mode;1764000000;"rG";lamp-1',
        "presence;1764000000000000;true;lamp-2",
        "power;yesterday;1;lamp-1",
        "power;1764000000;lamp-1",
        'power;1764000000;"1;lamp-1',
        "power;1764000000.5;;lamp-1",
        "power;1764000000000;1;lamp-1",
    ]

    decoded = decode_csv("\r\n".join(lines).encode() + b"\r\n", NOW_US)

    second = 1_764_000_000_000_000
    assert decoded.readings() == [
        RawReading(0, "lamp-1", "power", second, 12.5),
        RawReading(1, "lamp-1", "mode", second, "rG"),
        RawReading(2, "lamp-2", "presence", second, 1.0),
        RawReading(7, "lamp-1", "power", second, 1.0),
    ]
    undecodable = dict.fromkeys((3, 4, 5), Reason.PAYLOAD_UNDECODABLE)
    assert decoded.refused == {**undecodable, 6: Reason.VALUE_NOT_A_NUMBER}


@pytest.mark.parametrize("header", ["", "time,device,value", "property,value,value", "property,value,colour"])
def test_csv_without_its_header_is_refused(header: str) -> None:
    """A file whose first line does not name the columns is refused as a whole."""
    with pytest.raises(InvalidArgument):
        decode_csv(f"{header}\n1,2,3,4\n".encode(), NOW_US)


def test_a_push_of_sensor_community_is_read_by_its_value_types() -> None:
    """Value types with and without the sensor's name; what is about the device itself is passed over."""
    values = [
        {"value_type": "SDS_P1", "value": "12.30"},
        {"value_type": "P2", "value": 7.5},
        {"value_type": "BME280_pressure", "value": "101325.00"},
        {"value_type": "signal", "value": "-66"},
        {"value_type": "temperature", "value": "warm"},
    ]

    decoded = decode_push(json.dumps({"software_version": "x", "sensordatavalues": values}).encode(), NOW_US)

    assert decoded.readings() == [
        RawReading(0, "", "pm10", NOW_US, 12.3, "ug/m3"),
        RawReading(1, "", "pm25", NOW_US, 7.5, "ug/m3"),
        RawReading(2, "", "pressure", NOW_US, 101_325.0, "Pa"),
    ]
    assert decoded.refused == {4: Reason.VALUE_NOT_A_NUMBER}


EVENT = {
    "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
    "time": "2025-11-24T16:00:00.123456789Z",
    "deviceInfo": {"devEui": "70B3D57ED0051234", "deviceName": "probe"},
    "fCnt": 42,
    "fPort": 2,
    "data": "AWcBEAJozgOIBnZf8pYKAAPo",
}


def test_an_uplink_in_cayenne_lpp_is_read_by_channel_and_type() -> None:
    """Temperature, humidity and place by their mapping, the counter of frames, and the gateway's time."""
    codec = CayenneLpp({(1, 103): "temperature", (2, 104): "humidity", (3, 136): "position"})

    uplink = read_uplink(json.dumps(EVENT).encode())
    decoded = decode_uplink(uplink, codec, NOW_US)

    at = 1_764_000_000_123_456
    assert uplink.dev_eui == "70b3d57ed0051234"
    assert decoded.sequence == 42
    *numbers, place = decoded.readings()
    assert numbers == [
        RawReading(0, "", "temperature", at, 27.2, "Cel"),
        RawReading(1, "", "humidity", at, 103.0, "%"),
    ]
    assert isinstance(place.result, Place)
    assert (place.result.longitude, place.result.latitude) == pytest.approx((-87.9094, 42.3519))


def test_cayenne_lpp_that_ends_early_keeps_what_came_before() -> None:
    """An unknown type, or a value that is cut off, refuses the rest as one reading."""
    codec = CayenneLpp({(1, 103): "temperature"})

    for rest in (b"\x01\xfe\x00\x00", b"\x01\x67\x01", b"\x01"):
        found = list(codec.read(b"\x01\x67\x01\x10" + rest, 1))
        assert [each if isinstance(each, Reason) else each.result for each in found] == [
            27.2,
            Reason.PAYLOAD_UNDECODABLE,
        ]


def test_a_byte_layout_reads_fields_by_port() -> None:
    """Width, sign, order, mask, scale and shift, from both ends, only on their port."""
    fields = (
        ByteField("temperature", 0, 2, f_port=2, encoding=Encoding.SIGNED, scale=0.1),
        ByteField("battery", 2, 2, little_endian=True, scale=0.001, unit="V"),
        ByteField("level", 4, 1, bit_mask=0b0111_0000),
        ByteField("tilt", 4, 1, encoding=Encoding.SIGNED, bit_mask=0b0000_1111, shift=90),
        ByteField("pressure", -4, 4, encoding=Encoding.FLOAT),
        ByteField("other", 0, 1, f_port=3),
        ByteField("beyond", 8, 8),
    )
    payload = (-123).to_bytes(2, "big", signed=True) + (3_600).to_bytes(2, "little") + b"\x5f" + struct.pack(">f", 1.5)

    found = [each for each in ByteLayout(fields).read(payload, 2) if not isinstance(each, Reason)]

    values = {each.observed_property: each.result for each in found}
    assert values == {
        "temperature": pytest.approx(-12.3),
        "battery": pytest.approx(3.6),
        "level": 5.0,
        "tilt": 89.0,
        "pressure": 1.5,
    }
    assert list(ByteLayout(fields[5:6]).read(payload, 2)) == [Reason.PAYLOAD_UNDECODABLE]


@pytest.mark.parametrize(
    "changed",
    [
        {"deviceInfo": {}},
        {"deviceInfo": {"devEui": "70B3D57ED005123Z"}},
        {"data": "AWc"},
        {"data": "é"},
        {"fCnt": -1},
        {"fPort": 256},
        {"fPort": "2"},
        {"data": "AAAA" * 100},
    ],
)
def test_an_event_that_can_be_none_is_refused(changed: dict[str, Any]) -> None:
    """Without an EUI, with a port or a counter that LoRaWAN does not have, or with too many bytes."""
    with pytest.raises(InvalidArgument):
        read_uplink(json.dumps({**EVENT, **changed}).encode())

"""Payloads from strangers: what is right is read exactly, and nothing else gets further than a reason."""

import json
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maasloop.core.clock import from_us
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.plain_json import decode_plain
from maasloop.ingest.domain.readings import Decoded, Place, RawReading
from maasloop.ingest.domain.senml import CBOR_LABELS, decode_records, decode_senml
from maasloop.ingest.domain.units import conversion, known
from maasloop.ingest.entrypoints.cbor_records import read_cbor

NOW_US = 1_764_000_000_000_000
PAYLOAD_REASONS = {Reason.PAYLOAD_UNDECODABLE, Reason.PAYLOAD_TOO_LARGE, Reason.PAYLOAD_TOO_DEEP}

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_fields = st.sampled_from(
    [
        "observations",
        "device",
        "property",
        "time",
        "value",
        "state",
        "position",
        "longitude",
        "latitude",
        "bn",
        "bt",
        "bu",
        "bv",
        "bver",
        "n",
        "u",
        "v",
        "vs",
        "vb",
        "vd",
        "t",
        "x_",
    ]
)
_json = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_fields, inner, max_size=4))


def _hostile() -> st.SearchStrategy[bytes]:
    documents = _json.map(lambda value: json.dumps(value).encode())
    wrapped = st.lists(_json, max_size=4).map(lambda items: json.dumps({"observations": items}).encode())
    return (
        st.binary(max_size=64) | documents | wrapped | st.lists(_json, max_size=4).map(lambda i: json.dumps(i).encode())
    )


@given(_hostile())
@example(b"[" * 100_000)
@example(b'{"observations": [{"property": "pm25", "value": 1e400, "device": "\\ud800"}]}')
@example(b'{"observations": [{"property": "pm25", "value": ' + b"9" * 5_000 + b"}]}")
@example(b"\xef\xbb\xbf[]")
@example(b"1" * 300_000)
def test_a_payload_is_decoded_or_refused_with_a_reason(payload: bytes) -> None:
    """Whatever the bytes, both decoders return readings or raise one of three reasons."""
    for decode in (decode_plain, decode_senml):
        decoded = _decoded(decode, payload)
        if isinstance(decoded, str):
            assert decoded in PAYLOAD_REASONS
            continue
        indexes = [reading.index for reading in decoded.readings()]
        assert not set(indexes) & decoded.refused.keys()
        assert len(indexes) == len(set(indexes))


def _decoded(decode: Callable[[bytes, int], Decoded], payload: bytes) -> Decoded | str:
    try:
        return decode(payload, NOW_US)
    except InvalidArgument as error:
        return error.reason


_results = (
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: ({"value": value}, value))
    | st.booleans().map(lambda value: ({"value": value}, float(value)))
    | st.text(max_size=20).map(lambda state: ({"state": state}, state))
    | st.tuples(st.floats(-180, 180), st.floats(-90, 90)).map(
        lambda place: ({"position": {"longitude": place[0], "latitude": place[1]}}, Place(*place))
    )
)


@given(st.lists(st.tuples(_results, st.integers(0, 2**50), st.booleans()), max_size=20))
def test_readings_are_read_as_they_were_written(readings: list[tuple[tuple[dict[str, Any], Any], int, bool]]) -> None:
    """Numbers, words and places come back exactly, with their time as microseconds or as RFC 3339."""
    written = [
        {"property": "p", "device": "d", "time": from_us(time_us).isoformat() if text else time_us, **fields}
        for (fields, _), time_us, text in readings
    ]

    decoded = decode_plain(json.dumps({"observations": written}).encode(), NOW_US)

    assert decoded.refused == {}
    assert decoded.readings() == [
        RawReading(index, "d", "p", time_us, result) for index, ((_, result), time_us, _) in enumerate(readings)
    ]


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        ({"property": "p"}, Reason.PAYLOAD_UNDECODABLE),
        ({"property": "p", "value": 1, "state": "x"}, Reason.PAYLOAD_UNDECODABLE),
        ({"property": "p", "value": 1, "unknown": 1}, Reason.PAYLOAD_UNDECODABLE),
        ({"property": "p", "value": 1, "time": "2026-01-01T00:00:00"}, Reason.PAYLOAD_UNDECODABLE),
        ({"property": "p", "value": "1"}, Reason.VALUE_NOT_A_NUMBER),
        ({"property": "p", "state": 1}, Reason.TEXT_INVALID),
    ],
)
def test_a_reading_that_is_none_leaves_the_others(reading: dict[str, Any], reason: Reason) -> None:
    """A malformed reading is refused by its index; its neighbours are kept."""
    good = {"property": "p", "value": 1}

    decoded = decode_plain(json.dumps({"observations": [good, reading, good]}).encode(), NOW_US)

    assert decoded.refused == {1: reason}
    assert [kept.index for kept in decoded.readings()] == [0, 2]


def test_senml_base_values_hold_for_the_records_after_them() -> None:
    """Base name, time, unit and value are added up as in RFC 8428; a later base replaces an earlier one."""
    records = [
        {"bn": "lamp-1/", "bt": 1_764_000_000, "bu": "W", "bv": 100, "n": "power", "v": 20},
        {"n": "power", "v": 21, "t": 1.5},
        {"bn": "lamp-2/", "bv": 0, "n": "presence", "vb": True},
        {"n": "mode", "vs": "night", "t": -3},
    ]

    decoded = decode_senml(json.dumps(records).encode(), NOW_US)

    assert decoded.refused == {}
    assert decoded.readings() == [
        RawReading(0, "lamp-1", "power", 1_764_000_000_000_000, 120.0, "W"),
        RawReading(1, "lamp-1", "power", 1_764_000_001_500_000, 121.0, "W"),
        RawReading(2, "lamp-2", "presence", 1_764_000_000_000_000, 1.0),
        RawReading(3, "lamp-2", "mode", 1_763_999_997_000_000, "night"),
    ]


def test_senml_times_below_2_28_are_relative_to_receipt() -> None:
    """A small time counts from receipt, and no time at all is the time of receipt."""
    records = [{"n": "power", "v": 1, "t": -5}, {"n": "power", "v": 1}]

    decoded = decode_senml(json.dumps(records).encode(), NOW_US)

    assert [(reading.device, reading.time_us) for reading in decoded.readings()] == [
        ("", NOW_US - 5_000_000),
        ("", NOW_US),
    ]


@pytest.mark.parametrize("record", [{"bver": 11, "n": "p", "v": 1}, {"n": "p", "v": 1, "must_": 1}, {"bt": "x"}])
def test_senml_that_must_be_understood_and_is_not_refuses_the_payload(record: dict[str, Any]) -> None:
    """A newer version, a field that ends in an underscore and a broken base value refuse everything."""
    with pytest.raises(InvalidArgument) as caught:
        decode_senml(json.dumps([record]).encode(), NOW_US)

    assert caught.value.reason == Reason.PAYLOAD_UNDECODABLE


def _converted(value: float, given: str, wanted: str) -> float | None:
    found = conversion(given, wanted)
    return None if found is None else found(value)


@pytest.mark.parametrize(
    ("value", "given_unit", "wanted", "expected"),
    [
        (300.0, "K", "Cel", 26.85),
        (212.0, "[degF]", "Cel", 100.0),
        (0.5, "kW", "W", 500.0),
        (55.0, "%RH", "%", 55.0),
        (0.55, "/", "%", 55.0),
        (1.0, "Hz", "/min", 60.0),
        (3.0, "", "W", 3.0),
        (3.0, "furlong", "furlong", 3.0),
        (3.0, "W", "Cel", None),
        (3.0, "furlong", "m", None),
    ],
)
def test_units_of_one_dimension_convert(value: float, given_unit: str, wanted: str, expected: float | None) -> None:
    """Values are converted within a dimension, and refused between dimensions."""
    assert _converted(value, given_unit, wanted) == (expected if expected is None else pytest.approx(expected))


def test_every_unit_of_senml_is_known() -> None:
    """All names of the registry, primary and secondary, have a place in the table."""
    names = """m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s
        l/s W/m2 cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m B VA VAs var
        vars J/m kg/m3 deg NTU ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA
        dBm ug/m3 mm/h m/h ppm /100 /1000 hPa mm cm km km/h ppb ppt VAh mg/l ug/l g/l"""

    assert [name for name in names.split() if not known(name)] == []


@pytest.mark.parametrize(
    ("value", "secondary", "primary", "expected"),
    [
        (1.0, "ms", "s", 0.001),
        (2.0, "MHz", "Hz", 2e6),
        (1.0, "Ah", "C", 3600.0),
        (1.0, "kvarh", "vars", 3.6e6),
        (10.0, "Wh/km", "J/m", 36.0),
        (1.0, "KiB", "B", 1024.0),
        (1.0, "MB/s", "bit/s", 8e6),
        (30.0, "dBm", "dBW", 0.0),
        (12.5, "ug/m3", "kg/m3", 1.25e-8),
        (3.6, "mm/h", "m/s", 1e-6),
        (5.0, "ppb", "/", 5e-9),
        (1013.25, "hPa", "Pa", 101_325.0),
        (18.0, "km/h", "m/s", 5.0),
        (3.0, "ug/l", "kg/m3", 3e-6),
    ],
)
def test_secondary_units_are_scaled_as_registered(value: float, secondary: str, primary: str, expected: float) -> None:
    """A value in a secondary unit comes out in the primary one, as the registry of SenML says."""
    assert _converted(value, secondary, primary) == pytest.approx(expected, rel=1e-12)


def test_senml_sums_have_the_unit_of_their_value_times_a_second() -> None:
    """A sum alone is a reading: base sum added, watts become joules; beside a value it is passed over."""
    records = [
        {"bn": "meter/", "bu": "W", "bs": 1_000, "n": "energy", "s": 500},
        {"n": "power", "v": 7.5, "s": 500},
        {"n": "power", "bv": 2},
    ]

    decoded = decode_senml(json.dumps(records).encode(), NOW_US)

    assert [(each.observed_property, each.result, each.unit) for each in decoded.readings()] == [
        ("energy", 1_500.0, "J"),
        ("power", 7.5, "W"),
        ("power", 2.0, "W"),
    ]


def test_senml_in_cbor_is_the_same_as_in_json() -> None:
    """Numbered labels and decimal fractions mean what the JSON says."""
    records = [
        {"bn": "lamp-1/", "bt": 1_764_000_000.5, "bu": "W", "n": "power", "v": 20.5},
        {"n": "mode", "vs": "night", "t": -3},
        {"n": "presence", "vb": True},
    ]
    labels = {"bn": -2, "bt": -3, "bu": -4, "n": 0, "v": 2, "vs": 3, "vb": 4, "t": 6}
    numbered = [{labels[name]: value for name, value in record.items()} for record in records]
    numbered[0][2] = cbor2.CBORTag(4, [-1, 205])

    decoded = decode_records(read_cbor(cbor2.dumps(numbered)), CBOR_LABELS, NOW_US)

    assert decoded.readings() == decode_senml(json.dumps(records).encode(), NOW_US).readings()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x81\xa1\x02" + b"\x81" * 60_000, Reason.PAYLOAD_TOO_DEEP),
        (b"\x81\xa1\x02" + b"\x81" * 1_000, Reason.PAYLOAD_TOO_DEEP),
        (b"\x81" * 60_000, Reason.PAYLOAD_UNDECODABLE),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", Reason.PAYLOAD_TOO_LARGE),
        (b"\x81\xbb\xff\xff\xff\xff\xff\xff\xff\xff", Reason.PAYLOAD_UNDECODABLE),
        (b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", Reason.PAYLOAD_UNDECODABLE),
        (b"\x9f\xff", Reason.PAYLOAD_UNDECODABLE),
        (b"\xa2\x00\x00\x00\x01", Reason.PAYLOAD_UNDECODABLE),
        (b"\xc2\x59\xff\x00" + b"\xff" * 65_280, Reason.PAYLOAD_UNDECODABLE),
        (b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01", Reason.PAYLOAD_UNDECODABLE),
        (b"\x80\x80", Reason.PAYLOAD_UNDECODABLE),
        (b"\x00" * 300_000, Reason.PAYLOAD_TOO_LARGE),
    ],
)
def test_bombs_in_cbor_are_refused(payload: bytes, reason: Reason) -> None:
    """Depth, claimed lengths, indefinite lengths, a key twice, large tags and what follows the value are refused."""
    with pytest.raises(InvalidArgument) as caught:
        read_cbor(payload)

    assert caught.value.reason == reason


def test_no_tag_but_the_fraction_is_heard() -> None:
    """Whatever the library makes of a tag, it does not come through."""
    for tag in [*range(300), 1004, 1040, 43_000, 55_799, 2**32]:
        if tag != 4:
            with pytest.raises(InvalidArgument):
                read_cbor(cbor2.dumps(cbor2.CBORTag(tag, "2026-01-01")))


def test_json_may_carry_the_senders_count() -> None:
    """`sequence` is read, and refused where it is no count."""
    assert decode_plain(b'{"sequence": 17, "observations": []}', NOW_US).sequence == 17
    for wrong in (b"-1", b"1.5", b"true", b'"1"', b"9223372036854775808"):
        with pytest.raises(InvalidArgument):
            decode_plain(b'{"sequence": %b, "observations": []}' % wrong, NOW_US)

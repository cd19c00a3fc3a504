"""Codecs against judges that look at one record after the other, and against bytes from strangers."""

import json
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.byte_layout import ByteField, ByteLayout, Encoding
from maasloop.ingest.domain.cayenne_lpp import CayenneLpp
from maasloop.ingest.domain.csv_rows import decode_csv
from maasloop.ingest.domain.readings import RawReading
from maasloop.ingest.domain.senml import CBOR_LABELS, decode_records, decode_senml
from maasloop.ingest.domain.sensor_community import decode_push
from maasloop.ingest.entrypoints.cbor_records import read_cbor
from maasloop.ingest.entrypoints.events import read_any_uplink

NOW_US = 1_764_000_000_000_000
LABELS = {"bn": -2, "bt": -3, "bu": -4, "bv": -5, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "t": 6}

_names = st.sampled_from(["", "power", "lamp/power", "/", "a/b/c"])
_units = st.sampled_from(["W", "kW", "Cel", ""])
_seconds = st.sampled_from([0, -3, 1.5, 1_764_000_000, 1_764_000_000.25, 2**28 - 1, 2**28])
_numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False, width=32)
_bases = st.fixed_dictionaries({}, optional={"bn": _names, "bt": _seconds, "bu": _units, "bv": _numbers})
_fields = st.fixed_dictionaries({}, optional={"n": _names, "u": _units, "t": _seconds})
_values = (
    _numbers.map(lambda value: {"v": value})
    | st.text(max_size=3).map(lambda text: {"vs": text})
    | st.booleans().map(lambda truth: {"vb": truth})
)
_records = st.tuples(st.just({}) | _bases, _fields, _values).map(lambda parts: {**parts[0], **parts[1], **parts[2]})


def _resolved(records: list[dict[str, Any]]) -> list[RawReading]:
    """Resolve records as RFC 8428 says (4.6), slowly and obviously."""
    name, unit, time_s, value = "", "", 0.0, 0.0
    found = []
    for index, record in enumerate(records):
        name, unit = record.get("bn", name), record.get("bu", unit)
        time_s, value = record.get("bt", time_s), record.get("bv", value)
        device, _, observed_property = (name + record.get("n", "")).rpartition("/")
        at_s = float(time_s) + float(record.get("t", 0))
        time_us = round(at_s * 1e6) + (NOW_US if at_s < 2**28 else 0)
        if "vs" in record:
            found.append(RawReading(index, device, observed_property, time_us, record["vs"]))
        elif "vb" in record:
            found.append(RawReading(index, device, observed_property, time_us, float(record["vb"])))
        else:
            result = float(record["v"]) + float(value)
            found.append(RawReading(index, device, observed_property, time_us, result, record.get("u", unit)))
    return found


@given(st.lists(_records, max_size=12))
def test_senml_is_resolved_as_the_judge_does(records: list[dict[str, Any]]) -> None:
    """Whichever way a record takes through the codec, in JSON or CBOR, it means what the RFC says."""
    wanted = _resolved(records)
    numbered = [{LABELS[name]: value for name, value in record.items()} for record in records]

    in_json = decode_senml(json.dumps(records).encode(), NOW_US)
    in_cbor = decode_records(read_cbor(cbor2.dumps(numbered)), CBOR_LABELS, NOW_US)

    assert in_json.readings() == wanted
    assert in_cbor.readings() == wanted
    assert in_json.refused == in_cbor.refused == {}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**50),
            st.sampled_from(["lamp", "b"]),
            st.floats(allow_nan=False) | st.sampled_from(["rG", "on off", 'a"b']),
        ),
        max_size=10,
    ),
    st.sampled_from(",;\t"),
)
def test_csv_is_read_as_it_was_written(rows: list[tuple[int, str, float | str]], delimiter: str) -> None:
    """Numbers and words come back exactly, quoted where they must be."""
    lines = [delimiter.join(("time", "device", "property", "value"))]
    for time_us, device, value in rows:
        cell = repr(value) if isinstance(value, float) else f'"{value.replace(chr(34), chr(34) * 2)}"'
        lines.append(delimiter.join((str(10**14 + time_us), device, "p", cell)))

    decoded = decode_csv("\n".join(lines).encode(), NOW_US)

    assert decoded.refused == {}
    assert decoded.readings() == [
        RawReading(index, device, "p", 10**14 + time_us, value) for index, (time_us, device, value) in enumerate(rows)
    ]


DECODERS: dict[str, Callable[[bytes], object]] = {
    "csv": lambda payload: decode_csv(payload, NOW_US),
    "csv rows": lambda payload: decode_csv(b"time;device;property;value\n" + payload, NOW_US),
    "cbor": lambda payload: decode_records(read_cbor(payload), CBOR_LABELS, NOW_US),
    "cbor record": lambda payload: decode_records(read_cbor(b"\x81\xa2\x00" + payload), CBOR_LABELS, NOW_US),
    "push": lambda payload: decode_push(payload, NOW_US),
    "uplink": read_any_uplink,
}


@pytest.mark.parametrize("name", DECODERS)
@given(payload=st.binary(max_size=200))
def test_bytes_of_strangers_are_decoded_or_refused(name: str, payload: bytes) -> None:
    """Whatever the bytes, a decoder returns or refuses the payload as a whole, with a reason."""
    refused = {Reason.PAYLOAD_UNDECODABLE, Reason.PAYLOAD_TOO_LARGE, Reason.PAYLOAD_TOO_DEEP}

    assert _outcome(DECODERS[name], payload) in {"", *refused}


def _outcome(decode: Callable[[bytes], object], payload: bytes) -> str:
    try:
        decode(payload)
    except InvalidArgument as error:
        return error.reason
    return ""


@given(
    payload=st.binary(max_size=64),
    offset=st.integers(-10, 10),
    width=st.integers(1, 8),
    encoding=st.sampled_from(list(Encoding)),
    mask=st.integers(0, 2**63 - 1),
)
def test_radio_payloads_never_break_a_codec(
    payload: bytes, offset: int, width: int, encoding: Encoding, mask: int
) -> None:
    """Any payload gives values or reasons, whatever the layout says."""
    layout = ByteLayout((ByteField("a", offset, width, 0, encoding, bit_mask=mask, little_endian=bool(mask % 2)),))

    assert list(layout.read(payload, 1))
    list(CayenneLpp({(1, 103): "temperature"}).read(payload, 1))

"""CBOR from strangers: a list of flat records, read by ``cbor2`` within limits.

The list is read here and its records one by one by the library, each of at most ``FIELDS_MAX`` fields: so neither depth,
nor claimed lengths, nor keys that are chosen to collide in a dictionary cost more than the bytes that are there. Lengths
are definite, no key comes twice, and nothing follows the list. The one tag that SenML has, the decimal fraction (4), is
read in payloads of at most ``FRACTIONS_BYTES_MAX``, because it is a list in a record; every other tag is refused,
whatever the library could make of it.
"""

import io
from typing import Any, NoReturn

import cbor2

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.readings import PAYLOAD_MAX_BYTES, READINGS_MAX

FIELDS_MAX = 23
"""A record's fields are counted in the byte that begins it."""
FRACTIONS_BYTES_MAX = 8 * 1024
FRACTION_DEPTH = 3
"""The record, the tag and its list."""
EXPONENT_MAX = 400
"""A float of 64 bits has no larger decimal exponent."""
MANTISSA_BITS_MAX = 64
_FRACTION_TAG = 4
_FRACTION_PARTS = 2
_TAGS_OF_LIBRARY = (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
"""Tags that the library would make objects of."""
_DEEP = "depth"
_MAP, _LIST = 0xA0, 0x80
_LIST_SIZES = {0x98: 1, 0x99: 2, 0x9A: 4, 0x9B: 8}
"""Bytes of the count behind a list that does not carry it in its first byte."""


def _refuse_tag(*_: object, **__: object) -> NoReturn:
    message = "tags are not heard"
    raise ValueError(message)


def _fraction(parts: Any, *_: object, **__: object) -> float:  # noqa: ANN401 - of a stranger
    """Return the number of ``[exponent, mantissa]``."""
    pair = isinstance(parts, list | tuple) and len(parts) == _FRACTION_PARTS
    whole = pair and all(type(each) is int and each.bit_length() <= MANTISSA_BITS_MAX for each in parts)
    if not whole or abs(parts[0]) > EXPONENT_MAX:
        message = "a decimal fraction has a small whole exponent and a whole mantissa"
        raise ValueError(message)
    return float(f"{parts[1]}e{parts[0]}")


_DECODERS: Any = {**dict.fromkeys(_TAGS_OF_LIBRARY, _refuse_tag), _FRACTION_TAG: _fraction}


def read_cbor(payload: bytes) -> list[Any]:
    """Return the records, or refuse the payload (PAYLOAD_TOO_LARGE, PAYLOAD_TOO_DEEP, PAYLOAD_UNDECODABLE)."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        message = f"the payload has {len(payload)} bytes, at most {PAYLOAD_MAX_BYTES} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    start, count = _list_head(payload)
    if count > READINGS_MAX:
        message = f"the payload holds {count} records, at most {READINGS_MAX} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    stream = io.BytesIO(payload)
    stream.seek(start)
    decode, place = _decoder(stream, len(payload)).decode, stream.tell
    records: list[Any] = []
    try:
        for _ in range(count):
            if not _MAP <= payload[place()] <= _MAP + FIELDS_MAX:
                raise _undecodable(f"record {len(records)} is no map of at most {FIELDS_MAX} fields")
            records.append(decode())
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, IndexError) as error:
        if _DEEP in str(error):
            raise InvalidArgument(Reason.PAYLOAD_TOO_DEEP, "a record holds a list or a map") from None
        raise _undecodable(str(error)[:200]) from None
    if place() != len(payload):
        raise _undecodable("something follows the list")
    return records


def _decoder(stream: io.BytesIO, size: int) -> cbor2.CBORDecoder:
    return cbor2.CBORDecoder(
        stream,
        semantic_decoders=_DECODERS,
        tag_hook=_refuse_tag,
        max_depth=FRACTION_DEPTH if size <= FRACTIONS_BYTES_MAX else 1,
        allow_indefinite=False,
        allow_duplicate_keys=False,
    )


def _list_head(payload: bytes) -> tuple[int, int]:
    """Return where the first record begins and how many are claimed."""
    first = payload[0] if payload else 0
    if _LIST <= first <= _LIST + FIELDS_MAX:
        return 1, first - _LIST
    size = _LIST_SIZES.get(first)
    if size is None or len(payload) < 1 + size:
        raise _undecodable("a list of records is needed")
    return 1 + size, int.from_bytes(payload[1 : 1 + size], "big")


def _undecodable(why: str) -> InvalidArgument:
    return InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"not SenML in CBOR: {why}")

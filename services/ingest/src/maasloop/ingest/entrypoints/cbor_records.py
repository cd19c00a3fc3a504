"""CBOR from strangers, read by ``cbor2`` within limits: size, depth, definite lengths, no key twice, no tags.

The one tag that SenML has, the decimal fraction (4), is read where its exponent is small; every other tag is refused,
whatever the library could make of it. Claimed lengths cost nothing: the library reads what is there.
"""

import io
from typing import Any, NoReturn

import cbor2

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.readings import DEPTH_MAX, PAYLOAD_MAX_BYTES

EXPONENT_MAX = 400
"""A float of 64 bits has no larger decimal exponent."""
_FRACTION_TAG = 4
_FRACTION_PARTS = 2
_TAGS_OF_LIBRARY = (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
"""Tags that the library would make objects of."""
_DEEP = "depth"


def _refuse_tag(*_: object, **__: object) -> NoReturn:
    message = "tags are not heard"
    raise ValueError(message)


def _fraction(parts: Any, *_: object, **__: object) -> float:  # noqa: ANN401 - of a stranger
    """Return the number of ``[exponent, mantissa]``."""
    whole = (
        isinstance(parts, list | tuple) and len(parts) == _FRACTION_PARTS and all(type(each) is int for each in parts)
    )
    if not whole or abs(parts[0]) > EXPONENT_MAX:
        message = "a decimal fraction has a small whole exponent and a whole mantissa"
        raise ValueError(message)
    return float(f"{parts[1]}e{parts[0]}")


_DECODERS: Any = {**dict.fromkeys(_TAGS_OF_LIBRARY, _refuse_tag), _FRACTION_TAG: _fraction}


def read_cbor(payload: bytes) -> Any:  # noqa: ANN401 - whatever stands there
    """Return the value, or refuse the payload (PAYLOAD_TOO_LARGE, PAYLOAD_TOO_DEEP, PAYLOAD_UNDECODABLE)."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        message = f"the payload has {len(payload)} bytes, at most {PAYLOAD_MAX_BYTES} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    stream = io.BytesIO(payload)
    try:
        decoder = cbor2.CBORDecoder(
            stream,
            semantic_decoders=_DECODERS,
            tag_hook=_refuse_tag,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        value = decoder.decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        if _DEEP in str(error):
            raise InvalidArgument(Reason.PAYLOAD_TOO_DEEP, f"the payload is nested deeper than {DEPTH_MAX}") from None
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"not CBOR: {str(error)[:200]}") from None
    if stream.tell() != len(payload):
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "not CBOR: something follows the value")
    return value

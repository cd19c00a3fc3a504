"""JSON from strangers: bounded in size and depth, without the extensions of Python's reader."""

import json
from typing import NoReturn

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .readings import DEPTH_MAX, PAYLOAD_MAX_BYTES

type Json = dict[str, "Json"] | list["Json"] | str | float | bool | None


def read_json(payload: bytes) -> Json:
    """Return the value, or refuse the payload (PAYLOAD_TOO_LARGE, PAYLOAD_TOO_DEEP, PAYLOAD_UNDECODABLE)."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        message = f"the payload has {len(payload)} bytes, at most {PAYLOAD_MAX_BYTES} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    try:
        value: Json = _READER.decode(payload.decode("utf-8"))
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"not JSON: {str(error)[:200]}") from None
    _require_shallow(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is no number of JSON"
    raise ValueError(message)


# One for the process: making a reader costs as much as reading a small payload.
_READER = json.JSONDecoder(parse_constant=_refuse_constant)


def _require_shallow(value: Json) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        below: list[Json] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        if not below:
            return
        level = below
    if any(isinstance(each, dict | list) for each in level):
        raise _too_deep()


def _too_deep() -> InvalidArgument:
    return InvalidArgument(Reason.PAYLOAD_TOO_DEEP, f"the payload is nested deeper than {DEPTH_MAX}")


def number(value: Json) -> float | None:
    """Return a number as a float, infinite where it is too large, and nothing for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")

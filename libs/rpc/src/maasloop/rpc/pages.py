"""Pages of a list (AIP-158): sizes are coerced, tokens are opaque and belong to the arguments they were made for.

A token holds the position after the last row of its page. Its checksum notices damage, and the digest of the arguments
notices a token that is used with another filter or parent, which would silently skip rows.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence

from maasloop.core.errors import InvalidArgument

type Position = tuple[str | int | float, ...]

TOKEN_LENGTH_MAX = 4_096
_CHECKSUM_BYTES = 4

_MALFORMED = "page_token is not one of ours"
_FOREIGN = "page_token was made for other arguments"


def page_size(requested: int, *, default: int = 100, largest: int = 1_000) -> int:
    """Return the number of rows of a page: 0 asks for the default, too much for the largest, less than 0 is refused."""
    if requested < 0:
        message = f"page_size must not be negative; got {requested}"
        raise InvalidArgument("REQUEST_INVALID", message, {"field": "page_size", "rule": "int32.gte"})
    return min(requested or default, largest)


def encode_page_token(position: Sequence[str | float], arguments: Mapping[str, object]) -> str:
    """Return the token that continues after ``position`` for the same arguments (all but page size and token)."""
    body = json.dumps([_digest(arguments), list(position)], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_checksum(body) + body).decode().rstrip("=")


def decode_page_token(token: str, arguments: Mapping[str, object]) -> Position | None:
    """Return the position a token continues after, nothing for the first page, or refuse the token."""
    if not token:
        return None
    digest, position = _opened(token)
    if digest != _digest(arguments):
        raise _invalid(_FOREIGN)
    return position


def _opened(token: str) -> tuple[str, Position]:
    if len(token) > TOKEN_LENGTH_MAX:
        raise _invalid(_MALFORMED)
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(_MALFORMED) from None
    checksum, body = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
    if checksum != _checksum(body):
        raise _invalid(_MALFORMED)
    try:
        digest, position = json.loads(body)
        return digest, tuple(position)
    except (ValueError, TypeError):
        raise _invalid(_MALFORMED) from None


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES)


def _digest(arguments: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(arguments, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument("PAGE_TOKEN_INVALID", message)

"""What requests of all methods share (AIP-155, 158, 134): what makes a repetition the same request, pages, and masks."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .pages import decode_page_token, encode_page_token, page_size

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1_000


class Paged(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


class Paging(NamedTuple):
    """Where a page begins, how long it is, and how to continue."""

    position: Sequence[str]
    """Empty on the first page."""
    limit: int
    arguments: dict[str, object]

    def next_token(self, position: Sequence[str], *, more: bool) -> str:
        """Return the token of the page after ``position``, empty after the last page."""
        return encode_page_token(position, self.arguments) if more else ""


def request_digest(message: Message) -> bytes:
    """Return a digest of all that a request says but its ``request_id``."""
    bare = type(message)()
    bare.CopyFrom(message)
    bare.ClearField("request_id")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()


def paging(request: Paged, **arguments: object) -> Paging:
    """Read page size and token; ``arguments`` are those that the token belongs to."""
    limit = page_size(request.page_size, default=PAGE_SIZE_DEFAULT, largest=PAGE_SIZE_MAX)
    position = decode_page_token(request.page_token, arguments) or ()
    return Paging([str(part) for part in position], limit, arguments)


def mask_of(mask: FieldMask, resource: Message) -> frozenset[str]:
    """Return the top-level fields of a mask that the resource has, or refuse the others; empty stays empty."""
    known = resource.DESCRIPTOR.fields_by_name
    unknown = [path for path in mask.paths if path not in known]
    if unknown:
        message = f"update_mask names no field of the resource: {', '.join(unknown)[:200]}"
        raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "update_mask", "rule": "update_mask.known"})
    return frozenset(mask.paths)

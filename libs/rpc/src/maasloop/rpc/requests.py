"""What requests of all methods share (AIP-155, 158, 134): what makes a repetition the same request, pages, and masks."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request

from .pages import decode_page_token, encode_page_token, page_size

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1_000


class Paging(NamedTuple):
    """Where a page begins, how long it is, and how to continue."""

    position: Sequence[str]
    """Empty on the first page."""
    limit: int
    arguments: dict[str, object]

    @property
    def after_id(self) -> str:
        """The id after which the page begins, where ids alone order the list; empty for the first page."""
        return self.position[0] if self.position else ""

    def next_token(self, position: Sequence[str], *, more: bool) -> str:
        """Return the token of the page after ``position``, empty after the last page."""
        return encode_page_token(position, self.arguments) if more else ""


def request_digest(message: Message) -> bytes:
    """Return a digest of all that a message says but its ``request_id``, where it has one."""
    bare = type(message)()
    bare.CopyFrom(message)
    if "request_id" in message.DESCRIPTOR.fields_by_name:
        bare.ClearField("request_id")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()


def request_of(message: Message, method: str) -> Request:
    """Return what identifies a request that changes something."""
    return Request(str(getattr(message, "request_id", "")), method, request_digest(message))


def paging(request: Message, **arguments: object) -> Paging:
    """Read ``page_size`` and ``page_token``; ``arguments`` are those that the token belongs to, beside the method."""
    wanted, token = int(getattr(request, "page_size", 0)), str(getattr(request, "page_token", ""))
    limit = page_size(wanted, default=PAGE_SIZE_DEFAULT, largest=PAGE_SIZE_MAX)
    arguments["request"] = request.DESCRIPTOR.full_name
    position = decode_page_token(token, arguments) or ()
    return Paging([str(part) for part in position], limit, arguments)


def mask_of(mask: FieldMask, resource: Message) -> frozenset[str]:
    """Return the top-level fields of a mask that the resource has, or refuse the others; empty stays empty."""
    known = resource.DESCRIPTOR.fields_by_name
    unknown = [path for path in mask.paths if path not in known]
    if unknown:
        message = f"update_mask names no field of the resource: {', '.join(unknown)[:200]}"
        raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "update_mask", "rule": "update_mask.known"})
    return frozenset(mask.paths)

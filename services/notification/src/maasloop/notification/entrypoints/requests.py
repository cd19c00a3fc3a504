"""What requests of all methods share: pages, and what makes a repetition the same request."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from google.protobuf.message import Message

from maasloop.notification.ports import Request, TimedPosition
from maasloop.rpc.pages import decode_page_token, encode_page_token, page_size


class Paged(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


class Paging(NamedTuple):
    """Where a page begins, how long it is, and how to continue."""

    position: Sequence[str | int | float]
    """Empty on the first page."""
    limit: int
    arguments: dict[str, object]

    @property
    def after_id(self) -> str:
        """The id after which the page begins, empty for the first."""
        return str(self.position[0]) if self.position else ""

    @property
    def after_time(self) -> TimedPosition | None:
        """The time and id before which the page begins, nothing for the first."""
        return TimedPosition(int(self.position[0]), str(self.position[1])) if self.position else None

    def next_token(self, position: Sequence[str | int], *, more: bool) -> str:
        """Return the token of the page after ``position``, empty after the last page."""
        return encode_page_token(position, self.arguments) if more else ""


def paging(request: Paged, **arguments: object) -> Paging:
    """Read page size and token; ``arguments`` are those that the token belongs to."""
    return Paging(decode_page_token(request.page_token, arguments) or (), page_size(request.page_size), arguments)


def request_of(message: Message, method: str) -> Request:
    """Return what identifies a request that changes something; its id does not count as its content."""
    request_id = str(getattr(message, "request_id", ""))
    bare = type(message)()
    bare.CopyFrom(message)
    bare.ClearField("request_id")
    return Request(request_id, method, digest(bare))


def digest(message: Message) -> bytes:
    """Return the digest of a message's content."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()

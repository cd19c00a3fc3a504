"""Streams of the broker, looked at from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream as it is."""

    created: str
    first_sequence: int
    last_sequence: int
    bytes: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message that was read from a stream and not delivered."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    body: bytes
    stored_us: int


class StreamBrowser(Protocol):
    """Streams of the broker, looked at from outside."""

    async def info(self, stream: str) -> StreamInfo:
        """Return a stream as it is; raises ``Unavailable`` where it cannot be told."""
        ...

    async def get(self, stream: str, sequence: int) -> StreamMessage | None:
        """Return a message, or nothing where the stream has none under this sequence."""
        ...

    async def purge_below(self, stream: str, sequence: int) -> int:
        """Free everything below a sequence and return how many messages that were."""
        ...

    async def ack_floor(self, stream: str, durable: str) -> int:
        """Return the sequence up to which a durable acknowledged everything; -1 where it does not exist."""
        ...


class StreamReader(StreamBrowser, Protocol):
    """Streams of which messages are read that were not delivered."""

    async def first_from(self, stream: str, sequence: int) -> StreamMessage | None:
        """Return the first message at or after a sequence, or nothing where the stream has none."""
        ...

    async def some_from(self, stream: str, sequence: int, end: int) -> tuple[int, Sequence[StreamMessage]]:
        """Return the first messages from a sequence on and before ``end``, in order, and where to go on."""
        ...

"""Streams of NATS as files, by the snapshot API of JetStream, and back.

A snapshot holds the messages of a stream with their sequences, not its consumers: a durable that is made anew reads from
the start, and every owner of a custody stream passes over what its tables have. Bytes are the server's own (a tar archive,
compressed by S2).
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg

from maasloop.bus.connection import Bus
from maasloop.core.errors import Unavailable

CHUNK_BYTES = 128 * 1024
CHUNK_TIMEOUT_S = 30.0
"""Longest wait for the next part of a snapshot, or for the server to take one."""
ANSWER_TIMEOUT_S = 60.0
"""Longest answer of the server, which checks a stream before it hands it out and after it took one in."""
_STATUS = "Status"
_WHOLE = "204"
"""Status of the message that ends a snapshot."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds."""

    messages: int
    bytes: int
    first_sequence: int
    last_sequence: int

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "StreamState":
        """Read the ``state`` of an answer of the server."""
        return cls(state["messages"], state["bytes"], state["first_seq"], state["last_seq"])


async def state_of(bus: Bus, stream: str) -> StreamState | None:
    """Return what a stream holds; None where there is no such stream."""
    answer = await bus.api(f"STREAM.INFO.{stream}", timeout_s=ANSWER_TIMEOUT_S)
    if answer.get("error", {}).get("code") == 404:  # noqa: PLR2004 - as in HTTP
        return None
    return StreamState.of(_good(answer, stream)["state"])


async def save(bus: Bus, stream: str, path: Path) -> dict[str, Any]:
    """Write a stream to a file; return its ``config`` and ``state`` as ``load`` needs them.

    Raises ``Unavailable`` (NEIGHBOUR_UNAVAILABLE) when the server ends the snapshot early or says nothing any more.
    """
    inbox = bus.client.new_inbox()
    parts: asyncio.Queue[Msg] = asyncio.Queue()

    async def heard(message: Msg) -> None:
        parts.put_nowait(message)

    subscription = await bus.listen(inbox, heard)
    try:
        request = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": CHUNK_BYTES, "jsck": True}
        answer = await bus.api(f"STREAM.SNAPSHOT.{stream}", request, timeout_s=ANSWER_TIMEOUT_S)
        described = _good(answer, stream)
        with path.open("wb") as file:
            while (part := await _next(parts, stream)).data:
                file.write(part.data)
                # Without a word of ours the server stops after a few parts; the last one asks for none.
                if part.reply:
                    await bus.tell(part.reply, b"")
        status = (part.headers or {}).get(_STATUS, _WHOLE)
        if status != _WHOLE:
            raise _failed(stream, f"the server ended it with status {status}")
    finally:
        await subscription.unsubscribe()
    return {"config": described["config"], "state": described["state"]}


async def load(bus: Bus, stream: str, path: Path, described: Mapping[str, Any]) -> StreamState:
    """Make a stream from a file in place of the one that is there; return what it holds."""
    answer = await bus.api(f"STREAM.DELETE.{stream}", timeout_s=ANSWER_TIMEOUT_S)
    if answer.get("error", {}).get("code", 404) != 404:  # noqa: PLR2004 - as in HTTP
        _good(answer, stream)
    begun = await bus.api(f"STREAM.RESTORE.{stream}", dict(described), timeout_s=ANSWER_TIMEOUT_S)
    subject = str(_good(begun, stream)["deliver_subject"])
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            taken = await bus.ask(subject, part, timeout_s=CHUNK_TIMEOUT_S)
            if taken:
                _good(json.loads(taken), stream)
    ended = json.loads(await bus.ask(subject, b"", timeout_s=ANSWER_TIMEOUT_S))
    return StreamState.of(_good(ended, stream)["state"])


async def _next(parts: asyncio.Queue[Msg], stream: str) -> Msg:
    try:
        async with asyncio.timeout(CHUNK_TIMEOUT_S):
            return await parts.get()
    except TimeoutError:
        raise _failed(stream, f"the server said nothing for {CHUNK_TIMEOUT_S:.0f} s") from None


def _good(answer: Mapping[str, Any], stream: str) -> Mapping[str, Any]:
    if "error" in answer:
        raise _failed(stream, str(answer["error"].get("description", answer["error"])))
    return answer


def _failed(stream: str, why: str) -> Unavailable:
    return Unavailable("NEIGHBOUR_UNAVAILABLE", f"stream {stream}: {why}", {"neighbour": "nats"})

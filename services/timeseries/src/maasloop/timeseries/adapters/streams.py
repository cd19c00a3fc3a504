"""What the writer asks the broker about a stream: its birth and reach, one message of it, room in it."""

import asyncio
import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from maasloop.bus.connection import Bus
from maasloop.bus.streams import NANOSECONDS, Durable
from maasloop.core.clock import to_us
from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.ports.streams import StreamInfo, StreamMessage

FORGOTTEN_AFTER_S = 7 * 86_400
TOGETHER_MAX = 32
"""Messages that are asked for at once."""
_NO_MESSAGE = 10037
"""JetStream error code: no message found."""


class Streams:
    """Streams of the broker."""

    def __init__(self, bus: Bus) -> None:
        """Ask over this connection."""
        self._bus = bus

    async def info(self, stream: str) -> StreamInfo:
        """Return a stream as it is; raises ``Unavailable`` where it cannot be told."""
        answer = _sound(await self._bus.api(f"STREAM.INFO.{stream}"), stream)
        state, config = answer["state"], answer["config"]
        return StreamInfo(
            str(answer["created"]), state["first_seq"], state["last_seq"], state["bytes"], config["max_bytes"]
        )

    async def get(self, stream: str, sequence: int) -> StreamMessage | None:
        """Return a message, or nothing where the stream has none under this sequence."""
        return await self._get(stream, {"seq": sequence})

    async def first_from(self, stream: str, sequence: int) -> StreamMessage | None:
        """Return the first message at or after a sequence, or nothing where the stream has none."""
        return await self._get(stream, {"seq": sequence, "next_by_subj": ">"})

    async def some_from(self, stream: str, sequence: int, end: int) -> tuple[int, Sequence[StreamMessage]]:
        """Return the first messages from a sequence on and before ``end``, in order, and where to go on.

        What is missing most often lies side by side: behind the first, many are asked for at once.
        """
        first = await self.first_from(stream, sequence)
        if first is None or first.sequence >= end:
            return end, ()
        upto = min(first.sequence + TOGETHER_MAX, end)
        others = await asyncio.gather(*(self.get(stream, each) for each in range(first.sequence + 1, upto)))
        return upto, [first, *(each for each in others if each is not None)]

    async def _get(self, stream: str, which: dict[str, Any]) -> StreamMessage | None:
        answer = await self._bus.api(f"STREAM.MSG.GET.{stream}", which)
        if answer.get("error", {}).get("err_code") == _NO_MESSAGE:
            return None
        found = _sound(answer, stream)["message"]
        # nanoseconds are cut off: fromisoformat reads six digits
        stored = datetime.fromisoformat(f"{found['time'][:19]}+00:00")
        body = base64.b64decode(found.get("data", ""))
        return StreamMessage(found["seq"], found["subject"], _headers(found.get("hdrs", "")), body, to_us(stored))

    async def purge_below(self, stream: str, sequence: int) -> int:
        """Free everything below a sequence and return how many messages that were."""
        return int(_sound(await self._bus.api(f"STREAM.PURGE.{stream}", {"seq": sequence}), stream)["purged"])

    async def begin_durable(self, durable: Durable, after: int) -> None:
        """Make a durable anew that begins after a message; the broker forgets it when nobody asks it for a week."""
        await self._bus.api(f"CONSUMER.DELETE.{durable.stream}.{durable.name}")
        begins = {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
        config = {**durable.config(), **begins, "inactive_threshold": FORGOTTEN_AFTER_S * NANOSECONDS}
        body = {"stream_name": durable.stream, "config": config}
        answer = await self._bus.api(f"CONSUMER.DURABLE.CREATE.{durable.stream}.{durable.name}", body)
        _sound(answer, durable.stream)

    async def ack_floor(self, stream: str, durable: str) -> int:
        """Return the sequence up to which a durable acknowledged everything; -1 where it does not exist."""
        answer = await self._bus.api(f"CONSUMER.INFO.{stream}.{durable}")
        return -1 if "error" in answer else int(answer["ack_floor"]["stream_seq"])


def _headers(encoded: str) -> dict[str, str]:
    """Return the headers of a stored message: a line of the protocol, then one a line."""
    lines = base64.b64decode(encoded).decode("utf-8", "replace").splitlines()[1:]
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _sound(answer: dict[str, Any], stream: str) -> dict[str, Any]:
    if "error" in answer:
        message = f"stream {stream}: {answer['error'].get('description')}"
        raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "nats"})
    return answer

"""Pulling from a durable: our own loop, because nats-py's ``fetch`` stalls after an empty request.

One inbox, one subscription, no task of its own beside nats-py's. The server may send as many messages and bytes as were
asked for; the loop asks for more when less than half is outstanding or waiting, so that what lies in memory is bounded. When
neither a message nor a heartbeat came for two intervals, everything outstanding counts as lost and is asked for again:
what was on its way is redelivered by the server.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from .connection import Bus
from .streams import Durable

log = structlog.get_logger(__name__)

EXPIRES_S = 30
HEARTBEAT_S = 2
REFUSED_PAUSE_S = 0.5
"""After the server refused a request, for example because the durable does not exist yet."""
ACK_TIMEOUT_S = 5.0
NANOSECONDS = 1_000_000_000
ACK_TOKENS_SHORT = 9
OUTSTANDING_BYTES_MAX = 32 * 1024 * 1024
_STATUS = "Status"
_HEADER_ROOM, _HEADER_LINE = 12, 4
_DONE = ("MaxBytes", "Batch Completed")
"""In the word of a request whose bytes do not hold the next message, or that brought all that was asked for."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message of a stream, and the right to say what became of it.

    Exactly one of ``ack``, ``nak`` and ``term`` is called, after its outcome is durable.
    """

    subject: str
    headers: Mapping[str, str]
    body: bytes
    stream_sequence: int
    attempt: int
    """1 at the first delivery."""
    stored_ns: int
    """When the broker stored it, nanoseconds since the epoch."""
    pending: int
    """Messages behind it in the stream for this durable."""
    reply: str
    bus: Bus

    @property
    def id(self) -> str:
        """What it has in common with its other deliveries: a stream that was made again repeats its sequences."""
        return f"{self.stream_sequence}-{self.stored_ns}"

    async def ack(self) -> None:
        """Tell the broker that the outcome is durable."""
        await self.bus.tell(self.reply, b"+ACK")

    async def ack_proven(self) -> None:
        """Acknowledge and wait until the broker has it."""
        await self.bus.ask(self.reply, b"+ACK", timeout_s=ACK_TIMEOUT_S)

    async def nak(self, delay_s: float) -> None:
        """Ask for another delivery after a while."""
        await self.bus.tell(self.reply, b"-NAK " + json.dumps({"delay": int(delay_s * NANOSECONDS)}).encode())

    async def term(self) -> None:
        """End the deliveries of this message; its dead letter is durable."""
        await self.bus.tell(self.reply, b"+TERM")


class Pull:
    """A running pull from one durable. Use as an async context manager."""

    def __init__(
        self, bus: Bus, durable: Durable, *, outstanding_max: int = 256, bytes_max: int = OUTSTANDING_BYTES_MAX
    ) -> None:
        """Prepare; nothing is asked for before ``take``. No message of the stream is larger than half of ``bytes_max``."""
        self._bus = bus
        self._durable = durable
        self._outstanding_max = outstanding_max
        self._bytes_max = bytes_max
        self._asked = 0
        self._asked_bytes = 0
        self._waiting_bytes = 0
        self._waiting: deque[Delivery] = deque()
        self._arrived = asyncio.Event()
        self._heard_s = 0.0
        self._ask_from_s = 0.0
        self._subscription: Subscription | None = None
        self._inbox = bus.client.new_inbox()
        self._forget_reconnects: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        """Subscribe to the inbox."""
        self._subscription = await self._bus.client.subscribe(
            self._inbox, cb=self._hear, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        self._forget_reconnects = self._bus.on_reconnect(self._ask_again)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop hearing; what lies unhandled here is redelivered to another."""
        self._forget_reconnects()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except NatsError:
                log.debug("pull_unsubscribe_without_link", durable=self._durable.name)

    async def take(self, count_max: int, *, wait_s: float | None = None) -> list[Delivery]:
        """Return 1 to ``count_max`` messages in stream order; none only when ``wait_s`` passed.

        Messages that already arrived are returned at once: an idle stream adds no delay.
        """
        loop = asyncio.get_running_loop()
        deadline_s = None if wait_s is None else loop.time() + wait_s
        while not self._waiting:
            await self._ask_for_more()
            self._arrived.clear()
            patience_s = 2.0 * HEARTBEAT_S
            if (paused_s := self._ask_from_s - loop.time()) > 0:
                patience_s = paused_s
            if deadline_s is not None:
                patience_s = min(patience_s, deadline_s - loop.time())
                if patience_s <= 0:
                    return []
            try:
                async with asyncio.timeout(patience_s):
                    await self._arrived.wait()
            except TimeoutError:
                self._notice_silence(loop.time())
        taken = [self._waiting.popleft() for _ in range(min(count_max, len(self._waiting)))]
        self._waiting_bytes -= sum(_size(delivery) for delivery in taken)
        await self._ask_for_more()
        return taken

    @property
    def waiting(self) -> int:
        """Messages in memory that nobody took yet."""
        return len(self._waiting)

    async def _ask_for_more(self) -> None:
        held, held_bytes = self._asked + len(self._waiting), self._asked_bytes + self._waiting_bytes
        if held > self._outstanding_max // 2 or held_bytes > self._bytes_max // 2 or not self._bus.connected:
            return
        if asyncio.get_running_loop().time() < self._ask_from_s:
            return
        batch, room = self._outstanding_max - held, self._bytes_max - held_bytes
        request = {
            "batch": batch,
            "max_bytes": room,
            "expires": EXPIRES_S * NANOSECONDS,
            "idle_heartbeat": HEARTBEAT_S * NANOSECONDS,
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._durable.stream}.{self._durable.name}"
        if self._asked == 0:
            self._heard_s = asyncio.get_running_loop().time()
        self._asked += batch
        self._asked_bytes += room
        await self._bus.client.publish(subject, json.dumps(request).encode(), reply=self._inbox)

    def _ask_again(self) -> None:
        """Forget what was asked for on a link that is gone."""
        self._asked = self._asked_bytes = 0
        self._arrived.set()

    def _notice_silence(self, now_s: float) -> None:
        if now_s - self._heard_s > 2.0 * HEARTBEAT_S:
            self._asked = self._asked_bytes = 0

    async def _hear(self, message: Msg) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        headers = message.headers or {}
        status = headers.get(_STATUS)
        if status is None:
            delivery = self._delivery(message, headers)
            self._asked = max(0, self._asked - 1)
            self._asked_bytes = max(0, self._asked_bytes - _size(delivery)) if self._asked else 0
            self._waiting.append(delivery)
            self._waiting_bytes += _size(delivery)
            self._arrived.set()
        elif status != "100":
            left = int(headers.get("Nats-Pending-Messages", self._asked))
            left_bytes = int(headers.get("Nats-Pending-Bytes", self._asked_bytes))
            self._asked = max(0, self._asked - left)
            self._asked_bytes = max(0, self._asked_bytes - left_bytes) if self._asked else 0
            why = headers.get("Description", "")
            if status not in {"404", "408"} and not (status == "409" and any(word in why for word in _DONE)):
                self._ask_from_s = self._heard_s + REFUSED_PAUSE_S
                log.info("pull_ended", durable=self._durable.name, status=status, why=why)
            self._arrived.set()

    def _delivery(self, message: Msg, headers: Mapping[str, str]) -> Delivery:
        # $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>[.<token>], or the
        # short form without domain and account.
        tokens = message.reply.split(".")
        fields = tokens[4:9] if len(tokens) == ACK_TOKENS_SHORT else tokens[6:11]
        attempt, sequence, _, stored_ns, pending = (int(token) for token in fields)
        return Delivery(
            message.subject, headers, message.data, sequence, attempt, stored_ns, pending, message.reply, self._bus
        )


async def acknowledge(bus: Bus, deliveries: Iterable[Delivery]) -> None:
    """Tell the broker, in one write, that the outcomes of many messages are durable.

    Each is told for itself, never as "all up to here": another message of the durable may have to come again. What is
    not told because the link is gone comes again as well.
    """
    await bus.tell_many((delivery.reply for delivery in deliveries), b"+ACK")


def _size(delivery: Delivery) -> int:
    """What the broker counts of a message."""
    headers = sum(len(name) + len(value) + _HEADER_LINE for name, value in delivery.headers.items())
    return len(delivery.body) + len(delivery.subject) + len(delivery.reply) + headers + _HEADER_ROOM

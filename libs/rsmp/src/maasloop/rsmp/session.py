"""What both roles do on a link: packets, acknowledgements, watchdogs, time-outs. Neither input nor output of its own.

Bytes and time go in by ``receive`` and ``tick``; bytes and events come out by ``take_output`` and ``take_events``;
``deadline_s`` says when ``tick`` is wanted at the latest. Nothing here waits, reads a clock or draws a random number.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple

from .decoding import claimed_id, decode
from .dialect import NEWEST, Dialect
from .encoding import encode
from .errors import MessageInvalid
from .events import Closed, Event, PeerMistaken, PeerSilent, Refused
from .framing import PACKET_BYTES_MAX, VERSION_BYTES_MAX, Oversized, PacketBuffer
from .messages import MessageAck, MessageNotAck, Numbered, Version, Watchdog

ACKNOWLEDGEMENT_TIMEOUT_S = 30.0
"""After this long without an acknowledgement the link is taken as lost (core, "Message acknowledgement")."""
WATCHDOG_INTERVAL_S = 60.0
"""Each side sends a watchdog this often (core, "Watchdog")."""
SILENCE_S = 180.0
"""Three missed watchdogs; the standard names no limit."""
HANDSHAKE_TIMEOUT_S = 60.0
"""From the start of the link to its being ready."""
UNACKNOWLEDGED_MAX = 100
"""Messages under way; further ones wait for an acknowledgement."""
QUEUED_MAX = 20_000
"""Messages that wait to be sent; a peer that lets more pile up is cut off."""


class Instant(NamedTuple):
    """Now: once to measure by, once to tell others."""

    at_s: float
    """Monotonic seconds."""
    utc: datetime


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Times of a link, in seconds, and its limits."""

    acknowledgement_timeout_s: float = ACKNOWLEDGEMENT_TIMEOUT_S
    watchdog_interval_s: float = WATCHDOG_INTERVAL_S
    silence_s: float = SILENCE_S
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S
    packet_bytes_max: int = PACKET_BYTES_MAX
    unacknowledged_max: int = UNACKNOWLEDGED_MAX
    """Messages under way; with few of them a slow peer has the whole time-out for each."""


class Phase(Enum):
    """How far a link is."""

    VERSIONS = auto()
    """Nothing but versions is answered."""
    WATCHDOGS = auto()
    """The versions are agreed."""
    READY = auto()
    CLOSED = auto()


class Session(ABC):
    """One link, from its first byte to its last."""

    def __init__(self, settings: LinkSettings, new_id: Callable[[], str], now: Instant) -> None:
        """Begin at ``now``; ``new_id`` draws a UUID of version 4."""
        self.phase = Phase.VERSIONS
        self.dialect: Dialect = NEWEST
        self._settings = settings
        self._new_id = new_id
        self._packets = PacketBuffer(min(VERSION_BYTES_MAX, settings.packet_bytes_max))
        self._output: list[bytes] = []
        self._events: list[Event] = []
        self._under_way: dict[str, tuple[Numbered, float]] = {}
        self._queue: deque[tuple[Numbered, bytes]] = deque()
        self._handshake_end_s = now.at_s + settings.handshake_timeout_s
        self._watchdog_due_s: float | None = None
        self._silent_from_s: float | None = now.at_s + settings.silence_s

    def receive(self, data: bytes, now: Instant) -> None:
        """Take in what the peer sent."""
        self._silent_from_s = now.at_s + self._settings.silence_s
        for packet in self._packets.feed(data):
            if self.phase is Phase.CLOSED:
                return
            if isinstance(packet, Oversized):
                self._pass_over(packet, now)
            else:
                self._take(packet, now)

    def tick(self, now: Instant) -> None:
        """Do what time demands."""
        if self.phase is Phase.CLOSED:
            return
        if self.phase is not Phase.READY and now.at_s >= self._handshake_end_s:
            self.close(f"no handshake within {self._settings.handshake_timeout_s:g} s", now)
            return
        late = next(iter(self._under_way.values()), None)
        if late is not None and now.at_s >= late[1]:
            limit_s = self._settings.acknowledgement_timeout_s
            self.close(f"no acknowledgement of {type(late[0]).__name__} within {limit_s:g} s", now)
            return
        if self._silent_from_s is not None and now.at_s >= self._silent_from_s:
            self._silent_from_s = None
            self._tell(PeerSilent(self._settings.silence_s))
        # The handshake has one of each side, and a limit of its own.
        ready = self.phase is Phase.READY
        if ready and self._watchdog_due_s is not None and now.at_s >= self._watchdog_due_s:
            self._send_watchdog(now)
        self._on_tick(now)

    @property
    def deadline_s(self) -> float:
        """When ``tick`` is wanted, in monotonic seconds; infinity when the link is closed."""
        if self.phase is Phase.CLOSED:
            return float("inf")
        late = next(iter(self._under_way.values()), None)
        ready = self.phase is Phase.READY
        times = (
            None if ready else self._handshake_end_s,
            late[1] if late else None,
            self._silent_from_s,
            self._watchdog_due_s if ready else None,
            self._next_s(),
        )
        return min((each for each in times if each is not None), default=float("inf"))

    def close(self, reason: str, now: Instant) -> None:
        """End the link; what is to be sent still may be."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self._on_closed(now)
            self._under_way.clear()
            self._queue.clear()
            self._tell(Closed(reason))

    def take_output(self) -> bytes:
        """Return what is to be sent, once."""
        output, self._output = b"".join(self._output), []
        return output

    def take_events(self) -> list[Event]:
        """Return what happened, once, in order."""
        events, self._events = self._events, []
        return events

    def _take(self, packet: bytes, now: Instant) -> None:
        try:
            message = decode(packet, self.dialect)
        except MessageInvalid as invalid:
            self._tell(PeerMistaken(invalid.reason))
            if invalid.message_id and self.phase is not Phase.VERSIONS:
                self._write(MessageNotAck(invalid.message_id, invalid.reason))
            elif invalid.message_id and invalid.kind == "Version":
                self._reject(invalid.message_id, invalid.reason, now)
            return
        if isinstance(message, MessageAck | MessageNotAck):
            self._take_acknowledgement(message, now)
        elif isinstance(message, Version):
            self._on_version(message, now)
        elif self.phase is Phase.VERSIONS:
            # Without an answer the peer takes the link as lost and begins again with its version.
            self._tell(PeerMistaken(f"{type(message).__name__} before the versions are agreed"))
        else:
            self._on_message(message, now)

    def _pass_over(self, packet: Oversized, now: Instant) -> None:
        """Refuse a packet over the limit; before the versions are agreed nobody has a reason to send one."""
        reason = f"a packet exceeds {self._packets.packet_bytes_max} bytes without a form feed"
        if self.phase is Phase.VERSIONS:
            self.close(reason, now)
            return
        self._tell(PeerMistaken(reason))
        if message_id := claimed_id(packet.head):
            self._write(MessageNotAck(message_id, reason))

    def _take_acknowledgement(self, message: MessageAck | MessageNotAck, now: Instant) -> None:
        sent, _ = self._under_way.pop(message.of, (None, 0.0))
        if sent is None:
            self._tell(PeerMistaken(f"{type(message).__name__} of a message that is not under way"))
        elif isinstance(message, MessageAck):
            self._on_acknowledged(sent, now)
        else:
            self._tell(Refused(sent, message.reason))
            self._on_refused(sent, message.reason, now)
        self._send_queued(now)

    def _send(self, message: Numbered, now: Instant) -> None:
        """Send a message, or let it wait for those under way.

        Raises:
            NotSendable: this core version has no such message.
        """
        if self.phase is Phase.CLOSED:
            return
        packet = encode(message, self.dialect)
        if isinstance(message, Watchdog):
            # A sign of life waits for nothing.
            self._send_now(message, packet, now)
            return
        self._queue.append((message, packet))
        if len(self._queue) > QUEUED_MAX:
            self.close(f"more than {QUEUED_MAX} messages wait to be sent", now)
        self._send_queued(now)

    def _send_queued(self, now: Instant) -> None:
        while self._queue and len(self._under_way) < self._settings.unacknowledged_max:
            self._send_now(*self._queue.popleft(), now)

    def _send_now(self, message: Numbered, packet: bytes, now: Instant) -> None:
        self._under_way[message.message_id] = (message, now.at_s + self._settings.acknowledgement_timeout_s)
        self._output.append(packet)

    def _send_watchdog(self, now: Instant) -> None:
        self._watchdog_due_s = now.at_s + self._settings.watchdog_interval_s
        self._send(Watchdog(self._new_id(), now.utc), now)

    def _acknowledge(self, message: Numbered) -> None:
        self._write(MessageAck(message.message_id))

    def _refuse(self, message: Numbered, reason: str) -> None:
        self._tell(PeerMistaken(reason))
        self._write(MessageNotAck(message.message_id, reason))

    def _agree(self, dialect: Dialect) -> None:
        """Speak this dialect from now on."""
        self.dialect = dialect
        self._packets.packet_bytes_max = self._settings.packet_bytes_max

    def _reject(self, version_id: str, reason: str, now: Instant) -> None:
        """Refuse the peer's version and end the link (core, "Communication rejection")."""
        self._write(MessageNotAck(version_id, reason))
        self.close(reason, now)

    def _write(self, message: MessageAck | MessageNotAck) -> None:
        self._output.append(encode(message, self.dialect))

    def _unsettled(self) -> list[Numbered]:
        """Return what was not acknowledged, and what was not sent yet, oldest first."""
        return [*(message for message, _ in self._under_way.values()), *(message for message, _ in self._queue)]

    def _tell(self, event: Event) -> None:
        self._events.append(event)

    @abstractmethod
    def _on_version(self, version: Version, now: Instant) -> None: ...

    @abstractmethod
    def _on_message(self, message: Numbered, now: Instant) -> None: ...

    @abstractmethod
    def _on_acknowledged(self, message: Numbered, now: Instant) -> None: ...

    @abstractmethod
    def _on_refused(self, message: Numbered, reason: str, now: Instant) -> None: ...

    @abstractmethod
    def _on_tick(self, now: Instant) -> None: ...

    @abstractmethod
    def _on_closed(self, now: Instant) -> None: ...

    @abstractmethod
    def _next_s(self) -> float | None:
        """Return when ``_on_tick`` is wanted, or None."""

"""Packets: JSON in UTF-8, each ended by one form feed (core 3.2.2, "Wrapping of packets")."""

from collections.abc import Iterator
from typing import NamedTuple

FORM_FEED = b"\f"

PACKET_BYTES_MAX = 1024 * 1024
"""Longest packet that is accepted; a status with a controller's whole configuration (S0098) fits."""


VERSION_BYTES_MAX = 16 * 1024
"""Longest packet before the versions are agreed: from whoever connects, nothing but a version is wanted."""

HEAD_BYTES = 4 * 1024
"""What is kept of a packet over the limit: the id of its message stands near its beginning."""


class Oversized(NamedTuple):
    """The beginning of a packet over the limit."""

    head: bytes


class PacketBuffer:
    """Cuts a stream of bytes into packets."""

    def __init__(self, packet_bytes_max: int = PACKET_BYTES_MAX) -> None:
        """Hold packets of up to ``packet_bytes_max``, which may be changed between packets."""
        self.packet_bytes_max = packet_bytes_max
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes | Oversized]:
        """Yield the packets that ``data`` completes; several form feeds in a row, or a leading one, end nothing.

        A packet over the limit is told once, as soon as it is; the rest of it, up to its form feed, is passed over.
        """
        *ended, rest = data.split(FORM_FEED)
        for part in ended:
            yield from self._hold(part)
            packet, skipped = b"".join(self._parts), self._skipping
            self._forget(skipping=False)
            if packet.strip() and not skipped:
                yield packet
        yield from self._hold(rest)

    def _hold(self, part: bytes) -> Iterator[Oversized]:
        if self._skipping or not part:
            return
        self._parts.append(part)
        self._held_bytes += len(part)
        if self._held_bytes > self.packet_bytes_max:
            head = b"".join(self._parts)[:HEAD_BYTES]
            self._forget(skipping=True)
            yield Oversized(head)

    def _forget(self, *, skipping: bool) -> None:
        self._parts, self._held_bytes, self._skipping = [], 0, skipping

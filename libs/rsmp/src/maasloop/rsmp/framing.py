"""Packets: JSON in UTF-8, each ended by one form feed (core 3.2.2, "Wrapping of packets")."""

from collections.abc import Iterator

from .errors import FramingError

FORM_FEED = b"\f"

PACKET_BYTES_MAX = 1024 * 1024
"""Longest packet that is accepted; a status with a controller's whole configuration (S0098) fits."""


VERSION_BYTES_MAX = 16 * 1024
"""Longest packet before the versions are agreed: from whoever connects, nothing but a version is wanted."""


class PacketBuffer:
    """Cuts a stream of bytes into packets."""

    def __init__(self, packet_bytes_max: int = PACKET_BYTES_MAX) -> None:
        """Refuse packets longer than ``packet_bytes_max``, which may be changed between packets."""
        self.packet_bytes_max = packet_bytes_max
        self._parts: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the packets that ``data`` completes; several form feeds in a row, or a leading one, end nothing.

        Raises:
            FramingError: a packet exceeds the limit, whether it is complete or not.
        """
        *ended, rest = data.split(FORM_FEED)
        for part in ended:
            self._hold(part)
            packet = b"".join(self._parts)
            self._parts, self._held_bytes = [], 0
            if packet.strip():
                yield packet
        self._hold(rest)

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > self.packet_bytes_max:
            message = f"a packet exceeds {self.packet_bytes_max} bytes without a form feed"
            raise FramingError(message)
        if part:
            self._parts.append(part)

"""Refuse a payload as a whole: it cannot be decoded, is too large or too deep. It counts as one reading."""

from collections.abc import Callable

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.outcome import WHOLE_PAYLOAD, Door, Recorded, Refusal
from maasloop.ingest.ports import Counts, Publisher, Quarantined

PAYLOAD_KEPT_MAX_BYTES = 4 * 1024 * 1024
"""Of a larger payload the quarantine keeps the beginning."""


class RefusePayload:
    """What a door calls when it cannot make rows of a payload."""

    def __init__(self, *, personal: Callable[[str, str], bool], publisher: Publisher, counts: Counts) -> None:
        """``personal(district, device)`` tells whether a device's payloads may not be kept."""
        self._personal = personal
        self._publisher = publisher
        self._counts = counts

    async def __call__(
        self,
        error: InvalidArgument,
        *,
        door: Door,
        district: str,
        device: str,
        receipt_time_us: int,
        content_type: str,
        payload: bytes,
    ) -> Recorded:
        """Put the payload into quarantine and return the refusal."""
        reason = Reason(error.reason)
        kept = b"" if device and self._personal(district, device) else payload[:PAYLOAD_KEPT_MAX_BYTES]
        entry = Quarantined(
            door, district, device if kept else "", reason, error.message, 1, receipt_time_us, content_type, kept
        )
        await self._publisher.quarantine(entry)
        recorded = Recorded(0, 1, (Refusal(WHOLE_PAYLOAD, reason, error.message),))
        self._counts.recorded(door, recorded)
        return recorded

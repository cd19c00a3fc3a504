"""The custody balance: every acknowledged reading is in exactly one term."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Self


@dataclass(slots=True)
class Terms:
    """Readings by what became of them."""

    accepted: int = 0
    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0
    refused_consent: int = 0
    shed: int = 0
    dead_lettered: int = 0
    late: int = 0
    """A part of ``stored``: older than the newest of their series when they came."""

    def add(self, other: Self) -> None:
        """Add another's terms."""
        for term in fields(self):
            setattr(self, term.name, getattr(self, term.name) + getattr(other, term.name))


@dataclass(slots=True)
class DeviceTerms:
    """Readings of one device that became no rows, by what became of them."""

    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """The terms with what has not been settled yet."""

    terms: Terms
    in_stream: int
    """Acknowledged and not yet dealt with."""
    lost: int
    """Acknowledged and nowhere."""
    series_stored: int
    """Rows written, by the counters of the series: the same as ``terms.stored``, or something is wrong."""
    doors: Mapping[str, Terms] = field(default_factory=dict)
    """The terms by the door that readings came in; empty where a message does not say."""

    @property
    def accepted(self) -> int:
        """Readings of messages that the broker acknowledged."""
        return self.terms.accepted + self.in_stream + self.lost


@dataclass(slots=True)
class ProducerCount:
    """What was seen of a producer in one stream."""

    seen: int = 0
    lost: int = 0

    def hear(self, producer_total: int, reading_count: int) -> None:
        """Take a message's count.

        The total counts what the broker had acknowledged before the message, and the message itself: whatever of that
        is not in the stream before it is lost.
        """
        self.lost = max(self.lost, producer_total - reading_count - self.seen)
        self.seen += reading_count

"""What accounts and traces need of the world, and the shape of what they find."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from maasloop.timeseries.ports.reading import Newest, SeriesRow


@dataclass(frozen=True, slots=True)
class DeviceAccount:
    """What became of the readings of one device."""

    device: str
    stored: int
    duplicate: int
    conflict: int
    quarantined: int
    late: int
    missing_payloads: int
    """Counted by the device and never seen here."""
    last_sequence: int
    receipt_time_us: int | None
    """When a reading of it was received last."""


@dataclass(frozen=True, slots=True)
class Carrying:
    """A message of a custody stream that carried a reading."""

    stream: str
    sequence: int
    id: str
    door: str
    receipt_time_us: int
    acknowledge_time_us: int
    value: float | None
    traceparent: str
    reason: str = ""
    """Why it was refused, where this is a message of the quarantine."""


@dataclass(frozen=True, slots=True)
class Searched:
    """A part of a stream that was looked through; ``complete`` where it reached the end."""

    stream: str
    first_sequence: int
    last_sequence: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Key:
    """What names a reading outside of this service."""

    district: str
    device: str
    observed_property: str
    time_us: int


class Persons(Protocol):
    """Whose devices are."""

    def of_person(self, district: str, device: str) -> bool:
        """Tell whether a device belongs to a person."""
        ...


class AccountReader(Protocol):
    """Accounts of devices."""

    async def devices(self, district: str, devices: Sequence[str], *, after: str, size: int) -> Sequence[DeviceAccount]:
        """Return accounts ordered by device, after one; devices with personal series are left out."""
        ...


class RowFinder(Protocol):
    """Rows by their key, and how far streams have been stored."""

    async def row(self, series: Sequence[SeriesRow], time_us: int) -> Newest | None:
        """Return the row of one of these series at a time."""
        ...

    async def positions(self, district: str) -> dict[str, int]:
        """Return by stream how far a district has been stored."""
        ...


class MessageSearch(Protocol):
    """Messages of the custody streams, looked at from outside."""

    async def carrying(
        self, key: Key, streams: Sequence[str], since_us: int
    ) -> tuple[Sequence[Carrying], Sequence[Searched]]:
        """Return the messages stored since a time that carried a reading, within limits, and what was searched."""
        ...

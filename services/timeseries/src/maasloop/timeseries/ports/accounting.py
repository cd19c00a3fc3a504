"""What accounts and traces need of the world, and the shape of what they find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from maasloop.timeseries.domain.custody import Terms
from maasloop.timeseries.domain.partitioning import Share, partition_of
from maasloop.timeseries.domain.sequence import Seam
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


@dataclass(frozen=True, slots=True)
class Settled:
    """What of a stream has been stored: in which life of it, and by district up to which sequence."""

    created: str
    positions: Mapping[str, int]
    live: Sequence[tuple[Share, Seam]] = ()
    """What live lanes stored beyond, and of which districts."""
    floors: Mapping[int, int] = field(default_factory=dict)
    """By partition, up to where everything of its districts is stored."""
    partitions: int = 1

    @property
    def floor(self) -> int:
        """Up to here everything is stored, of all districts."""
        return min(self.floors.get(partition, 0) for partition in range(self.partitions))

    def holds(self, district: str, sequence: int) -> bool:
        """Tell whether a message of a district is stored."""
        return sequence <= self.positions.get(district, 0) or any(
            seam.holds(sequence) and share.owns(district) for share, seam in self.live
        )

    def newest(self, district: str) -> int:
        """Return a message up to which, or beyond, everything of a district is stored; the last that is stored, if it tells."""
        floor = self.floors.get(partition_of(district, self.partitions), 0)
        live = [seam.upto for share, seam in self.live if share.owns(district)]
        return max(self.positions.get(district, 0), floor, *live)


@dataclass(frozen=True, slots=True)
class Custody:
    """What the tables say, all of one moment."""

    doors: Mapping[str, Terms]
    lost: int
    series_stored: int
    """Rows written, by the counters of the series."""
    streams: Mapping[str, Settled]
    """By custody stream, those that nothing was stored from included."""


class Persons(Protocol):
    """Whose devices are."""

    def of_person(self, district: str, device: str) -> bool:
        """Tell whether a device belongs to a person."""
        ...


class CustodyReader(Protocol):
    """The custody counters."""

    async def custody(self, district: str) -> Custody:
        """Return the counters of a district; empty = all."""
        ...

    async def missing_payloads(self) -> int:
        """Return the payloads that devices counted and that never came."""
        ...


class ReadingCounter(Protocol):
    """Counts readings that are acknowledged and not settled."""

    async def in_stream(self, stream: str, settled: Settled, district: str) -> int:
        """Return the readings of a stream's messages that are not settled; empty district = all."""
        ...

    async def at_door(self, district: str) -> int:
        """Return the payloads that were acknowledged at a door and lie in no custody stream yet."""
        ...


class AccountReader(Protocol):
    """Accounts of devices."""

    async def devices(self, district: str, devices: Sequence[str], *, after: str, size: int) -> Sequence[DeviceAccount]:
        """Return accounts ordered by device, after one; devices with personal series are left out."""
        ...


class SettledReader(Protocol):
    """How far streams have been stored, by all partitions."""

    async def settled(self) -> Mapping[str, Settled]:
        """Return by stream what has been stored."""
        ...


class RowFinder(SettledReader, Protocol):
    """Rows by their key, and how far streams have been stored."""

    async def row(self, series: Sequence[SeriesRow], time_us: int) -> Newest | None:
        """Return the row of one of these series at a time."""
        ...


class MessageSearch(Protocol):
    """Messages of the custody streams, looked at from outside."""

    async def carrying(
        self, key: Key, streams: Sequence[str], since_us: int
    ) -> tuple[Sequence[Carrying], Sequence[Searched]]:
        """Return the messages stored since a time that carried a reading, within limits, and what was searched."""
        ...

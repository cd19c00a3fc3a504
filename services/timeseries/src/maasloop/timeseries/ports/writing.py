"""What the writer needs of the world, and what it stores at once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from maasloop.core.domains import Retention
from maasloop.timeseries.domain.counting import PayloadCount
from maasloop.timeseries.domain.custody import DeviceTerms, ProducerCount, Terms
from maasloop.timeseries.domain.partitioning import Share
from maasloop.timeseries.domain.sequence import Life, Seam
from maasloop.timeseries.domain.series import Table

from .columns import Columns
from .rollups import Figures, Latest
from .rows import Conflict, Existing, Numbers, Other, Repeats, Resolved


class Account(NamedTuple):
    """Whose terms readings count in."""

    district: str
    door: str


class DeviceName(NamedTuple):
    """A device."""

    district: str
    device: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a custody stream, and what it counts."""

    sequence: int
    district: str
    terms: Terms
    """What is known without looking at rows: ``accepted`` and everything but stored, duplicate and conflict."""
    producer: str = ""
    producer_total: int = 0
    columns: Columns | None = None
    personal: bool = False
    receipt_time_us: int = 0
    door: str = ""
    device: str = ""
    """Whose the readings are that are known to be in quarantine, where they are of one device."""
    counts: Sequence[tuple[str, int]] = ()
    """Devices' own counts of the payloads in it."""
    settled: bool = False
    """Its readings were stored and counted by the live lane; it is taken for what counts in order only."""
    passing: bool = False
    """Another partition stores it, or did; it is taken for the total of its producer only."""

    @property
    def account(self) -> Account:
        """Whose terms it counts in."""
        return Account(self.district, self.door)


@dataclass(frozen=True, slots=True)
class Merge:
    """What rows of one table add to rollups and newest values."""

    table: Table
    minutes: Figures
    latest: Latest


@dataclass(slots=True)
class Lot:
    """What one transaction stores."""

    life: Life
    messages: Sequence[Message]
    fresh: list[Numbers] = field(default_factory=list)
    """Later than everything stored in their series: nothing can be under their key."""
    late: list[Numbers] = field(default_factory=list)
    """To be compared with what is stored."""
    others: list[Other] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    """What ``fresh`` adds."""
    terms: dict[Account, Terms] = field(default_factory=dict)
    """What is known before rows are stored."""
    devices: dict[DeviceName, DeviceTerms] = field(default_factory=dict)
    """The same by device."""
    repeats: list[Repeats] = field(default_factory=list)
    """Readings whose key another reading of the same lot has."""
    producers: Mapping[str, ProducerCount] = field(default_factory=dict)
    positions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By district: the position it has, and the one it gets."""

    @property
    def floor(self) -> int | None:
        """Up to where everything of the partition is stored with it; a live lane does not tell."""
        return None if self.life.live else self.messages[-1].sequence


class Stored(NamedTuple):
    """What is stored of one life of a stream, as one partition sees it."""

    epoch: int
    positions: Mapping[str, int]
    """By district, of all partitions."""
    floor: int
    """Everything of the partition's districts up to here."""
    heard: int
    """Up to here the totals of producers were counted."""
    reach: int
    """The last that is known to be stored by any partition."""


class SeriesIndex(Protocol):
    """Numbers of series, and the newest time that is stored in each."""

    async def resolve(self, message: Message, origin: int) -> Resolved:
        """Return the series of a message's rows, made where they are new.

        Raises ``Unavailable`` while the registry's facts about a property have not arrived.
        """
        ...

    def newest_us(self, series: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the newest event time of each series, taken rows included."""
        ...

    def advance(self, series: NDArray[np.int32], time_us: NDArray[np.int64]) -> None:
        """Take over the newest time of each (distinct) series."""
        ...

    async def renew(self, series: NDArray[np.int32]) -> None:
        """Take over the newest times that are stored."""
        ...

    def personal(self, series: int) -> bool:
        """Tell whether a series is personal."""
        ...

    def name(self, series: int) -> tuple[str, str]:
        """Return device and observed property of a series."""
        ...

    def forget(self) -> None:
        """Read everything anew: a transaction failed."""
        ...


class RowTransaction(Protocol):
    """The transaction of one lot."""

    async def copy(self, numbers: Numbers) -> None:
        """Copy rows that are new; raises ``KeyTaken`` where one is not."""
        ...

    async def add(self, numbers: Numbers) -> Existing:
        """Store those rows whose key is free, and return what lies under the keys of the others."""
        ...

    async def add_others(self, others: Sequence[Other]) -> Mapping[int, str | tuple[float, float]]:
        """Store states and positions of one table, and their newest; return what lies under taken keys, by place."""
        ...

    async def merge_at_once(self) -> None:
        """Say, before anything else, that what is stored is merged in this transaction: no other one makes rollups again."""
        ...

    async def roll_up(self, retention: Retention, minutes: Figures, *, merged_before: bool) -> None:
        """Add to the minutes of a class, and to its hours; cheaper where this writer merged nothing of them before."""
        ...

    async def renew(self, latest: Latest) -> None:
        """Add to newest values."""
        ...

    async def move_windows(self, owner: int, edges: Mapping[Retention, int]) -> None:
        """Let windows begin elsewhere; raises ``PositionMoved`` where another writer took them over."""
        ...

    async def account(
        self, terms: Mapping[DeviceName, DeviceTerms], counting: Sequence[DeviceName]
    ) -> Mapping[DeviceName, PayloadCount]:
        """Add to accounts of devices, and return what was heard of those that count; nobody else changes it till the end."""
        ...

    async def count(self, counts: Mapping[DeviceName, PayloadCount]) -> None:
        """Store what was heard of devices that count."""
        ...

    async def settle(self, lot: Lot, terms: Mapping[Account, Terms], conflicts: Sequence[Conflict]) -> None:
        """Advance positions, add to the terms, and let conflicts leave as facts; raises ``PositionMoved``."""
        ...


class KeyTaken(Exception):
    """A row that was taken for new is stored already."""


class PositionMoved(Exception):
    """Another writer stored messages of this stream."""


class Fenced(Exception):
    """The partition is another process's: its fence is above the token of this one."""

    def __init__(self, partition: int, token: int, newest: int) -> None:
        """``newest`` is the token that passes."""
        super().__init__(f"the fence of partition {partition} is at {newest}, above {token}")
        self.newest = newest


class Displaced(Exception):
    """The districts were divided into another number of partitions by a process that started later."""

    def __init__(self, partitions: int, newest: int) -> None:
        """``newest`` is the number of partitions that there are."""
        super().__init__(f"this process is set to {partitions} partitions, and the districts are divided into {newest}")


class Fence(Protocol):
    """What keeps writers away whose lease went to another process, or whose partition is no more."""

    async def admit(self) -> None:
        """Raise ``Displaced`` where the districts are divided otherwise since this process began."""
        ...

    async def advance(self, token: int) -> None:
        """Let nobody pass any more who has a lower token; raises ``Fenced`` where this one is not the highest.

        The first time the districts are divided as this process was told; later it raises ``Displaced``.
        """
        ...


class SeamStore(Protocol):
    """Where it is kept what live lanes stored."""

    async def seam(self, lane: Life) -> Seam | None:
        """Return what a lane stored, nothing where it does not exist."""
        ...

    async def open_seam(self, lane: Life, after: int) -> None:
        """Let a lane begin after a message."""
        ...

    async def close_seam(self, lane: Life) -> None:
        """Forget a lane, whose messages the other lane has passed."""
        ...

    async def inherited(self, life: Life) -> Sequence[tuple[Share, Seam]]:
        """Return what lanes of partitions stored that were divided otherwise."""
        ...


class RowStore(SeamStore, Protocol):
    """Where rows and custody lie."""

    def transaction(self) -> AbstractAsyncContextManager[RowTransaction]:
        """Begin a transaction that commits at the end of the block, or raises ``Fenced``; two may be under way."""
        ...

    async def take_over(self) -> tuple[int, Mapping[Retention, int | None]]:
        """Take the windows over, with nothing of this writer under way: all rows are in rollups.

        Return the owner, which rises, and where each window begins; nothing where its class has no row.
        """
        ...

    async def stored(self, stream: str, created: str) -> Stored:
        """Return what is stored of the newest epoch of a stream's life."""
        ...

    async def pass_over(self, life: Life, sequence: int) -> None:
        """Say that everything of the partition up to here is stored, where nothing of it came; raises ``Fenced``."""
        ...

    async def producers(self, stream: str, names: Sequence[str]) -> Mapping[str, ProducerCount]:
        """Return what was seen of producers."""
        ...


type Turn = Callable[[], Awaitable[None]]
"""Waits until everything before has been stored."""

"""What the handlers need of the world, and the shape in which readings travel between the rooms."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .domain.custody import ProducerCount, Terms
from .domain.sequence import Life
from .domain.series import Table


class Names(Protocol):
    """What indexes of a batch point to."""

    @property
    def devices(self) -> Sequence[str]:
        """Ids of devices."""
        ...

    @property
    def observed_properties(self) -> Sequence[str]:
        """Ids of observed properties."""
        ...


class Point(Protocol):
    """A place, WGS 84."""

    @property
    def longitude(self) -> float:
        """Degrees east."""
        ...

    @property
    def latitude(self) -> float:
        """Degrees north."""
        ...


class State(Protocol):
    """An observation that is a word."""

    @property
    def device_index(self) -> int:
        """Position of the device among the names."""
        ...

    @property
    def property_index(self) -> int:
        """Position of the observed property among the names."""
        ...

    @property
    def event_time_us(self) -> int:
        """Microseconds since the epoch."""
        ...

    @property
    def state(self) -> str:
        """The word."""
        ...


class Position(Protocol):
    """An observation that is a place."""

    @property
    def device_index(self) -> int:
        """Position of the device among the names."""
        ...

    @property
    def property_index(self) -> int:
        """Position of the observed property among the names."""
        ...

    @property
    def event_time_us(self) -> int:
        """Microseconds since the epoch."""
        ...

    @property
    def position(self) -> Point:
        """The place."""
        ...


class Columns(Protocol):
    """Readings as columns: numbers as four arrays, then the rarer states and positions."""

    @property
    def dictionary(self) -> bytes:
        """The serialized names: producers repeat them, so that they serve as a key."""
        ...

    @property
    def device_index(self) -> NDArray[np.uint32]:
        """Position of each number's device among the names."""
        ...

    @property
    def property_index(self) -> NDArray[np.uint32]:
        """Position of each number's observed property among the names."""
        ...

    @property
    def event_time_us(self) -> NDArray[np.int64]:
        """Microseconds since the epoch."""
        ...

    @property
    def value(self) -> NDArray[np.float64]:
        """The numbers."""
        ...

    @property
    def states(self) -> Sequence[State]:
        """The words."""
        ...

    @property
    def positions(self) -> Sequence[Position]:
        """The places."""
        ...

    def names(self) -> Names:
        """Return what the indexes point to."""
        ...


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


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one table, by series and then time; no two under the same key."""

    table: Table
    series: NDArray[np.int32]
    time_us: NDArray[np.int64]
    receipt_time_us: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.series)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Numbers":
        """Return some of them."""
        return Numbers(self.table, self.series[rows], self.time_us[rows], self.receipt_time_us[rows], self.value[rows])


@dataclass(frozen=True, slots=True)
class Other:
    """A state or a position on its way into its table."""

    table: Table
    series: int
    time_us: int
    receipt_time_us: int
    result: str | tuple[float, float]


@dataclass(frozen=True, slots=True)
class Existing:
    """Rows that are stored already under the key of a new one, by the place of the new one."""

    places: NDArray[np.intp]
    value: NDArray[np.float64]


class SeriesIndex(Protocol):
    """Numbers of series, and the newest time that is stored in each."""

    async def resolve(self, message: Message) -> "Resolved":
        """Return the series of a message's rows, made where they are new.

        Raises ``Unavailable`` while the registry's facts about a property have not arrived.
        """
        ...

    def newest_us(self, series: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the newest event time of each series, taken rows included."""
        ...

    def advance(self, series: NDArray[np.int32], time_us: NDArray[np.int64]) -> NDArray[np.int32]:
        """Take over the newest time of each (distinct) series; return those whose hint is worth renewing."""
        ...

    def district(self, series: int) -> str:
        """Return the district of a series."""
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


@dataclass(frozen=True, slots=True)
class Resolved:
    """Series of a message's rows."""

    numbers: NDArray[np.int32]
    tables: NDArray[np.uint8]
    """Position in ``TABLES`` of each number's table."""
    others: Sequence[Other]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A reading whose key holds another value."""

    series: int
    time_us: int
    receipt_time_us: int
    result: float | str | tuple[float, float]


@dataclass(slots=True)
class Lot:
    """What one transaction stores."""

    life: Life
    messages: Sequence[Message]
    fresh: list[Numbers] = field(default_factory=list)
    """Later than everything stored in their series: nothing can be under their key."""
    late: list[Numbers] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    hints: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """Series whose newest time is to be renewed in the table."""
    hint_times_us: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    terms: dict[str, Terms] = field(default_factory=dict)
    """By district, what is known before rows are stored."""
    conflicts: list[Conflict] = field(default_factory=list)
    """Readings whose key another reading of the same lot took with another value."""
    producers: Mapping[str, ProducerCount] = field(default_factory=dict)
    positions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By district: the position it has, and the one it gets."""


class RowTransaction(Protocol):
    """The transaction of one lot."""

    async def copy(self, numbers: Numbers) -> None:
        """Copy rows that are new; raises ``KeyTaken`` where one is not."""
        ...

    async def add(self, numbers: Numbers) -> Existing:
        """Store those rows whose key is free, and return what lies under the keys of the others."""
        ...

    async def add_others(self, others: Sequence[Other]) -> Mapping[int, str | tuple[float, float]]:
        """Store states and positions of one table; return what lies under taken keys, by place."""
        ...

    async def settle(self, lot: Lot, terms: Mapping[str, Terms], conflicts: Sequence[Conflict]) -> None:
        """Advance positions, add to the terms by district, and let conflicts leave as facts; raises ``PositionMoved``."""
        ...


class KeyTaken(Exception):
    """A row that was taken for new is stored already."""


class PositionMoved(Exception):
    """Another writer stored messages of this stream."""


class RowStore(Protocol):
    """Where rows and custody lie."""

    def transaction(self) -> AbstractAsyncContextManager[RowTransaction]:
        """Begin a transaction that commits at the end of the block."""
        ...

    async def positions(self, stream: str, created: str) -> tuple[int, Mapping[str, int]]:
        """Return the epoch of a stream's life and the position of each district in it."""
        ...

    async def producers(self, stream: str, names: Sequence[str]) -> Mapping[str, ProducerCount]:
        """Return what was seen of producers."""
        ...


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream as it is."""

    created: str
    first_sequence: int
    last_sequence: int
    bytes: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message that was read from a stream and not delivered."""

    sequence: int
    subject: str
    body: bytes
    stored_us: int


class StreamBrowser(Protocol):
    """Streams of the broker, looked at from outside."""

    async def info(self, stream: str) -> StreamInfo:
        """Return a stream as it is; raises ``Unavailable`` where it cannot be told."""
        ...

    async def get(self, stream: str, sequence: int) -> StreamMessage | None:
        """Return a message, or nothing where the stream has none under this sequence."""
        ...

    async def purge_below(self, stream: str, sequence: int) -> int:
        """Free everything below a sequence and return how many messages that were."""
        ...

    async def ack_floor(self, stream: str, durable: str) -> int:
        """Return the sequence up to which a durable acknowledged everything; -1 where it does not exist."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series of a district are meant; empty = all."""

    district: str
    devices: Sequence[str] = ()
    observed_properties: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series as readers see it."""

    id: int
    device: str
    observed_property: str
    table: Table
    personal: bool


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest observation of a series."""

    series: SeriesRow
    time_us: int
    receipt_time_us: int
    result: float | str | tuple[float, float]


@dataclass(frozen=True, slots=True)
class Range:
    """Observations of one series in order of time."""

    series: SeriesRow
    time_us: NDArray[np.int64]
    results: NDArray[np.float64] | Sequence[str] | Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Figures of one bucket; none where there is no reading and no filling."""

    start_us: int
    count: int
    mean: float | None
    minimum: float | None
    maximum: float | None
    first: float | None
    last: float | None


class GapFill(StrEnum):
    """What stands for a bucket without readings."""

    OMIT = "omit"
    EMPTY = "empty"
    LAST = "last"
    LINEAR = "linear"


class ObservationReader(Protocol):
    """Bounded reads of rows."""

    async def series(self, selection: Selection, *, after: tuple[str, str, int] | None, size: int) -> list[SeriesRow]:
        """Return series ordered by device, observed property and id, after a position."""
        ...

    async def newest(self, series: Sequence[SeriesRow]) -> list[Newest]:
        """Return the newest observation of each series that has one."""
        ...

    async def range(self, series: SeriesRow, start_us: int, end_us: int, size: int) -> Range:
        """Return the first ``size`` observations of [start, end)."""
        ...

    async def buckets(
        self, series: Sequence[SeriesRow], start_us: int, end_us: int, width_s: int, fill: GapFill, limit: int
    ) -> Mapping[int, Sequence[Bucket]]:
        """Return buckets by series id; raises ``InvalidArgument`` (RANGE_TOO_LONG) beyond ``limit``."""
        ...


class Visibility(Protocol):
    """Who may be seen."""

    def ready(self) -> bool:
        """Tell whether it is known whose devices are."""
        ...

    def visible(self, district: str, device: str, *, personal: bool) -> bool:
        """Tell whether readings of a device may be shown now."""
        ...


class CustodyReader(Protocol):
    """The custody counters."""

    async def terms(self, district: str) -> tuple[Terms, int, Mapping[str, int]]:
        """Return the terms of a district (empty = all), the readings lost, and how far each stream has been stored."""
        ...


class ReadingCounter(Protocol):
    """Counts readings that lie in a stream."""

    async def readings_after(self, stream: str, sequence: int, district: str) -> int:
        """Return the readings in a stream's messages after a sequence; empty district = all."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watch passes on: columns of one message, or nothing but a sign of life."""

    columns: Columns | None
    personal: bool
    token: Mapping[str, int]
    """By stream, the sequence after which a watch resumes."""


class Tail(Protocol):
    """Messages as they are stored."""

    def follow(
        self, district: str, after: Mapping[str, int] | None
    ) -> AbstractAsyncContextManager[AsyncIterator[Seen]]:
        """Yield what is stored from now on, or after a token; raises ``FailedPrecondition`` where that is too old."""
        ...

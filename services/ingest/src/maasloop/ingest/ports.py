"""What the handlers need of the world, and the shape in which readings travel between the rooms."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maasloop.core.domains import PERSONAL, Domain
from maasloop.core.observations import Names, Position, State
from maasloop.core.reasons import Reason

from .domain.facts import Priority
from .domain.outcome import Door, Recorded

REASONS: tuple[Reason, ...] = tuple(Reason)
"""A refused row holds the position of its reason here plus 1; 0 is a good row."""
RANKS: tuple[Priority, ...] = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
"""What is kept longest comes first."""
KEYS: tuple[str, ...] = (*Domain, PERSONAL)
"""A row holds the position of the last token of its subject."""


def code(reason: Reason) -> int:
    """Return the number that stands for a reason in an array."""
    return REASONS.index(reason) + 1


class PayloadCount(Protocol):
    """A device's own count of its payloads."""

    @property
    def device_index(self) -> int:
        """Position of the device among the names."""
        ...


class Columns(Protocol):
    """Readings as columns: numbers as four arrays, then the rarer states and positions. Rows count in this order."""

    @property
    def dictionary(self) -> bytes:
        """The serialized names: senders repeat them, so that they serve as a key."""
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

    @property
    def sequences(self) -> Sequence[PayloadCount]:
        """Devices' own counts of the payloads that the readings came in; they are no rows."""
        ...

    def __len__(self) -> int:
        """Return how many readings there are."""
        ...

    def names(self) -> Names:
        """Return what the indexes point to."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded payload."""

    district: str
    door: Door
    columns: Columns
    receipt_time_us: int
    sender: str = ""
    """Device that sent it, where the door knows: it may report for itself and for devices whose gateway it is."""
    undecoded: Mapping[int, Reason] | None = None
    """Readings that could not become a row, by their index in the payload."""
    payload_index: Sequence[int] | None = None
    """Index in the payload of each row; none = the same."""
    content_type: str = ""
    payload: bytes = b""
    """The original bytes, where the quarantine keeps those; none = it keeps the refused rows."""
    undecoded_devices: Collection[str] = ()
    """Whom the undecoded readings are about, as far as they say."""


@dataclass(frozen=True, slots=True)
class Common:
    """What holds for every pair of a dictionary: all are numbers, nobody's, and share a subject."""

    key: str
    """The last token of the subject."""
    value_min: float
    value_max: float
    """Finite values between these are in the range of every pair."""
    age_max_us: int
    """Readings that are not older at receipt are not too old for any pair."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is known of every pair of device and observed property that occurs in a batch, as tables by pair.

    The pair of a row is ``device_index * width + property_index``.
    """

    width: int
    reason: NDArray[np.uint8]
    """0, or the code of why there is no series."""
    kind: NDArray[np.uint8]
    """Position in ``Kind``."""
    value_min: NDArray[np.float64]
    value_max: NDArray[np.float64]
    age_max_us: NDArray[np.int64]
    """How old a reading may be at receipt."""
    history_max_us: NDArray[np.int64]
    """How old an imported reading may be: as old as its retention."""
    key: NDArray[np.uint8]
    """Position in ``KEYS`` of the last token of the subject."""
    rank: NDArray[np.uint8]
    """Position of the priority in ``RANKS``: the highest numbers are shed first."""
    person: NDArray[np.int32]
    """Position in ``persons``, or -1."""
    persons: Sequence[tuple[str, str]]
    """Data subject and processing activity."""
    common: Common | None = None
    """What holds for all pairs, where there is such."""


class Resolver(Protocol):
    """Looks series up in the projection of the registry."""

    def __call__(self, batch: Batch) -> Series:
        """Return what is known of the pairs of a batch."""
        ...


class Gate(Protocol):
    """The consent gate."""

    def permits(self, data_subject: str, processing_activity: str) -> bool:
        """Tell whether readings of this person may be processed now; no in doubt."""
        ...


class Lane(StrEnum):
    """What accepted readings share a stream with."""

    PRESENT = "present"
    PAST = "past"
    """History, and what a device buffered for hours: it never stands before the present."""
    PERSONAL = "personal"


@dataclass(frozen=True, slots=True)
class Portion:
    """Accepted readings of one batch that share a subject: rows, and places of states and of positions."""

    door: Door
    district: str
    lane: Lane
    key: str
    columns: Columns
    numbers: NDArray[np.bool_] | None
    """Which numbers; none = the columns as they are, states and positions with them."""
    states: Sequence[State]
    positions: Sequence[Position]
    sequences: Sequence[PayloadCount]
    receipt_time_us: int
    count: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Refused readings of one batch that share a reason."""

    door: str
    district: str
    device: str
    reason: Reason
    detail: str
    reading_count: int
    receipt_time_us: int
    content_type: str
    payload: bytes
    rows: "Portion | None" = None
    """The refused rows, where they are kept instead of the payload."""


class Publisher(Protocol):
    """Hands facts to the broker; each call returns after the broker stored it, and raises otherwise."""

    async def record(self, portion: Portion) -> None:
        """Publish accepted readings."""
        ...

    def ranks_admitted(self, lane: Lane) -> int:
        """Return how many of ``RANKS``, from the first, have room now; what lies behind is to be shed."""
        ...

    async def refuse_consent(self, district: str, door: Door, count: int) -> None:
        """Publish how many personal readings were refused, and nothing else of them."""
        ...

    async def shed(self, district: str, door: Door, count: int) -> None:
        """Publish how many readings were shed after they had been acknowledged."""
        ...

    async def quarantine(self, quarantined: Quarantined) -> None:
        """Publish refused readings."""
        ...


class Counts(Protocol):
    """Counters."""

    def recorded(self, door: Door, recorded: Recorded) -> None:
        """Count what became of a batch."""
        ...


class ResponsePublisher(Protocol):
    """Hands answers of devices to the broker."""

    async def respond(self, district: str, device: str, body: bytes, receipt_time_us: int) -> None:
        """Return after the broker stored the answer; ``body`` is a serialized DeviceResponse."""
        ...


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """Refused readings as the table keeps them."""

    id: str
    receipt_time_us: int
    door: str
    district: str
    device: str
    reason: str
    detail: str
    reading_count: int
    content_type: str
    payload: bytes
    replay_time_us: int = 0
    """0 = never."""


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """Which entries are meant; empty texts mean all."""

    district: str = ""
    reason: str = ""
    device: str = ""


class QuarantineStore(Protocol):
    """Ingest's own table."""

    async def keep(self, entry: QuarantineEntry) -> None:
        """Store an entry; one that is there stays as it is."""
        ...

    async def page(
        self, chosen: QuarantineFilter, *, size: int, after: tuple[int, str] | None
    ) -> list[QuarantineEntry]:
        """Return entries, newest first, after a position (receipt time, id)."""
        ...

    async def get(self, ids: Sequence[str]) -> list[QuarantineEntry]:
        """Return those of the entries that exist."""
        ...

    async def districts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Return by id the districts of those of the entries that exist; empty for one of none."""
        ...

    async def replayed(self, entry: QuarantineEntry, recorded: Recorded, now_us: int) -> None:
        """Drop an entry whose readings are durable now, or keep it with its new reason."""
        ...

    async def replay(self, request_id: str) -> tuple[int, int] | None:
        """Return what the replay with this request id answered within the last day."""
        ...

    async def remember_replay(self, request_id: str, accepted: int, refused: int) -> None:
        """Keep the answer of a replay."""
        ...

    async def forget(self, days: int) -> int:
        """Drop entries that are older than that, and return how many."""
        ...

"""What the handlers need of the world: a register that changes in transactions, and one that is read."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from maasloop.core.requests import Page, Request

from .domain.activity import ProcessingActivity
from .domain.record import ConsentRecord

type Resource = ConsentRecord | ProcessingActivity


class Happening(StrEnum):
    """What happened: the verb of the event."""

    GRANTED = "granted"
    WITHDRAWN = "withdrawn"
    OBJECTED = "objected"


@dataclass(frozen=True, slots=True)
class RecordPosition:
    """A place in the list of records, newest first."""

    give_time: datetime
    id: str


class Change(Protocol):
    """A transaction in which nobody else changes the register; it commits when its block ends without an error."""

    async def answered(self, request: Request) -> Resource | None:
        """Return what the same request was answered before."""
        ...

    async def answer(self, request: Request, resource: Resource) -> None:
        """Keep the answer to a request."""
        ...

    async def activity(self, activity_id: str) -> ProcessingActivity | None:
        """Return an activity."""
        ...

    async def record(self, record_id: str) -> ConsentRecord | None:
        """Return a record."""
        ...

    async def record_of(self, request_id: str) -> ConsentRecord | None:
        """Return the record that a request made or was answered with, however long ago."""
        ...

    async def remember(self, request_id: str, record: ConsentRecord) -> None:
        """Keep for ever which record a request that made none was answered with."""
        ...

    async def decisive(self, data_subject: str, activity_id: str) -> ConsentRecord | None:
        """Return the record of a person and an activity that is given or an objection."""
        ...

    async def due(self, now: datetime, limit: int) -> Sequence[ConsentRecord]:
        """Return given records whose end has come."""
        ...

    async def save_activity(self, activity: ProcessingActivity) -> ProcessingActivity:
        """Store a new activity and its event under the next revision, and return it with that."""
        ...

    async def save_record(self, record: ConsentRecord, happening: Happening, request_id: str = "") -> ConsentRecord:
        """Store a record and its event under the next revision, and return it with that."""
        ...

    async def note_expiry(self, records: Sequence[ConsentRecord], now: datetime) -> None:
        """Write into the audit log, where there is one, that records ended by themselves; in the same commit."""
        ...


class Register(Protocol):
    """All activities and records, durable."""

    def change(self) -> AbstractAsyncContextManager[Change]:
        """Begin a change."""
        ...

    async def record(self, record_id: str) -> ConsentRecord | None:
        """Return a record."""
        ...

    async def standing(
        self, data_subject: str, activity_id: str
    ) -> tuple[ProcessingActivity | None, ConsentRecord | None]:
        """Return an activity and the latest record of a person for it, of one moment."""
        ...

    async def anything_due(self, now: datetime) -> bool:
        """Tell whether a given record's end has come."""
        ...

    async def list_activities(self, *, after: str, limit: int) -> Page[ProcessingActivity]:
        """Return activities ordered by id."""
        ...

    async def list_records(self, data_subject: str, *, after: RecordPosition | None, limit: int) -> Page[ConsentRecord]:
        """Return records of a person, or of all for an empty one, newest first."""
        ...


class Identifiers(Protocol):
    """Where new ids come from."""

    def new(self) -> str:
        """Return an id that was never given."""
        ...

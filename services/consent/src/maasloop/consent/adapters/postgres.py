"""The register in PostgreSQL: resources in their own coding, and what records are searched by beside them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Protocol, cast
from uuid import UUID, uuid4

from maasloop.api.consent.v1.events_pb2 import ConsentChanged
from maasloop.audit.entries import Entry, Verb
from maasloop.bus import subjects
from maasloop.consent.adapters import sql
from maasloop.consent.domain.activity import ProcessingActivity
from maasloop.consent.domain.record import ACTIVITY_KEY, ConsentRecord, RecordState
from maasloop.consent.ports import Happening, RecordPosition, Resource
from maasloop.core.clock import to_us
from maasloop.core.requests import Page, Request
from maasloop.runtime.auditing import APPEND
from maasloop.runtime.outbox import OutboxRow
from maasloop.runtime.owning import Owned, OwnedChange, OwnedKey, Owner
from maasloop.telemetry import tracing

RECORD = "consent_record"
TIMER, EXPIRY = "service/consent", "expire_time"
"""Who ends a record whose time has come, and on whose authority: it says so itself."""
ACTIVITY = "processing_activity"
PAGE_BYTES_MAX = 4 * 1024 * 1024

FACTS: dict[Happening, subjects.Fact] = {
    Happening.GRANTED: subjects.CONSENT_GRANTED,
    Happening.WITHDRAWN: subjects.CONSENT_WITHDRAWN,
    Happening.OBJECTED: subjects.CONSENT_OBJECTED,
}


class Codec(Protocol):
    """How resources are stored and travel."""

    def encode(self, resource: Resource) -> bytes:
        """Return a resource as it is stored."""
        ...

    def decode(self, body: bytes) -> Resource:
        """Return a stored resource."""
        ...

    def changed(self, body: bytes, previous_revision: int) -> bytes:
        """Return the event of a resource that changed."""
        ...


class PostgresChange:
    """A transaction in which nobody else changes the register."""

    def __init__(self, owned: OwnedChange, codec: Codec, *, audited: bool) -> None:
        self._owned = owned
        self._audited = audited
        self._codec = codec

    async def answered(self, request: Request) -> Resource | None:
        """Return what the same request was answered before."""
        return self._decoded(await self._owned.answered(request))

    async def answer(self, request: Request, resource: Resource) -> None:
        """Keep the answer to a request."""
        await self._owned.answer(request, self._codec.encode(resource))

    async def activity(self, activity_id: str) -> ProcessingActivity | None:
        """Return an activity."""
        body = await self._owned.find(OwnedKey(ACTIVITY, "", activity_id))
        return cast("ProcessingActivity | None", self._decoded(body))

    async def record(self, record_id: str) -> ConsentRecord | None:
        """Return a record."""
        body = await self._owned.find(OwnedKey(RECORD, "", record_id))
        return cast("ConsentRecord | None", self._decoded(body))

    async def record_of(self, request_id: str) -> ConsentRecord | None:
        """Return the record that a request made or was answered with, however long ago."""
        return await self._found(sql.RECORD_OF, {"request": UUID(request_id)})

    async def remember(self, request_id: str, record: ConsentRecord) -> None:
        """Keep for ever which record a request that made none was answered with."""
        await self._owned.connection.execute(sql.REMEMBER_REQUEST, (UUID(request_id), record.id))

    async def decisive(self, data_subject: str, activity_id: str) -> ConsentRecord | None:
        """Return the record of a person and an activity that is given or an objection."""
        return await self._found(sql.DECISIVE, (data_subject, activity_id))

    async def due(self, now: datetime, limit: int) -> Sequence[ConsentRecord]:
        """Return given records whose end has come."""
        rows = await (await self._owned.connection.execute(sql.DUE, (now, limit))).fetchall()
        return [cast("ConsentRecord", self._codec.decode(cast("bytes", row[0]))) for row in rows]

    async def save_activity(self, activity: ProcessingActivity) -> ProcessingActivity:
        """Store a new activity and its event under the next revision, and return it with that."""
        stored = replace(activity, revision=await self._owned.draw())
        await self._store(OwnedKey(ACTIVITY, "", stored.id), stored, Happening.GRANTED, ACTIVITY_KEY)
        return stored

    async def save_record(self, record: ConsentRecord, happening: Happening, request_id: str = "") -> ConsentRecord:
        """Store a record and its event under the next revision, and return it with that."""
        stored = replace(record, revision=await self._owned.draw())
        await self._store(OwnedKey(RECORD, "", stored.id), stored, happening, stored.data_subject)
        row = (
            stored.id,
            stored.data_subject,
            stored.processing_activity,
            stored.state,
            stored.give_time,
            stored.expire_time,
            UUID(request_id) if request_id else None,
        )
        await self._owned.connection.execute(sql.PUT_RECORD, row)
        return stored

    async def note_expiry(self, records: Sequence[ConsentRecord], now: datetime) -> None:
        """Write into the audit log, where there is one, that records ended by themselves; in the same commit."""
        if not self._audited or not records:
            return
        entries = [
            Entry(
                time_us=to_us(now),
                verb=Verb.CHANGED,
                actor=TIMER,
                authority=EXPIRY,
                resource=f"consentRecords/{record.id}",
                outcome=RecordState.EXPIRED,
            ).encode()
            for record in records
        ]
        await self._owned.connection.execute(APPEND, (entries,))

    async def _store(self, key: OwnedKey, resource: Resource, happening: Happening, subject_key: str) -> None:
        body = self._codec.encode(resource)
        await self._owned.put([Owned(key, resource.revision, body)])
        event = OutboxRow(
            subject=FACTS[happening].subject(subjects.ALL_DISTRICTS, subject_key),
            ce_id=str(uuid4()),
            ce_type=ConsentChanged.DESCRIPTOR.full_name,
            body=self._codec.changed(body, resource.revision - 1),
            traceparent=tracing.inject(),
            revision=resource.revision,
        )
        await self._owned.tell([event])

    async def _found(self, statement: str, arguments: Sequence[object] | Mapping[str, object]) -> ConsentRecord | None:
        row = await (await self._owned.connection.execute(statement.encode(), arguments)).fetchone()
        return None if row is None else cast("ConsentRecord", self._codec.decode(cast("bytes", row[0])))

    def _decoded(self, body: bytes | None) -> Resource | None:
        return None if body is None else self._codec.decode(body)


class PostgresRegister:
    """All activities and records, durable; ``changed`` is called after each commit."""

    def __init__(self, owner: Owner, codec: Codec, changed: Callable[[], None], *, audited: bool = False) -> None:
        """``changed`` is called after each commit; ``audited`` where the service keeps an audit log."""
        self._owner = owner
        self._audited = audited
        self._codec = codec
        self._changed = changed

    @asynccontextmanager
    async def change(self) -> AsyncIterator[PostgresChange]:
        """Begin a change."""
        async with self._owner.change() as owned:
            yield PostgresChange(owned, self._codec, audited=self._audited)
        self._changed()

    async def record(self, record_id: str) -> ConsentRecord | None:
        """Return a record."""
        body = await self._owner.get(OwnedKey(RECORD, "", record_id))
        return None if body is None else cast("ConsentRecord", self._codec.decode(body))

    async def standing(
        self, data_subject: str, activity_id: str
    ) -> tuple[ProcessingActivity | None, ConsentRecord | None]:
        """Return an activity and the latest record of a person for it, of one moment."""
        async with self._owner.transaction() as connection:
            arguments = {"person": data_subject, "activity": activity_id}
            row = await (await connection.execute(sql.STANDING, arguments)).fetchone()
        bodies = cast("tuple[bytes | None, bytes | None]", row)
        activity, record = (None if body is None else self._codec.decode(body) for body in bodies)
        return cast("ProcessingActivity | None", activity), cast("ConsentRecord | None", record)

    async def anything_due(self, now: datetime) -> bool:
        """Tell whether a given record's end has come."""
        async with self._owner.transaction() as connection:
            row = await (await connection.execute(sql.ANYTHING_DUE, (now,))).fetchone()
        return bool(cast("tuple[bool]", row)[0])

    async def list_activities(self, *, after: str, limit: int) -> Page[ProcessingActivity]:
        """Return activities ordered by id."""
        rows = await self._owner.page(ACTIVITY, "", after=after, limit=limit + 1, bytes_max=PAGE_BYTES_MAX)
        activities = [cast("ProcessingActivity", self._codec.decode(body)) for _, body in rows]
        return Page(activities[:limit], more=len(activities) > limit)

    async def list_records(self, data_subject: str, *, after: RecordPosition | None, limit: int) -> Page[ConsentRecord]:
        """Return records of a person, or of all for an empty one, newest first."""
        arguments = {
            "person": data_subject,
            "give_time": after and after.give_time,
            "id": after and after.id,
            "limit": limit + 1,
        }
        async with self._owner.transaction() as connection:
            rows = await (await connection.execute(sql.LIST_RECORDS, arguments)).fetchall()
        records = [cast("ConsentRecord", self._codec.decode(cast("bytes", row[0]))) for row in rows]
        return Page(records[:limit], more=len(records) > limit)

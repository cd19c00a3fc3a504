"""An import as one transaction: rows are staged in a temporary table, compared with statements, and stored in lots.

Staging keeps nobody waiting; from the comparison on, this transaction is the only one that changes the registry.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import cast

from maasloop.core.requests import Request
from maasloop.device_registry.adapters import sql
from maasloop.device_registry.adapters.postgres_rows import (
    FACTS,
    Codec,
    content_digest,
    fact,
    put_devices,
)
from maasloop.device_registry.domain.device import Device
from maasloop.device_registry.domain.importing import FAULTS_NAMED_MAX, ImportResult, ImportRow, RowFault
from maasloop.device_registry.domain.resource import Happening
from maasloop.postgres.pool import Connection
from maasloop.runtime.owning import LOT_BYTES_MAX, LOT_RESOURCES_MAX, Owned, OwnedChange, OwnedKey, Owner

IMPORT_LIMITS = {"statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s"}
IMPORT_KEY = "import"
"""Key of facts that tell of a lot of devices."""


class PostgresImport:
    """The transaction of an import."""

    def __init__(self, owner: Owner, connection: Connection, district: str, request: Request, codec: Codec) -> None:
        self.answered: ImportResult | None = None
        self._owner = owner
        self._connection = connection
        self._district = district
        self._request = request
        self._codec = codec
        self._owned: OwnedChange | None = None

    async def prepare(self) -> None:
        """Look for an earlier answer, and make room for rows."""
        body = await self._owner.answered(self._request)
        self.answered = None if body is None else ImportResult(**json.loads(body))
        await self._connection.execute(sql.CREATE_STAGED)

    async def stage(self, rows: Sequence[ImportRow]) -> None:
        """Lay rows down where nobody sees them."""
        if rows:
            columns = zip(*(self._staged(row) for row in rows), strict=True)
            await self._connection.execute(sql.STAGE, [list(column) for column in columns])

    async def faults(self) -> tuple[Sequence[RowFault], int]:
        """Compare what is staged with itself and with the registry: the first faults, and how many there are."""
        for statement in sql.PREPARE_STAGED:
            await self._connection.execute(statement)
        self._owned = await self._owner.begin(self._connection)
        arguments = {"district": self._district, "limit": FAULTS_NAMED_MAX}
        cursor = await self._connection.execute(sql.STAGED_FAULTS, arguments)
        rows = cast("list[tuple[int, str, str, int]]", await cursor.fetchall())
        return [RowFault(*row[:3]) for row in rows], rows[0][3] if rows else 0

    async def store(self, happening: Happening) -> ImportResult:
        """Store what is new, with its events, and keep the answer for the request's id."""
        owned = self._owned
        assert owned is not None  # noqa: S101 - faults() comes first, and takes the lock
        body = await owned.answered(self._request)
        if body is not None:
            return ImportResult(**json.loads(body))
        cursor = await self._connection.execute(sql.STAGED_COUNTS, (self._district,))
        created, unchanged = cast("tuple[int, int]", await cursor.fetchone())
        first = await owned.draw(created)
        await self._store_new(owned, first, happening)
        result = ImportResult(created, unchanged, first + created - 1)
        await owned.answer(self._request, json.dumps(asdict(result)).encode())
        return result

    async def _store_new(self, owned: OwnedChange, first: int, happening: Happening) -> None:
        subject = FACTS[happening].subject(self._district, IMPORT_KEY)
        revision, after = first, 0
        while rows := await self._lot(after):
            devices = [
                replace(cast("Device", self._codec.decode(body)), revision=revision + index)
                for index, (_, body) in enumerate(rows)
            ]
            bodies = [self._codec.encode(device) for device in devices]
            keyed = zip(devices, bodies, strict=True)
            await owned.put([Owned(OwnedKey(*device.key), device.revision, body) for device, body in keyed])
            last = revision + len(rows) - 1
            await owned.tell([fact(subject, self._codec.changed(bodies, revision - 1), last)])
            # Last, because it decides what is still new.
            await put_devices(owned, devices)
            revision, after = last + 1, rows[-1][0]

    async def _lot(self, after: int) -> list[tuple[int, bytes]]:
        arguments = (after, self._district, LOT_RESOURCES_MAX, LOT_BYTES_MAX)
        cursor = await self._connection.execute(sql.STAGED_NEW, arguments)
        return cast("list[tuple[int, bytes]]", await cursor.fetchall())

    def _staged(self, row: ImportRow) -> tuple[object, ...]:
        device = row.device
        body = self._codec.encode(device)
        return (
            row.row,
            device.id,
            device.device_type,
            device.gateway,
            content_digest(device),
            body,
            " ".join(device.external_ids),
        )

"""Claims, credentials and connections in PostgreSQL."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from maasloop.bus.device_rights import SPOKEN_FOR_MAX
from maasloop.core.ids import DeviceName, DistrictName
from maasloop.core.requests import Page
from maasloop.device_registry.adapters import sql_credentials as sql
from maasloop.device_registry.domain.admission import Admission, Knock, Standing
from maasloop.device_registry.domain.credential import Claim, Credential, Holder, HolderKind, Method
from maasloop.device_registry.domain.device import DeviceState
from maasloop.device_registry.domain.refusals import Refusals, RefusedHolder
from maasloop.device_registry.ports import ConnectionKey
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool

HELD_MAX = 16
"""Credentials of one holder that are looked at, the newest first."""


class PostgresCredentialChange:
    """A transaction over credentials."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self, key: str) -> None:
        """Keep other changes of the same key out until it ends."""
        await self._connection.execute(sql.LOCK, (key,))

    async def claim(self, digest: bytes) -> Claim | None:
        """Return a claim."""
        row = await (await self._connection.execute(sql.FIND_CLAIM, (digest,))).fetchone()
        return None if row is None else Claim(*cast("tuple[Any, ...]", row))

    async def used_since(self, batch: UUID, since: datetime) -> int:
        """Count the claims of a batch that were used since."""
        row = await (await self._connection.execute(sql.USED_SINCE, (batch, since))).fetchone()
        return int(cast("tuple[int]", row)[0])

    async def use(self, claim: Claim, now: datetime) -> None:
        """Note that a claim was used."""
        await self._connection.execute(sql.USE_CLAIM, (now, claim.digest))

    async def standing(self, holder: Holder) -> Standing:
        """Return what is known of a holder."""
        return await _standing(self._connection, holder, "")

    async def find(self, holder: Holder, credential: str) -> Credential | None:
        """Return a credential, and keep others from changing it."""
        row = await (await self._connection.execute(sql.FIND_CREDENTIAL, (*holder, credential))).fetchone()
        return None if row is None else _credential(row)

    async def put(self, credential: Credential) -> None:
        """Store a credential."""
        values = (
            credential.id,
            *credential.holder,
            credential.method,
            credential.proof,
            credential.create_time,
            credential.expire_time,
            credential.revoke_time,
        )
        await self._connection.execute(sql.PUT_CREDENTIAL, values)


class PostgresCredentials:
    """All of them, durable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def change(self) -> AsyncIterator[PostgresCredentialChange]:
        """Begin a change."""
        async with self._connection() as connection:
            yield PostgresCredentialChange(connection)

    async def unregistered(self, district: str, devices: Sequence[str]) -> str:
        """Return the name of the district, or of the first of its devices, that does not exist; empty for none."""
        async with self._connection(single=True) as connection:
            row = await (await connection.execute(sql.UNREGISTERED, (district, list(devices), district))).fetchone()
        known, missing = cast("tuple[bool, str | None]", row)
        if not known:
            return str(DistrictName(district))
        return str(DeviceName(district, missing)) if missing else ""

    async def add_claims(self, claims: Sequence[Claim]) -> None:
        """Store claims, and forget some that have expired."""
        rows = [(c.digest, c.batch, c.rate_per_minute, c.district, c.device, c.expire_time) for c in claims]
        async with self._connection() as connection:
            await connection.execute(sql.FORGET_CLAIMS)
            await connection.execute(sql.ADD_CLAIMS, [list(column) for column in zip(*rows, strict=True)])

    async def page(self, holder: Holder, *, after: str, limit: int) -> Page[Credential]:
        """Return credentials of a holder, ordered by id."""
        async with self._connection() as connection:
            rows = await (await connection.execute(sql.PAGE_CREDENTIALS, (*holder, after, limit + 1))).fetchall()
        return Page([_credential(row) for row in rows[:limit]], more=len(rows) > limit)

    async def add_refusals(self, refused: Sequence[RefusedHolder]) -> None:
        """Add to the refusals of holders that exist; the others are dropped."""
        rows = [(*each.holder, each.count, each.last_time, each.last_reason) for each in refused]
        async with self._connection() as connection:
            await connection.execute(sql.ADD_REFUSALS, [list(column) for column in zip(*rows, strict=True)])

    async def refusals(self, holder: Holder, now: datetime) -> Refusals | None:
        """Return how often clients were refused in a holder's name; none for never."""
        async with self._connection(single=True) as connection:
            row = await (await connection.execute(sql.REFUSALS, (now, *holder))).fetchone()
        return None if row is None else Refusals(*cast("tuple[Any, ...]", row))

    async def keyed(self, method: Method, proof: bytes) -> Holder | None:
        """Return the holder of a key or a certificate."""
        async with self._connection() as connection:
            row = await (await connection.execute(sql.KEYED, (method, proof))).fetchone()
        return None if row is None else _holder(*cast("tuple[str, str, str]", row))

    async def standing(self, holder: Holder, server: str) -> Standing:
        """Return what is known of a holder now."""
        async with self._connection(single=True) as connection:
            return await _standing(connection, holder, server)

    async def record(self, knock: Knock, admission: Admission, now: datetime) -> None:
        """Store a connection durably."""
        credential = admission.credential
        values = (knock.server, knock.connection, credential.id, *admission.holder, now, admission.expire_time)
        async with self._connection(single=True) as connection:
            await connection.execute(sql.RECORD, values)

    async def groundless(self, holder: Holder | None, now: datetime, limit: int) -> Sequence[ConnectionKey]:
        """Return connections whose right has ended."""
        arguments: dict[str, Any] = {"now": now, "limit": limit}
        statement = sql.GROUNDLESS_OF_ALL
        if holder is not None:
            statement = sql.GROUNDLESS_OF_ONE
            arguments |= {"kind": holder.kind, "district": holder.district, "holder": holder.id}
        async with self._connection() as connection:
            rows = await (await connection.execute(statement, arguments)).fetchall()
        return [ConnectionKey(*cast("tuple[str, int]", row)) for row in rows]

    async def recorded(self, older_than: datetime) -> Mapping[str, Sequence[int]]:
        """Return the connections that were recorded before a moment, by server."""
        async with self._connection() as connection:
            rows = await (await connection.execute(sql.RECORDED, (older_than,))).fetchall()
        return dict(cast("list[tuple[str, list[int]]]", rows))

    async def forget(self, connections: Sequence[ConnectionKey]) -> None:
        """Remove connections that are gone."""
        if connections:
            servers, numbers = zip(*connections, strict=True)
            async with self._connection() as connection:
                await connection.execute(sql.FORGET, (list(servers), list(numbers)))

    async def forget_expired(self, now: datetime) -> None:
        """Remove connections that the server has closed by their expiry."""
        async with self._connection() as connection:
            await connection.execute(sql.FORGET_EXPIRED, (now,))

    @asynccontextmanager
    async def _connection(self, *, single: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection; a ``single`` statement is its own transaction, which saves its begin and its end."""
        with translated():
            async with self._pool.connection() as connection:
                await connection.set_autocommit(single)
                yield connection


async def _standing(connection: Connection, holder: Holder, server: str) -> Standing:
    arguments = {
        "kind": holder.kind,
        "district": holder.district,
        "holder": holder.id,
        "server": server,
        "spoken_for_max": SPOKEN_FOR_MAX,
        "held_max": HELD_MAX,
    }
    rows = cast("list[tuple[Any, ...]]", await (await connection.execute(sql.STANDING, arguments)).fetchall())
    state, speaks_for, connections = rows[0][:3]
    held = [_credential(row[3:]) for row in rows if row[3] is not None]
    return Standing(held, DeviceState(state) if state else None, speaks_for, connections)


def _holder(kind: str, district: str, id_: str) -> Holder:
    return Holder(HolderKind(kind), district, id_)


def _credential(row: Sequence[Any]) -> Credential:
    id_, kind, district, holder, method, proof, *times = row
    return Credential(id_, _holder(kind, district, holder), Method(method), bytes(proof), *times)

"""The registry in PostgreSQL: resources in their own coding, and what devices are searched by beside them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from maasloop.core.requests import Page, Request
from maasloop.device_registry.adapters import sql
from maasloop.device_registry.adapters.postgres_import import IMPORT_LIMITS, PostgresImport
from maasloop.device_registry.adapters.postgres_rows import Codec, fact, put_devices, subject_of
from maasloop.device_registry.domain.device import Device
from maasloop.device_registry.domain.resource import Happening, Key, Kind
from maasloop.device_registry.ports import DeviceFilter, Resource
from maasloop.runtime.owning import Owned, OwnedChange, OwnedKey, Owner

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""A page ends after this many bytes of resources: an answer has a limit."""


class PostgresChange:
    """A transaction in which nobody else changes the registry."""

    def __init__(self, owned: OwnedChange, request: Request, codec: Codec, answered: Resource | None) -> None:
        self.answered = answered
        self._owned = owned
        self._request = request
        self._codec = codec

    async def find(self, key: Key) -> Resource | None:
        """Return a resource."""
        body = await self._owned.find(OwnedKey(*key))
        return None if body is None else self._codec.decode(body)

    async def missing(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Return those that do not exist."""
        return [
            Key(Kind(kind), district, id_)
            for kind, district, id_ in await self._owned.missing([OwnedKey(*key) for key in keys])
        ]

    async def dependants(self, gateway: Key) -> int:
        """Count the devices, not retired, that a gateway speaks for."""
        cursor = await self._owned.connection.execute(sql.DEPENDANTS, (gateway.district, gateway.id))
        row = await cursor.fetchone()
        return int(cast("tuple[int]", row)[0])

    async def holders(self, external_ids: Sequence[str]) -> Mapping[str, Key]:
        """Return which devices have these names."""
        cursor = await self._owned.connection.execute(sql.EXTERNAL_ID_HOLDERS, (list(external_ids),))
        rows = cast("list[tuple[str, str, str]]", await cursor.fetchall())
        return {name: Key(Kind.DEVICE, district, id_) for name, district, id_ in rows}

    async def save[R: Resource](self, resource: R, happening: Happening) -> R:
        """Store a resource and its event under the next revision, and return it with that."""
        revision = await self._owned.draw()
        stored: R = replace(resource, revision=revision)
        body = self._codec.encode(stored)
        await self._owned.put([Owned(OwnedKey(*stored.key), revision, body)])
        if isinstance(stored, Device):
            await put_devices(self._owned, [stored])
        subject = subject_of(stored.key, happening)
        await self._owned.tell([fact(subject, self._codec.changed([body], revision - 1), revision)])
        return stored

    async def answer[R: Resource](self, resource: R) -> R:
        """Keep the answer for the request's id, and return it."""
        await self._owned.answer(self._request, self._codec.encode(resource))
        return resource


class PostgresRegistry:
    """All resources, durable; ``changed`` is called after each commit."""

    def __init__(self, owner: Owner, codec: Codec, changed: Callable[[], None]) -> None:
        self._owner = owner
        self._codec = codec
        self._changed = changed

    @asynccontextmanager
    async def importing(self, district: str, request: Request) -> AsyncIterator[PostgresImport]:
        """Begin an import."""
        async with self._owner.transaction(IMPORT_LIMITS) as connection:
            session = PostgresImport(self._owner, connection, district, request, self._codec)
            await session.prepare()
            yield session
        self._changed()

    @asynccontextmanager
    async def change(self, request: Request) -> AsyncIterator[PostgresChange]:
        """Begin a change."""
        async with self._owner.change() as owned:
            body = await owned.answered(request)
            yield PostgresChange(owned, request, self._codec, None if body is None else self._codec.decode(body))
        self._changed()

    async def get(self, key: Key) -> Resource | None:
        """Return a resource."""
        body = await self._owner.get(OwnedKey(*key))
        return None if body is None else self._codec.decode(body)

    async def list_kind(self, kind: Kind, district: str, *, after: str, limit: int) -> Page[Resource]:
        """Return resources of one kind in a district, ordered by id."""
        rows = await self._owner.page(kind, district, after=after, limit=limit + 1, bytes_max=PAGE_BYTES_MAX)
        page = [self._codec.decode(body) for _, body in rows[:limit]]
        return Page(page, more=await self._more_of_kind(kind, district, rows, limit))

    async def _more_of_kind(self, kind: Kind, district: str, rows: list[tuple[str, bytes]], limit: int) -> bool:
        if len(rows) > limit or not rows:
            return len(rows) > limit
        # A page that is short because its resources are large is not the last.
        return bool(await self._owner.page(kind, district, after=rows[-1][0], limit=1, bytes_max=1))

    async def list_devices(self, wanted: DeviceFilter, *, after: tuple[str, str], limit: int) -> Page[Device]:
        """Return devices ordered by district and id."""
        found = await self._devices(wanted, after, limit + 1)
        more = len(found) > limit
        found = found[:limit]
        if found and not more:
            more = bool(await self._devices(wanted, (found[-1].district, found[-1].id), 1))
        return Page(found, more)

    async def _devices(self, wanted: DeviceFilter, after: tuple[str, str], limit: int) -> list[Device]:
        box = wanted.bounds
        arguments: dict[str, Any] = {
            "after_district": after[0],
            "after_id": after[1],
            "district": wanted.district,
            "device_type": wanted.device_type,
            "state": wanted.state,
            "device_group": wanted.group,
            "west": box and box.southwest.longitude,
            "south": box and box.southwest.latitude,
            "east": box and box.northeast.longitude,
            "north": box and box.northeast.latitude,
            "limit": limit,
            "bytes_max": PAGE_BYTES_MAX,
        }
        async with self._owner.transaction() as connection:
            rows = await (await connection.execute(sql.LIST_DEVICES, arguments)).fetchall()
        return [cast("Device", self._codec.decode(cast("bytes", row[2]))) for row in rows]

"""What the handlers need of the world: a registry that changes in transactions, and one that is read."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from .domain.catalogue import CatalogueResource
from .domain.device import Device, DeviceState
from .domain.importing import ImportResult, ImportRow, RowFault
from .domain.place import BoundingBox
from .domain.resource import Happening, Key, Kind

type Resource = Device | CatalogueResource


@dataclass(frozen=True, slots=True)
class Request:
    """What makes a repeated request the same one: its id (empty for none), its method, the digest of its body."""

    id: str
    method: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices are listed; what is unset does not matter."""

    district: str | None = None
    device_type: str | None = None
    state: DeviceState | None = None
    group: str | None = None
    bounds: BoundingBox | None = None


@dataclass(frozen=True, slots=True)
class Page[Item]:
    """Some items, and whether more come after the last one."""

    items: Sequence[Item]
    more: bool


class Change(Protocol):
    """A transaction in which nobody else changes the registry; it commits when its block ends without an error."""

    @property
    def answered(self) -> Resource | None:
        """The answer that the same request got before."""
        ...

    async def find(self, key: Key) -> Resource | None:
        """Return a resource."""
        ...

    async def missing(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Return those that do not exist."""
        ...

    async def dependants(self, gateway: Key) -> int:
        """Count the devices, not retired, that a gateway speaks for."""
        ...

    async def holders(self, external_ids: Sequence[str]) -> Mapping[str, Key]:
        """Return which devices, not retired, have these names in other systems."""
        ...

    async def save[R: Resource](self, resource: R, happening: Happening) -> R:
        """Store a resource and its event under the next revision, and return it with that."""
        ...

    async def answer[R: Resource](self, resource: R) -> R:
        """Keep the answer for the request's id, and return it."""
        ...


class ImportSession(Protocol):
    """The transaction of an import."""

    @property
    def answered(self) -> ImportResult | None:
        """The answer that the same request got before."""
        ...

    async def stage(self, rows: Sequence[ImportRow]) -> None:
        """Lay rows down where nobody sees them."""
        ...

    async def faults(self) -> tuple[Sequence[RowFault], int]:
        """Compare what is staged with itself and with the registry: the first faults, and how many there are."""
        ...

    async def store(self, happening: Happening) -> ImportResult:
        """Store what is new, with its events, and keep the answer for the request's id."""
        ...


class Registry(Protocol):
    """All resources, durable."""

    def change(self, request: Request) -> AbstractAsyncContextManager[Change]:
        """Begin a change."""
        ...

    def importing(self, district: str, request: Request) -> AbstractAsyncContextManager[ImportSession]:
        """Begin an import."""
        ...

    async def get(self, key: Key) -> Resource | None:
        """Return a resource."""
        ...

    async def list_kind(self, kind: Kind, district: str, *, after: str, limit: int) -> Page[Resource]:
        """Return resources of one kind in a district (empty for what belongs to none), ordered by id."""
        ...

    async def list_devices(self, wanted: DeviceFilter, *, after: tuple[str, str], limit: int) -> Page[Device]:
        """Return devices ordered by district and id."""
        ...

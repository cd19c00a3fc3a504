"""Following an owner: its snapshot by RPC, its changes and confirmations from the bus, into a projection.

One subscription hears all facts of the owner's noun, so that they arrive in the order in which the owner's one relay
published them. It is a plain one without custody: what it misses shows as a gap in the revisions, and is mended by a
snapshot.

Tasks: ``run`` keeps the subscription and fetches snapshots.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import grpc
import structlog

from maasloop.api.consent.v1.consent_service_pb2 import WatchConsentRequest
from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
from maasloop.api.consent.v1.events_pb2 import ConsentChanged, ConsentResource
from maasloop.api.device.v1.device_service_pb2 import WatchDevicesRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.device.v1.events_pb2 import DevicesChanged, RegistryResource, RevisionConfirmed
from maasloop.bus.connection import Bus
from maasloop.bus.subjects import (
    ANY,
    CONSENT_CONFIRMED,
    CONSENT_GRANTED,
    DEVICE_CONFIRMED,
    DEVICE_REGISTERED,
    Fact,
    parse_fact,
)
from maasloop.core.clock import Clock
from maasloop.core.errors import Unavailable
from maasloop.rpc.client import stream

from .projection import Change, Projection, Snapshot
from .synchroniser import Synchroniser

_log = structlog.get_logger()


class Item[T](NamedTuple):
    """What a projection keeps of a resource."""

    name: str
    facts: T | None
    """None = gone, or of no interest."""


class Lot[T](NamedTuple):
    """Part of a snapshot."""

    items: Sequence[Item[T]]
    revision: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Owner[T]:
    """How an owner speaks: ``devices`` and ``consent`` make one."""

    facts: Fact
    """Any fact of the owner's noun."""
    confirmed: Fact
    change: Callable[[bytes], Change[T]]
    """Reads the body of a fact."""
    lots: Callable[[], AsyncIterator[Lot[T]]]
    """Watches from the beginning."""


type Translate[Resource, T] = Callable[[Resource], tuple[str, T | None] | None]
"""Returns name and facts of a resource, nothing for one that is of no interest by its kind."""


def devices[T](channel: grpc.aio.Channel, translate: Translate[RegistryResource, T]) -> Owner[T]:
    """Return the registry, reached over ``channel``."""
    # The stub's types are those of a synchronous channel.
    watch: Any = DeviceServiceStub(channel).WatchDevices

    def change(body: bytes) -> Change[T]:
        message = DevicesChanged.FromString(body)
        return _change(message.previous_revision, message.resources, translate)

    async def lots() -> AsyncIterator[Lot[T]]:
        async for answer in stream(watch, WatchDevicesRequest()):
            yield Lot(_items(answer.resources, translate), answer.revision, answer.snapshot_complete)

    return Owner(DEVICE_REGISTERED, DEVICE_CONFIRMED, change, lots)


def consent[T](channel: grpc.aio.Channel, translate: Translate[ConsentResource, T]) -> Owner[T]:
    """Return consent, reached over ``channel``."""
    watch: Any = ConsentServiceStub(channel).WatchConsent

    def change(body: bytes) -> Change[T]:
        message = ConsentChanged.FromString(body)
        return _change(message.previous_revision, [message.resource], translate)

    async def lots() -> AsyncIterator[Lot[T]]:
        async for answer in stream(watch, WatchConsentRequest()):
            yield Lot(_items(answer.resources, translate), answer.revision, answer.snapshot_complete)

    return Owner(CONSENT_GRANTED, CONSENT_CONFIRMED, change, lots)


class Follower[T]:
    """Keeps a projection at its owner's state."""

    def __init__(self, bus: Bus, projection: Projection[T], owner: Owner[T], clock: Clock) -> None:
        self._bus = bus
        self._projection = projection
        self._owner = owner
        self._synchroniser = Synchroniser(projection, self._fetch, clock)

    async def run(self) -> None:
        """Follow for ever."""
        wildcard = replace(self._owner.facts, verb=ANY).wildcard()
        subscription = await self._bus.listen(wildcard, self._heard)
        try:
            await self._synchroniser.run()
        finally:
            await subscription.unsubscribe()

    async def check(self) -> str | None:
        """Return why the projection is of no use, or nothing; for a readiness probe."""
        return await self._synchroniser.check()

    async def _heard(self, message: Any) -> None:  # noqa: ANN401 - a message of the driver
        try:
            if parse_fact(message.subject).fact == self._owner.confirmed:
                self._projection.confirm(RevisionConfirmed.FromString(message.data).revision)
            else:
                self._projection.apply(self._owner.change(message.data))
        except Exception:
            # What could not be read shows as a gap.
            _log.exception("fact_unreadable", projection=self._projection.name)

    async def _fetch(self) -> Snapshot[T]:
        items: dict[str, T] = {}
        lots = self._owner.lots()
        try:
            async for lot in lots:
                items.update({item.name: item.facts for item in lot.items if item.facts is not None})
                if lot.complete:
                    return Snapshot(lot.revision, items)
                await asyncio.sleep(0)
        finally:
            await lots.aclose()  # type: ignore[attr-defined]  # watches are async generators
        raise Unavailable("NEIGHBOUR_UNAVAILABLE", f"the owner of {self._projection.name} ended its watch")


def _items[Resource, T](resources: Sequence[Resource], translate: Translate[Resource, T]) -> list[Item[T]]:
    translated = (translate(resource) for resource in resources)
    return [Item(*item) for item in translated if item is not None]


def _change[Resource, T](
    previous_revision: int, resources: Sequence[Resource], translate: Translate[Resource, T]
) -> Change[T]:
    items = {item.name: item.facts for item in _items(resources, translate)}
    revision = max((_revision(resource) for resource in resources), default=previous_revision)
    return Change(previous_revision, revision, items)


def _revision(resource: Any) -> int:  # noqa: ANN401 - a oneof of messages that all have a revision
    which = resource.WhichOneof("resource")
    return int(getattr(resource, which).revision) if which else 0

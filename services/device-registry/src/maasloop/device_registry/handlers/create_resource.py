"""Create a resource of the catalogue: an observed property, a device type, a district or a group."""

from dataclasses import replace
from typing import cast

from maasloop.core.clock import Clock
from maasloop.core.errors import AlreadyExists, InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.device_registry.domain.catalogue import CatalogueResource, District
from maasloop.device_registry.domain.resource import Happening
from maasloop.device_registry.ports import Registry


class CreateResource:
    """Refuses what exists and what refers to nothing; the same request gives the same answer."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        """Work on this registry."""
        self._registry = registry
        self._clock = clock

    async def __call__[R: CatalogueResource](self, wanted: R, request: Request) -> R:
        """Create and return the resource."""
        wanted.check()
        async with self._registry.change(request) as change:
            if change.answered is not None:
                return cast("R", change.answered)
            if await change.find(wanted.key) is not None:
                message = f"{wanted.key} exists"
                raise AlreadyExists(Reason.RESOURCE_EXISTS, message, {"name": str(wanted.key)})
            references = list(wanted.references())
            for missing in await change.missing([key for _, key in references]):
                fields = [field for field, key in references if key == missing]
                message = f"{missing} does not exist"
                raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": fields[0], "rule": "reference.exists"})
            stored = await change.save(self._dated(wanted), Happening.UPDATED)
            return await change.answer(stored)

    def _dated[R: CatalogueResource](self, wanted: R) -> R:
        if not isinstance(wanted, District):
            return wanted
        now = self._clock.now()
        return cast("R", replace(wanted, create_time=now, update_time=now))

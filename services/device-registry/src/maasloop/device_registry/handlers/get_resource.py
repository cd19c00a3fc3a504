"""Return one resource by its name."""

from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.resource import Key
from maasloop.device_registry.ports import Registry, Resource


class GetResource:
    """Reads what is committed."""

    def __init__(self, registry: Registry) -> None:
        """Work on this registry."""
        self._registry = registry

    async def __call__(self, key: Key) -> Resource:
        """Return the resource, or say that there is none."""
        found = await self._registry.get(key)
        if found is None:
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{key} does not exist", {"name": str(key)})
        return found

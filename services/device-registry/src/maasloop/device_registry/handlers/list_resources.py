"""List resources in pages, ordered by name."""

from maasloop.core.requests import Page
from maasloop.device_registry.domain.device import Device
from maasloop.device_registry.domain.place import require_box
from maasloop.device_registry.domain.resource import Kind
from maasloop.device_registry.ports import DeviceFilter, Registry, Resource


class ListResources:
    """Reads what is committed; a page may be shorter than asked for."""

    def __init__(self, registry: Registry) -> None:
        """Work on this registry."""
        self._registry = registry

    async def of_kind(self, kind: Kind, district: str, *, after: str, limit: int) -> Page[Resource]:
        """Return resources of the catalogue whose id comes after one."""
        return await self._registry.list_kind(kind, district, after=after, limit=limit)

    async def of_devices(self, wanted: DeviceFilter, *, after: tuple[str, str], limit: int) -> Page[Device]:
        """Return devices that match, whose district and id come after."""
        require_box(wanted.bounds, "bounds")
        return await self._registry.list_devices(wanted, after=after, limit=limit)

"""List keys of programs in pages."""

from maasloop.core.requests import Page
from maasloop.device_registry.domain.api_key import ApiKey
from maasloop.device_registry.ports import ApiKeys


class ListApiKeys:
    """Reads what is committed."""

    def __init__(self, keys: ApiKeys) -> None:
        """Read here."""
        self._keys = keys

    async def __call__(self, *, after: str, limit: int) -> Page[ApiKey]:
        """Return keys whose id comes after one, those that ended as well."""
        return await self._keys.page(after=after, limit=limit)

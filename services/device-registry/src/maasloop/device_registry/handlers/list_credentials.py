"""List the credentials of a holder in pages."""

from maasloop.core.requests import Page
from maasloop.device_registry.domain.credential import Credential, Holder
from maasloop.device_registry.ports import Credentials


class ListCredentials:
    """Reads what is committed."""

    def __init__(self, credentials: Credentials) -> None:
        """Read here."""
        self._credentials = credentials

    async def __call__(self, holder: Holder, *, after: str, limit: int) -> Page[Credential]:
        """Return credentials whose id comes after one, those that ended as well."""
        return await self._credentials.page(holder, after=after, limit=limit)

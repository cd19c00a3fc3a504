"""List the credentials of a holder in pages."""

from maasloop.core.clock import Clock
from maasloop.core.requests import Page
from maasloop.device_registry.domain.credential import Credential, Holder
from maasloop.device_registry.domain.refusals import Refusals
from maasloop.device_registry.ports import Credentials


class ListCredentials:
    """Reads what is committed."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        """Read here."""
        self._clock = clock
        self._credentials = credentials

    async def refusals(self, holder: Holder) -> Refusals | None:
        """Return how often clients were refused in the holder's name; none for never."""
        return await self._credentials.refusals(holder, self._clock.now())

    async def __call__(self, holder: Holder, *, after: str, limit: int) -> Page[Credential]:
        """Return credentials whose id comes after one, those that ended as well."""
        return await self._credentials.page(holder, after=after, limit=limit)

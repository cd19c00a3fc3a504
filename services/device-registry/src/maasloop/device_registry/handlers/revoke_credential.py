"""End a credential for good."""

from maasloop.core.clock import Clock
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.credential import Credential, Holder, revoked
from maasloop.device_registry.ports import Credentials


class RevokeCredential:
    """Commits; whoever calls it closes what rests on the credential afterwards."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        """Work on these credentials."""
        self._credentials = credentials
        self._clock = clock

    async def __call__(self, holder: Holder, credential: str) -> Credential:
        """Revoke and return it; one that was revoked stays as it is."""
        async with self._credentials.change() as change:
            found = await change.find(holder, credential)
            if found is None:
                name = f"{holder}/credentials/{credential}"
                raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
            new = revoked(found, self._clock.now())
            await change.put(new)
            return new

"""Give a network server a password."""

from maasloop.core.clock import Clock
from maasloop.device_registry.domain.credential import Credential, Holder, Method, digest, new_credential
from maasloop.device_registry.ports import Credentials


class CreateCredential:
    """Needs no claim: who asks has the right to give one."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        """Store it here."""
        self._credentials = credentials
        self._clock = clock

    async def __call__(self, holder: Holder, password: str) -> Credential:
        """Return a new credential; those that the holder had stay."""
        credential = new_credential(holder, Method.PASSWORD, digest(password), self._clock.now())
        async with self._credentials.change() as change:
            await change.put(credential)
        return credential

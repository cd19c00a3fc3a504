"""Give the holder of a password another one."""

from datetime import timedelta

from maasloop.core.clock import Clock
from maasloop.core.errors import Unauthenticated
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.credential import (
    Credential,
    Holder,
    Method,
    digest,
    new_credential,
    overlapping,
    require_trusted,
)
from maasloop.device_registry.ports import Credentials


class RotateCredential:
    """The old password holds for an overlap, so that a device that lost the answer can ask again."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        """Work on these credentials."""
        self._credentials = credentials
        self._clock = clock

    async def __call__(self, holder: Holder, password: str, successor: str, overlap: timedelta) -> Credential:
        """Return the new credential, or refuse a password that does not hold."""
        now = self._clock.now()
        async with self._credentials.change() as change:
            await change.lock(str(holder))
            standing = await change.standing(holder)
            for old in standing.credentials:
                if old.holds(now) and old.proven_by(Method.PASSWORD, digest(password)):
                    require_trusted(holder, standing.state)
                    credential = new_credential(holder, Method.PASSWORD, digest(successor), now)
                    await change.put(overlapping(old, now, overlap))
                    await change.put(credential)
                    return credential
        message = f"the password is not one of {holder}"
        raise Unauthenticated(Reason.CREDENTIALS_INVALID, message)

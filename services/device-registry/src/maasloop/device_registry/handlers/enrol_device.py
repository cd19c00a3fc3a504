"""Give a device its credential for a one-time claim."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from maasloop.core.clock import Clock
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.credential import (
    RATE_WINDOW,
    Credential,
    Holder,
    Method,
    digest,
    new_credential,
    require_claim,
    require_rate,
    require_trusted,
)
from maasloop.device_registry.ports import Credentials

type Proof = Callable[[datetime], tuple[bytes, datetime | None]]
"""Makes what the device will prove itself with, and when that ends by itself."""


class EnrolDevice:
    """The claim is used up in the transaction that stores the credential."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        """Work on these credentials."""
        self._credentials = credentials
        self._clock = clock

    async def __call__(self, holder: Holder, claim: str, method: Method, proof: Proof) -> Credential:
        """Return the device's new credential; those that it had stay."""
        now = self._clock.now()
        async with self._credentials.change() as change:
            found = await change.claim(digest(claim))
            if found is not None:
                await change.lock(str(found.batch))
                # Another may have used it while this one waited.
                found = await change.claim(found.digest)
            await change.lock(str(holder))
            standing = await change.standing(holder)
            has_credential = any(credential.holds(now) for credential in standing.credentials)
            good = require_claim(found, holder, now, has_credential=has_credential)
            if standing.state is None:
                raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{holder} does not exist", {"name": str(holder)})
            require_trusted(holder, standing.state)
            require_rate(good, await change.used_since(good.batch, now - RATE_WINDOW))
            kept, end = proof(now)
            credential = replace(new_credential(holder, method, kept, now), expire_time=end)
            await change.use(good, now)
            await change.put(credential)
            return credential

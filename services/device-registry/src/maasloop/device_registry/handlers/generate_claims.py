"""Make one-time claims for an installer."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from maasloop.core.clock import Clock
from maasloop.core.errors import NotFound
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.credential import Claim, digest, new_claim
from maasloop.device_registry.domain.resource import refuse
from maasloop.device_registry.ports import Credentials

BATCH_MAX = 1_000
TTL = timedelta(hours=24)
RATE_PER_MINUTE = 60


class GenerateClaims:
    """The secrets are returned once; what is stored does not give them back."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        """Store them here."""
        self._credentials = credentials
        self._clock = clock

    async def __call__(
        self, district: str, devices: Sequence[str], count: int, *, ttl: timedelta, rate_per_minute: int
    ) -> list[tuple[str, Claim]]:
        """Return secrets with their claims: one for each device, then ``count`` for any device of the district."""
        if not 0 < len(devices) + count <= BATCH_MAX:
            raise refuse("count", f"a batch has 1 to {BATCH_MAX} claims", "claims.count")
        batch, end = uuid4(), self._clock.now() + (ttl or TTL)
        made: list[tuple[str, Claim]] = []
        for device in (*devices, *[""] * count):
            if device:
                require_id(device, "devices")
            secret = new_claim()
            claim = Claim(digest(secret), batch, rate_per_minute or RATE_PER_MINUTE, district, device, end)
            made.append((secret, claim))
        missing = await self._credentials.unregistered(district, devices)
        if missing:
            message = f"{missing} does not exist, so that nothing could enrol by such a claim"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, message, {"name": missing})
        await self._credentials.add_claims([claim for _, claim in made])
        return made

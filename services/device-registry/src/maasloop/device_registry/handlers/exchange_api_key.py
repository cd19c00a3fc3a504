"""Give the holder of a key a token."""

from datetime import datetime, timedelta

from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.api_key import require_valid
from maasloop.device_registry.domain.credential import digest
from maasloop.device_registry.ports import ApiKeys, TokenGiver


class ExchangeApiKey:
    """Checks the secret; what a token says is the giver's."""

    def __init__(self, keys: ApiKeys, giver: TokenGiver | None, clock: Clock) -> None:
        """``giver`` is missing where the registry has no key to sign with."""
        self._keys = keys
        self._giver = giver
        self._clock = clock

    async def __call__(self, secret: str) -> tuple[str, datetime]:
        """Return a token and when it ends, which is never after the key."""
        if self._giver is None:
            raise FailedPrecondition(Reason.STATE_FORBIDS, "this registry gives no tokens: it has no signing key")
        now = self._clock.now()
        key = require_valid(await self._keys.with_digest(digest(secret)), now)
        token, lifetime_s = self._giver.token(key, most_s=int((key.expire_time - now).total_seconds()))
        return token, now + timedelta(seconds=lifetime_s)

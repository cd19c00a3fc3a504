"""End a key of a program for good."""

from maasloop.core.clock import Clock
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.api_key import ApiKey, revoked
from maasloop.device_registry.ports import ApiKeys, RevocationLog

API_KEY = "api-key"


class RevokeApiKey:
    """Commits first, so that no token is given for it any more, and then tells every service."""

    def __init__(self, keys: ApiKeys, log: RevocationLog, clock: Clock) -> None:
        """Work on these keys."""
        self._keys = keys
        self._log = log
        self._clock = clock

    async def __call__(self, key_id: str) -> ApiKey:
        """Revoke and return it; one that was revoked is told again."""
        found = await self._keys.find(key_id)
        if found is None:
            name = f"apiKeys/{key_id}"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
        ended = revoked(found, self._clock.now())
        await self._keys.end(ended)
        await self._log.revoke(API_KEY, key_id)
        return ended

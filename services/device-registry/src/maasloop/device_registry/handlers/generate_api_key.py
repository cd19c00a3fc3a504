"""Make a key for a program."""

from collections.abc import Sequence
from datetime import timedelta

from maasloop.core.clock import Clock
from maasloop.device_registry.domain.api_key import ApiKey, RoleGrant, new_api_key
from maasloop.device_registry.ports import ApiKeys


class GenerateApiKey:
    """Stores the key without its secret."""

    def __init__(self, keys: ApiKeys, clock: Clock) -> None:
        """Store it here."""
        self._keys = keys
        self._clock = clock

    async def __call__(self, program: str, grants: Sequence[RoleGrant], ttl: timedelta) -> tuple[ApiKey, str]:
        """Return the key, and the secret that only the caller ever sees."""
        key, secret = new_api_key(program, grants, self._clock.now(), ttl)
        await self._keys.add(key)
        return key, secret

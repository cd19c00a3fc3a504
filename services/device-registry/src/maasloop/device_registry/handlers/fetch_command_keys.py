"""Tell devices by which keys they check commands."""

from datetime import datetime, timedelta

from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition
from maasloop.core.reasons import Reason
from maasloop.device_registry.ports import CommandKeys

HOLDS = timedelta(hours=24)
"""Age at which a device asks for the set again."""


class FetchCommandKeys:
    """The set as it is, and until when it may be held."""

    def __init__(self, keys: CommandKeys | None, clock: Clock) -> None:
        """``keys`` is missing where this registry was not given them."""
        self._keys = keys
        self._clock = clock

    def __call__(self) -> tuple[str, datetime]:
        """Return a JWK Set and its end."""
        if self._keys is None:
            message = "this registry was not given the keys of commands"
            raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "no command keys"})
        return self._keys.jwk_set(), self._clock.now() + HOLDS

"""Decide whether a client may connect."""

from datetime import datetime, timedelta
from random import Random

from maasloop.core.clock import Clock
from maasloop.device_registry.domain.admission import (
    Admission,
    Knock,
    Refusal,
    Refused,
    holder_of,
    require_credential,
    require_room,
)
from maasloop.device_registry.domain.credential import Credential, Method
from maasloop.device_registry.ports import Credentials

STAY = timedelta(hours=24)
"""Longest life of a connection; then the server closes it, and the client connects anew."""
STAY_SPREAD = 0.2
"""Share of it by which stays differ, so that clients that came together do not come back together."""


class AdmitConnection:
    """Checks, records, and checks again.

    The second check comes after the record is durable: who revokes commits first and then closes what is recorded, so
    that either this check sees the revocation, or that closing sees the record.
    """

    def __init__(self, credentials: Credentials, clock: Clock, random: Random) -> None:
        """Ask these credentials; ``random`` spreads the stays."""
        self._credentials = credentials
        self._clock = clock
        self._random = random

    async def __call__(self, knock: Knock) -> Admission:
        """Return who is let in, or raise ``Refused``."""
        keyed = None
        if knock.method in {Method.NKEY, Method.CERTIFICATE}:
            keyed = await self._credentials.keyed(knock.method, knock.proof)
        holder = holder_of(knock, keyed)
        now = self._clock.now()
        standing = await self._credentials.standing(holder, knock.server)
        credential = require_credential(holder, standing, knock, now)
        require_room(standing)
        admission = Admission(holder, credential, standing.speaks_for, self._leaves(credential, now))
        await self._credentials.record(knock, admission, now)
        again = await self._credentials.standing(holder, knock.server)
        try:
            require_credential(holder, again, knock, self._clock.now())
        except Refused:
            raise Refused(Refusal.REVOKED_MEANWHILE) from None
        return admission

    def _leaves(self, credential: Credential, now: datetime) -> datetime:
        end = now + STAY * (1 - STAY_SPREAD * self._random.random())
        return min(end, credential.expire_time or end)

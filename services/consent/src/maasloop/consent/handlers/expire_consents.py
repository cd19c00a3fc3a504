"""End records whose time has come."""

from maasloop.consent.domain.record import expired
from maasloop.consent.ports import Happening, Identifiers, Register
from maasloop.core.clock import Clock

EXPIRED_AT_ONCE_MAX = 100
"""Records that one transaction ends."""


class ExpireConsents:
    """Turns given records into expired ones; their event is a withdrawal."""

    def __init__(self, register: Register, identifiers: Identifiers, clock: Clock) -> None:
        """Work on this register."""
        self._register = register
        self._identifiers = identifiers
        self._clock = clock

    async def __call__(self) -> int:
        """End some records that are due and return how many."""
        now = self._clock.now()
        if not await self._register.anything_due(now):
            return 0
        async with self._register.change() as change:
            due = await change.due(now, EXPIRED_AT_ONCE_MAX)
            for record in due:
                await change.save_record(expired(record, self._identifiers.new(), now), Happening.WITHDRAWN)
            await change.note_expiry(due, now)
        return len(due)

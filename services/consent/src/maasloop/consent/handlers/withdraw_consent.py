"""Record that a person withdraws: one call with one field, as easy as consenting (GDPR 7(3))."""

from maasloop.consent.domain.record import ConsentRecord, withdrawn
from maasloop.consent.ports import Happening, Identifiers, Register
from maasloop.core.clock import Clock
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason


class WithdrawConsent:
    """From its event on, at most a few seconds later, nothing of the person passes."""

    def __init__(self, register: Register, identifiers: Identifiers, clock: Clock) -> None:
        """Work on this register."""
        self._register = register
        self._identifiers = identifiers
        self._clock = clock

    async def __call__(self, record_id: str) -> ConsentRecord:
        """Withdraw and return the record; one that ended already stays as it is."""
        async with self._register.change() as change:
            record = await change.record(record_id)
            if record is None:
                name = f"consentRecords/{record_id}"
                raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
            ended = withdrawn(record, self._identifiers.new(), self._clock.now())
            return record if ended is record else await change.save_record(ended, Happening.WITHDRAWN)

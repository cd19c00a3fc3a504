"""Record that a person consents."""

from maasloop.consent.domain.record import Asked, ConsentRecord, expired, given
from maasloop.consent.ports import Change, Happening, Identifiers, Register
from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition, NotFound
from maasloop.core.reasons import Reason


class GrantConsent:
    """A request makes one record for ever: repeated after a withdrawal it does not consent again."""

    def __init__(self, register: Register, identifiers: Identifiers, clock: Clock) -> None:
        """Work on this register."""
        self._register = register
        self._identifiers = identifiers
        self._clock = clock

    async def __call__(self, asked: Asked, request_id: str) -> ConsentRecord:
        """Return the record in force, which is a new one where there was none."""
        asked.check()
        async with self._register.change() as change:
            earlier = await change.record_of(request_id)
            if earlier is not None:
                if not earlier.says(asked):
                    message = f"request_id {request_id} came with another request before"
                    raise FailedPrecondition(Reason.REQUEST_ID_REUSED, message)
                return earlier
            await _require_consent_counts(change, asked)
            now = self._clock.now()
            current = await change.decisive(asked.data_subject, asked.processing_activity)
            if current is not None and current.in_force(now):
                await change.remember(request_id, current)
                return current
            if current is not None:
                # Its end came a moment ago, and the timer has not noted it yet.
                await change.save_record(expired(current, self._identifiers.new(), now), Happening.WITHDRAWN)
            record = given(asked, self._identifiers.new(), self._identifiers.new(), now)
            return await change.save_record(record, Happening.GRANTED, request_id)


async def _require_consent_counts(change: Change, asked: Asked) -> None:
    name = f"processingActivities/{asked.processing_activity}"
    activity = await change.activity(asked.processing_activity)
    if activity is None:
        raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
    if not activity.legal_basis.needs_consent:
        message = f"{name} rests on {activity.legal_basis.lower()}, so that consent would mean nothing"
        raise FailedPrecondition(Reason.ACTIVITY_FORBIDS, message)

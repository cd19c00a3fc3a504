"""Record that a person objects to a public task (GDPR 21)."""

from maasloop.consent.domain.record import Asked, ConsentRecord, objected
from maasloop.consent.ports import Happening, Identifiers, Register
from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition, NotFound
from maasloop.core.reasons import Reason


class ObjectToProcessing:
    """An objection acts as a withdrawal does; a person objects once."""

    def __init__(self, register: Register, identifiers: Identifiers, clock: Clock) -> None:
        """Work on this register."""
        self._register = register
        self._identifiers = identifiers
        self._clock = clock

    async def __call__(self, asked: Asked, request_id: str) -> ConsentRecord:
        """Return the objection, which is a new one where there was none."""
        asked.check()
        name = f"processingActivities/{asked.processing_activity}"
        async with self._register.change() as change:
            earlier = await change.record_of(request_id)
            if earlier is not None:
                if not earlier.says(asked):
                    message = f"request_id {request_id} came with another request before"
                    raise FailedPrecondition(Reason.REQUEST_ID_REUSED, message)
                return earlier
            activity = await change.activity(asked.processing_activity)
            if activity is None:
                raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
            if not activity.legal_basis.admits_objection:
                message = f"{name} rests on {activity.legal_basis.lower()}: there is no objection to it"
                raise FailedPrecondition(Reason.ACTIVITY_FORBIDS, message)
            current = await change.decisive(asked.data_subject, asked.processing_activity)
            if current is not None:
                await change.remember(request_id, current)
                return current
            record = objected(asked, self._identifiers.new(), self._identifiers.new(), self._clock.now())
            return await change.save_record(record, Happening.OBJECTED, request_id)

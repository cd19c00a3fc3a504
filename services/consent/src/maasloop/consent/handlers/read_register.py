"""Read activities and records."""

from maasloop.consent.domain.activity import ProcessingActivity
from maasloop.consent.domain.record import ConsentRecord
from maasloop.consent.ports import RecordPosition, Register
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.core.requests import Page


class ReadRegister:
    """Reads what is committed."""

    def __init__(self, register: Register) -> None:
        """Work on this register."""
        self._register = register

    async def record(self, record_id: str) -> ConsentRecord:
        """Return a record, or say that there is none."""
        found = await self._register.record(record_id)
        if found is None:
            name = f"consentRecords/{record_id}"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
        return found

    async def records(self, data_subject: str, *, after: RecordPosition | None, limit: int) -> Page[ConsentRecord]:
        """Return records of a person, or of all for an empty one, newest first."""
        return await self._register.list_records(data_subject, after=after, limit=limit)

    async def activities(self, *, after: str, limit: int) -> Page[ProcessingActivity]:
        """Return activities ordered by id."""
        return await self._register.list_activities(after=after, limit=limit)

"""Whose data a consent record is, for the judgement of calls that name only the record."""

from maasloop.consent.handlers.read_register import ReadRegister
from maasloop.core.errors import NotFound
from maasloop.rpc.authorization import Place

RECORDS = "consentRecords/"


class RecordPlaces:
    """Answers from the register."""

    def __init__(self, read: ReadRegister) -> None:
        self._read = read

    async def __call__(self, name: str) -> Place | None:
        """Return the person of a record; none for what is no record."""
        if not name.startswith(RECORDS):
            return None
        try:
            return Place(data_subject=(await self._read.record(name.removeprefix(RECORDS))).data_subject)
        except NotFound:
            return None

"""Whose data a consent record is, for the judgement of calls that name only the record."""

from collections.abc import Mapping, Sequence

from maasloop.consent.handlers.read_register import ReadRegister
from maasloop.core.errors import NotFound
from maasloop.rpc.authorization import Place

RECORDS = "consentRecords/"


class RecordPlaces:
    """Answers from the register."""

    def __init__(self, read: ReadRegister) -> None:
        self._read = read

    async def __call__(self, names: Sequence[str]) -> Mapping[str, Place]:
        """Return the persons of records, without what is no record."""
        return {name: place for name in names if (place := await self._place(name)) is not None}

    async def _place(self, name: str) -> Place | None:
        if not name.startswith(RECORDS):
            return None
        try:
            return Place(data_subject=(await self._read.record(name.removeprefix(RECORDS))).data_subject)
        except NotFound:
            return None

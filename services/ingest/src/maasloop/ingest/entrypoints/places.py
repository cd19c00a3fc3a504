"""Which district refused readings belong to, for the judgement of calls that name only their entry."""

from collections.abc import Mapping, Sequence

from maasloop.ingest.ports import QuarantineStore
from maasloop.rpc.authorization import Place

ENTRIES = "quarantineEntries/"


class EntryPlaces:
    """Answers from the quarantine."""

    def __init__(self, store: QuarantineStore) -> None:
        self._store = store

    async def __call__(self, names: Sequence[str]) -> Mapping[str, Place]:
        """Return the districts of entries, without what is no entry, and those that nobody could place."""
        ids = {name: name.removeprefix(ENTRIES) for name in names if name.startswith(ENTRIES)}
        districts = await self._store.districts(list(ids.values())) if ids else {}
        return {name: Place(district=districts[id_]) for name, id_ in ids.items() if districts.get(id_)}

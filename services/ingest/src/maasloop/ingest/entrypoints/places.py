"""Which district refused readings belong to, for the judgement of calls that name only their entry."""

from maasloop.ingest.ports import QuarantineStore
from maasloop.rpc.authorization import Place

ENTRIES = "quarantineEntries"


class EntryPlaces:
    """Answers from the quarantine."""

    def __init__(self, store: QuarantineStore) -> None:
        self._store = store

    async def __call__(self, name: str) -> Place | None:
        """Return the district of an entry; none for what is no entry, and for one that nobody could place."""
        collection, _, id_ = name.partition("/")
        found = await self._store.get([id_]) if collection == ENTRIES else []
        return Place(district=found[0].district) if found and found[0].district else None

"""Keep refused readings in the table from which people list and replay them."""

from maasloop.ingest.ports import QuarantineEntry, QuarantineStore


class KeepQuarantined:
    """From the stream of refused readings into the table; the same message twice is one entry."""

    def __init__(self, store: QuarantineStore) -> None:
        """Keep entries in this store."""
        self._store = store

    async def __call__(self, entry: QuarantineEntry) -> None:
        """Return when the entry is durable."""
        await self._store.keep(entry)

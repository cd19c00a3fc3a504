"""List refused readings, newest first."""

from maasloop.ingest.ports import QuarantineEntry, QuarantineFilter, QuarantineStore


class ListQuarantine:
    """A page of the quarantine."""

    def __init__(self, store: QuarantineStore) -> None:
        """Read from this store."""
        self._store = store

    async def __call__(
        self, chosen: QuarantineFilter, *, size: int, after: tuple[int, str] | None
    ) -> list[QuarantineEntry]:
        """Return up to ``size`` entries after a position (receipt time, id)."""
        return await self._store.page(chosen, size=size, after=after)

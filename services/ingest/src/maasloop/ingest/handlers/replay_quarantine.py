"""Send refused readings through the pipeline again, for example after their device was registered."""

from collections.abc import Awaitable, Callable, Sequence

from maasloop.core.errors import InvalidArgument, NotFound
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.outcome import Recorded, Refusal
from maasloop.ingest.ports import Batch, QuarantineEntry, QuarantineStore

type Record = Callable[[Batch], Awaitable[Recorded]]
type Decode = Callable[[QuarantineEntry], Batch]


class ReplayQuarantine:
    """What is accepted now leaves the quarantine; what is refused again stays, with its new reason."""

    def __init__(self, *, store: QuarantineStore, decode: Decode, record: Record) -> None:
        """``record`` is the pipeline without its own quarantine."""
        self._store = store
        self._decode = decode
        self._record = record

    async def __call__(self, ids: Sequence[str], *, request_id: str, now_us: int) -> tuple[int, int]:
        """Return how many readings are durable now and how many were refused again."""
        if request_id and (known := await self._store.replay(request_id)) is not None:
            return known
        entries = await self._store.get(ids)
        missing = set(ids) - {entry.id for entry in entries}
        if missing:
            name = f"quarantineEntries/{min(missing)}"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
        accepted = refused = 0
        for entry in entries:
            recorded = await self._replay(entry)
            accepted += recorded.accepted_count
            refused += recorded.refused_count
            await self._store.replayed(entry, recorded, now_us)
        if request_id:
            await self._store.remember_replay(request_id, accepted, refused)
        return accepted, refused

    async def _replay(self, entry: QuarantineEntry) -> Recorded:
        try:
            batch = self._decode(entry)
        except InvalidArgument as error:
            return Recorded(0, entry.reading_count, (Refusal(0, Reason(error.reason), error.message),))
        return await self._record(batch)

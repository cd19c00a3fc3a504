"""A watcher misses nothing, whatever changes while it reads."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import FailedPrecondition
from maasloop.runtime.owning import Changed
from maasloop.runtime.watching import Watching, WatchLot

LOT = 3


class Table:
    """Resources by key with their present revision, and changes that happen between two reads."""

    def __init__(self, changes: Sequence[Sequence[str]]) -> None:
        self.present: dict[str, int] = {}
        self.revision = 0
        self.wake: Callable[[], None] = lambda: None
        self._changes = list(changes)

    def change(self, key: str) -> None:
        """Change a resource, and say so."""
        self.revision += 1
        self.present[key] = self.revision
        self.wake()

    async def head(self) -> int:
        """Return the last revision."""
        return self.revision

    async def changes(self, after: int, upto: int) -> Sequence[Changed]:
        """Return the next lot, then let the next changes happen."""
        found = sorted((revision, key) for key, revision in self.present.items() if after < revision <= upto)[:LOT]
        for key in self._changes.pop(0) if self._changes else []:
            self.change(key)
        return [Changed(revision, key.encode()) for revision, key in found]


async def _follow(watching: Watching, table: Table, start: int = 0) -> dict[bytes, int]:
    """Read until the watcher is at the head, and return what it holds by key: the revision it was sent at last."""
    held: dict[bytes, int] = {}
    seen = start
    complete = False
    async for lot in watching.watch(start):
        assert lot.revision >= seen
        assert lot.snapshot_complete or not complete
        seen, complete = lot.revision, lot.snapshot_complete
        held.update(dict.fromkeys(lot.bodies, lot.revision))
        if complete and seen == table.revision:
            break
    return held


KEYS = st.sampled_from("abcdefgh")


@given(st.lists(KEYS, max_size=12), st.lists(st.lists(KEYS, max_size=4), max_size=8))
def test_nothing_is_missed(before: list[str], meanwhile: list[list[str]]) -> None:
    """Every resource is sent at least once after its last change, in order of revision."""
    table = Table(meanwhile)
    for key in before:
        table.change(key)

    watching = Watching(table)
    table.wake = watching.wake
    held = asyncio.run(_follow(watching, table))

    assert held.keys() == {key.encode() for key in table.present}
    assert all(held[key.encode()] >= revision for key, revision in table.present.items())


async def test_a_waiting_watch_wakes_at_a_change() -> None:
    """A change of this process is sent without waiting for the next look."""
    table = Table([])
    watching = Watching(table)
    table.wake = watching.wake
    lots = watching.watch(0)
    assert await anext(lots) == WatchLot([], 0, snapshot_complete=True)
    waiting = asyncio.ensure_future(anext(lots))
    await asyncio.sleep(0)
    table.change("a")

    assert await waiting == WatchLot([b"a"], 1, snapshot_complete=True)


async def test_a_revision_from_elsewhere_is_refused() -> None:
    """Who resumes at a revision that was never given must begin with a snapshot."""
    with pytest.raises(FailedPrecondition) as refused:
        await anext(Watching(Table([])).watch(1))

    assert refused.value.reason == "RESUME_TOKEN_EXPIRED"

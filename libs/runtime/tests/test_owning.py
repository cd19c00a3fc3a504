"""Resources, answers and facts change together, one change after the other."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest

from maasloop.core.clock import FakeClock
from maasloop.core.errors import FailedPrecondition
from maasloop.core.requests import Request
from maasloop.postgres.pool import open_pool
from maasloop.postgres.revision import REVISIONS_DDL
from maasloop.runtime import owning
from maasloop.runtime.answering import ANSWERS_DDL
from maasloop.runtime.outbox import OUTBOX_DDL, OutboxRow
from maasloop.runtime.owning import RESOURCES_DDL, Owned, OwnedChange, OwnedKey, Owner


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="owner")
async def _owner(postgres_dsn: str, clock: FakeClock) -> AsyncIterator[Owner]:
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection:
        for statements in (REVISIONS_DDL, RESOURCES_DDL, ANSWERS_DDL, OUTBOX_DDL):
            await connection.execute(statements.encode())
    async with open_pool(postgres_dsn, name="test") as pool:
        yield Owner(pool, clock)


async def _put(change: OwnedChange, id_: str, body: bytes = b"body") -> int:
    revision = await change.draw()
    await change.put([Owned(OwnedKey("kind", "", id_), revision, body)])
    await change.tell([OutboxRow(subject="s", ce_id=str(uuid4()), ce_type="t", body=body, revision=revision)])
    return revision


async def test_a_failed_change_leaves_nothing(owner: Owner) -> None:
    """Neither resource nor revision nor fact of a change that failed exists."""

    async def fail() -> None:
        async with owner.change() as change:
            await _put(change, "a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    standing = await owner.standing()
    assert (standing.revision, standing.pending) == (0, False)
    assert await owner.get(OwnedKey("kind", "", "a")) is None


async def test_changes_follow_each_other(owner: Owner) -> None:
    """What a change read stays true until it commits: twenty counters at once lose no step."""
    key = OwnedKey("kind", "", "counter")

    async def count_up() -> None:
        async with owner.change() as change:
            found = await change.find(key)
            await asyncio.sleep(0)
            await _put(change, "counter", str(int(found or b"0") + 1).encode())

    await asyncio.gather(*(count_up() for _ in range(20)))

    assert await owner.get(key) == b"20"
    assert await owner.head() == 20
    assert [change.revision for change in await owner.changes(0, 20)] == [20]


async def test_lots_and_pages_are_bounded(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lot ends after its bytes or its count, and always holds something."""
    async with owner.change() as change:
        for number in range(6):
            await _put(change, f"r{number}", bytes(1_000))

    assert len(await owner.changes(0, 6)) == 6
    assert [change.revision for change in await owner.changes(2, 4)] == [3, 4]
    monkeypatch.setattr(owning, "LOT_BYTES_MAX", 1_500)
    assert [change.revision for change in await owner.changes(0, 6)] == [1, 2]
    monkeypatch.setattr(owning, "LOT_BYTES_MAX", 1)
    assert [change.revision for change in await owner.changes(0, 6)] == [1]
    page = await owner.page("kind", "", after="r1", limit=10, bytes_max=2_500)
    assert [id_ for id_, _ in page] == ["r2", "r3", "r4"]


async def test_missing_keys_come_in_their_order(owner: Owner) -> None:
    """Only what does not exist is returned."""
    async with owner.change() as change:
        await _put(change, "b")
        keys = [OwnedKey("kind", "", id_) for id_ in "cba"] + [OwnedKey("other", "", "b")]
        assert await change.missing(keys) == [keys[0], keys[2], keys[3]]
        assert await change.missing([]) == []


async def test_an_answer_is_kept_for_a_day(owner: Owner, clock: FakeClock) -> None:
    """Within 24 hours a request gets its first answer, with another body a refusal; after that it is forgotten."""
    request = Request(str(uuid4()), "Create", b"digest")
    async with owner.change() as change:
        assert await change.answered(request) is None
        await change.answer(request, b"answer")

    assert await owner.answered(request) == b"answer"
    with pytest.raises(FailedPrecondition) as refused:
        await owner.answered(Request(request.id, "Create", b"other"))
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await owner.answered(Request("", "Create", b"digest")) is None
    await clock.advance(86_401)
    assert await owner.answered(request) is None
    other = Request(str(uuid4()), "Create", b"digest")
    async with owner.change() as change:
        await change.answer(other, b"later")
    async with owner.transaction() as connection:
        row = await (await connection.execute("SELECT count(*) FROM answers")).fetchone()
    assert row == (1,)

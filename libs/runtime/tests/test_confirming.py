"""An owner tells what it has committed, after the facts of it where they can leave, and in any case."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

import pytest

from maasloop.api.device.v1.events_pb2 import RevisionConfirmed
from maasloop.bus.connection import Bus
from maasloop.core.clock import FakeClock
from maasloop.core.errors import Unavailable
from maasloop.runtime.confirming import OwnerVoice
from maasloop.runtime.outbox import OutboxRow
from maasloop.runtime.owning import Standing


class Ear:
    """Hears what is said, in order: facts by their revision, confirmations as ``confirmed n``."""

    connected = True

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def publish(self, subject: str, body: bytes, headers: object) -> None:
        """Hear a fact."""
        self.heard.append(subject)

    async def tell(self, subject: str, body: bytes) -> None:
        """Hear a confirmation."""
        self.heard.append(f"confirmed {RevisionConfirmed.FromString(body).revision}")


class Table:
    """An owner that stands where the test puts it."""

    def __init__(self) -> None:
        self.now: Standing | None = Standing(0, pending=False)

    async def standing(self) -> Standing:
        """Return it, or fail as a database does that is away."""
        if self.now is None:
            raise Unavailable("NEIGHBOUR_UNAVAILABLE", "no database")
        return self.now


@pytest.fixture(name="ear")
def _ear() -> Ear:
    return Ear()


@pytest.fixture(name="table")
def _table() -> Table:
    return Table()


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="voice")
async def _voice(ear: Ear, table: Table, clock: FakeClock) -> AsyncIterator[OwnerVoice]:
    voice = OwnerVoice(cast("Bus", ear), "maasloop/test", clock)
    task = asyncio.create_task(voice.confirm(table, "confirmed"))
    await asyncio.sleep(0)
    yield voice
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _fact(revision: int) -> OutboxRow:
    return OutboxRow(subject=f"fact {revision}", ce_id="x", ce_type="t", body=b"", revision=revision)


async def test_the_revision_is_told_every_second(voice: OwnerVoice, ear: Ear, table: Table, clock: FakeClock) -> None:
    """Also when nothing changes, and again after the database was away."""
    await clock.advance(2)
    table.now = None
    await clock.advance(2)
    table.now = Standing(7, pending=False)
    await clock.advance(1)

    assert ear.heard == ["confirmed 0"] * 3 + ["confirmed 7"]


async def test_facts_go_first(voice: OwnerVoice, ear: Ear, table: Table, clock: FakeClock) -> None:
    """A confirmation waits for the facts of its revision, not for later ones."""
    table.now = Standing(2, pending=True)
    await clock.advance(1.1)
    await voice.publish(_fact(1))
    await clock.advance(0.1)
    table.now = Standing(3, pending=True)
    await voice.publish(_fact(2))
    await clock.advance(0.1)

    assert ear.heard == ["confirmed 0", "fact 1", "fact 2", "confirmed 2"]


async def test_facts_that_cannot_leave_hold_no_confirmation(
    voice: OwnerVoice, ear: Ear, table: Table, clock: FakeClock
) -> None:
    """Who follows must learn that it is behind, though nothing is published."""
    table.now = Standing(2, pending=True)
    await clock.advance(2)

    assert ear.heard == ["confirmed 0", "confirmed 2"]

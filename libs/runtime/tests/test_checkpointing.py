"""The keeper of a log signs what follows from what it signed before, and nothing else."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from maasloop.api.common.v1.audit_pb2 import AuditCheckpointed
from maasloop.audit.checkpoints import Checkpoint
from maasloop.audit.entries import Entry, Verb
from maasloop.audit.exports import Export, Row
from maasloop.audit.notes import WITNESS, Note, SigningKey
from maasloop.audit.verifying import verify
from maasloop.audit.witnessing import Witness
from maasloop.core.clock import FakeClock
from maasloop.core.errors import Unavailable
from maasloop.postgres.pool import Pool, open_pool
from maasloop.runtime import checkpointing
from maasloop.runtime.checkpointing import Checkpointer

KEY = SigningKey.generate("city/audit/consent")


class Wire:
    """Takes what is published, unless it is cut, and lets a witness judge it."""

    def __init__(self) -> None:
        self.cut = False
        self.sizes: list[int] = []
        self.witness = Witness(SigningKey.generate("witness", WITNESS), {KEY.name: KEY.verifying})

    async def publish(self, message: AuditCheckpointed) -> None:
        """Take a checkpoint."""
        if self.cut:
            message_ = "the broker is away"
            raise Unavailable("NEIGHBOUR_UNAVAILABLE", message_)
        self.sizes.append(Checkpoint.read(Note.parse(message.checkpoint)).size)
        self.witness.cosign(message.checkpoint, message.previous_size, list(message.consistency_hashes), time_s=1)


@pytest.fixture(name="dsn")
def _dsn(service_dsn: Callable[[str], str]) -> str:
    return service_dsn("consent")


@pytest.fixture(name="pool")
async def _pool(dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(dsn, name="test") as pool:
        yield pool


@pytest.fixture(name="wire")
def _wire() -> Wire:
    return Wire()


def keeper_of(pool: Pool, wire: Wire, file: Path | None = None) -> Checkpointer:
    """Return a keeper as a process starts one."""
    return Checkpointer(pool, KEY, FakeClock(), wire.publish, file=file)


def append(dsn: str, count: int) -> None:
    """Add entries."""
    bodies = [Entry(time_us=number, verb=Verb.CHANGED, actor="operator/local").encode() for number in range(count)]
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT audit.append(%s::text[])", [bodies])


def export(dsn: str, note: str) -> Export:
    """Return the log as it is stored."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT place, entry, link FROM audit.read(0, 100000)").fetchall()
    return Export(KEY.name, note, [Row(*row) for row in rows])


async def test_checkpoints_follow_from_each_other(
    pool: Pool, wire: Wire, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each checkpoint continues the one before, whatever number of entries came between; a witness agrees."""
    monkeypatch.setattr(checkpointing, "READ_ENTRIES_MAX", 4)
    file = tmp_path / "consent.checkpoint"
    keeper = keeper_of(pool, wire, file)
    await keeper.look(at_once=True)
    assert wire.sizes == []
    kept = []
    for count in (1, 4, 9):
        append(dsn, count)
        await keeper.look(at_once=True)
        kept.append(file.read_text())

    assert wire.sizes == [1, 5, 14]
    assert Checkpoint.opened(Note.parse(wire.witness.seen[KEY.name]), KEY.verifying).size == 14
    assert verify(export(dsn, kept[-1]), KEY.verifying, kept).kept_sizes == (1, 5, 14)


async def test_a_busy_log_is_signed_once_a_minute(pool: Pool, wire: Wire, dsn: str) -> None:
    """A log that grows with each look is signed after a minute, one that rests at the next look, and then no more."""
    clock = FakeClock()
    keeper = Checkpointer(pool, KEY, clock, wire.publish)
    for _ in range(3):
        append(dsn, 2)
        await keeper.look()
    assert wire.sizes == [2]

    await clock.advance(checkpointing.INTERVAL_S)
    append(dsn, 2)
    await keeper.look()
    assert wire.sizes == [2, 8]

    append(dsn, 1)
    for _ in range(4):
        await keeper.look()
    assert wire.sizes == [2, 8, 9]


async def test_no_checkpoint_is_skipped(pool: Pool, wire: Wire, dsn: str) -> None:
    """One that could not be published is published before another is made, by the next process too."""
    keeper = keeper_of(pool, wire)
    append(dsn, 3)
    await keeper.look(at_once=True)
    append(dsn, 3)
    wire.cut = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await keeper.look(at_once=True)
        append(dsn, 1)
    wire.cut = False

    successor = keeper_of(pool, wire)
    await successor.look(at_once=True)
    await successor.look(at_once=True)

    assert wire.sizes == [3, 6, 8]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit.entries SET body = replace(body, 'local', 'other') WHERE position = 4",
        "DELETE FROM audit.entries WHERE position = 4",
        "UPDATE audit.checkpoints SET peaks[1] = sha256('other')",
        "UPDATE audit.checkpoints SET note = replace(note, 'city', 'town')",
        "DELETE FROM audit.entries",
    ],
)
async def test_what_was_tampered_with_is_not_signed(
    pool: Pool, wire: Wire, dsn: str, postgres_dsn: str, tampering: str
) -> None:
    """Who owns the server and takes the triggers away still gets no signature under what he wrote."""
    keeper = keeper_of(pool, wire)
    append(dsn, 2)
    await keeper.look(at_once=True)
    append(dsn, 3)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for table in ("entries", "checkpoints"):
            connection.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER USER".encode())
        connection.execute(tampering.encode())

    await keeper.look(at_once=True)
    successor = keeper_of(pool, wire)
    await successor.look(at_once=True)
    await successor.look(at_once=True)

    assert [size for size in wire.sizes if size > 2] == []
    if tampering != "DELETE FROM audit.entries":
        assert keeper.trouble()
    assert successor.trouble()

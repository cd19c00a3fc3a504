"""The tools of the lab do what their names say: the ledger survives, the proxy breaks links, traces are read in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.faults.lanes.outcome import Outcome, Result
from tests.faults.ledger import OK, UNKNOWN, Batch, Journal, Ledger
from tests.faults.nemesis import Nemesis
from tests.faults.power import read_trace
from tests.faults.proxy import Proxy, Toxics, Way
from tests.faults.report import Run, page


async def test_what_was_invoked_is_on_disk(tmp_path: Path) -> None:
    """A batch is in the file when ``invoked`` returns; without an outcome it stays unknown."""
    path = tmp_path / "ledger"
    journal = Journal(path)
    keeping = asyncio.create_task(journal.keep())
    first, second = Batch(0, "grpc", 1, 2, 10, 100, 5), Batch(1, "mqtt", 4, 1, 20, 200, 1)

    await journal.invoked(first)
    assert path.read_text().startswith("i 0 grpc")
    await journal.invoked(second)
    journal.ok(first, 1.5)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    ledger = Ledger.read([path])

    assert ledger.value.tolist() == [100, 101, 102, 103, 104, 200]
    assert ledger.device.tolist() == [1, 2, 1, 2, 1, 4]
    assert ledger.time_us.tolist() == [10, 10, 11, 11, 12, 20]
    assert ledger.state.tolist() == [OK] * 5 + [UNKNOWN]


def test_a_seed_gives_the_same_faults(tmp_path: Path) -> None:
    """Two of one seed break the same things in the same order; every kind comes once a round."""
    kinds = ("a", "b", "c")
    one, two = (list(Nemesis(7, tmp_path / "history").victims(kinds, 5)) for _ in range(2))

    assert one == two
    assert all(sorted(one[start : start + 3]) == list(kinds) for start in range(0, 15, 3))


@asynccontextmanager
async def _echo(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1024):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy.upstream = server.sockets[0].getsockname()
    async with server, proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        yield reader, writer
        writer.transport.abort()


@pytest.mark.parametrize("ways", [(), (Way.UP,), (Way.DOWN,)])
async def test_a_black_hole_keeps_sockets_and_carries_nothing(ways: tuple[Way, ...]) -> None:
    """Blocked one way or both, no answer comes and nothing is closed; healed, what was held back arrives."""
    proxy = Proxy()
    async with _echo(proxy) as (reader, writer):
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"

        proxy.block(*ways)
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(3), 0.2)

        proxy.clean()
        assert await reader.readexactly(3) == b"two"


async def test_a_reset_and_a_limit_cut_the_link() -> None:
    """A reset ends connections at once, a limit after so many bytes; a link that is down refuses new ones."""
    proxy = Proxy()
    async with _echo(proxy) as (reader, writer):
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        proxy.reset()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)

        proxy.set(Toxics(limit_bytes=4, slice_bytes=2))
        again, sender = await asyncio.open_connection("127.0.0.1", proxy.port)
        sender.write(b"a long text")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await again.readexactly(11)
        sender.transport.abort()

        await proxy.down()
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", proxy.port)


WRITE = '7  1.{at} pwrite64(10<…/msgs/1.blk>, "…POWER-{number:04d}…", 90, 0) = 90'
SYNC = "7  1.{at} fsync(10<…/msgs/1.blk>) = 0"
PROOF = (
    '7  1.{at} writev(11<socket:[5]>, [{{iov_base="MSG … {{\\"stream\\":\\"POWER\\",\\"seq\\":{sequence}}}…", …) = 91'
)


def _trace(*steps: tuple[str, int]) -> list[str]:
    return [text.format(at=at, number=number - 1, sequence=number) for at, (text, number) in enumerate(steps)]


def test_an_acknowledgement_counts_only_after_the_sync_of_its_message() -> None:
    """The order of system calls decides, also when the sync was of an earlier message."""
    good = read_trace(_trace((WRITE, 1), (SYNC, 1), (PROOF, 1), (WRITE, 2), (SYNC, 2), (PROOF, 2)), 2)
    early = read_trace(_trace((WRITE, 1), (PROOF, 1), (SYNC, 1)), 1)
    other = read_trace(_trace((WRITE, 1), (SYNC, 1), (PROOF, 1), (WRITE, 2), (PROOF, 2)), 2)

    assert good.good
    assert (early.good, early.synced_before, early.seen) == (False, 0, 1)
    assert (other.good, other.synced_before, other.seen) == (False, 1, 2)


def test_a_run_replaces_its_own_section_alone() -> None:
    """Each command writes the whole page anew, and leaves the words of the other as they are."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    held = Outcome("a lane", Result.HELD, notes=("a note",), seconds=3.4)

    long = page("an older page", Run("long", 1, 9.0, at, [held]))
    both = page(long, Run("short", 2, 8.0, at, [held]))
    again = page(both, Run("short", 3, 7.0, at, [held]))

    assert "an older page" not in long
    assert "Seed 3, 7 s" in again
    assert "Seed 2" not in again
    assert again.index("`make faults`\n") < again.index("`make faults-long`\n")
    assert long.partition("<!-- long -->")[2] == again.partition("<!-- long -->")[2]
    assert "| a lane | held | 3 | |" in again

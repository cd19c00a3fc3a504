"""A server that met a full disk comes back by itself, and not before there is room."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from maasloop.core.clock import SystemClock
from maasloop.stack import supervision
from maasloop.stack.process import ManagedProcess
from maasloop.stack.supervision import ROOM_MIN_BYTES, Supervisor


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that the test need not wait."""
    monkeypatch.setattr(supervision, "QUESTION_S", 0.01)
    monkeypatch.setattr(supervision, "ROOM_POLL_S", 0.01)


def _disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_free(free_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_bytes))

    return set_free


async def _restarted_once(supervisor: Supervisor, restarts: asyncio.Queue[str], after: Callable[[], None]) -> None:
    running = asyncio.create_task(supervisor.run())
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(restarts.get(), 0.5)
        after()
        await restarts.get()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for process in supervisor.processes.values():
            process.kill9()


async def test_what_ended_on_a_full_disk_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose volume is full is not started, and is as soon as there is room."""
    set_free = _disk(monkeypatch)
    set_free(ROOM_MIN_BYTES - 1)
    process = ManagedProcess("server", ["sleep", "1000"], log_path=tmp_path / "log")
    restarts: asyncio.Queue[str] = asyncio.Queue()
    supervisor = Supervisor({"server": process}, SystemClock(), restarts.put, volumes={"server": tmp_path})

    await _restarted_once(supervisor, restarts, lambda: set_free(ROOM_MIN_BYTES))


async def test_what_calls_itself_broken_is_started_again_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live process that can no longer write is killed and started, but not while the disk is still full."""
    set_free = _disk(monkeypatch)
    set_free(ROOM_MIN_BYTES - 1)
    process = ManagedProcess("server", ["sleep", "1000"], log_path=tmp_path / "log")
    process.start()
    first = process.pid
    restarts: asyncio.Queue[str] = asyncio.Queue()
    supervisor = Supervisor(
        {"server": process},
        SystemClock(),
        restarts.put,
        volumes={"server": tmp_path},
        broken={"server": lambda: "write error" if process.pid == first else None},
    )

    await _restarted_once(supervisor, restarts, lambda: set_free(ROOM_MIN_BYTES))

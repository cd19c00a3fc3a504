"""How long a synchronous write takes beside a load: what every acknowledgement of the broker waits for at least."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

EVERY_S = 0.05
BODY = bytes(300)
"""About what nats-server writes of a small QoS 1 publish."""


@asynccontextmanager
async def synced(directory: Path) -> AsyncIterator[list[float]]:
    """Append and synchronise while the block runs, in a thread of its own; gives the seconds that each took."""
    took_s: list[float] = []
    path = directory / "synced"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def sync() -> None:
        began_s = time.perf_counter()
        os.write(descriptor, BODY)
        os.fsync(descriptor)
        took_s.append(time.perf_counter() - began_s)

    over = asyncio.Event()

    async def run() -> None:
        while not over.is_set():
            await asyncio.to_thread(sync)
            await asyncio.sleep(EVERY_S)

    task = asyncio.create_task(run(), name="disk")
    try:
        yield took_s
    finally:
        over.set()
        await task
        os.close(descriptor)
        path.unlink()

"""Looks at the platform while it is being broken: counters, positions, memory and descriptors, without stopping."""

import asyncio
import contextlib
import mmap
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from tests.faults.load import COUNTERS
from tests.faults.recovery import Sample

from maasloop.core.clock import SystemClock
from maasloop.stack.process import ManagedProcess, descendants

PERIOD_S = 0.05
RESOURCES_EVERY = 20
ASK_TIMEOUT_S = 1.0
_SETTLED = "SELECT coalesce(sum(accepted), 0)::bigint FROM timeseries.custody"
_POSITIONS = "SELECT stream || created || epoch || district, sequence FROM timeseries.positions_in_streams"
PAGE_BYTES = 4096


@dataclass
class Footprint:
    """Memory and descriptors of one process from its start, sample by sample."""

    at_s: list[float] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)


class Sampler:
    """Samples until it is stopped."""

    def __init__(self, dsn: str, counters: Path, processes: Callable[[], Mapping[str, ManagedProcess]]) -> None:
        """``counters`` is the file in which the load counts."""
        self.samples: list[Sample] = []
        self.usual = 0.0
        """Acknowledged readings a second before anything is broken."""
        self.positions: list[Mapping[str, int]] = []
        self.footprints: defaultdict[tuple[str, int], Footprint] = defaultdict(Footprint)
        self._dsn = dsn
        self._counters = counters
        self._processes = processes
        self._clock = SystemClock()
        self._settled = 0

    async def run(self) -> None:
        """Sample until cancelled."""
        with self._counters.open("rb") as file:
            counters = mmap.mmap(file.fileno(), COUNTERS.size, access=mmap.ACCESS_READ)
        asking = asyncio.create_task(self._ask())
        try:
            rounds = 0
            while True:
                acknowledged = sum(COUNTERS.unpack(counters[:]))
                self.samples.append(Sample(self._clock.monotonic_s(), acknowledged, self._settled))
                if rounds % RESOURCES_EVERY == 0:
                    self._look_at_processes()
                rounds += 1
                await asyncio.sleep(PERIOD_S)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self) -> None:
        while True:
            with contextlib.suppress(psycopg.Error, TimeoutError, OSError):
                async with asyncio.timeout(2 * ASK_TIMEOUT_S):
                    connection = await psycopg.AsyncConnection.connect(
                        self._dsn, autocommit=True, connect_timeout=2, options="-c statement_timeout=1000"
                    )
                async with connection:
                    await self._ask_on(connection)
            await asyncio.sleep(PERIOD_S)

    async def _ask_on(self, connection: psycopg.AsyncConnection[Any]) -> None:
        rounds = 0
        while True:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                row = await (await connection.execute(_SETTLED)).fetchone()
                self._settled = int(row[0]) if row else 0
                if rounds % RESOURCES_EVERY == 0:
                    self.positions.append(dict(await (await connection.execute(_POSITIONS)).fetchall()))
            rounds += 1
            await asyncio.sleep(PERIOD_S)

    def _look_at_processes(self) -> None:
        now_s = self._clock.monotonic_s()
        for name, process in self._processes().items():
            if name == "postgres" or not process.alive:
                continue
            for pid in (process.pid, *descendants(process.pid)):
                with contextlib.suppress(OSError, IndexError):
                    resident = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
                    descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
                    found = self.footprints[name, pid]
                    found.at_s.append(now_s)
                    found.resident_bytes.append(resident)
                    found.descriptors.append(descriptors)

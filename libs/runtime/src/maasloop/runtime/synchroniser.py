"""Fetches the snapshots that a projection asks for."""

import asyncio

import structlog

from maasloop.core.clock import Clock
from maasloop.telemetry import metrics

from .projection import Fetch, Projection

FETCH_TIMEOUT_S = 120.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 3.0

_snapshots = metrics.counter("maasloop_projection_snapshots_total", "Snapshots taken over", ["projection"])
_gaps = metrics.counter("maasloop_projection_gaps_total", "Times a projection lost the thread", ["projection"])

_log = structlog.get_logger()


class Synchroniser[T]:
    """Keeps a projection supplied. Task: ``run``; whoever hears the owner's events calls ``projection.apply``."""

    def __init__(self, projection: Projection[T], fetch: Fetch[T], clock: Clock) -> None:
        self._projection = projection
        self._fetch = fetch
        self._clock = clock
        self._supplied = False
        self._wanted = asyncio.Event()
        self._wanted.set()
        projection.on_gap(self._ask)

    async def run(self) -> None:
        """Fetch a first snapshot, and another one after each gap, for ever."""
        pause_s = PAUSE_FIRST_S
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._projection.begin()
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    snapshot = await self._fetch()
            except Exception as error:
                # Whatever is wrong with the owner, ending this process would not mend it.
                _log.warning("projection_awaits_owner", projection=self._projection.name, reason=repr(error))
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                self._wanted.set()
                continue
            pause_s = PAUSE_FIRST_S
            self._projection.snapshot(snapshot.revision, snapshot.items)
            self._supplied = True
            _snapshots.labels(self._projection.name).inc()
            _log.info(
                "projection_synchronised",
                projection=self._projection.name,
                revision=self._projection.revision,
                items=len(self._projection.items),
            )

    async def check(self) -> str | None:
        """Return why the projection is of no use, or nothing; for a readiness probe."""
        return None if self._supplied else "no snapshot of the owner yet"

    def _ask(self, reason: str) -> None:
        _gaps.labels(self._projection.name).inc()
        _log.warning("projection_gap", projection=self._projection.name, reason=reason)
        self._wanted.set()

"""The audit log of a service: entries that wait for their commit, and entries that follow when they can.

All that waits goes into one commit, so that the number of commits follows the disk and not the calls. The log belongs to
the database role that the pool logs in with (``maasloop.audit.schema``). Task: ``run``.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import structlog

from maasloop.audit.entries import Entry
from maasloop.core.clock import Clock
from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool
from maasloop.telemetry import metrics

RECORD_TIMEOUT_S = 3.0
"""Longest wait of a call for its entry; then it is refused."""
WAITING_MAX = 10_000
"""Entries in memory; what would come beyond is refused, or dropped and counted if it tells what has happened."""
COMMIT_ENTRIES_MAX = 1_000
RETRY_PAUSE_S = 0.5
FLUSH_TIMEOUT_S = 3.0
REFUSALS_BURST = 200.0
REFUSALS_PER_S = 20.0
"""Refusals that are written: at this rate for ever, 1.7 million a day, about 600 MB."""

APPEND = "SELECT audit.append(%s::text[])"

_entries = metrics.counter("maasloop_audit_entries_total", "Entries that are durable in the service's audit log")
_dropped = metrics.counter(
    "maasloop_audit_dropped_total",
    "Entries that no log holds: refusals beyond the rate, or a log too long away",
    ["why"],
)
_commit_seconds = metrics.histogram("maasloop_audit_commit_seconds", "Time of a commit of entries")

_log = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    text: str
    done: asyncio.Future[None] | None = None


class AuditTrail:
    """Writes a service's log; an ``AuditSink``."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._allowed = REFUSALS_BURST
        self._allowed_at_s = clock.monotonic_s()
        self._failing = ""

    async def record(self, entry: Entry) -> None:
        """Return when the entry is durable, or raise ``Unavailable``: what it tells must not happen."""
        waiting = _Waiting(entry.encode(), asyncio.get_running_loop().create_future())
        assert waiting.done is not None  # noqa: S101 - made one line above
        if not self._add(waiting):
            raise _unavailable()
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                await waiting.done
        except TimeoutError:
            raise _unavailable() from None
        finally:
            if not waiting.done.done():
                waiting.done.cancel()

    def note(self, entry: Entry) -> None:
        """Let the entry become durable as soon as the database takes it."""
        if not self._add(_Waiting(entry.encode())):
            _dropped.labels("full").inc()

    def note_refusal(self, entry: Entry) -> None:
        """Do the same at a limited rate."""
        now_s = self._clock.monotonic_s()
        earned = (now_s - self._allowed_at_s) * REFUSALS_PER_S
        self._allowed, self._allowed_at_s = min(REFUSALS_BURST, self._allowed + earned), now_s
        if self._allowed < 1.0:
            _dropped.labels("refusal").inc()
            return
        self._allowed -= 1.0
        self.note(entry)

    async def run(self) -> None:
        """Write for ever; at the end, what waits still goes."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._write(self._taken())
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_TIMEOUT_S):
                    await self.flush()
            raise

    def trouble(self) -> str:
        """Return why entries are not written, or nothing."""
        return self._failing

    async def flush(self) -> None:
        """Return when what waits, and what is being written, is durable, or could not be; for the end of a process."""
        while self._waiting and not self._failing:
            await self._write(self._taken())
        async with self._writing:
            pass

    def _add(self, waiting: _Waiting) -> bool:
        if len(self._waiting) >= WAITING_MAX:
            return False
        self._waiting.append(waiting)
        self._wake.set()
        return True

    def _taken(self) -> list[_Waiting]:
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), COMMIT_ENTRIES_MAX))]

    async def _write(self, taken: list[_Waiting]) -> None:
        # Who gave up waiting was refused: an entry of something that will not happen would only confuse.
        lot = [each for each in taken if each.done is None or not each.done.done()]
        if not lot:
            return
        started_s = self._clock.monotonic_s()
        try:
            with translated():
                async with self._writing, self._pool.connection() as connection:
                    await connection.execute(APPEND, ([each.text for each in lot],))
        except asyncio.CancelledError:
            # Perhaps it was committed all the same: an entry twice is better than none.
            self._waiting.extendleft(reversed(lot))
            raise
        except Exception as error:
            # Whatever is wrong with the log, those who wait are told, and the others are kept.
            await self._failed(lot, error)
            return
        self._failing = ""
        _entries.inc(len(lot))
        _commit_seconds.observe(self._clock.monotonic_s() - started_s)
        for each in lot:
            if each.done is not None and not each.done.done():
                each.done.set_result(None)

    async def _failed(self, lot: list[_Waiting], error: Exception) -> None:
        """Refuse those who wait, and keep the others for later."""
        self._failing = "the audit log takes no entries, so that changing calls are refused"
        _log.warning("audit_not_written", entries=len(lot), error=type(error).__name__)
        for each in lot:
            if each.done is not None and not each.done.done():
                each.done.set_exception(_unavailable())
        self._waiting.extendleft(reversed([each for each in lot if each.done is None]))
        await self._clock.sleep(RETRY_PAUSE_S)


def _unavailable() -> Unavailable:
    message = "the audit log can't be written at present, and without it nothing is changed"
    return Unavailable(Reason.AUDIT_UNAVAILABLE, message, {"neighbour": "audit"}, retry_after_s=1.0)

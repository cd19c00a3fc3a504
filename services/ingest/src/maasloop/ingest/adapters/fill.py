"""How full the streams of readings are, and which priorities still have room in them.

Asked once a second, never for a batch. A stream that refused is full until it is asked again; then all may try, and hear
of it from the broker.
"""

import asyncio

import structlog

from maasloop.bus.connection import Bus
from maasloop.bus.streams import IMPORTS, OBSERVATIONS, PERSONAL
from maasloop.core.errors import Retryable
from maasloop.ingest.ports import RANKS, Lane
from maasloop.telemetry.metrics import gauge

log = structlog.get_logger(__name__)

ASK_INTERVAL_S = 1.0
ASK_TIMEOUT_S = 2.0
FULL_FROM = (0.95, 0.8)
"""Fill from which readings of normal, and of low priority are refused; those of high priority only when nothing fits."""

_STREAMS = {Lane.PRESENT: OBSERVATIONS.name, Lane.PAST: IMPORTS.name, Lane.PERSONAL: PERSONAL.name}

FILL = gauge("maasloop_ingest_stream_fill_ratio", "How full a stream of readings is, as ingest sees it.", ("stream",))


def ranks_within(fill: float) -> int:
    """Return how many of ``RANKS``, from the first, have room at a fill between 0 and 1."""
    return len(RANKS) - sum(fill >= limit for limit in FULL_FROM)


class StreamFill:
    """Watches the streams of readings."""

    def __init__(self, bus: Bus) -> None:
        """Take every stream as empty until it was asked for."""
        self._bus = bus
        self._fill = dict.fromkeys(Lane, 0.0)

    def ranks_admitted(self, lane: Lane) -> int:
        """Return how many of ``RANKS`` have room in a lane."""
        fill = self._fill[lane]
        return len(RANKS) if fill >= 1.0 else ranks_within(fill)

    def found_full(self, lane: Lane) -> None:
        """Take a stream that refused a message as full."""
        self._fill[lane] = 1.0

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            for lane in Lane:
                await self._ask(lane)
            await asyncio.sleep(ASK_INTERVAL_S)

    async def _ask(self, lane: Lane) -> None:
        name = _STREAMS[lane]
        try:
            found = await self._bus.api(f"STREAM.INFO.{name}", timeout_s=ASK_TIMEOUT_S)
        except Retryable:
            # Publishing tells what is wrong; what was known stays.
            return
        if "error" in found or found["config"]["max_bytes"] <= 0:
            return
        self._fill[lane] = found["state"]["bytes"] / found["config"]["max_bytes"]
        FILL.labels(name).set(self._fill[lane])

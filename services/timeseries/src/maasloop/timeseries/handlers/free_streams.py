"""Give space of custody streams back: only what every owner has committed, and as late as space allows.

What this service owns is committed up to the lowest floor of all partitions, by the tables; what others own, up to what
their durables acknowledged.

Below half of its bytes a stream keeps everything, for integrators. Above, what is older than a day goes; above four
fifths, what is older than the de-duplication window. Nothing inside that window goes, because the broker forgets the ids
of messages that it no longer holds.
"""

from collections.abc import Mapping, Sequence

from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.timeseries.ports.accounting import SettledReader
from maasloop.timeseries.ports.streams import StreamBrowser

INTERVAL_S = 30.0
FULL_SHARE = 0.5
VERY_FULL_SHARE = 0.8
KEPT_US = 86_400 * 1_000_000
WINDOW_US = 600 * 1_000_000


class FreeStreams:
    """Purges the custody streams."""

    def __init__(
        self,
        streams: StreamBrowser,
        owners: Mapping[str, Sequence[str]],
        stored: SettledReader,
        clock: Clock,
        *,
        window_us: int = WINDOW_US,
    ) -> None:
        """``owners`` names by stream the durables of others whose acknowledgement is a commit."""
        self._streams = streams
        self._stored = stored
        self._owners = owners
        self._clock = clock
        self._window_us = window_us

    async def run(self) -> None:
        """Free for ever; a broker that is away is asked again."""
        while True:
            for stream in self._owners:
                try:
                    await self(stream)
                except Retryable:
                    break
            await self._clock.sleep(INTERVAL_S)

    async def __call__(self, stream: str) -> int:
        """Free what may go of one stream, and return how many messages that were."""
        info = await self._streams.info(stream)
        share = info.bytes / info.bytes_max if info.bytes_max > 0 else 0.0
        if share < FULL_SHARE:
            return 0
        floors = [await self._streams.ack_floor(stream, durable) for durable in self._owners[stream]]
        stored = (await self._stored.settled()).get(stream)
        if stored is not None:
            floors.append(stored.floor if stored.created == info.created else 0)
        kept_us = KEPT_US if share < VERY_FULL_SHARE else self._window_us
        upto = min(
            min(floors, default=-1) + 1,
            await self._first_since(
                stream, info.first_sequence, info.last_sequence + 1, self._clock.now_us() - kept_us
            ),
        )
        return await self._streams.purge_below(stream, upto) if upto > info.first_sequence else 0

    async def _first_since(self, stream: str, low: int, high: int, time_us: int) -> int:
        """Return the first sequence of [low, high) that was stored at or after a time, ``high`` if there is none."""
        while low < high:
            middle = (low + high) // 2
            message = await self._streams.get(stream, middle)
            # A message that is gone was older than its neighbours that are not.
            if message is None or message.stored_us < time_us:
                low = middle + 1
            else:
                high = middle
        return low

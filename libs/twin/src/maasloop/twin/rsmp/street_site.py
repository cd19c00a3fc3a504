"""A junction of the street on the network: its RSMP face, over TCP, with the street's own time."""

import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from maasloop.core.clock import Clock, to_us
from maasloop.rsmp.events import Event
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.site import SiteIdentity
from maasloop.rsmp.site_state import SiteState
from maasloop.rsmp.transport import SiteClient, TransportSettings
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import Junction

from .secret import SecurityCodes
from .street_cabinet import StreetCabinet

LIST = TLC_RELEASES[-1]


class StreetClock:
    """Wall time is the second of the street; what the link counts is the machine's monotonic time."""

    def __init__(self, clock: Clock) -> None:
        """Begin at second 0."""
        self.second = 0
        self._clock = clock

    def now(self) -> datetime:
        """Return the street's time."""
        return datetime.fromtimestamp(self.second, UTC)

    def now_us(self) -> int:
        """Return the same in microseconds since the epoch."""
        return to_us(self.now())

    def monotonic_s(self) -> float:
        """Return seconds of the machine."""
        return self._clock.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of the machine."""
        await self._clock.sleep(seconds)


class StreetSite:
    """One junction; call ``show`` and then ``tell`` once a street second, while ``run`` keeps its link."""

    def __init__(
        self,
        junction: Junction,
        codes: SecurityCodes,
        clock: Clock,
        handle: Callable[[Event], None],
        settings: TransportSettings | None = None,
    ) -> None:
        """Be the site that has the junction's id."""
        self.id = junction.id
        self.cabinet = StreetCabinet(junction, codes)
        self._clock = StreetClock(clock)
        state = SiteState(self.cabinet, tlc(LIST))
        self._client = SiteClient(SiteIdentity((junction.id,), str(LIST)), state, handle, self._clock, settings)

    async def run(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Keep the link to the supervisor until cancelled."""
        await self._client.run(host, port, tls)

    def show(self, second: int) -> str:
        """Return the state that the signals show in this second."""
        self._clock.second = second
        return self.cabinet.tick(second)

    def tell(self, second: int, loops: Mapping[str, LoopReading]) -> None:
        """Count what the loops saw, and report what changed."""
        self.cabinet.count(second, loops)
        self._client.do(lambda session, now: session.refresh(now))

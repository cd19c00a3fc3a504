"""A junction of the street on the network: its RSMP face, over TCP, with the street's own time."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from maasloop.core.clock import Clock, to_us
from maasloop.rsmp.events import Closed, Established, Event
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.site import SiteIdentity
from maasloop.rsmp.site_state import SiteState
from maasloop.rsmp.transport import SiteClient, TransportSettings
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import Junction

from .secret import SecurityCodes
from .street_cabinet import StreetCabinet

LIST = TLC_RELEASES[-1]
MS_MAX = 999
SIGNALS = "signalgroupstatus"
"""Name of the value of status S0001 that has the state of all signal groups."""


class StreetClock:
    """Wall time is the second of the street; what the link counts is the machine's monotonic time.

    Each look at it in the same second is a millisecond later, so that what follows from a command is told with a later
    time than what was told before it.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin at second 0."""
        self._second = 0
        self._looks = 0
        self._clock = clock

    def begin(self, second: int) -> None:
        """Begin a second."""
        self._second, self._looks = second, 0

    def now(self) -> datetime:
        """Return the street's time."""
        found = datetime.fromtimestamp(self._second, UTC).replace(microsecond=1000 * self._looks)
        self._looks = min(MS_MAX, self._looks + 1)
        return found

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
    """One junction; call ``show`` and then ``tell`` once a street second, while ``run`` keeps its link.

    Intervals of subscriptions are counted in seconds of the street.
    """

    def __init__(
        self,
        junction: Junction,
        codes: SecurityCodes,
        clock: Clock,
        handle: Callable[[Event], None],
        settings: TransportSettings | None = None,
        site_id: str = "",
    ) -> None:
        """Be the site that has this id, or the junction's."""
        self.id = site_id or junction.id
        self.cabinet = StreetCabinet(junction, codes)
        self.linked = asyncio.Event()
        """Set while the link is ready."""
        self._handle = handle
        self._clock = StreetClock(clock)
        state = SiteState(self.cabinet, tlc(LIST))
        self._client = SiteClient(SiteIdentity((self.id,), str(LIST)), state, self._heard, self._clock, settings)

    async def run(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Keep the link to the supervisor until cancelled."""
        await self._client.run(host, port, tls)

    def show(self, second: int) -> str:
        """Return the state that the signals show in this second."""
        self._clock.begin(second)
        return self.cabinet.tick(second)

    def tell(self, second: int, loops: Mapping[str, LoopReading]) -> bool:
        """Count what the loops saw, and report what is due; tell whether the state of the signals is on its way."""
        self.cabinet.count(second, loops)
        told = self._client.do(lambda session, now: session.refresh(now, float(second)))
        return any(value.name == SIGNALS for update in told for value in update.values)

    def _heard(self, event: Event) -> None:
        match event:
            case Established():
                self.linked.set()
            case Closed():
                self.linked.clear()
            case _:
                pass
        self._handle(event)

"""The junctions of a district that speak RSMP, and what of the platform's commands has arrived at them.

RSMP carries no ids of the platform. Its driver sends a plan with its bands first, the bands last of it, and then all
inputs that change, one order each: so M0014 ends a plan, and a row of M0019 is one setting of inputs.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from maasloop.core.clock import Clock
from maasloop.rsmp.events import CommandTaken, Event
from maasloop.rsmp.transport import TransportSettings
from maasloop.twin.rsmp.secret import SecurityCodes
from maasloop.twin.rsmp.street_site import StreetSite
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import Junction

BANDS = "M0014"
INPUT = "M0019"
RECONNECT_S = 0.5
"""Supervisor and street are on one machine."""
LINK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Supervision:
    """Where sites connect, and the code that their orders need."""

    host: str
    port: int
    code: str
    reference: str
    """Of the code, for the registry."""


@dataclass
class Sites:
    """The sites by junction; ``arrived`` is told of each command of the platform that a site took."""

    supervision: Supervision | None = None
    clock: Clock | None = None
    arrived: Callable[[], None] = lambda: None
    by_id: dict[str, StreetSite] = field(default_factory=dict)
    _last: dict[str, str] = field(default_factory=dict)
    """Code of the order that a site took last."""

    def add(self, junction: Junction, site_id: str, second: int) -> None:
        """Let a junction speak RSMP under an id; it shows what its plan shows in ``second``."""
        if self.supervision is None or self.clock is None:
            message = f"junction {junction.id} has no supervisor"
            raise ValueError(message)

        def heard(event: Event) -> None:
            if isinstance(event, CommandTaken):
                self._take(junction.id, event.code)

        codes = SecurityCodes({1: self.supervision.code, 2: self.supervision.code})
        settings = TransportSettings(reconnect_s=RECONNECT_S)
        site = StreetSite(junction, codes, self.clock, heard, settings, site_id)
        site.show(second)
        self.by_id[junction.id] = site

    def show(self, second: int) -> Mapping[str, str]:
        """Return the state that the signals of each site show in this second."""
        return {name: site.show(second) for name, site in self.by_id.items()}

    def tell(self, second: int, loops: Mapping[str, LoopReading]) -> int:
        """Let all sites report on a second; return how many states of signals are on their way."""
        return sum([site.tell(second, loops) for site in self.by_id.values()])

    @asynccontextmanager
    async def linked(self) -> AsyncIterator[None]:
        """Keep the links up for the block; all are ready inside."""
        if self.supervision is None:
            yield
            return
        where = self.supervision.host, self.supervision.port
        links = [asyncio.create_task(site.run(*where), name=f"rsmp-{name}") for name, site in self.by_id.items()]
        try:
            async with asyncio.timeout(LINK_TIMEOUT_S):
                await asyncio.gather(*(site.linked.wait() for site in self.by_id.values()))
            yield
        finally:
            for link in links:
                link.cancel()
            await asyncio.gather(*links, return_exceptions=True)

    def _take(self, site: str, code: str) -> None:
        if code == BANDS or (code == INPUT and self._last.get(site) != INPUT):
            self.arrived()
        self._last[site] = code

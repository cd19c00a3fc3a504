"""Travel times and queues of links as they were reported last, and the sums of routes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.ports.reading import LatestReader, Selection, Visibility

TRAVEL_TIME = "travel-time"
QUEUE_LENGTH = "queue-length"
LINKS_MAX = 10_000
SERIES_A_LINK = 2


@dataclass(frozen=True, slots=True)
class LinkTime:
    """A link: seconds to travel it, vehicles on it or NaN, when it was so, and for how long that has been known."""

    link: str
    travel_s: float
    queue_length: float
    event_time_us: int
    age_s: float


@dataclass(frozen=True, slots=True)
class RouteTime:
    """A route: the sum, and the age of its oldest part, unless a link is missing."""

    travel_s: float | None
    age_s: float | None
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TravelTimes:
    """The links ordered by name, and the routes as asked for."""

    links: Sequence[LinkTime]
    routes: Sequence[RouteTime]


class GetTravelTimes:
    """Adds up what was observed; it predicts nothing."""

    def __init__(self, reader: LatestReader, visibility: Visibility, clock: Clock) -> None:
        """Read what may be seen."""
        self._reader = reader
        self._visibility = visibility
        self._clock = clock

    async def __call__(self, district: str, links: Sequence[str], routes: Sequence[Sequence[str]]) -> TravelTimes:
        """Return the links named, those of the routes where none is, and all of a district where there are none either."""
        if not self._visibility.ready():
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's facts have not arrived")
        meant = sorted({*links, *(link for route in routes for link in route)})
        found = await self._links(district, meant)
        shown = [found[link] for link in (sorted(set(links)) or meant or found) if link in found]
        return TravelTimes(shown, [_route(found, route) for route in routes])

    async def _links(self, district: str, links: Sequence[str]) -> dict[str, LinkTime]:
        if len(links) > LINKS_MAX:
            raise _too_many()
        selection = Selection(district, links, (TRAVEL_TIME, QUEUE_LENGTH))
        size = LINKS_MAX * SERIES_A_LINK
        page = await self._reader.latest(selection, after=None, size=size + 1)
        if len(page) > size:
            raise _too_many()
        now_us = self._clock.now_us()
        queues: dict[str, float] = {}
        times: dict[str, tuple[float, int, int]] = {}
        rows = zip(
            page.devices,
            page.observed_properties,
            page.personal.tolist(),
            page.value.tolist(),
            page.time_us.tolist(),
            page.receipt_time_us.tolist(),
            strict=True,
        )
        for device, observed_property, personal, value, time_us, receipt_us in rows:
            if not self._visibility.visible(district, device, personal=personal):
                continue
            if observed_property == QUEUE_LENGTH:
                queues[device] = value
            else:
                times[device] = value, time_us, receipt_us
        return {
            device: LinkTime(
                device, value, queues.get(device, math.nan), time_us, max(0.0, (now_us - receipt_us) / 1e6)
            )
            for device, (value, time_us, receipt_us) in times.items()
        }


def _route(found: Mapping[str, LinkTime], route: Sequence[str]) -> RouteTime:
    missing = tuple(dict.fromkeys(link for link in route if link not in found))
    if missing:
        return RouteTime(None, None, missing)
    return RouteTime(sum(found[link].travel_s for link in route), max(found[link].age_s for link in route), ())


def _too_many() -> InvalidArgument:
    message = f"more than {LINKS_MAX} links are meant"
    return InvalidArgument(Reason.RANGE_TOO_LONG, message, {"limit": str(LINKS_MAX), "hint": "name fewer links"})

"""Travel times of links and routes over rows that the writer stored."""

import math
from typing import TYPE_CHECKING

import pytest

from maasloop.core.clock import SystemClock
from maasloop.core.errors import InvalidArgument
from maasloop.timeseries.adapters.postgres_aggregates import PostgresAggregates
from maasloop.timeseries.handlers import get_travel_times
from maasloop.timeseries.handlers.get_travel_times import GetTravelTimes

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

NOON_US = 1_762_171_200_000_000


class AllBut:
    """Visibility for tests: one device may not be seen."""

    def __init__(self, hidden: str) -> None:
        """Hide it."""
        self._hidden = hidden

    def ready(self) -> bool:
        """Tell that it is known whose devices are."""
        return True

    def of_person(self, _district: str, _device: str) -> bool:
        """Tell whether a device is a person's."""
        return False

    def visible(self, _district: str, device: str, *, personal: bool) -> bool:
        """Tell whether a device may be seen."""
        return device != self._hidden


async def _stored(rig: "Rig") -> GetTravelTimes:
    """Store two travel times of a link, one of a second, one of a link that may not be seen, and some queues."""
    async with rig.writing():
        await rig.publish(
            ("link-1", "travel-time", NOON_US, 90.0),
            ("link-1", "travel-time", NOON_US + 10_000_000, 31.5),
            ("link-1", "queue-length", NOON_US + 10_000_000, 4.0),
            ("link-2", "travel-time", NOON_US, 20.0),
            ("link-3", "travel-time", NOON_US, 1.0),
            ("loop-9", "vehicle-count", NOON_US, 1.0),
            key="traffic",
        )
        await rig.until_accepted(6)
    return GetTravelTimes(PostgresAggregates(rig.pool), AllBut("link-3"), SystemClock())


async def test_links_are_as_they_were_reported_last(rig: "Rig") -> None:
    """The newest time of each link counts, with its queue where there is one; others see nothing of a hidden link."""
    found = await (await _stored(rig))("noord", [], [])

    assert [(one.link, one.travel_s, one.event_time_us - NOON_US) for one in found.links] == [
        ("link-1", 31.5, 10_000_000),
        ("link-2", 20.0, 0),
    ]
    assert found.links[0].queue_length == 4.0
    assert math.isnan(found.links[1].queue_length)
    assert all(0 <= one.age_s < 60 for one in found.links)


async def test_a_route_is_the_sum_of_its_links(rig: "Rig") -> None:
    """A route adds up, a link twice where it is driven twice; one with an unknown link says which, and has no sum."""
    found = await (await _stored(rig))("noord", [], [["link-1", "link-2", "link-2"], ["link-1", "link-3"]])

    assert [one.link for one in found.links] == ["link-1", "link-2"]
    assert [one.travel_s for one in found.routes] == [71.5, None]
    assert [one.missing for one in found.routes] == [(), ("link-3",)]
    assert found.routes[0].age_s == max(one.age_s for one in found.links)


async def test_too_many_links_are_refused(rig: "Rig", monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the limit, named or found, is refused with what would do."""
    monkeypatch.setattr(get_travel_times, "LINKS_MAX", 1)
    travel = await _stored(rig)
    for named in ([], ["link-1", "link-2"]):
        with pytest.raises(InvalidArgument) as refused:
            await travel("noord", named, [])
        assert refused.value.reason == "RANGE_TOO_LONG"

"""What timeseries remembers of the series that policies look up, asked for once after a start.

A restart forgets what was reported before it; without this a condition on ``latest["…"]`` would say nothing until its
property is reported again. Task: ``run``. Readings wait a moment for the answer (``tried``), so that the first one finds
it there; without timeseries the service begins empty, says so, and asks on until it has an answer.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import structlog

from maasloop.actuation import metrics
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.policy import Conditions, Mode
from maasloop.actuation.domain.reading import Reading
from maasloop.api.observation.v1.observation_pb2 import Observation
from maasloop.api.observation.v1.series_service_pb2 import ListLatestObservationsRequest, SeriesSelection
from maasloop.api.observation.v1.series_service_pb2_grpc import SeriesServiceStub
from maasloop.core.clock import Clock
from maasloop.rpc.client import call
from maasloop.rpc.times import us_from_timestamp

CALL_TIMEOUT_S = 2.0
READINGS_WAIT_S = 3.0
"""Longest time that readings wait for an answer."""
PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 5.0
PAGE = 10_000
SERIES_MAX = 200_000
"""Most series of a district that are taken back."""
PROPERTIES_MAX = 256

_log = structlog.get_logger()


class Remembered:
    """Brings ``latest`` back."""

    def __init__(self, channel: grpc.aio.Channel, city: City, conditions: Conditions, clock: Clock) -> None:
        """Ask timeseries behind the channel for what the city's policies look up."""
        # The stub's types are those of a synchronous channel.
        self._list: Any = SeriesServiceStub(channel).ListLatestObservations
        self._city = city
        self._clock = clock
        self._wanted = _looked_up(city, conditions)
        self._refusal = ""
        self.tried = asyncio.Event()
        """Set when all is there, or readings have waited long enough."""

    async def run(self) -> None:
        """Ask until every district was answered; then there is nothing more to do."""
        began_s, pause_s = self._clock.monotonic_s(), PAUSE_FIRST_S
        while self._wanted:
            try:
                async with asyncio.timeout(READINGS_WAIT_S):
                    await self._ask()
            except Exception as error:
                # Whatever is wrong with a neighbour that only remembers, deciding goes on without it.
                self._refuse(f"{type(error).__name__}: {error}")
                if self._clock.monotonic_s() - began_s + pause_s > READINGS_WAIT_S:
                    self.tried.set()
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
        self.tried.set()
        await asyncio.Event().wait()

    def missing(self) -> str:
        """Return what is not known yet and why, or nothing; a note beside the readiness."""
        if not self._wanted:
            return ""
        why = f" ({self._refusal})" if self._refusal else ""
        return f"latest values of {', '.join(sorted(self._wanted))} are not restored{why}"

    def _refuse(self, why: str) -> None:
        self._refusal = why
        metrics.RESTORES.labels("failed").inc()
        _log.warning("latest_not_restored", districts=sorted(self._wanted), reason=why)

    async def _ask(self) -> None:
        for district, properties in sorted(self._wanted.items()):
            count = 0
            async for reading in self._readings(district, properties):
                self._city.district(district).restore(reading)
                count += 1
            del self._wanted[district]
            metrics.RESTORES.labels("answered").inc()
            _log.info("latest_restored", district=district, properties=properties, series=count)

    async def _readings(self, district: str, properties: list[str]) -> AsyncIterator[Reading]:
        selection = SeriesSelection(parent=f"districts/{district}", observed_properties=properties)
        token = ""
        for _ in range(SERIES_MAX // PAGE):
            request = ListLatestObservationsRequest(selection=selection, page_size=PAGE, page_token=token)
            answer = await call(self._list, request, timeout_s=CALL_TIMEOUT_S)
            for reading in _translated(answer.observations):
                yield reading
            token = answer.next_page_token
            if not token:
                return
        _log.warning("latest_restored_in_part", district=district, series=SERIES_MAX)


def _looked_up(city: City, conditions: Conditions) -> dict[str, list[str]]:
    """Return the properties that conditions look up, by district."""
    found: dict[str, set[str]] = {}
    for policy in city.policies.values():
        if policy.mode is not Mode.OFF:
            found.setdefault(policy.district, set()).update(conditions.properties(policy))
    return {district: sorted(names)[:PROPERTIES_MAX] for district, names in found.items() if names}


def _translated(observations: Iterable[Observation]) -> Iterable[Reading]:
    for one in observations:
        if one.WhichOneof("result") in {"value", "state"}:
            yield Reading(
                one.device.rpartition("/")[2],
                one.observed_property.rpartition("/")[2],
                us_from_timestamp(one.event_time, "event_time"),
                one.value,
                one.state,
            )

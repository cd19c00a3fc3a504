"""A watch shows what is stored, resumes where it ended, and ends with a reason."""

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.api.observation.v1.series_service_pb2 import SeriesSelection, WatchObservationsRequest
from maasloop.bus.columns import build_columns

if TYPE_CHECKING:
    from tests.integration.data_path.conftest import City

TIMEOUT_S = 50.0


async def _send(city: "City", time_us: int, value: float, device: str = "station") -> None:
    columns = build_columns([device], ["pm25"], [0], [0], [time_us], [value]).message()
    async with city.ingest() as ingest:
        answer = await ingest.RecordObservations(RecordObservationsRequest(parent=city.parent, observations=columns))
    assert answer.accepted_count == 1


async def test_a_watch_shows_what_is_stored_and_resumes(shared_city: "City") -> None:
    """Readings appear as they are stored, only those selected; a resumed watch continues after the last answer."""
    request = WatchObservationsRequest(selection=SeriesSelection(parent=shared_city.parent, devices=["station"]))
    first_us = shared_city.now_us()
    async with shared_city.series() as series, asyncio.timeout(TIMEOUT_S):
        watch = series.WatchObservations(request)
        begun = await watch.read()
        await _send(shared_city, first_us, 1.0)
        await _send(shared_city, first_us, 9.0, device="lamp")
        shown = await watch.read()
        watch.cancel()
        await _send(shared_city, first_us + 1, 2.0)
        request.resume_token = shown.resume_token
        again = series.WatchObservations(request)
        values: list[float] = []
        while not values:
            values += (await again.read()).observations.value
        again.cancel()

    assert not begun.observations.value
    assert list(shown.observations.value) == [1.0]
    assert values == [2.0]
    assert ("station", "pm25", first_us) in shared_city.stored()


async def test_a_token_that_is_none_of_ours_is_refused(shared_city: "City") -> None:
    """A watch from a token that cannot be resumed ends with RESUME_TOKEN_EXPIRED."""
    request = WatchObservationsRequest(selection=SeriesSelection(parent=shared_city.parent), resume_token="nonsense")
    async with shared_city.series() as series:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await series.WatchObservations(request).read()

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_watch_ends_with_a_reason_when_the_service_stops(city: "City") -> None:
    """At shutdown a watch ends with UNAVAILABLE, and the process ends by itself."""
    request = WatchObservationsRequest(selection=SeriesSelection(parent=city.parent))
    async with city.series() as series, asyncio.timeout(TIMEOUT_S):
        watch = series.WatchObservations(request)
        await watch.read()
        city.stack.services["timeseries"].request_stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _read_to_the_end(watch)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def _read_to_the_end(watch: Any) -> None:  # noqa: ANN401 - a call of the client
    while True:
        await watch.read()

"""Watches through gRPC, over a real stream and a real writer: one that does not read is nobody else's matter."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc
import numpy as np
from numpy.typing import NDArray

from maasloop.api.observation.v1 import series_service_pb2 as messages
from maasloop.api.observation.v1 import series_service_pb2_grpc as stubs
from maasloop.bus.streams import PERSONAL_ROWS
from maasloop.core.clock import SystemClock
from maasloop.core.reasons import Reason
from maasloop.rpc.server import RpcServer
from maasloop.rpc.statuses import translate
from maasloop.timeseries.adapters.postgres_accounts import PostgresAccounts
from maasloop.timeseries.adapters.postgres_aggregates import PostgresAggregates
from maasloop.timeseries.adapters.postgres_reads import PostgresReader
from maasloop.timeseries.adapters.progress import StoredProgress
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.adapters.tailing import StreamTail
from maasloop.timeseries.entrypoints.rpc import SeriesDoor
from maasloop.timeseries.handlers.aggregate_observations import AggregateObservations
from maasloop.timeseries.handlers.list_latest_observations import ListLatestObservations
from maasloop.timeseries.handlers.read_observations import ReadObservations
from maasloop.timeseries.handlers.watch_observations import WatchObservations

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

NOON_US = 1_762_171_200_000_000
ROWS_A_MESSAGE = 4_000
MESSAGES = 60
"""Some six megabytes: more than a watch, gRPC and the sockets hold for a caller who does not read."""
type _Watch = grpc.aio.UnaryStreamCall[messages.WatchObservationsRequest, messages.WatchObservationsResponse]

SELECTION = messages.SeriesSelection(parent="districts/noord")


class _Anybody:
    def ready(self) -> bool:
        return True

    def of_person(self, _district: str, _device: str) -> bool:
        return False

    def visible(self, _district: str, _device: str, *, personal: bool) -> bool:
        return True

    def shown(self, _district: str, devices: Sequence[str], _personal: NDArray[np.bool_]) -> NDArray[np.intp]:
        return np.arange(len(devices))


@asynccontextmanager
async def _serving(
    rig: "Rig", *, slow_after_s: float, tell_s: float = 0.2
) -> AsyncIterator[tuple[stubs.SeriesServiceStub, StreamTail]]:
    clock, anybody = SystemClock(), _Anybody()
    reader, aggregates = PostgresReader(rig.pool), PostgresAggregates(rig.pool)
    nobody: Any = None
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(rig.writing(*durable)) for durable in ((), (PERSONAL_ROWS,))]
        progress = {writer.stream: writer.progress for writer in writers}
        stored = StoredProgress(progress, PostgresAccounts(rig.pool), clock, writing=lambda: True)
        tail = StreamTail(rig.bus, Streams(rig.bus), stored, slow_after_s=slow_after_s, tell_s=tell_s)
        server = RpcServer("127.0.0.1:0", clock=clock)
        SeriesDoor(
            latest=ListLatestObservations(aggregates, anybody),
            read=ReadObservations(reader, aggregates, anybody),
            aggregate=AggregateObservations(reader, aggregates, anybody, clock),
            watch=WatchObservations(tail, anybody, clock),
            balance=nobody,
            accounts=nobody,
            trace=nobody,
            travel=nobody,
        ).register(server)
        await server.start()
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
        try:
            yield stubs.SeriesServiceStub(channel), tail
        finally:
            await server.stop(1)


async def _publish(rig: "Rig", first: int, count: int) -> None:
    for number in range(first, first + count):
        at_us = NOON_US + number * ROWS_A_MESSAGE
        await rig.publish(*((f"d{row % 10}", "vehicle-count", at_us + row, 1.0) for row in range(ROWS_A_MESSAGE)))


def _watching(stub: stubs.SeriesServiceStub, token: str = "") -> _Watch:
    request = messages.WatchObservationsRequest(selection=SELECTION, resume_token=token)
    return cast("_Watch", stub.WatchObservations(request))


async def _read(watch: _Watch, rows: int = 2**62) -> tuple[int, str, str]:
    """Read until that many rows came or the watch ended: how many came, where to resume, and why it ended."""
    seen, token = 0, ""
    async with asyncio.timeout(50):
        try:
            async for answer in watch:
                seen, token = seen + len(answer.observations.value), answer.resume_token
                if seen >= rows:
                    break
        except grpc.aio.AioRpcError as error:
            meaning = translate(error)
            return seen, token, meaning.reason if meaning else error.code().name
    return seen, token, ""


async def test_a_watch_that_does_not_read_is_dropped_and_slows_nobody(rig: "Rig") -> None:
    """All rows are stored and another watch sees all, while the call of the one that does not read is ended."""
    rows = ROWS_A_MESSAGE * MESSAGES
    async with _serving(rig, slow_after_s=1.0) as (stub, tail):
        idle = _watching(stub)
        busy = _watching(stub)
        # The sign of life says that the watch has begun.
        await anext(aiter(idle))
        await anext(aiter(busy))
        reading = asyncio.create_task(_read(busy, rows))
        await _publish(rig, 0, MESSAGES)
        await rig.until_accepted(rows)
        seen, *_ = await reading

        async def one_left() -> bool:
            return tail.running == 1

        await rig.until(one_left)
        busy.cancel()
    assert seen == rows


async def test_the_writer_never_waits_for_a_watch_that_is_stuck(rig: "Rig") -> None:
    """Where a watch is never dropped, all rows are stored nevertheless, and others see them, while it still stands."""
    rows = ROWS_A_MESSAGE * MESSAGES
    async with _serving(rig, slow_after_s=3_600) as (stub, tail):
        stuck, busy = _watching(stub), _watching(stub)
        await anext(aiter(stuck))
        await anext(aiter(busy))
        reading = asyncio.create_task(_read(busy, rows))
        await _publish(rig, 0, MESSAGES)
        await rig.until_accepted(rows)
        seen, *_ = await reading
        standing, dropped = tail.running, tail.dropped
        taken, *_ = await _read(stuck, rows)
        stuck.cancel()
        busy.cancel()

    assert (standing, dropped) == (2, 0)
    assert (seen, taken) == (rows, rows)


async def test_a_watch_that_reads_too_slowly_is_told_so(rig: "Rig") -> None:
    """A caller who comes back takes his status, CALLER_TOO_SLOW, and resumes after what he saw."""
    rows = ROWS_A_MESSAGE * MESSAGES
    async with _serving(rig, slow_after_s=0.2, tell_s=30) as (stub, tail):
        watch = _watching(stub)
        await anext(aiter(watch))
        await _publish(rig, 0, MESSAGES)

        async def dropped() -> bool:
            return tail.dropped > 0

        await rig.until(dropped)
        seen, token, reason = await _read(watch)
        await rig.until_accepted(rows)
    async with _serving(rig, slow_after_s=30) as (stub, _):
        again = _watching(stub, token)
        rest, *_ = await _read(again, rows - seen)
        again.cancel()

    assert reason == Reason.CALLER_TOO_SLOW
    assert 0 < seen < rows
    assert seen + rest == rows

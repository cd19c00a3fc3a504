"""A stream of batches is answered in order, and ends with what ended its requests."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import pytest

from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsResponse
from maasloop.api.observation.v1.packed_pb2 import PackedRecordObservationsRequest
from maasloop.bus.columns import build_columns
from maasloop.core.clock import SystemClock
from maasloop.core.errors import InvalidArgument
from maasloop.ingest.domain.outcome import Recorded
from maasloop.ingest.entrypoints.rpc import STREAM_AHEAD_MAX, STREAMED_MAX, IngestDoor
from maasloop.ingest.ports import Batch

NOBODY: Any = None
"""Stands for what a stream does not ask."""


def _door(record: Callable[[Batch], Any]) -> IngestDoor:
    return IngestDoor(record=record, list_quarantine=NOBODY, replay_quarantine=NOBODY, clock=SystemClock())


def _request(rows: int) -> PackedRecordObservationsRequest:
    columns = build_columns(["a"], ["pm25"], [0] * rows, [0] * rows, range(rows), [1.0] * rows)
    return PackedRecordObservationsRequest(parent="districts/noord", observations=columns.packed())


async def test_what_ends_the_requests_ends_the_stream_after_its_answers() -> None:
    """Whoever sent something wrong still hears what became of all that came before, in order."""

    async def record(batch: Batch) -> Recorded:
        # The first take longest.
        await asyncio.sleep(0.01 / len(batch.columns))
        return Recorded(len(batch.columns), 0, ())

    async def requests() -> AsyncIterator[PackedRecordObservationsRequest]:
        for rows in range(1, 2 * STREAM_AHEAD_MAX):
            yield _request(rows)
        raise InvalidArgument("REQUEST_INVALID", "the next one is wrong")

    answered: list[int] = []

    async def hear() -> None:
        async for answer in _door(record).stream_observations(requests(), NOBODY):
            answered.append(answer.accepted_count)  # noqa: PERF401 - what came before the error is wanted

    with pytest.raises(InvalidArgument, match="the next one is wrong"):
        await hear()
    assert answered == list(range(1, 2 * STREAM_AHEAD_MAX))


async def test_a_stream_that_is_left_leaves_nothing_behind() -> None:
    """What was on its way ends with the call, also while more requests wait than are taken ahead."""
    ended = 0

    async def record(batch: Batch) -> Recorded:
        nonlocal ended
        try:
            if len(batch.columns) > 1:
                await asyncio.Event().wait()
        finally:
            ended += 1
        return Recorded(len(batch.columns), 0, ())

    async def requests() -> AsyncIterator[PackedRecordObservationsRequest]:
        for rows in range(1, 10 * STREAM_AHEAD_MAX):
            yield _request(rows)

    answers = cast("AsyncGenerator[RecordObservationsResponse]", _door(record).stream_observations(requests(), NOBODY))
    first = await anext(answers)
    await asyncio.sleep(0)
    await answers.aclose()
    others = asyncio.all_tasks() - {asyncio.current_task()}

    assert first.accepted_count == 1
    assert not [task for task in others if not task.done()]
    assert 0 < ended <= STREAM_AHEAD_MAX + 2


async def test_many_streams_wait_where_calls_would_be_refused() -> None:
    """While nothing can be stored for a moment, all streams together have so many batches on their way, and none ends."""
    running = most = 0
    full, stored = asyncio.Event(), asyncio.Event()

    async def record(batch: Batch) -> Recorded:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == STREAMED_MAX:
            full.set()
        await stored.wait()
        running -= 1
        return Recorded(len(batch.columns), 0, ())

    async def requests() -> AsyncIterator[PackedRecordObservationsRequest]:
        for _ in range(2 * STREAM_AHEAD_MAX):
            yield _request(1)

    door = _door(record)

    async def hear() -> int:
        return sum([answer.accepted_count async for answer in door.stream_observations(requests(), NOBODY)])

    streams = [asyncio.create_task(hear()) for _ in range(2 * STREAMED_MAX // STREAM_AHEAD_MAX)]
    await full.wait()
    stored.set()

    assert sum(await asyncio.gather(*streams)) == 4 * STREAMED_MAX
    assert most == STREAMED_MAX

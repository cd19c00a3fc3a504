"""Read latencies through gRPC on a history of rows, idle and while readings come in.

The client sends requests made beforehand and gets bytes; that the answers hold what was asked for is checked once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import grpc
from google.protobuf.message import Message
from tests.load import figures, history
from tests.load.background import background
from tests.load.lab import Lab

from maasloop.api.observation.v1.series_service_pb2 import (
    GROUPING_OBSERVED_PROPERTY,
    GROUPING_UNSPECIFIED,
    AggregateObservationsRequest,
    AggregateObservationsResponse,
    Grouping,
    ListLatestObservationsRequest,
    ListLatestObservationsResponse,
    ReadAggregatesRequest,
    ReadAggregatesResponse,
    SeriesSelection,
)

SERIES = 1_000
DAYS = 14
ROWS = 10_000_000
MANY_SERIES = 100
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
LIMITS_MS: dict[str, float] = {
    "latest_1000_series": 5,
    "hours_week_1_series": 5,
    "hours_week_100_series": 50,
    "minutes_day_100_series": 200,
}
"""The median through gRPC, on 10 M rows."""
_SERVICE = "/maasloop.api.observation.v1.SeriesService/"
_PARENT = f"districts/{history.DISTRICT}"


@dataclass(frozen=True)
class Read:
    """One kind of question."""

    name: str
    method: str
    request: bytes
    count: Callable[[bytes], int]
    expected: int
    samples: int


def reads(end: datetime, *, series: int = SERIES, rows: int = ROWS, days: int = DAYS) -> list[Read]:
    """Return the questions about a history of so many days that ends there."""
    many = min(MANY_SERIES, series)
    plan = history.Plan.of(end, series=series, days=days, rows=rows)
    week, day = end - timedelta(days=7), end - timedelta(days=1)

    def buckets(start: datetime, width: timedelta) -> int:
        return plan.buckets(history.microseconds(start), plan.end_us, history.microseconds(width))

    latest = ListLatestObservationsRequest(selection=SeriesSelection(parent=_PARENT), page_size=min(series, SERIES))
    aggregate = "AggregateObservations"
    return [
        Read(
            "latest_1000_series",
            "ListLatestObservations",
            latest.SerializeToString(),
            _observations,
            min(series, SERIES),
            200,
        ),
        Read("hours_week_1_series", aggregate, _aggregate(1, week, end, HOUR), _buckets, buckets(week, HOUR), 200),
        Read(
            "hours_week_100_series",
            aggregate,
            _aggregate(many, week, end, HOUR),
            _buckets,
            many * buckets(week, HOUR),
            50,
        ),
        Read(
            "minutes_day_100_series", "ReadAggregates", _columns(many, day, end), _rows, many * buckets(day, MINUTE), 30
        ),
        Read(
            "hours_day_district",
            aggregate,
            _aggregate(0, day, end, HOUR),
            _buckets,
            series * buckets(day, HOUR),
            30,
        ),
        Read(
            "hours_week_district_together",
            aggregate,
            _aggregate(0, week, end, HOUR, GROUPING_OBSERVED_PROPERTY),
            _buckets,
            buckets(week, HOUR),
            30,
        ),
    ]


async def measure(
    lab: Lab, end: datetime, *, rows_per_s: float, series: int = SERIES, rows: int = ROWS, days: int = DAYS
) -> dict[str, Any]:
    """Return latencies idle and while so many rows a second come in."""
    asked = reads(end, series=series, rows=rows, days=days)
    found = await _all(lab, asked, "idle")
    if rows_per_s:
        found |= await busy(lab, end, found, rows_per_s=rows_per_s, series=series, rows=rows)
    return found


async def busy(
    lab: Lab, end: datetime, idle: dict[str, Any], *, rows_per_s: float, series: int = SERIES, rows: int = ROWS
) -> dict[str, Any]:
    """Return latencies while so many rows a second come in, beside those of the idle machine."""
    asked = reads(end, series=series, rows=rows)
    async with background(lab, rows_per_s) as outcome:
        await asyncio.sleep(1.0)
        began_s, before = time.perf_counter(), outcome.acknowledged
        found = await _all(lab, asked, "busy")
        took_s = time.perf_counter() - began_s
    found["read_busy_offered_rows_per_s"] = round(rows_per_s)
    found["read_busy_acknowledged_rows_per_s"] = round((outcome.acknowledged - before) / took_s)
    for read in asked:
        found[f"read_{read.name}_busy_over_idle"] = round(
            found[f"read_{read.name}_busy_p50_ms"] / idle[f"read_{read.name}_idle_p50_ms"], 2
        )
    return found


async def _all(lab: Lab, asked: Sequence[Read], state: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    options = [("grpc.max_receive_message_length", -1)]
    async with lab.stack.channel("timeseries", options=options) as channel:
        for read in asked:
            samples = await _one(channel, read)
            found |= figures.latencies(f"read_{read.name}_{state}", samples)
    return found


async def _one(channel: grpc.aio.Channel, read: Read) -> list[float]:
    """Ask again and again; the first answer is checked and not measured."""
    unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_SERVICE + read.method)
    stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(_SERVICE + read.method)

    async def ask() -> list[bytes]:
        if read.method == "ReadAggregates":
            return [answer async for answer in stream(read.request, timeout=60)]
        return [await unary(read.request, timeout=60)]

    count = sum(read.count(answer) for answer in await ask())
    if count != read.expected:
        message = f"{read.name}: {count} found, {read.expected} expected"
        raise RuntimeError(message)
    samples = []
    for _ in range(read.samples):
        began_s = time.perf_counter()
        await ask()
        samples.append(time.perf_counter() - began_s)
    return samples


async def latest_of(lab: Lab, parent: str, series: int) -> list[float]:
    """Return latencies of a page of the newest observations of a district."""
    request = ListLatestObservationsRequest(selection=SeriesSelection(parent=parent), page_size=series)
    read = Read("latest", "ListLatestObservations", request.SerializeToString(), _observations, series, 200)
    async with lab.stack.channel("timeseries") as channel:
        return await _one(channel, read)


def _selection(series: int) -> SeriesSelection:
    return SeriesSelection(parent=_PARENT, devices=[f"loop-{number:06d}" for number in range(series)])


def _aggregate(
    series: int,
    start: datetime,
    end: datetime,
    bucket: timedelta,
    grouping: Grouping.ValueType = GROUPING_UNSPECIFIED,
) -> bytes:
    request = AggregateObservationsRequest(selection=_selection(series), grouping=grouping)
    return _ranged(request, start, end, bucket)


def _columns(series: int, start: datetime, end: datetime) -> bytes:
    return _ranged(ReadAggregatesRequest(selection=_selection(series)), start, end, MINUTE)


def _ranged(
    request: AggregateObservationsRequest | ReadAggregatesRequest, start: datetime, end: datetime, bucket: timedelta
) -> bytes:
    request.start_time.FromDatetime(start)
    request.end_time.FromDatetime(end)
    request.bucket.FromTimedelta(bucket)
    return _serialized(request)


def _serialized(request: Message) -> bytes:
    return request.SerializeToString()


def _observations(answer: bytes) -> int:
    return len(ListLatestObservationsResponse.FromString(answer).observations)


def _buckets(answer: bytes) -> int:
    return sum(len(each.buckets) for each in AggregateObservationsResponse.FromString(answer).series)


def _rows(answer: bytes) -> int:
    return len(ReadAggregatesResponse.FromString(answer).start_time_us)

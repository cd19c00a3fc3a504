"""Rows a second through the doors, from the first byte sent until rows and the newest of every series are readable."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiomqtt
import grpc
import httpx2
from psycopg import AsyncConnection
from tests.load.city import DEVICES, DISTRICT, OBSERVED_PROPERTY, PARENT, ROWS_A_MESSAGE, device_id, recorder, requests

from maasloop.api.observation.v1.series_service_pb2 import ListLatestObservationsRequest, SeriesSelection
from maasloop.api.observation.v1.series_service_pb2_grpc import SeriesServiceStub
from maasloop.bus.subjects import UplinkKind, mqtt_topic, uplink
from maasloop.stack.local import LocalStack

IN_FLIGHT = 16
MQTT_CONNECTIONS = 20
MQTT_MESSAGES = 20_000
HTTP_READINGS_A_REQUEST = 100
HTTP_REQUESTS = 1_000
HTTP_IN_FLIGHT = 8
POLL_S = 0.005
READABLE_TIMEOUT_S = 120.0
_STORED = "SELECT coalesce(sum(stored), 0)::bigint FROM timeseries.custody"


@dataclass
class Measured:
    """What one run of a door gave."""

    rows_per_s: float
    acknowledged_rows_per_s: float


class Store:
    """Tells when rows are readable."""

    def __init__(self, connection: AsyncConnection[tuple[object, ...]], series: grpc.aio.Channel) -> None:
        """Ask the database and SeriesService."""
        self._connection = connection
        self._series = SeriesServiceStub(series)  # type: ignore[no-untyped-call, unused-ignore]

    async def empty(self) -> None:
        """Empty the table that the rows go to."""
        await self._connection.execute('TRUNCATE timeseries."numbers_7d"')

    async def stored(self) -> int:
        """Return the rows stored so far."""
        row = await (await self._connection.execute(_STORED)).fetchone()
        return int(str(row[0])) if row else 0

    async def rows(self) -> int:
        """Return the rows of the table."""
        row = await (await self._connection.execute('SELECT count(*) FROM timeseries."numbers_7d"')).fetchone()
        return int(str(row[0])) if row else 0

    async def wait_stored(self, count: int) -> None:
        """Return when that many rows are stored."""
        async with asyncio.timeout(READABLE_TIMEOUT_S):
            while await self.stored() < count:
                await asyncio.sleep(POLL_S)

    async def newest_of_all(self) -> dict[str, int]:
        """Return the newest event time of every series, in seconds."""
        newest: dict[str, int] = {}
        token = ""
        while True:
            request = ListLatestObservationsRequest(
                selection=SeriesSelection(parent=PARENT), page_size=DEVICES, page_token=token
            )
            page = await self._series.ListLatestObservations(request)
            newest.update({each.device: each.event_time.seconds for each in page.observations})
            token = page.next_page_token
            if not token:
                return newest


async def _together(work: Callable[[], Awaitable[None]], count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_awaited(work()))


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def grpc_batches(ingest: grpc.aio.Channel, store: Store, *, start_us: int, seconds: int) -> Measured:
    """Send every series once a street second, 1,000 rows a message, 16 messages in flight."""
    await store.empty()
    made = requests(start_us, seconds)
    before, record, waiting = await store.stored(), recorder(ingest), iter(made)

    async def work() -> None:
        for request in waiting:
            answer = await record(request)
            if answer.accepted_count != ROWS_A_MESSAGE:
                message = f"readings were refused: {answer}"
                raise RuntimeError(message)

    count = len(made) * ROWS_A_MESSAGE
    began_s = time.perf_counter()
    await _together(work, IN_FLIGHT)
    acknowledged_s = time.perf_counter() - began_s
    await store.wait_stored(before + count)
    newest = await store.newest_of_all()
    took_s = time.perf_counter() - began_s
    last_s = start_us // 1_000_000 + seconds - 1
    if await store.rows() != count or len(newest) != DEVICES or set(newest.values()) != {last_s}:
        message = "rows or newest observations are missing"
        raise RuntimeError(message)
    return Measured(count / took_s, count / acknowledged_s)


async def mqtt_single(stack: LocalStack, store: Store, *, start_us: int) -> Measured:
    """Send one reading a message, QoS 1, over 20 connections; each waits for the PUBACK of its message."""
    before = await store.stored()
    each = MQTT_MESSAGES // MQTT_CONNECTIONS

    async def work(number: int) -> None:
        topic = mqtt_topic(uplink(DISTRICT, device_id(number), UplinkKind.OBSERVATIONS_JSON))
        async with aiomqtt.Client(*stack.nats.mqtt_address, identifier=device_id(number)) as client:
            for second in range(each):
                reading = {"property": OBSERVED_PROPERTY, "time": start_us + second * 1_000_000, "value": 1}
                await client.publish(topic, json.dumps({"observations": [reading]}), qos=1)

    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(MQTT_CONNECTIONS):
            group.create_task(work(number))
    acknowledged_s = time.perf_counter() - began_s
    await store.wait_stored(before + MQTT_MESSAGES)
    return Measured(MQTT_MESSAGES / (time.perf_counter() - began_s), MQTT_MESSAGES / acknowledged_s)


async def http_batches(stack: LocalStack, store: Store, *, start_us: int) -> Measured:
    """Send JSON of 100 readings a request, 8 requests in flight."""
    before = await store.stored()
    waiting = iter(_http_payloads(start_us))
    url = f"http://{stack.addresses['ingest'].http}/v1/observations?district={DISTRICT}"
    count = HTTP_REQUESTS * HTTP_READINGS_A_REQUEST
    async with httpx2.AsyncClient(headers={"content-type": "application/json"}) as client:

        async def work() -> None:
            for payload in waiting:
                answer = await client.post(url, content=payload)
                answer.raise_for_status()

        began_s = time.perf_counter()
        await _together(work, HTTP_IN_FLIGHT)
        acknowledged_s = time.perf_counter() - began_s
    await store.wait_stored(before + count)
    return Measured(count / (time.perf_counter() - began_s), count / acknowledged_s)


def _http_payloads(start_us: int) -> Sequence[bytes]:
    payloads = []
    for request in range(HTTP_REQUESTS):
        first = request * HTTP_READINGS_A_REQUEST % DEVICES
        time_us = start_us + request * HTTP_READINGS_A_REQUEST // DEVICES * 1_000_000
        readings = [
            {"device": device_id(number), "property": OBSERVED_PROPERTY, "time": time_us, "value": 1}
            for number in range(first, first + HTTP_READINGS_A_REQUEST)
        ]
        payloads.append(json.dumps({"observations": readings}).encode())
    return payloads


async def background(ingest: grpc.aio.Channel, *, rows_per_s: int, stop: asyncio.Event) -> AsyncIterator[int]:
    """Send rows of the present second in batches of 1,000 at a steady rate, and yield what was accepted so far."""
    record, accepted, loop = recorder(ingest), 0, asyncio.get_running_loop()
    pause_s, next_s = ROWS_A_MESSAGE / rows_per_s, loop.time()
    while not stop.is_set():
        batch = requests(time.time_ns() // 1_000_000_000 * 1_000_000, 1)
        for request in batch:
            accepted += (await record(request)).accepted_count
            next_s += pause_s
            await asyncio.sleep(max(0.0, next_s - loop.time()))
            if stop.is_set():
                break
        yield accepted

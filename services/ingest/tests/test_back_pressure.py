"""Nobody waits in silence: what the broker does not store is refused within a second, with a reason."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from nats.errors import Error as NatsError

from maasloop.bus.columns import build_columns
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.core.errors import ResourceExhausted, Unavailable
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters import bus as publishing
from maasloop.ingest.adapters.bus import BusPublisher
from maasloop.ingest.adapters.fill import StreamFill, ranks_within
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.entrypoints import http
from maasloop.ingest.entrypoints.http import ObservationsDoor
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch, Lane, Portion
from maasloop.runtime.http import HttpDoor
from maasloop.stack.servers.nats import NatsServer
from maasloop.telemetry.metrics import value

NOW_US = 1_764_000_000_000_000
PATIENCE_MAX_S = 60.0


@pytest.fixture(name="bus")
async def _bus(nats_process: NatsServer) -> AsyncIterator[Bus]:
    async with connect(nats_process.url, name="test") as bus:
        await ensure(bus)
        yield bus


def _portion(number: int, count: int = 1) -> Portion:
    columns = build_columns(
        ["a"], ["pm25"], [0] * count, [0] * count, range(NOW_US + number, NOW_US + number + count), [1.0] * count
    )
    return Portion(Door.GRPC, "noord", Lane.PRESENT, "air", columns, None, (), (), (), NOW_US, count)


async def _until_silent(bus: Bus) -> None:
    """Return when a process that was stopped has stopped: that takes a moment."""
    try:
        while True:
            await bus.check()
    except (TimeoutError, NatsError):
        return


async def _refused(publisher: BusPublisher, portion: Portion) -> bool:
    try:
        await publisher.record(portion)
    except Unavailable:
        return True
    return False


async def test_a_broker_that_is_silent_is_told_to_everybody_who_waits(bus: Bus, nats_process: NatsServer) -> None:
    """While the broker stands still, those under way and those behind them hear UNAVAILABLE; then all goes on."""
    publisher = BusPublisher(bus, SystemClock())
    await publisher.record(_portion(0))
    nats_process.process.pause()
    try:
        await _until_silent(bus)
        async with asyncio.timeout(PATIENCE_MAX_S):
            outcomes = await asyncio.gather(
                *(publisher.record(_portion(1 + number)) for number in range(10)), return_exceptions=True
            )
    finally:
        nats_process.process.resume()

    assert [type(each) for each in outcomes] == [Unavailable] * 10
    async with asyncio.timeout(PATIENCE_MAX_S):
        while await _refused(publisher, _portion(100)):
            pass


async def test_a_stream_that_is_not_there_is_refused_and_heals_by_itself(bus: Bus) -> None:
    """Without anybody who stores, a batch is refused as UNAVAILABLE; with the stream back it is taken."""
    publisher = BusPublisher(bus, SystemClock())
    await bus.api("STREAM.DELETE.OBSERVATIONS")

    with pytest.raises(Unavailable):
        async with asyncio.timeout(PATIENCE_MAX_S):
            await publisher.record(_portion(0, 500))

    await ensure(bus)
    await publisher.record(_portion(0, 500))


async def test_bytes_on_their_way_are_bounded(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exceeds the bytes that may wait is refused as OVERLOADED at once, and room comes back."""
    monkeypatch.setattr(publishing, "UNPROVEN_MAX_BYTES", 30_000)
    publisher = BusPublisher(bus, SystemClock())

    outcomes = await asyncio.gather(
        *(publisher.record(_portion(number * 1_000, 1_000)) for number in range(3)), return_exceptions=True
    )

    assert outcomes[0] is None
    assert [each.reason for each in outcomes if isinstance(each, ResourceExhausted)] == [Reason.OVERLOADED] * 2
    await publisher.record(_portion(9_000_000, 1_000))


async def test_a_stream_that_fills_admits_fewer_priorities(bus: Bus) -> None:
    """Low priority has no room from four fifths on, normal from nearly full on; a full stream is told by the broker."""
    fill = StreamFill(bus)
    config = (await bus.api("STREAM.INFO.OBSERVATIONS"))["config"]
    publisher = BusPublisher(bus, SystemClock(), fill=fill)
    await publisher.record(_portion(0, 1_000))
    used = (await bus.api("STREAM.INFO.OBSERVATIONS"))["state"]["bytes"]
    watching = asyncio.create_task(fill.run())
    admitted = []
    for share in (0.5, 0.85, 0.97):
        await bus.api("STREAM.UPDATE.OBSERVATIONS", {**config, "max_bytes": int(used / share)})
        wanted = ranks_within(share)
        async with asyncio.timeout(PATIENCE_MAX_S):
            while fill.ranks_admitted(Lane.PRESENT) != wanted:  # noqa: ASYNC110 - the stream is asked by another task
                await asyncio.sleep(0.05)
        admitted.append(publisher.ranks_admitted(Lane.PRESENT))
    watching.cancel()

    assert admitted == [3, 2, 1]
    assert publisher.ranks_admitted(Lane.PERSONAL) == 3


class _Waiting:
    """A pipeline that does not end before it is told."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def record(self, batch: Batch) -> Recorded:
        """Wait, then accept."""
        await self.go.wait()
        return Recorded(len(batch.columns), 0, ())


async def test_too_many_requests_hear_when_to_come_back(monkeypatch: pytest.MonkeyPatch, bus: Bus) -> None:
    """Beyond the limit the HTTP door answers 503 with a problem and Retry-After, and those under way are answered."""
    monkeypatch.setattr(http, "REQUESTS_MAX", 2)
    waiting, publisher = _Waiting(), BusPublisher(bus, SystemClock())
    refuse = RefusePayload(personal=lambda *_: False, publisher=publisher, counts=_Uncounted())
    door = ObservationsDoor(
        record=waiting.record,
        refuse=refuse,
        name_of=lambda _: None,
        unit_of=lambda _: None,
        clock=SystemClock(),
    )
    payload = b'{"observations": [{"device": "a", "property": "pm25", "value": 1}]}'
    transport = httpx2.ASGITransport(app=door.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://door") as client:

        async def post() -> httpx2.Response:
            return await client.post(
                "/v1/observations?district=noord", content=payload, headers={"content-type": "application/json"}
            )

        running = [asyncio.create_task(post()) for _ in range(2)]
        await asyncio.sleep(0.05)
        refused = await post()
        waiting.go.set()
        answered = await asyncio.gather(*running)

    assert (refused.status_code, refused.json()["reason"]) == (503, "OVERLOADED")
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) > 0
    assert [each.status_code for each in answered] == [200, 200]


async def test_too_many_connections_hear_when_to_come_back(bus: Bus) -> None:
    """Beyond the limit a request is answered 503 with a problem and Retry-After, counted, and its connection ended."""
    waiting, publisher = _Waiting(), BusPublisher(bus, SystemClock())
    waiting.go.set()
    door = ObservationsDoor(
        record=waiting.record,
        refuse=RefusePayload(personal=lambda *_: False, publisher=publisher, counts=_Uncounted()),
        name_of=lambda _: None,
        unit_of=lambda _: None,
        clock=SystemClock(),
    )
    before = value("maasloop_ingest_refused_requests_total", door="http", reason="OVERLOADED")
    listener = HttpDoor(door.app, "127.0.0.1:0", connections_max=1, refusal=door.refuse)
    await listener.start()
    payload = b'{"observations": [{"device": "a", "property": "pm25", "value": 1}]}'
    headers = {"content-type": "application/json"}
    url = f"http://127.0.0.1:{listener.port}/v1/observations?district=noord"
    try:
        async with httpx2.AsyncClient() as first, httpx2.AsyncClient() as second:
            served = await first.post(url, content=payload, headers=headers)
            refused = await second.post(url, content=payload, headers=headers)
            again = await first.post(url, content=payload, headers=headers)
    finally:
        await listener.stop(1.0)

    assert (served.status_code, again.status_code) == (200, 200)
    assert (refused.status_code, refused.json()["reason"]) == (503, "OVERLOADED")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
    assert value("maasloop_ingest_refused_requests_total", door="http", reason="OVERLOADED") == before + 1


class _Uncounted:
    """Counts nothing."""

    def recorded(self, _door: Door, _recorded: Recorded) -> None:
        """Count nothing."""

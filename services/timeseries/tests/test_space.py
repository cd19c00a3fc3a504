"""Streams give back only what every owner has committed, and only as much as they must."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from maasloop.bus.connection import connect
from maasloop.bus.ensure import ensure
from maasloop.bus.streams import OBSERVATION_ROWS
from maasloop.bus.subjects import OBSERVATION_RECORDED
from maasloop.core.clock import FakeClock, SystemClock
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.handlers.free_streams import KEPT_US, WINDOW_US, FreeStreams
from maasloop.timeseries.ports.accounting import Settled
from maasloop.timeseries.ports.streams import StreamInfo, StreamMessage

STREAM = OBSERVATION_ROWS.stream


@dataclass
class FakeStreams:
    """A stream whose messages were stored one a second, the last one just now."""

    clock: FakeClock
    share: float
    floors: dict[str, int]
    messages: int = 200_000
    first: int = 1
    purged_below: list[int] = field(default_factory=list)

    async def info(self, _stream: str) -> StreamInfo:
        """Return its state."""
        return StreamInfo("", self.first, self.messages, int(self.share * 1_000), 1_000)

    async def get(self, _stream: str, sequence: int) -> StreamMessage | None:
        """Return a message, none where it is gone."""
        if not self.first <= sequence <= self.messages:
            return None
        return StreamMessage(sequence, "", {}, b"", self.clock.now_us() - (self.messages - sequence) * 1_000_000)

    async def purge_below(self, _stream: str, sequence: int) -> int:
        """Free what lies below."""
        freed, self.first = sequence - self.first, sequence
        return freed

    async def ack_floor(self, _stream: str, durable: str) -> int:
        """Return what a durable acknowledged."""
        return self.floors[durable]


@dataclass(frozen=True)
class FakeTables:
    """What two partitions have stored of the stream."""

    floors: dict[int, int]
    created: str = ""

    async def settled(self) -> dict[str, Settled]:
        """Return it."""
        return {STREAM: Settled(self.created, {}, (), self.floors, 2)}


ALL = {0: 200_000, 1: 200_000}


@pytest.mark.parametrize(
    ("share", "durables", "floors", "first"),
    [
        (0.4, {"a": 200_000}, ALL, 1),
        (0.6, {"a": 200_000}, ALL, 200_000 - KEPT_US // 1_000_000),
        (0.9, {"a": 200_000}, ALL, 200_000 - WINDOW_US // 1_000_000),
        (0.9, {"a": 1_000}, ALL, 1_001),
        (0.9, {"a": -1}, ALL, 1),
        (0.9, {"a": 200_000}, {0: 200_000, 1: 500}, 501),
        (0.9, {"a": 200_000}, {0: 200_000}, 1),
    ],
)
async def test_only_what_is_committed_and_old_enough_goes(
    share: float, durables: dict[str, int], floors: dict[int, int], first: int
) -> None:
    """A half empty stream keeps all; a fuller one a day; a nearly full one the window; none what an owner lacks."""
    clock = FakeClock()
    streams = FakeStreams(clock, share, durables)

    await FreeStreams(streams, {STREAM: list(durables)}, FakeTables(floors), clock)(STREAM)

    assert streams.first == first


async def test_what_was_stored_of_another_life_frees_nothing() -> None:
    """The stream was made again: its messages are others, whatever was stored from the one before."""
    clock = FakeClock()
    streams = FakeStreams(clock, 0.9, {"a": 200_000})

    await FreeStreams(streams, {STREAM: ["a"]}, FakeTables(ALL, created="before"), clock)(STREAM)

    assert streams.first == 1


@pytest.fixture(name="streams")
async def _streams(nats_url: str) -> AsyncIterator[Streams]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        for number in range(5):
            await bus.publish(OBSERVATION_RECORDED.subject("noord", "air"), b"x", {"Nats-Msg-Id": str(number)})
        yield Streams(bus)


async def test_the_broker_answers_what_the_fake_answers(streams: Streams) -> None:
    """Against a real stream: its reach, a message and the lack of one, floors, and room that comes back."""
    info = await streams.info(STREAM)
    third = await streams.get(STREAM, 3)
    floor = await streams.ack_floor(STREAM, OBSERVATION_ROWS.name)
    freed = await streams.purge_below(STREAM, 4)

    assert (info.first_sequence, info.last_sequence) == (1, 5)
    assert third is not None
    assert abs(third.stored_us - SystemClock().now_us()) < 60_000_000
    assert (third.sequence, third.body) == (3, b"x")
    assert floor == 0
    assert await streams.ack_floor(STREAM, "nobody") == -1
    assert freed == 3
    assert await streams.get(STREAM, 3) is None
    assert (await streams.info(STREAM)).first_sequence == 4

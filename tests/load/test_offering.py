"""The load client: a stream that ends is begun again, however much it left unanswered."""

import asyncio
import time
from collections.abc import Callable
from typing import cast

from tests.load import wire_grpc
from tests.load.offering import UNANSWERED_MAX, GrpcClients, Span


class Stream:
    """One that takes messages and answers none, until it is ended."""

    def __init__(self) -> None:
        """Begin."""
        self.ended = False
        self.sent = 0

    def send(self, body: bytes) -> None:
        """Take a message."""
        self.sent += bool(body)


class Channel:
    """One that keeps the streams that were begun."""

    def __init__(self) -> None:
        """Begin with none."""
        self.streams: list[Stream] = []

    async def stream(self, on_message: Callable[[bytes], None]) -> Stream:
        """Begin one."""
        del on_message
        self.streams.append(Stream())
        return self.streams[-1]


async def test_a_stream_that_ends_full_of_unanswered_batches_is_begun_again() -> None:
    """What it left unanswered counts as refused, and sending goes on."""
    channel = Channel()
    clients = GrpcClients([cast("wire_grpc.Channel", channel)], range(20), batch=20, streams=True)
    await clients.open()
    span = Span(time.perf_counter(), 0, 60.0, 0.0)
    for number in range(UNANSWERED_MAX + 1):
        clients.send(number, span.began_s, span)
    channel.streams[0].ended = True
    clients.send(0, span.began_s, span)
    await asyncio.sleep(0.01)
    clients.send(0, span.began_s, span)

    assert [stream.sent for stream in channel.streams] == [UNANSWERED_MAX, 1]
    assert clients.outcome.refused == 20 * UNANSWERED_MAX
    assert clients.outcome.held_back == 40

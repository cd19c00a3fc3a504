"""Readings that come in beside what is measured, at a steady rate in batches of 1,000, over a stream a client."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.load import offering, wire_grpc
from tests.load.city import ROWS_A_MESSAGE
from tests.load.doors import STREAM
from tests.load.lab import Lab

LONGEST_S = 3_600.0
CONNECTIONS = 2
SETTLE_S = 60.0


@asynccontextmanager
async def background(lab: Lab, rows_per_s: float, *, age_s: float = 0.0) -> AsyncIterator[offering.Outcome]:
    """Offer readings that are ``age_s`` old while the block runs."""
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                wire_grpc.Channel(lab.address("ingest"), STREAM, tls=lab.tls(), timeout_s=round(LONGEST_S))
            )
            for _ in range(CONNECTIONS)
        ]
        clients = offering.GrpcClients(channels, range(lab.devices), batch=ROWS_A_MESSAGE, streams=True)
        await clients.open()
        began_us = time.time_ns() // 1_000 - round(age_s * offering.SECOND_US)
        span = offering.Span(time.perf_counter(), began_us, LONGEST_S, 0.0)
        task = asyncio.create_task(offering.offer([(clients, rows_per_s / ROWS_A_MESSAGE)], span), name="background")
        try:
            yield clients.outcome
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await clients.settle(SETTLE_S)

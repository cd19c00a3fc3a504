"""Due deliveries → their channels → what became of them.

A delivery is lent to one process for a while; the loan is in the table, so that a process that dies in the middle of an
attempt leaves a delivery that is due again when the loan ends. The other side may then get it twice, under the same id.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence

import structlog

from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.notification.domain.delivery import PAUSES_S, Attempt, Claim, Deferred, settled
from maasloop.notification.ports import Channel, Deliveries
from maasloop.telemetry import metrics

IN_FLIGHT_MAX = 32
IN_FLIGHT_PER_SUBSCRIPTION_MAX = 2
"""So that one slow receiver does not hold up the others."""
LEASE_S = 60.0
"""Longer than any channel's time-out."""
POLL_INTERVAL_S = 0.5
RECORD_PAUSE_S = 1.0

ATTEMPTS = metrics.counter("maasloop_notification_attempts_total", "Attempts to deliver", ["channel", "outcome"])

_log = structlog.get_logger()


class DeliverMessages:
    """The loop that delivers. Task: ``run``; ``wake`` makes it look at once."""

    def __init__(
        self,
        deliveries: Deliveries,
        channels: Mapping[str, Channel],
        clock: Clock,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self._deliveries = deliveries
        self._channels = channels
        self._clock = clock
        self._pauses_s = pauses_s
        self._lease_s = lease_s
        self._wanted = asyncio.Event()
        self._running: dict[asyncio.Task[None], tuple[str, str]] = {}

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._wanted.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set, then finish what is under way."""
        try:
            while not stop.is_set():
                self._wanted.clear()
                await self._start_due()
                await self._wait(stop)
            if self._running:
                await asyncio.wait(self._running)
        finally:
            for task in self._running:
                task.cancel()

    async def _start_due(self) -> None:
        room = IN_FLIGHT_MAX - len(self._running)
        if room <= 0:
            return
        held = list(self._running.values())
        busy = [key for key in set(held) if held.count(key) >= IN_FLIGHT_PER_SUBSCRIPTION_MAX]
        try:
            claims = await self._deliveries.claim(room, busy, self._lease_s)
        except Retryable as error:
            _log.warning("deliveries_await_database", reason=error.message)
            await self._clock.sleep(RECORD_PAUSE_S)
            return
        for claim in claims:
            task = asyncio.create_task(self._deliver(claim), name=f"delivery {claim.delivery.id}")
            self._running[task] = (claim.delivery.district, claim.delivery.subscription)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._wanted.set()

    async def _wait(self, stop: asyncio.Event) -> None:
        waits = [asyncio.create_task(self._wanted.wait()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=POLL_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _deliver(self, claim: Claim) -> None:
        delivery = claim.delivery
        attempt = await self._attempt(claim)
        done = settled(delivery, attempt, now=self._clock.now(), pauses_s=self._pauses_s, jitter=random.random())
        try:
            recorded = await self._deliveries.record(done)
        except Retryable as error:
            # The loan ends and it is tried again, under the same id.
            _log.warning("delivery_not_recorded", delivery=delivery.id, reason=error.message)
            return
        ATTEMPTS.labels(delivery.channel, type(attempt).__name__.lower()).inc()
        _log.info(
            "delivery_attempted",
            delivery=delivery.id,
            channel=delivery.channel,
            attempt=delivery.attempt_count,
            state=done.state.value,
            reason=done.reason,
            recorded=recorded,
        )

    async def _attempt(self, claim: Claim) -> Attempt:
        try:
            return await self._channels[claim.delivery.channel].send(claim)
        except Exception as error:
            _log.exception("channel_failed", channel=claim.delivery.channel, delivery=claim.delivery.id)
            return Deferred(f"{type(error).__name__}: {error}")

"""The door for observations: pulls batches, picks what matters, and sets the steps of their districts going.

Task: ``run``. A message is acknowledged when what it led to is durable and sent; one that led to nothing at once; one whose
readings wait for their second with the decision on it.
"""

import asyncio
from collections.abc import Sequence

import structlog

from maasloop.actuation import command_traces, metrics
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.district import District
from maasloop.actuation.domain.reading import SECOND_US, Reading
from maasloop.actuation.entrypoints.in_hand import acknowledging
from maasloop.actuation.entrypoints.readings import READINGS_SENT, STREET_SECOND, Selection, Selector
from maasloop.actuation.entrypoints.steps import Steps
from maasloop.bus.connection import Bus
from maasloop.bus.consume import bury
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import STREET
from maasloop.core.clock import Clock
from maasloop.telemetry import tracing

TAKE_MAX = 128
OUTSTANDING_MAX = 1_024
TAKE_WAIT_S = 0.5
ANNOUNCEMENT_AGE_MAX_S = 2.5
"""Wall time after which nobody waits for the decision on a second any more."""

_log = structlog.get_logger()


class StreetStream:
    """Hears what the street says."""

    def __init__(self, bus: Bus, selector: Selector, steps: Steps, clock: Clock) -> None:
        """Pull over the bus."""
        self._bus = bus
        self._selector = selector
        self._steps = steps
        self._clock = clock
        self._sent: dict[tuple[str, int], dict[str, int]] = {}

    async def run(self, stop: asyncio.Event, *known: asyncio.Event) -> None:
        """Pull until told to stop, then finish what is under way; not before what decisions stand on is ``known``."""
        while not all(one.is_set() for one in known) and not stop.is_set():
            await self._clock.sleep(TAKE_WAIT_S / 10)
        async with Pull(self._bus, STREET, outstanding_max=OUTSTANDING_MAX) as pull:
            while not stop.is_set():
                deliveries = await pull.take(TAKE_MAX, wait_s=TAKE_WAIT_S)
                if deliveries:
                    await self._handle(deliveries)
            await self._steps.land()

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        await self._steps.room()
        batch = Batch()
        poison: list[tuple[Delivery, Exception]] = []
        good: list[Delivery] = []
        done: list[Delivery] = []
        touched: dict[str, tuple[District, Delivery]] = {}
        for delivery in deliveries:
            try:
                selection = self._selector.select(delivery.body)
                district = self._steps.city.district(selection.district)
                with tracing.follow("decide", _traceparent(delivery), district=district.id):
                    heard = self._hear(district, selection, delivery)
                    command_traces.heard(heard.commands)
                batch.merge(heard)
            except Exception as error:
                poison.append((delivery, error))
                continue
            good.append(delivery)
            if (second := _waits_for(district, selection)) is None:
                done.append(delivery)
            else:
                self._steps.in_hand.hold(district.id, second, delivery, self._clock.monotonic_s())
            touched[district.id] = district, delivery
        for district, last in touched.values():
            with tracing.follow("decide_second", _traceparent(last), district=district.id):
                decided, messages = self._steps.decide_ready(district)
                command_traces.heard(decided.commands)
            batch.merge(decided)
            done += messages
        stored_ns = min((delivery.stored_ns for delivery in good), default=None)
        self._steps.start(batch, acknowledging(done), stored_ns=stored_ns)
        for delivery, why in poison:
            await bury(self._bus, STREET, delivery, why)

    def _hear(self, district: District, selection: Selection, delivery: Delivery) -> Batch:
        metrics.READINGS.labels("used").inc(len(selection.readings))
        for second, count in selection.counts.items():
            district.barrier.count(second, selection.domain, count)
        batch = self._steps.hear(district, selection.readings) if selection.readings else Batch()
        if selection.clock:
            self._hear_clock(district, selection.clock, delivery)
        return batch

    def _hear_clock(self, district: District, readings: Sequence[Reading], delivery: Delivery) -> None:
        """Take the word of the clock device: how many readings it sent of a second, then that the second is over."""
        for reading in readings:
            if reading.observed_property.startswith(READINGS_SENT):
                domain = reading.observed_property.removeprefix(READINGS_SENT)
                self._sent.setdefault((district.id, reading.second), {})[domain] = int(reading.value)
        for reading in readings:
            if reading.observed_property == STREET_SECOND:
                self._announce(district, reading, delivery)

    def _announce(self, district: District, reading: Reading, delivery: Delivery) -> None:
        second = reading.time_us // SECOND_US
        sent = self._sent.pop((district.id, second), {})
        for key in [key for key in self._sent if key[0] == district.id and key[1] < second]:
            del self._sent[key]
        if not district.clock.hear(reading.time_us, self._clock.monotonic_s()):
            return
        age_s = (self._clock.now_us() * 1_000 - delivery.stored_ns) / 1e9
        if age_s > ANNOUNCEMENT_AGE_MAX_S:
            _log.info("second_skipped", district=district.id, second=second, age_s=round(age_s, 3))
            self._steps.skip(district, second)
            return
        district.barrier.announce(second, sent, self._clock.monotonic_s())


def _traceparent(delivery: Delivery) -> str:
    return delivery.headers.get(tracing.TRACEPARENT, "")


def _waits_for(district: District, selection: Selection) -> int | None:
    """Return the second with which the last word of a message is decided upon, or nothing where none waits.

    Readings of a second that is over wait for the next one.
    """
    if not district.clock.is_field:
        return None
    seconds = [reading.second for reading in selection.readings]
    seconds += [reading.second for reading in selection.clock if reading.second > district.barrier.decided]
    return max(seconds, default=None)

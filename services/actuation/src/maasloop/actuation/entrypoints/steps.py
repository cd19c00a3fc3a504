"""The steps of the loop in the order in which a district takes them, for the doors that set them going.

Everything between two waits is one step on the working state, so that no door sees it half changed. What a step leads to
is committed, then sent; several commits may be under way, the ledger keeps their order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from maasloop.actuation import metrics
from maasloop.actuation.domain.adjusting import SIGNAL_PLAN
from maasloop.actuation.domain.barrier import SecondReady
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.reading import SECOND_US, Reading
from maasloop.actuation.domain.verification import SIGNAL_STATE
from maasloop.actuation.entrypoints.in_hand import InHand
from maasloop.actuation.handlers.decide_second import DecideSecond
from maasloop.actuation.handlers.dispatch_commands import DispatchCommands
from maasloop.actuation.handlers.evaluate_policies import EvaluatePolicies
from maasloop.actuation.handlers.expire_commands import ExpireCommands
from maasloop.actuation.handlers.pass_time import PassTime
from maasloop.actuation.handlers.verify_commands import VerifyCommands
from maasloop.actuation.ports import Ledger
from maasloop.bus.pull import Delivery
from maasloop.core.clock import Clock

PENDING_READINGS_MAX = 200_000
FLIGHTS_MAX = 64
"""Commits under way; more make the doors wait."""

_log = structlog.get_logger()

type Told = Callable[[Batch], Awaitable[None]]
"""Tells what of a durable batch is told at once: decisions, which the outbox tells again under the same id, and predictions."""


class Steps:
    """Binds the handlers to the working state."""

    def __init__(
        self,
        city: City,
        clock: Clock,
        ledger: Ledger,
        *,
        evaluate: EvaluatePolicies,
        decide: DecideSecond,
        verify: VerifyCommands,
        expire: ExpireCommands,
        pass_time: PassTime,
        dispatch: DispatchCommands,
        tell: Told,
    ) -> None:
        """Take what the composition root made."""
        self.city = city
        self.clock = clock
        self.ledger = ledger
        self._evaluate = evaluate
        self._decide = decide
        self._verify = verify
        self._expire = expire
        self._pass_time = pass_time
        self.dispatch = dispatch
        self._tell = tell
        self.in_hand = InHand()
        self._pending: dict[str, list[Reading]] = {}
        self._flights: set[asyncio.Task[None]] = set()

    def moment(self, district: District) -> Moment:
        """Return now on the district's clock and on the wall."""
        wall_us = self.clock.now_us()
        return Moment(district.clock.now_us(wall_us, self.clock.monotonic_s()), wall_us)

    def hear(self, district: District, readings: Sequence[Reading]) -> Batch:
        """Take readings: proofs at once; policies at once on a wall clock, with their second on a field clock."""
        moment = self.moment(district)
        batch = self._verify(district, readings, moment)
        others = [reading for reading in readings if not _for_junction(district, reading)]
        if not district.clock.is_field:
            batch.merge(self._evaluate(district, others, moment))
        else:
            pending = self._pending.setdefault(district.id, [])
            pending.extend(others)
            if len(pending) > PENDING_READINGS_MAX:
                metrics.READINGS.labels("dropped").inc(len(pending) - PENDING_READINGS_MAX)
                del pending[:-PENDING_READINGS_MAX]
        return batch

    def decide_ready(self, district: District) -> tuple[Batch, list[Delivery]]:
        """Decide on the seconds that the barrier releases; the messages are done with when that is durable."""
        batch, done = Batch(), []
        while (ready := district.barrier.ready(self.clock.monotonic_s())) is not None:
            batch.merge(self._decide_one(district, ready))
            done += self.in_hand.decided(district.id, ready.second)
        return batch, done

    def skip(self, district: District, second: int) -> None:
        """Let a second pass without a decision: its announcement is too old for anybody to wait for it."""
        district.barrier.decided = max(district.barrier.decided, second)

    def pass_second(self, district: District) -> Batch:
        """Do what is due once a second of wall time, whatever moves the district's clock."""
        moment = self.moment(district)
        batch = self._due(district, moment)
        if not district.clock.is_field:
            second = moment.street_us // SECOND_US
            self._decide.control_signals(district, second, moment, batch)
            batch.merge(self._evaluate.pass_second(district, moment))
        return batch

    def start(
        self, batch: Batch, after: Callable[[], Awaitable[None]] | None = None, *, stored_ns: int | None = None
    ) -> None:
        """Make a batch durable and send what is accepted in it, beside others; then run ``after``.

        ``stored_ns`` is when the broker stored the first message that led to it. Call it without a pause after what
        changed the state: a later change of the same command must not be written down first.
        """
        durable: Awaitable[None] | None = None
        if batch:
            # What only has to be written down waits for company: each commit under way holds up the next command.
            durable = self.ledger.commit(batch, urgent=bool(batch.accepted() or batch.decisions))
        task = asyncio.create_task(self._fly(batch, durable, after, stored_ns), name="commit-and-dispatch")
        self._flights.add(task)
        task.add_done_callback(self._landed)

    @property
    def idle(self) -> bool:
        """Tell whether nothing waits to become durable."""
        return not self._flights

    async def room(self) -> None:
        """Wait until another commit may be started."""
        while len(self._flights) >= FLIGHTS_MAX:
            await asyncio.wait(self._flights, return_when=asyncio.FIRST_COMPLETED)

    async def land(self) -> None:
        """Wait until everything that was started is done."""
        while self._flights:
            await asyncio.wait(self._flights)

    async def send(self, commands: Sequence[Command], *, perhaps_again: bool = False) -> None:
        """Send durable commands; ``perhaps_again`` = some may have been sent before a restart."""
        by_district: dict[str, list[Command]] = {}
        for command in commands:
            by_district.setdefault(command.district, []).append(command)
        for name, part in by_district.items():
            await self.dispatch(part, self.moment(self.city.district(name)), perhaps_again=perhaps_again)

    def _decide_one(self, district: District, ready: SecondReady) -> Batch:
        started_s = self.clock.monotonic_s()
        wall_us = self.clock.now_us()
        pending = self._pending.get(district.id, [])
        readings = [reading for reading in pending if reading.second <= ready.second]
        self._pending[district.id] = [reading for reading in pending if reading.second > ready.second]
        due = self._due(district, Moment(ready.second * SECOND_US, wall_us))
        batch = self._decide(district, ready, readings, due, wall_us)
        metrics.DECISIONS.labels(district.id, str(ready.late).lower()).inc()
        metrics.DECIDE_SECONDS.observe(self.clock.monotonic_s() - started_s)
        return batch

    def _due(self, district: District, moment: Moment) -> Batch:
        if moment.street_us == 0:
            return Batch()
        batch = self._verify.fail_overdue(district, moment)
        batch.merge(self._expire(district, moment))
        batch.merge(self._pass_time(district, moment))
        return batch

    async def _fly(
        self,
        batch: Batch,
        durable: Awaitable[None] | None,
        after: Callable[[], Awaitable[None]] | None,
        stored_ns: int | None,
    ) -> None:
        if durable is not None:
            await durable
            accepted = batch.accepted()
            await self.send(accepted)
            if accepted and stored_ns is not None:
                metrics.REACTION_SECONDS.observe(self.clock.now_us() / 1e6 - stored_ns / 1e9)
            if batch.decisions or batch.predictions:
                await self._tell(batch)
        if after is not None:
            await after()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flights.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("step_failed", exc_info=task.exception())


def _for_junction(district: District, reading: Reading) -> bool:
    """Hand a reading to the junctions that it concerns; tell whether it is nothing but that."""
    owners = district.facts.detectors.get(reading.device, ())
    if not owners and reading.observed_property in {SIGNAL_STATE, SIGNAL_PLAN}:
        owners = (reading.device,)
    junctions = [junction for junction in map(district.junction, owners) if junction is not None]
    for junction in junctions:
        junction.hear(reading)
    return bool(junctions)

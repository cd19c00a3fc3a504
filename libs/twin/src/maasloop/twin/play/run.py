"""The play: second after second, each one sent, decided upon and obeyed before the next one begins.

A street second takes at least ``1 / speed`` seconds of wall time. The clock device speaks last in a second, after
everything else of it is acknowledged, and says how many readings there were; the next second begins when the decision
on this one is known and its commands have arrived, or when the deadline passed.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from maasloop.core.clock import Clock
from maasloop.core.reasons import Reason
from maasloop.twin.devices.cabinet import Trouble
from maasloop.twin.devices.readings import MICROSECONDS, Reading
from maasloop.twin.doors.receipt import Receipt
from maasloop.twin.play.cast import CLOCK
from maasloop.twin.play.catalogue import DOMAIN_OF, SENT_DOMAINS, STREET_SECOND, readings_sent
from maasloop.twin.play.decisions import DECISION_DEADLINE_S, Awaited, Decisions
from maasloop.twin.play.doors import Doors, by_domain
from maasloop.twin.play.faults import FaultyField
from maasloop.twin.play.payload import Payload, Voice
from maasloop.twin.play.street_play import StreetPlay
from maasloop.twin.play.tally import LoopTimer, Tally

WARM_UP_SECONDS_MAX = 60
WARM_UP_MARGIN_S = 1
ALIGNMENT_MAX_S = 86_400
EPILOGUE_MAX_S = 90
"""Street seconds that devices get to prove that they obeyed the last commands."""


class DecisionsMissing(Exception):
    """Nobody decides."""


@dataclass
class Play:
    """A district that is played."""

    street: StreetPlay
    doors: Doors
    decisions: Decisions
    faults: FaultyField
    tally: Tally
    timer: LoopTimer
    clock: Clock
    begin_s: int
    duration_s: int
    speed: float
    deadline_s: float = DECISION_DEADLINE_S

    async def warm_up(self) -> None:
        """Tick in the dark before the play until somebody decides; raises ``DecisionsMissing``."""
        first = self.begin_s - WARM_UP_SECONDS_MAX - WARM_UP_MARGIN_S
        for second in range(first, first + WARM_UP_SECONDS_MAX):
            payloads = self.street.before_dawn(second)
            await self.doors.send_all(payloads)
            await self.doors.send(clock_payload(second, payloads))
            awaited = await self.decisions.wait(second, deadline_s=self.deadline_s)
            if awaited.decided:
                return
        message = f"no decision within {WARM_UP_SECONDS_MAX * self.deadline_s:.0f} s: is actuation running?"
        raise DecisionsMissing(message)

    async def run(self, after_second: Callable[[int], Awaitable[None]]) -> None:
        """Play every second; ``after_second`` gets the seconds passed."""
        lamps = [(mounted.place.id, mounted.place.cabinet) for mounted in self.street.lamps]
        for passed_s in range(self.duration_s):
            began_s = self.clock.monotonic_s()
            await self._second(self.begin_s + passed_s, lamps)
            await after_second(passed_s + 1)
            left_s = began_s + 1.0 / self.speed - self.clock.monotonic_s()
            if left_s > 0:
                await self.clock.sleep(left_s)

    async def epilogue(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Let devices tick on in empty streets until ``done``, so that they can prove what they were told last."""
        self.street.clear()
        for passed_s in range(EPILOGUE_MAX_S):
            await self._second(self.begin_s + self.duration_s + passed_s, [])
            if await done():
                return

    async def _second(self, second: int, lamps: Sequence[tuple[str, str]]) -> None:
        payloads = self.street.advance(second)
        for controller in self.street.controllers.values():
            self.doors.answer(controller.id, controller.late_answers())
        self.faults.disturb(second, payloads, lamps)
        now_s = self.clock.monotonic_s()
        for cabinet in self.street.cabinets.values():
            for lamp in cabinet.take_awaited():
                mounted = cabinet.lamps[lamp]
                if mounted.trouble is Trouble.NONE:
                    self.timer.begin(lamp, now_s, above_percent=mounted.lamp.target_percent)
        receipts = await self.doors.send_all(payloads)
        told_s = self.clock.monotonic_s()
        await self.doors.send(clock_payload(second, payloads, self.street.told_by_sites))
        self._count(payloads, receipts)
        self._judge(await self.decisions.wait(second, deadline_s=self.deadline_s))
        self.tally.decided_ms.append((self.clock.monotonic_s() - told_s) * 1000.0)

    def _count(self, payloads: Sequence[Payload], receipts: Sequence[Receipt]) -> None:
        self.tally.seconds += 1
        self.tally.readings_sent += sum(len(payload.everything) for payload in payloads)
        for receipt in receipts:
            without = sum(reason == Reason.CONSENT_MISSING for _, reason in receipt.refused)
            self.tally.consent_refusals += without

    def _judge(self, awaited: Awaited) -> None:
        self.tally.late_decisions += awaited.late
        self.tally.late_readings += awaited.late_readings


def clock_payload(second: int, payloads: Sequence[Payload], told_by_sites: int = 0) -> Payload:
    """Return what the clock device says when everything else of a second is acknowledged, or on its way over RSMP."""
    counts, time_us = by_domain(payloads, DOMAIN_OF), second * MICROSECONDS
    counts[DOMAIN_OF["signal-state"]] += told_by_sites
    said = [Reading(CLOCK, STREET_SECOND, time_us, float(second))]
    said += [Reading(CLOCK, readings_sent(domain), time_us, float(counts[domain])) for domain in SENT_DOMAINS]
    return Payload(CLOCK, Voice.MQTT_PB, said)


def first_second(now_us: int, duration_s: int, scenario_begin_s: int, cycles_s: Sequence[int]) -> int:
    """Return the street second at which a play begins: so long ago that no event leads its receipt, to the very end.

    It is moved back a little further, so that the local programmes stand where they stand at the scenario's own begin.
    """
    latest = now_us // MICROSECONDS - duration_s - EPILOGUE_MAX_S
    period_s = math.lcm(*cycles_s) if cycles_s else 1
    return latest if period_s > ALIGNMENT_MAX_S else latest - (latest - scenario_begin_s) % period_s

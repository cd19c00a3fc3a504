"""What is written down at once, and what waits for company."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.journal import Entry, JournalEntry
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.actuation.entrypoints.steps import Steps
from maasloop.core.clock import SystemClock

NOTHING = cast("Any", None)
ACCEPTED = Command(
    id="c1",
    district="noord",
    device="lamp-1",
    setpoint=LightLevel(50.0, 0.0),
    authority=Authority.ADAPTIVE,
    issuer="policies/p1",
    cause="x",
    state=State.ACCEPTED,
    create_time_us=1,
    not_before_us=1,
    expire_us=900_000_001,
    verify_by_us=10_000_001,
)


@dataclass
class Hurried:
    """A ledger that remembers what could not wait."""

    urgent: list[bool] = field(default_factory=list)

    async def commit(self, batch: Batch, *, urgent: bool = True) -> None:
        """Remember whether the batch may wait."""
        assert batch
        self.urgent.append(urgent)

    def defer(self, batch: Batch) -> None:
        """Nothing is deferred here."""


async def _sent(_commands: Sequence[Command], _moment: object, *, perhaps_again: bool) -> None:
    assert not perhaps_again


@pytest.mark.parametrize(
    ("batch", "urgent"),
    [
        (Batch(commands=[ACCEPTED]), True),
        (Batch(journal=[JournalEntry(1, "noord", Entry.POLICY_OFF, "lamp-1", "policies/p1")]), False),
    ],
)
async def test_only_what_a_device_waits_for_is_urgent(*, batch: Batch, urgent: bool) -> None:
    """A command that goes to its device is committed at once; what is only to be known later waits for company."""
    ledger = Hurried()
    steps = Steps(
        City(),
        SystemClock(),
        ledger,
        evaluate=NOTHING,
        decide=NOTHING,
        verify=NOTHING,
        expire=NOTHING,
        pass_time=NOTHING,
        dispatch=cast("Any", _sent),
        tell=NOTHING,
    )
    steps.start(batch)
    async with asyncio.timeout(50):
        await steps.land()

    assert ledger.urgent == [urgent]

"""What is sent, what is sent again, and what is not sent any more."""

from dataclasses import dataclass, field, replace

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command, State, acknowledged, dispatched
from maasloop.actuation.domain.district import Moment
from maasloop.actuation.domain.setpoint import LightLevel, Setpoint, SignalSequence
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import SequenceStep
from maasloop.actuation.handlers.dispatch_commands import RESENT_AT_ONCE_MAX, DispatchCommands

SECOND_US = 1_000_000
SEQUENCE = SignalSequence((SequenceStep(0, {"a": Aspect.GREEN}),), {"a": Aspect.RED})


@dataclass
class Memory:
    """A ledger and a downlink that remember."""

    batch: Batch = field(default_factory=Batch)
    sent: list[Command] = field(default_factory=list)
    dispatch: DispatchCommands = field(init=False)
    """What sends over it."""

    async def commit(self, batch: Batch, *, urgent: bool = True) -> None:
        """Keep the batch."""
        self.batch.merge(batch)

    def defer(self, batch: Batch) -> None:
        """Keep the batch."""
        self.batch.merge(batch)

    async def send(self, command: Command) -> None:
        """Remember the command."""
        self.sent.append(command)


def _accepted(setpoint: Setpoint, not_before_s: int = 101) -> Command:
    return Command(
        id="c1",
        district="noord",
        device="d1",
        setpoint=setpoint,
        authority=Authority.ADAPTIVE,
        issuer="controllers/d1",
        cause="x",
        state=State.ACCEPTED,
        create_time_us=1,
        not_before_us=not_before_s * SECOND_US,
        expire_us=(not_before_s + 30) * SECOND_US,
        verify_by_us=(not_before_s + 10) * SECOND_US,
    )


@pytest.fixture
def city() -> City:
    """Return a city without anything."""
    return City()


async def _dispatch(city: City, command: Command, at_s: int) -> Memory:
    memory = Memory()
    city.district("noord").keep(command)
    memory.dispatch = DispatchCommands(city, memory, memory)
    await memory.dispatch([command], Moment(at_s * SECOND_US, at_s * SECOND_US))
    return memory


async def test_a_command_is_sent_once_and_noted(city: City) -> None:
    """What was accepted is dispatched; the same batch again sends nothing."""
    command = _accepted(LightLevel(50, 0))
    memory = await _dispatch(city, command, 100)
    await DispatchCommands(city, memory, memory)([command], Moment(100 * SECOND_US, 100 * SECOND_US))

    assert [one.state for one in memory.sent] == [State.DISPATCHED]
    assert [one.state for one in memory.batch.commands] == [State.DISPATCHED]


async def test_a_sequence_whose_beginning_has_passed_is_not_sent(city: City) -> None:
    """A street that waited for the database is another street: the sequence ends with a reason."""
    memory = await _dispatch(city, _accepted(SEQUENCE), 103)

    assert memory.sent == []
    assert [(one.state, one.reason) for one in memory.batch.commands] == [(State.EXPIRED, "COMMAND_EXPIRED")]
    assert city.district("noord").commands == {}


async def test_a_level_may_begin_late(city: City) -> None:
    """A lamp that lights late is better than one that does not, as long as the command has not expired."""
    late = await _dispatch(city, _accepted(LightLevel(50, 0)), 110)
    expired = await _dispatch(City(), _accepted(LightLevel(50, 0)), 200)

    assert len(late.sent) == 1
    assert expired.sent == []


async def test_what_nobody_answers_is_sent_again_with_the_same_id(city: City) -> None:
    """After two seconds of wall time, then after pauses that double up to a limit, however often it is looked at."""
    memory = await _dispatch(city, _accepted(LightLevel(50, 0)), 101)
    sent_after_s = []
    for half_s in range(60):
        before = len(memory.sent)
        await _look(memory, city, 101 + half_s / 2)
        sent_after_s += [half_s / 2] * (len(memory.sent) - before)

    assert {one.id for one in memory.sent} == {"c1"}
    assert sent_after_s == [2, 6, 14, 22]


async def test_an_answered_command_is_sent_no_more(city: City) -> None:
    """The answer ends its repetitions."""
    memory = await _dispatch(city, _accepted(LightLevel(50, 0)), 101)
    await _look(memory, city, 104)
    sent = memory.sent[-1]
    answered = acknowledged(sent)
    assert answered is not None
    city.district("noord").keep(answered)
    await _look(memory, city, 110)
    assert len(memory.sent) == 2


async def test_a_district_that_is_late_as_a_whole_hears_repetitions_in_lots(city: City) -> None:
    """A thousand lamps that have not answered get a hundred repetitions at a time, each its turn."""
    memory, district = Memory(), city.district("noord")
    for number in range(1_000):
        command = dispatched(
            replace(_accepted(LightLevel(50, 0)), id=f"c{number}", device=f"d{number}"),
            street_us=1,
            wall_us=101 * SECOND_US,
        )
        assert command is not None
        district.keep(command)
    dispatch = DispatchCommands(city, memory, memory)
    lots = []
    for half_s in range(20):
        before = len(memory.sent)
        now_us = int((103 + half_s / 2) * SECOND_US)
        await dispatch.resend(district, Moment(now_us, now_us))
        lots.append(len(memory.sent) - before)

    assert lots[:10] == [RESENT_AT_ONCE_MAX] * 10
    assert len({one.id for one in memory.sent[:1_000]}) == 1_000
    assert max(lots) == RESENT_AT_ONCE_MAX


async def _look(memory: Memory, city: City, at_s: float) -> None:
    """Look for what is to be sent again, with the dispatch that sent it."""
    now_us = int(at_s * SECOND_US)
    await memory.dispatch.resend(city.district("noord"), Moment(now_us, now_us))

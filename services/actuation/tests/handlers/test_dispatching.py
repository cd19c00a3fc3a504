"""What is sent, what is sent again, and what is not sent any more."""

from dataclasses import dataclass, field

import pytest

from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Authority, Command, State
from maasloop.actuation.domain.district import Moment
from maasloop.actuation.domain.setpoint import LightLevel, Setpoint, SignalSequence
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import SequenceStep
from maasloop.actuation.handlers.dispatch_commands import DispatchCommands

SECOND_US = 1_000_000
SEQUENCE = SignalSequence((SequenceStep(0, {"a": Aspect.GREEN}),), {"a": Aspect.RED})


@dataclass
class Memory:
    """A ledger and a downlink that remember."""

    batch: Batch = field(default_factory=Batch)
    sent: list[Command] = field(default_factory=list)

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
    await DispatchCommands(city, memory, memory)([command], Moment(at_s * SECOND_US, at_s * SECOND_US))
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
    """After two seconds of wall time, until it is answered."""
    memory = await _dispatch(city, _accepted(LightLevel(50, 0)), 101)
    dispatch = DispatchCommands(city, memory, memory)
    district = city.district("noord")
    await dispatch.resend(district, Moment(102 * SECOND_US, 102 * SECOND_US))
    early = len(memory.sent)
    await dispatch.resend(district, Moment(103 * SECOND_US, 103 * SECOND_US))

    assert early == 1
    assert [one.id for one in memory.sent] == ["c1", "c1"]

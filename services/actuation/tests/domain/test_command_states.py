"""States of commands only go forward, whatever happens in whatever order."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import (
    OPEN,
    RANK,
    TERMINAL,
    Command,
    State,
    acknowledged,
    dispatched,
    may_become,
    settled,
)
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.core.reasons import Reason

COMMAND = Command(
    id="c1",
    district="noord",
    device="lamp-1",
    setpoint=LightLevel(50.0, 0.0),
    authority=Authority.OPERATOR,
    issuer="callers/unidentified",
    cause="requests/1",
    state=State.ACCEPTED,
    create_time_us=1,
    not_before_us=1,
    expire_us=900_000_001,
    verify_by_us=10_000_001,
)
EVENTS = st.sampled_from(["dispatch", "acknowledge", *TERMINAL])


@given(st.lists(EVENTS, max_size=12))
def test_states_are_monotone_and_terminal_ones_stay(events: list[str]) -> None:
    """No sequence of events lowers a state's rank, leaves a terminal state, or ends without a reason."""
    command = COMMAND
    for event in events:
        before = command
        if event == "dispatch":
            command = dispatched(command, street_us=2, wall_us=2) or command
        elif event == "acknowledge":
            command = acknowledged(command) or command
        else:
            command = settled(command, State(event), Reason.COMMAND_EXPIRED, "", wall_us=3) or command
        assert RANK[command.state] >= RANK[before.state]
        assert command == before or before.state not in TERMINAL
        assert not command.terminal or command.reason


@given(st.sampled_from(State), st.sampled_from(State))
def test_every_permitted_step_raises_the_rank(present: State, wanted: State) -> None:
    """Whatever the table permits goes forward, so that the store's guard and the table agree."""
    if may_become(present, wanted):
        assert RANK[wanted] > RANK[present]


def test_only_what_was_handed_over_can_be_verified() -> None:
    """A command that was never sent is not verified, and a refused one is refused from the beginning."""
    assert settled(COMMAND, State.VERIFIED, Reason.EFFECT_OBSERVED, "", wall_us=3) is None
    assert all(
        settled(replace(COMMAND, state=state), State.REFUSED, Reason.OUTRANKED, "", wall_us=3) is None for state in OPEN
    )


def test_a_command_sent_late_may_be_verified_that_much_later() -> None:
    """The deadline of the proof moves with a late dispatch, and not with an early one."""
    late = dispatched(COMMAND, street_us=COMMAND.not_before_us + 5, wall_us=2)
    early = dispatched(replace(COMMAND, not_before_us=100), street_us=2, wall_us=2)

    assert late is not None
    assert late.verify_by_us == COMMAND.verify_by_us + 5
    assert early is not None
    assert early.verify_by_us == COMMAND.verify_by_us

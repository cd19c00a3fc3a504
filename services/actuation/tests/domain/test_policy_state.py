"""What a policy declares: hysteresis, hold, several sources."""

from maasloop.actuation.domain.policy import SOURCE_SILENCE_US, Answer, Policy, ScopeState

SECOND_US = 1_000_000
POLICY = Policy(
    id="follow",
    display_name="Follow",
    district="noord",
    observed_properties=("presence",),
    on_condition="value > 0.5",
    hold_us=20 * SECOND_US,
    on_level_percent=80,
    off_level_percent=20,
)
ON, OFF, BETWEEN = Answer(on=True), Answer(off=True), Answer()


def test_a_hold_keeps_a_scope_on() -> None:
    """It stays on until the hold after the last reading that switched it on has passed."""
    state = ScopeState()
    changes = [
        state.hear(POLICY, ON, "lamp-1", 0),
        state.hear(POLICY, OFF, "lamp-1", 5 * SECOND_US),
        state.pass_time(19 * SECOND_US),
        state.pass_time(20 * SECOND_US),
        state.pass_time(21 * SECOND_US),
    ]

    assert changes == [True, False, False, True, False]
    assert state.on is False


def test_between_two_thresholds_nothing_changes() -> None:
    """A reading that satisfies neither condition says nothing: that is the hysteresis."""
    state = ScopeState()
    state.hear(POLICY, ON, "lamp-1", 0)

    assert not state.hear(POLICY, BETWEEN, "lamp-1", 60 * SECOND_US)
    assert state.on


def test_a_group_is_on_while_one_of_its_sources_is() -> None:
    """The last source that switches off ends it, or one that was not heard of for long."""
    state = ScopeState()
    state.hear(POLICY, ON, "lamp-1", 0)
    state.hear(POLICY, ON, "lamp-2", 0)

    assert not state.hear(POLICY, OFF, "lamp-1", 60 * SECOND_US)
    assert state.on
    assert state.pass_time(SOURCE_SILENCE_US + SECOND_US)


def test_the_first_answer_decides_either_way() -> None:
    """Nothing is assumed before the first reading, so that the first one is a change."""
    assert ScopeState().hear(POLICY, OFF, "lamp-1", 0)
    assert ScopeState().hear(POLICY, ON, "lamp-1", 0)

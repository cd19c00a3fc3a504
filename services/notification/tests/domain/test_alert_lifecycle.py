"""One open alert a rule and device, whatever comes in whatever order and however often."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import FailedPrecondition
from maasloop.notification.domain.alert import (
    Alert,
    AlertState,
    Occasion,
    Signal,
    Standing,
    Step,
    acknowledged,
    heard,
    resolved,
)
from maasloop.notification.domain.rule import AlertRule, ObservationWatch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULE = AlertRule(
    "soot",
    "noord",
    "air",
    ObservationWatch("pm25", "value > 75.0"),
    {"nl": "Stof bij {device}", "en": "Dust at {device}"},
    {"nl": "{value}", "en": "{value}"},
)

type Hear = Callable[[Standing, Signal], Step | None]

SIGNALS = st.lists(
    st.builds(
        lambda event_us, raises: Signal(RULE, "station-1", event_us, raises, 80.0), st.integers(0, 30), st.booleans()
    ),
    max_size=40,
)


def _hear(standing: Standing, signal: Signal) -> Step | None:
    return heard(standing, signal, now=NOW, new_id=f"alert-{signal.event_us}")


def _play(signals: Sequence[Signal], hear: Hear = _hear) -> list[Step]:
    standing, steps = Standing(), []
    for signal in signals:
        step = hear(standing, signal)
        if step is not None:
            standing = Standing(step.alert if step.alert.open else None, signal.event_us)
            steps.append(step)
    return steps


def _faults(signals: Sequence[Signal], hear: Hear = _hear) -> list[str]:
    """Compare with the plainest model: the signals whose time is newer than what was taken before."""
    expected: list[tuple[Occasion | None, int]] = []
    count, last_us, is_open = 0, -1, False
    for signal in signals:
        if signal.event_us <= last_us or (not is_open and not signal.raises):
            continue
        last_us = signal.event_us
        if not signal.raises:
            is_open = False
            expected.append((Occasion.RESOLVED, count))
            continue
        count = count + 1 if is_open else 1
        expected.append((None if is_open else Occasion.RAISED, count))
        is_open = True
    found = [(step.occasion, step.alert.occurrence_count) for step in _play(signals, hear)]
    return [] if found == expected else [f"{found} instead of {expected}"]


@given(SIGNALS)
def test_an_alert_is_raised_once_until_it_is_resolved(signals: list[Signal]) -> None:
    """Raised and resolved alternate, and between them only the count rises, by one for each newer reading."""
    assert not _faults(signals)


@given(SIGNALS, st.lists(st.integers(0, 39), max_size=40))
def test_what_is_delivered_again_changes_nothing(signals: list[Signal], repeats: list[int]) -> None:
    """Whatever the broker delivers once more, at any later place, leaves the same alerts and the same counts."""
    in_order = sorted(signals, key=lambda signal: signal.event_us)
    again: list[Signal] = []
    for index, signal in enumerate(in_order):
        again += [signal, *(in_order[repeat] for repeat in repeats if repeat <= index)]
    assert [step.alert for step in _play(again)] == [step.alert for step in _play(in_order)]


def test_the_property_sees_a_lost_guard() -> None:
    """Without the comparison of event times a repeated reading would count twice, and the model notices."""

    def careless(standing: Standing, signal: Signal) -> Step | None:
        return _hear(Standing(standing.open, -1), signal)

    repeated = [Signal(RULE, "station-1", 5, raises=True, shown=80.0)] * 2
    assert not _faults(repeated)
    assert _faults(repeated, careless)


def _alert() -> Alert:
    step = _hear(Standing(), Signal(RULE, "station-1", 5, raises=True, shown=1234.5))
    assert step is not None
    return step.alert


def test_a_text_is_written_when_the_alert_is_raised() -> None:
    """Title and body hold the device and the value as each language writes it."""
    alert = _alert()
    assert alert.title == {"nl": "Stof bij station-1", "en": "Dust at station-1"}
    assert alert.body == {"nl": "1234,5", "en": "1234.5"}


def test_an_alert_is_taken_once() -> None:
    """Who acknowledges second changes nothing."""
    taken = acknowledged(_alert(), "anna", NOW)
    assert acknowledged(taken, "bram", NOW) is taken
    assert (taken.state, taken.acknowledger) == (AlertState.ACKNOWLEDGED, "anna")


def test_a_resolved_alert_is_not_taken() -> None:
    """Acknowledging what is over is refused with its state."""
    with pytest.raises(FailedPrecondition) as refused:
        acknowledged(resolved(_alert(), NOW), "anna", NOW)
    assert refused.value.reason == "ALERT_STATE_FORBIDS"


def test_an_acknowledged_alert_counts_on_and_resolves() -> None:
    """Taking an alert ends neither its counting nor the watch for its end."""
    standing = Standing(acknowledged(_alert(), "anna", NOW), 5)
    again = _hear(standing, Signal(RULE, "station-1", 6, raises=True, shown=80.0))
    assert again is not None
    assert (again.occasion, again.alert.occurrence_count, again.alert.state) == (None, 2, AlertState.ACKNOWLEDGED)
    over = _hear(Standing(again.alert, 6), Signal(RULE, "station-1", 7, raises=False, shown=1.0))
    assert over is not None
    assert over.alert.state is AlertState.RESOLVED

"""A batch of readings is judged by columns, and only where a rule looks."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from maasloop.core.clock import FakeClock
from maasloop.notification.adapters.conditions import CelConditions
from maasloop.notification.adapters.sightings import MemorySightings
from maasloop.notification.domain.alert import AlertKey, Signal
from maasloop.notification.domain.rule import AlertRule, ObservationWatch
from maasloop.notification.domain.street_clock import StreetClocks
from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.handlers.judge_readings import SIGNALS_PER_RULE_MAX, JudgeReadings
from maasloop.notification.ports import Names, ReadingBatch, StateReading

TEXTS = {"nl": "x", "en": "x"}


class CountingConditions(CelConditions):
    """Counts the values that it is asked about."""

    def __init__(self) -> None:
        """Begin at none."""
        self.values = 0

    def hold(
        self, expression: str, value: NDArray[np.float64], device_index: NDArray[np.uint32], devices: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Count, and answer as usual."""
        self.values += len(value)
        return super().hold(expression, value, device_index, devices)

    def holds(self, expression: str, variables: Mapping[str, object]) -> bool:
        """Count, and answer as usual."""
        self.values += 1
        return super().holds(expression, variables)


def _rule(condition: str = "value > 75.0", resolve: str = "", observed_property: str = "pm25") -> AlertRule:
    return AlertRule("soot", "noord", "air", ObservationWatch(observed_property, condition, resolve), TEXTS, TEXTS)


def _batch(
    rows: Sequence[tuple[str, int, float]],
    *,
    states: Sequence[StateReading] = (),
    properties: tuple[str, ...] = ("pm25",),
) -> ReadingBatch:
    devices = tuple(sorted({device for device, _, _ in rows})) or ("a",)
    indexes = {device: index for index, device in enumerate(devices)}
    return ReadingBatch(
        "noord",
        Names(devices, properties),
        np.array([indexes[device] for device, _, _ in rows], np.uint32),
        np.zeros(len(rows), np.uint32),
        np.array([event_us for _, event_us, _ in rows], np.int64),
        np.array([value for _, _, value in rows], np.float64),
        states,
    )


def _judge(
    batch: ReadingBatch, rule: AlertRule, *open_devices: str, conditions: CelConditions | None = None
) -> list[Signal]:
    watchlist = Watchlist()
    watchlist.replace([rule], [AlertKey(rule.id, device) for device in open_devices])
    judge = JudgeReadings(watchlist, conditions or CelConditions(), MemorySightings(), StreetClocks(), FakeClock())
    return judge(batch)


def _said(signals: Sequence[Signal]) -> list[tuple[str, int, bool]]:
    return [(signal.device, signal.event_us, signal.raises) for signal in signals]


def test_only_what_matters_becomes_a_signal() -> None:
    """A good reading says nothing where no alert is open, and ends one that is."""
    batch = _batch([("a", 1, 80.0), ("b", 2, 10.0), ("c", 3, 10.0)])
    assert _said(_judge(batch, _rule())) == [("a", 1, True)]
    assert _said(_judge(batch, _rule(), "c", "elsewhere")) == [("a", 1, True), ("c", 3, False)]


def test_one_batch_may_raise_and_resolve() -> None:
    """Signals come in order of event time, whatever the order of rows."""
    batch = _batch([("a", 5, 10.0), ("a", 1, 10.0), ("a", 3, 80.0)])
    assert _said(_judge(batch, _rule())) == [("a", 1, False), ("a", 3, True), ("a", 5, False)]


def test_between_two_thresholds_nothing_happens() -> None:
    """With a condition of its own an alert ends only where that holds."""
    batch = _batch([("a", 1, 60.0), ("a", 2, 39.0)])
    assert _said(_judge(batch, _rule(resolve="value < 40.0"), "a")) == [("a", 2, False)]


def test_words_are_judged_one_by_one() -> None:
    """A rule over states raises on a word and resolves on another."""
    states = [StateReading(0, 0, 1, "dark"), StateReading(0, 0, 2, "lit"), StateReading(0, 0, 3, "lit")]
    signals = _judge(_batch([], states=states), _rule('state == "dark"'))
    assert _said(signals) == [("a", 1, True), ("a", 2, False), ("a", 3, False)]


def test_what_no_rule_watches_is_not_looked_at() -> None:
    """Ten thousand readings of another property cost not one evaluation."""
    rows = [(f"d{number}", number, 80.0) for number in range(10_000)]
    conditions = CountingConditions()
    assert _judge(_batch(rows, properties=("noise-level",)), _rule(), conditions=conditions) == []
    assert conditions.values == 0


def test_a_rule_tells_of_a_bounded_number_a_batch() -> None:
    """A rule that everything fulfils does not flood what comes after it."""
    rows = [(f"d{number}", number, 80.0) for number in range(2_000)]
    assert len(_judge(_batch(rows), _rule())) == SIGNALS_PER_RULE_MAX

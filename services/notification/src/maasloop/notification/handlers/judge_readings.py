"""A batch of readings → what it says about alerts.

Only properties that some rule watches are looked at. Conditions are judged for whole columns; only rows that raise an
alert, or may resolve one, become signals one by one.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maasloop.core.clock import Clock
from maasloop.notification.domain.alert import Signal
from maasloop.notification.domain.rule import AlertRule, ObservationWatch
from maasloop.notification.domain.street_clock import StreetClocks
from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.ports import Conditions, ReadingBatch, Sightings, StateReading
from maasloop.telemetry import metrics

STREET_SECOND = "street-second"
"""The observed property with which a clock device moves its district's clock."""
SIGNALS_PER_RULE_MAX = 500
"""Raising rows of one batch and rule that are told one by one; the rest is counted."""

CUT = metrics.counter(
    "maasloop_notification_signals_cut_total", "Raising readings beyond the limit of a batch", ["rule"]
)
_event_us = attrgetter("event_us")


class _Rows(NamedTuple):
    """Readings of one property of a batch."""

    device: NDArray[np.uint32]
    event_us: NDArray[np.int64]
    value: NDArray[np.float64]
    states: Sequence[StateReading]


class JudgeReadings:
    """Judges batches; keeps nothing but what devices were heard when, and the clocks of districts."""

    def __init__(
        self,
        watchlist: Watchlist,
        conditions: Conditions,
        sightings: Sightings,
        clocks: StreetClocks,
        clock: Clock,
    ) -> None:
        self._watchlist = watchlist
        self._conditions = conditions
        self._sightings = sightings
        self._clocks = clocks
        self._clock = clock

    def __call__(self, batch: ReadingBatch) -> list[Signal]:
        """Return the signals of a batch, in order of event time."""
        readings = self._watchlist.readings(batch.district)
        silences = self._watchlist.silences(batch.district)
        signals: list[Signal] = []
        for index, observed_property in enumerate(batch.names.properties):
            if observed_property == STREET_SECOND:
                self._hear_clock(batch, index)
            rules = readings.get(observed_property, ())
            silent = silences.get(observed_property, ())
            if not rules and not silent:
                continue
            rows = _of_property(batch, index)
            for rule in rules:
                signals += self._numbers(rule, batch, rows)
                signals += self._states(rule, batch, rows)
            if silent:
                signals += self._heard_again(silent, batch, rows)
                self._note(batch, observed_property, rows)
        return sorted(signals, key=_event_us)

    def _numbers(self, rule: AlertRule, batch: ReadingBatch, rows: _Rows) -> Iterator[Signal]:
        watch = rule.watch
        if not isinstance(watch, ObservationWatch) or not len(rows.value):
            return
        devices = batch.names.devices
        raises = self._conditions.hold(watch.raise_condition, rows.value, rows.device, devices)
        may_resolve = np.isin(rows.device, self._open(rule, batch)) | np.isin(rows.device, rows.device[raises])
        resolves = may_resolve & ~raises
        if watch.resolve_condition and resolves.any():
            held = self._conditions.hold(watch.resolve_condition, rows.value[resolves], rows.device[resolves], devices)
            resolves[resolves] = held
        raising = np.flatnonzero(raises)
        if len(raising) > SIGNALS_PER_RULE_MAX:
            CUT.labels(rule.id).inc(len(raising) - SIGNALS_PER_RULE_MAX)
            raising = raising[:SIGNALS_PER_RULE_MAX]
        for row in (*raising.tolist(), *np.flatnonzero(resolves).tolist()):
            yield Signal(
                rule,
                devices[rows.device[row]],
                int(rows.event_us[row]),
                bool(raises[row]),
                float(rows.value[row]),
            )

    def _states(self, rule: AlertRule, batch: ReadingBatch, rows: _Rows) -> Iterator[Signal]:
        watch = rule.watch
        if not isinstance(watch, ObservationWatch):
            return
        may_resolve = set(self._open(rule, batch)) if rows.states else set()
        for reading in rows.states:
            device = batch.names.devices[reading.device_index]
            variables = {"value": 0.0, "state": reading.state, "device": device}
            if self._conditions.holds(watch.raise_condition, variables):
                may_resolve.add(reading.device_index)
                yield Signal(rule, device, reading.event_us, raises=True, shown=reading.state)
            elif reading.device_index in may_resolve and (
                not watch.resolve_condition or self._conditions.holds(watch.resolve_condition, variables)
            ):
                yield Signal(rule, device, reading.event_us, raises=False, shown=reading.state)

    def _heard_again(self, rules: Sequence[AlertRule], batch: ReadingBatch, rows: _Rows) -> Iterator[Signal]:
        """Yield the end of each silence that these readings break."""
        for rule in rules:
            for device in self._open(rule, batch):
                times = [*rows.event_us[rows.device == device].tolist()]
                times += [state.event_us for state in rows.states if state.device_index == device]
                if times:
                    yield Signal(rule, batch.names.devices[device], max(times), raises=False, shown="")

    def _note(self, batch: ReadingBatch, observed_property: str, rows: _Rows) -> None:
        if len(rows.device):
            self._sightings.note(batch, observed_property, rows.device, rows.event_us)
        if rows.states:
            devices = np.array([state.device_index for state in rows.states], np.uint32)
            times = np.array([state.event_us for state in rows.states], np.int64)
            self._sightings.note(batch, observed_property, devices, times)

    def _open(self, rule: AlertRule, batch: ReadingBatch) -> list[int]:
        """Return the positions of those devices of the batch that have an open alert of the rule."""
        indexes = batch.names.device_indexes
        return [indexes[device] for device in self._watchlist.open_devices(rule.id) if device in indexes]

    def _hear_clock(self, batch: ReadingBatch, index: int) -> None:
        device = batch.names.device_indexes.get(self._clocks.device(batch.district))
        if device is None:
            return
        times = batch.event_us[(batch.property_index == index) & (batch.device_index == device)]
        if len(times):
            self._clocks.hear(batch.district, int(times.max()), self._clock.monotonic_s())


def _of_property(batch: ReadingBatch, index: int) -> _Rows:
    rows = batch.property_index == index
    states = [state for state in batch.states if state.property_index == index]
    return _Rows(batch.device_index[rows], batch.event_us[rows], batch.value[rows], states)

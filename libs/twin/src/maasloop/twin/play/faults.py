"""Misbehaviour on purpose: a small declared share of what real fields do, each case noted when it is done.

What is noted here is looked up afterwards where the platform must have accounted for it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from maasloop.twin.devices.readings import MICROSECONDS, Reading
from maasloop.twin.play.payload import Payload, Voice

LATE_S = 20
REMEMBERED_PAYLOADS_MAX = 64
IMPOSSIBLE = 1.0e9


class Fault(StrEnum):
    """A way to misbehave."""

    LATE = "late"
    DUPLICATE = "duplicate"
    CONFLICTING = "conflicting"
    OUT_OF_RANGE = "out-of-range"
    UNKNOWN_DEVICE = "unknown-device"
    SILENT = "silent"
    REFUSING = "refusing"


SHARES: dict[Fault, float] = {
    Fault.LATE: 0.08,
    Fault.DUPLICATE: 0.10,
    Fault.CONFLICTING: 0.05,
    Fault.OUT_OF_RANGE: 0.05,
    Fault.UNKNOWN_DEVICE: 0.03,
}
"""Chance a second that the district misbehaves in this way once."""


@dataclass(frozen=True)
class Injected:
    """Readings that misbehaved, by kind; those that changed a value hold the changed one."""

    readings: dict[Fault, list[Reading]] = field(default_factory=lambda: {fault: [] for fault in SHARES})

    def counts(self) -> dict[Fault, int]:
        """Return how often each kind was done."""
        return {fault: len(found) for fault, found in self.readings.items()}


class FaultyField:
    """Lets payloads of cabinets misbehave; the same seed gives the same cases."""

    def __init__(self, seed: int, *, begin_s: int, end_s: int) -> None:
        """Misbehave between these seconds only."""
        self.injected = Injected()
        self._random = Random(seed)
        self._begin_s = begin_s
        self._end_s = end_s
        self._past: deque[tuple[Payload, list[Reading]]] = deque(maxlen=REMEMBERED_PAYLOADS_MAX)
        self._used: set[tuple[str, str, int]] = set()

    def disturb(self, second: int, payloads: Sequence[Payload], lamps: Sequence[tuple[str, str]]) -> None:
        """Let some of this second's payloads misbehave; ``lamps`` are pairs of a lamp and its cabinet.

        What is added says nothing new about this second, so that it is left out of the count that the clock announces.
        """
        by_device = {payload.device: payload for payload in payloads if payload.voice is Voice.MQTT_PB}
        if self._begin_s <= second < self._end_s and lamps:
            for fault, share in SHARES.items():
                if self._random.random() < share:
                    self._do(fault, second, by_device, self._random.choice(lamps))
        for payload in by_device.values():
            numbers = [one for one in payload.readings if one.observed_property in {"power", "light-level"}]
            if numbers:
                self._past.append((payload, numbers))

    def _do(self, fault: Fault, second: int, by_device: dict[str, Payload], lamp: tuple[str, str]) -> None:
        lamp_id, cabinet = lamp
        made: tuple[str, Reading] | None
        if fault is Fault.LATE:
            # Half a second is nobody's time of reporting: the row is new.
            late_us = (second - LATE_S) * MICROSECONDS + MICROSECONDS // 2
            made = cabinet, Reading(lamp_id, "presence", late_us, 1.0)
        elif fault is Fault.OUT_OF_RANGE:
            made = cabinet, Reading(lamp_id, "power", second * MICROSECONDS + MICROSECONDS // 2, IMPOSSIBLE)
        elif fault is Fault.UNKNOWN_DEVICE:
            made = cabinet, Reading(f"ghost-{second % 1000}", "power", second * MICROSECONDS, 40.0)
        else:
            made = self._again(fault, second)
        if made is None:
            return
        gateway, reading = made
        key = (*reading.series, reading.event_time_us)
        if gateway in by_device and key not in self._used:
            self._used.add(key)
            by_device[gateway].extra.append(reading)
            self.injected.readings[fault].append(reading)

    def _again(self, fault: Fault, second: int) -> tuple[str, Reading] | None:
        """Return a reading of an earlier second, as it was or with another value."""
        before = [
            (payload, numbers) for payload, numbers in self._past if numbers[0].event_time_us < second * MICROSECONDS
        ]
        if not before:
            return None
        payload, numbers = self._random.choice(before)
        reading = self._random.choice(numbers)
        if fault is Fault.CONFLICTING and isinstance(reading.result, float):
            reading = reading._replace(result=reading.result + 1.5)
        return payload.device, reading

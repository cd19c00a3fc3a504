"""Picks from columnar batches what decisions need, without a Python loop over all rows.

What a batch's dictionary means to us is looked up once and kept by its bytes, because senders repeat the same one. A row
becomes a ``Reading`` only where its observed property matters in its district, and, for power readings, only where a
command waits for a proof.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maasloop.actuation.domain.adjusting import SIGNAL_PLAN
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.district import District
from maasloop.actuation.domain.junction import LOOPS
from maasloop.actuation.domain.policy import Conditions
from maasloop.actuation.domain.reading import SECOND_US, Reading
from maasloop.actuation.domain.verification import POWER, SIGNAL_STATE
from maasloop.api.observation.v1.observation_pb2 import PositionObservation, StateObservation
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import Columns, read_columns

STREET_SECOND = "street-second"
READINGS_SENT = "readings-sent-"
DICTIONARIES_MAX = 512
NAMES_MAX = 200_000
"""Device names kept in dictionaries, as a bound of memory."""


@dataclass(slots=True)
class Selection:
    """What one message says to decisions."""

    district: str
    readings: list[Reading] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    """Street second to readings, the clock's own apart; only of districts with a field clock."""
    domain: str = ""
    clock: list[Reading] = field(default_factory=list)
    """What the clock device said."""


@dataclass(slots=True)
class _Known:
    """What a dictionary means."""

    version: tuple[int, int]
    devices: list[str]
    properties: list[str]
    wanted: NDArray[np.bool_]
    """By property index."""
    power: NDArray[np.bool_]
    loops: NDArray[np.bool_]
    clock_index: int
    """Device index of the clock device, -1 without one."""


class Selector:
    """Reads messages for one city."""

    def __init__(self, city: City, conditions: Conditions) -> None:
        """Pick what the city's districts and policies need."""
        self._city = city
        self._conditions = conditions
        self._known: dict[tuple[str, bytes], _Known] = {}
        self._names = 0
        self._properties: dict[str, frozenset[str]] = {}
        self._policy_version = -1

    def select(self, body: bytes) -> Selection:
        """Read one message; raises ``InvalidArgument`` for columns that contradict each other."""
        message = PackedObservationsRecorded.FromString(body)
        district = self._city.district(message.district)
        columns = read_columns(message.observations, message.row_groups)
        selection = Selection(message.district, domain=message.domain)
        for batch in columns.batches():
            self._select(district, batch, selection)
        return selection

    def _select(self, district: District, columns: Columns, selection: Selection) -> None:
        known = self._lookup(district, columns)
        if district.clock.device:
            selection.counts.update(_counts(columns, known.clock_index))
        for reading in (*_numbers(district, columns, known), *_states(columns, known)):
            if reading.device == district.clock.device:
                selection.clock.append(reading)
            else:
                selection.readings.append(reading)

    def _lookup(self, district: District, columns: Columns) -> _Known:
        version = (self._city.policy_version, district.facts.version)
        key = (district.id, columns.dictionary)
        known = self._known.get(key)
        if known is not None and known.version == version:
            return known
        names = columns.names()
        self._names += len(names.devices)
        if len(self._known) >= DICTIONARIES_MAX or self._names > NAMES_MAX:
            self._known.clear()
            self._names = len(names.devices)
        properties = list(names.observed_properties)
        needed = self._needed(district.id)
        devices = list(names.devices)
        found = _Known(
            version=version,
            devices=devices,
            properties=properties,
            wanted=np.array([self._wanted(name, needed) for name in properties], dtype=np.bool_),
            power=np.array([name == POWER and POWER not in needed for name in properties], dtype=np.bool_),
            loops=np.array([name in district.facts.detectors for name in devices], dtype=np.bool_),
            clock_index=devices.index(district.clock.device) if district.clock.device in devices else -1,
        )
        self._known[key] = found
        return found

    def _wanted(self, name: str, needed: frozenset[str]) -> bool:
        ours = name in {POWER, SIGNAL_STATE, SIGNAL_PLAN, STREET_SECOND, *LOOPS} or name.startswith(READINGS_SENT)
        return ours or name in needed

    def _needed(self, district: str) -> frozenset[str]:
        if self._policy_version != self._city.policy_version:
            self._policy_version = self._city.policy_version
            found: dict[str, set[str]] = {}
            for (name, observed_property), policies in self._city.awake_properties().items():
                entry = found.setdefault(name, set())
                entry.add(observed_property)
                for policy in policies:
                    entry.update(self._conditions.properties(policy))
            self._properties = {name: frozenset(entry) for name, entry in found.items()}
        return self._properties.get(district, frozenset())


def _numbers(district: District, columns: Columns, known: _Known) -> Iterator[Reading]:
    rows = np.flatnonzero(known.wanted[columns.property_index]) if len(columns.value) else np.empty(0, np.intp)
    if known.power.any() and len(rows):
        # A power reading matters only where a command waits for a proof.
        waiting = np.array([name in district.open_by_device for name in known.devices], dtype=np.bool_)
        idle = known.power[columns.property_index[rows]] & ~waiting[columns.device_index[rows]]
        rows = rows[~idle]
    if not len(rows):
        return
    devices, properties = known.devices, known.properties
    for device, observed_property, time_us, value in zip(
        columns.device_index[rows].tolist(),
        columns.property_index[rows].tolist(),
        columns.event_time_us[rows].tolist(),
        columns.value[rows].tolist(),
        strict=True,
    ):
        name = properties[observed_property]
        if name in LOOPS and not known.loops[device]:
            continue
        yield Reading(devices[device], name, time_us, value)


def _states(columns: Columns, known: _Known) -> Iterator[Reading]:
    for state in columns.states:
        name = known.properties[state.property_index]
        if known.wanted[state.property_index]:
            yield Reading(known.devices[state.device_index], name, state.event_time_us, 0.0, state.state)


def _counts(columns: Columns, clock_index: int) -> dict[int, int]:
    counts: dict[int, int] = {}
    if len(columns.value):
        foreign = columns.event_time_us[columns.device_index != clock_index]
        seconds, numbers = np.unique(foreign // SECOND_US, return_counts=True)
        counts.update(zip(seconds.tolist(), numbers.tolist(), strict=True))
    others: list[StateObservation | PositionObservation] = [*columns.states, *columns.positions]
    for other in others:
        if other.device_index != clock_index:
            second = other.event_time_us // SECOND_US
            counts[second] = counts.get(second, 0) + 1
    return counts

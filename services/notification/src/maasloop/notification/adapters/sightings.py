"""When devices were last heard, as one array for each district and property that a no-data rule watches.

A batch is noted without a loop over its rows: the places of its devices in the array are found once for each dictionary,
which senders repeat.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maasloop.notification.ports import Names, ReadingBatch, Sighting
from maasloop.telemetry import metrics

DEVICES_MAX = 200_000
"""Devices of one district and property; more are not watched for silence, and counted."""
PLACES_CACHED_MAX = 32
NEVER_US = np.iinfo(np.int64).min

UNWATCHED = metrics.counter("maasloop_notification_sightings_unwatched_total", "Devices beyond the limit of a property")


@dataclass(slots=True)
class _Heard:
    """Devices of a district that sent one property."""

    places: dict[str, int] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    last_us: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    written_us: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    by_names: dict[int, tuple[Names, NDArray[np.int64]]] = field(default_factory=dict)
    """Places of all devices of a dictionary, -1 for those without one; by the identity of the dictionary."""

    def place(self, device: str) -> int:
        """Return the place of a device, which gets one when it is new; -1 where there is no room."""
        known = self.places.get(device)
        if known is not None:
            return known
        if len(self.devices) >= DEVICES_MAX:
            UNWATCHED.inc()
            return -1
        place = self.places[device] = len(self.devices)
        self.devices.append(device)
        if place >= len(self.last_us):
            grown = np.full(max(64, 2 * len(self.last_us)) - len(self.last_us), NEVER_US)
            self.last_us = np.concatenate([self.last_us, grown])
            self.written_us = np.concatenate([self.written_us, grown])
        return place

    def places_of(self, names: Names, used: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the places of the devices of a dictionary; those that a batch uses have one."""
        found = self.by_names.get(id(names))
        if found is None or found[0] is not names:
            if len(self.by_names) >= PLACES_CACHED_MAX:
                self.by_names.clear()
            found = self.by_names[id(names)] = (names, np.full(len(names.devices), -1, np.int64))
        places = found[1]
        for index in np.unique(used[places[used] < 0]).tolist():
            places[index] = self.place(names.devices[index])
        return places


class MemorySightings:
    """Sightings of this process; ``load`` and ``unwritten`` join them to a table."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str], _Heard] = {}
        self._stored: dict[tuple[str, str], dict[str, int]] = {}
        self._forgotten: list[Sighting] = []
        self._dropped: list[tuple[str, str]] = []

    def load(self, sightings: Sequence[Sighting]) -> None:
        """Begin with what was stored before."""
        for sighting in sightings:
            key = (sighting.district, sighting.observed_property)
            self._stored.setdefault(key, {})[sighting.device] = sighting.event_us

    def watch(self, wanted: set[tuple[str, str]]) -> None:
        """Keep these districts and properties, and forget others."""
        for key in (self._heard.keys() | self._stored.keys()) - wanted:
            self._heard.pop(key, None)
            self._stored.pop(key, None)
            self._dropped.append(key)
        for key in wanted:
            self._of(key)

    def _of(self, key: tuple[str, str]) -> _Heard:
        known = self._heard.get(key)
        if known is not None:
            return known
        heard = self._heard[key] = _Heard()
        for device, event_us in self._stored.pop(key, {}).items():
            place = heard.place(device)
            if place >= 0:
                heard.last_us[place] = heard.written_us[place] = event_us
        return heard

    def note(
        self, batch: ReadingBatch, observed_property: str, device_index: NDArray[np.uint32], event_us: NDArray[np.int64]
    ) -> None:
        """Remember readings of a property."""
        heard = self._of((batch.district, observed_property))
        places = heard.places_of(batch.names, device_index)[device_index]
        placed = places >= 0
        np.maximum.at(heard.last_us, places[placed], event_us[placed])

    def silent(self, district: str, observed_property: str, before_us: int) -> Sequence[Sighting]:
        """Return the devices whose last reading is older than a time."""
        heard = self._heard.get((district, observed_property))
        if heard is None:
            return []
        last = heard.last_us[: len(heard.devices)]
        places = np.flatnonzero((last < before_us) & (last != NEVER_US)).tolist()
        return [Sighting(district, observed_property, heard.devices[place], int(last[place])) for place in places]

    def forget(self, sighting: Sighting) -> None:
        """Forget a device that will send no more."""
        heard = self._heard.get((sighting.district, sighting.observed_property))
        if heard is not None and sighting.device in heard.places:
            place = heard.places[sighting.device]
            heard.last_us[place] = heard.written_us[place] = NEVER_US
            self._forgotten.append(sighting)

    def unwritten(self) -> Iterator[Sighting]:
        """Yield what changed since it was last yielded."""
        for (district, observed_property), heard in self._heard.items():
            changed = np.flatnonzero(heard.last_us != heard.written_us)
            heard.written_us[changed] = heard.last_us[changed]
            for place in changed.tolist():
                yield Sighting(district, observed_property, heard.devices[place], int(heard.last_us[place]))

    def forgotten(self) -> list[Sighting]:
        """Return, once, what was forgotten."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    def dropped(self) -> list[tuple[str, str]]:
        """Return, once, the districts and properties that nobody watches any more."""
        dropped, self._dropped = self._dropped, []
        return dropped

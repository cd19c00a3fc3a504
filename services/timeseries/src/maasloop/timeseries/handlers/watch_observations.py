"""The observations as they are stored."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maasloop.core.clock import Clock
from maasloop.core.observations import Position, State
from maasloop.timeseries.ports.columns import Columns
from maasloop.timeseries.ports.reading import Seen, Selection, Tail, Visibility

SILENCE_MAX_S = 5.0
"""Longest time without a word while messages pass that show nothing; without any message the tail speaks."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watch shows of one message: some of its rows, or nothing but where to resume."""

    columns: Columns | None
    numbers: NDArray[np.bool_] | None
    """Which numbers; none = all rows as they are."""
    states: list[State]
    positions: list[Position]
    token: Mapping[str, int]


class WatchObservations:
    """Passes on what is selected and may be seen at the moment it is passed on."""

    def __init__(self, tail: Tail, visibility: Visibility, clock: Clock) -> None:
        """Follow this tail."""
        self._tail = tail
        self._visibility = visibility
        self._clock = clock

    async def __call__(self, selection: Selection, after: Mapping[str, int] | None) -> AsyncIterator[Watched]:
        """Yield what is stored, and a sign of life where nothing is."""
        async with self._tail.follow(selection.district, after) as seen, aclosing(seen):  # type: ignore[type-var]  # aclosing wants aclose, which the port does not promise
            said_s = float("-inf")
            async for each in seen:
                watched = self._shown(selection, each)
                # Messages that show nothing are passed over in silence, but not for long.
                if watched.columns is not None or self._clock.monotonic_s() - said_s >= SILENCE_MAX_S:
                    said_s = self._clock.monotonic_s()
                    yield watched

    def _shown(self, selection: Selection, seen: Seen) -> Watched:
        columns = seen.columns
        if columns is None:
            return Watched(None, None, [], [], seen.token)
        names = columns.names()
        wanted_devices, wanted_properties = set(selection.devices), set(selection.observed_properties)
        devices = np.array(
            [
                (not wanted_devices or name in wanted_devices)
                and self._visibility.visible(selection.district, name, personal=seen.personal)
                for name in names.devices
            ],
            np.bool_,
        )
        properties = np.array(
            [not wanted_properties or name in wanted_properties for name in names.observed_properties], np.bool_
        )
        if devices.all() and properties.all():
            return Watched(columns, None, list(columns.states), list(columns.positions), seen.token)
        numbers = devices[columns.device_index] & properties[columns.property_index]
        states = [row for row in columns.states if devices[row.device_index] and properties[row.property_index]]
        positions = [row for row in columns.positions if devices[row.device_index] and properties[row.property_index]]
        if not (numbers.any() or states or positions):
            return Watched(None, None, [], [], seen.token)
        return Watched(columns, numbers, states, positions, seen.token)

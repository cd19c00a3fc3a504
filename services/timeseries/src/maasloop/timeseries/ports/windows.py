"""The open window: minutes that still grow are held in memory, and merged into their table once, when they close.

Of each class the rows of the writer before ``open_from`` are all in minutes and hours, and none from there on is. The edge
moves in the transaction that merges what lies before it, to the minute in which the middle reading of the lot lies: a
device whose clock is ahead does not drag it along. What is held here is what was committed; where a commit is in doubt,
all of it is, and rollups are made again from rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from maasloop.core.clock import Clock
from maasloop.core.domains import Retention

from .rollups import MINUTE_US, Figures, joined
from .writing import PositionMoved

OPEN_US = 2 * MINUTE_US
"""A window is closed when the middle of a lot is this far beyond its edge."""
IDLE_S = 60.0
"""A window in which nothing was stored for so long is closed whole."""
HELD_MAX = 300_000
"""Most minutes of series that one class holds back, about 80 bytes each; half of them close beyond."""
LOOSE_MAX = 100_000
"""Figures that were added and not yet joined."""


class Held:
    """The minutes of one class that are held back: a bounded sum of figures."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._joined: Figures | None = None
        self._loose: list[Figures] = []
        self._loose_count = 0

    def __len__(self) -> int:
        """Return how many figures are held, those of the same minute of a series counted apart that were not joined."""
        return self._loose_count + (0 if self._joined is None else len(self._joined))

    def add(self, figures: Figures) -> None:
        """Add figures, which share no reading with what is held."""
        self._loose.append(figures)
        self._loose_count += len(figures)
        if self._loose_count > LOOSE_MAX:
            self.whole()

    def whole(self) -> Figures | None:
        """Return all that is held, by series and then time; nothing where nothing is."""
        if self._loose:
            parts = self._loose if self._joined is None else [self._joined, *self._loose]
            self._joined, self._loose, self._loose_count = joined(parts), [], 0
        return self._joined


@dataclass(slots=True)
class Window:
    """One class: where its window begins, and what is held back in it."""

    open_from_us: int | None
    """Nothing: the class never had a row, and its window opens with the first."""
    held: Held = field(default_factory=Held)
    touched_s: float = 0.0


@dataclass(slots=True)
class Change:
    """What a transaction does to windows, by class."""

    due: dict[Retention, Figures] = field(default_factory=dict)
    """Minutes that close with it, or are late: merged in it."""
    merged_before: set[Retention] = field(default_factory=set)
    """Classes with a late one among those: this writer may have merged something of it."""
    edges: dict[Retention, int] = field(default_factory=dict)
    """Where windows begin after it; of every class that it touches, so that nobody else has them."""
    added: dict[Retention, Figures] = field(default_factory=dict)
    """What is held back after its commit."""
    left: dict[Retention, Figures | None] = field(default_factory=dict)
    """What is left of what was held, where an edge moved."""


class Doubt:
    """Whether a transaction that failed may have been committed all the same."""

    def __init__(self) -> None:
        """It was not."""
        self.begun = False

    def begin(self) -> None:
        """The commit comes next."""
        self.begun = True


class Windows:
    """All windows of one writer. In doubt until they were begun, and again where a commit is unknown."""

    def __init__(self, clock: Clock) -> None:
        """``clock`` tells what is idle."""
        self._clock = clock
        self._windows: dict[Retention, Window] = {}
        self.owner = 0
        self.in_doubt = True

    def begin(self, owner: int, edges: Mapping[Retention, int | None]) -> None:
        """Hold nothing: everything before the edges is merged, and nothing lies beyond."""
        self.owner = owner
        self._windows = {retention: Window(edge) for retention, edge in edges.items()}
        self.in_doubt = False

    @contextmanager
    def doubting(self) -> Iterator[Doubt]:
        """Surround a transaction and ``done``: where its commit is unknown, or another writer was here, all is in doubt."""
        doubt = Doubt()
        try:
            yield doubt
        except BaseException as error:
            self.in_doubt = self.in_doubt or doubt.begun or isinstance(error, PositionMoved)
            raise

    def change(self, stored: Mapping[Retention, Sequence[Figures]]) -> Change:
        """Return what a lot does that stores readings with these minutes; nothing changes before ``done``."""
        change = Change()
        for retention, parts in stored.items():
            minutes = joined(parts)
            window = self._windows[retention]
            edge_us = self._edge_us(window, minutes)
            self._divide(change, retention, minutes, edge_us)
        self._close(change, [each for each in self._idle() if each not in stored])
        return change

    def closing(self, *, everything: bool = False) -> Change:
        """Return what closes windows in which nothing happens, or all."""
        change = Change()
        self._close(
            change, [each for each, one in self._windows.items() if len(one.held)] if everything else self._idle()
        )
        return change

    def done(self, change: Change) -> None:
        """Take over what a transaction did; it was committed."""
        for retention, left in change.left.items():
            self._windows[retention].held = held = Held()
            if left is not None:
                held.add(left)
        for retention, edge_us in change.edges.items():
            self._windows[retention].open_from_us = edge_us
            self._windows[retention].touched_s = self._clock.monotonic_s()
        for retention, added in change.added.items():
            self._windows[retention].held.add(added)

    def _edge_us(self, window: Window, minutes: Figures) -> int:
        """Return where a window begins when a lot is stored."""
        if window.open_from_us is None:
            return int(minutes.time_us.min())
        middle_us = _middle_us(minutes)
        if middle_us >= window.open_from_us + OPEN_US:
            return middle_us
        if len(window.held) > HELD_MAX and (whole := window.held.whole()) is not None and len(whole) > HELD_MAX:
            return max(int(np.median(whole.time_us)) // MINUTE_US * MINUTE_US + MINUTE_US, window.open_from_us)
        return window.open_from_us

    def _divide(self, change: Change, retention: Retention, minutes: Figures | None, edge_us: int) -> None:
        """Merge what lies before an edge, and hold back what does not."""
        window = self._windows[retention]
        change.edges[retention] = edge_us
        due = []
        if window.open_from_us is not None and edge_us > window.open_from_us:
            held = window.held.whole()
            change.left[retention] = None if held is None else _part(held, held.time_us >= edge_us)
            if held is not None and (before := _part(held, held.time_us < edge_us)) is not None:
                due.append(before)
        if minutes is not None:
            if (closing := _part(minutes, minutes.time_us < edge_us)) is not None:
                due.append(closing)
            if window.open_from_us is not None and (minutes.time_us < window.open_from_us).any():
                change.merged_before.add(retention)
            if (added := _part(minutes, minutes.time_us >= edge_us)) is not None:
                change.added[retention] = added
        if due:
            change.due[retention] = joined(due)

    def _idle(self) -> list[Retention]:
        before_s = self._clock.monotonic_s() - IDLE_S
        return [each for each, one in self._windows.items() if len(one.held) and one.touched_s < before_s]

    def _close(self, change: Change, classes: Sequence[Retention]) -> None:
        for retention in classes:
            whole = self._windows[retention].held.whole()
            if whole is not None:
                self._divide(change, retention, None, int(whole.time_us.max()) + MINUTE_US)


def _middle_us(minutes: Figures) -> int:
    """Return the minute in which the middle one of all readings lies, by event time."""
    order = np.argsort(minutes.time_us)
    counted = np.cumsum(minutes.count[order])
    return int(minutes.time_us[order[np.searchsorted(counted, (counted[-1] + 1) // 2)]])


def _part(figures: Figures, rows: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Figures | None:
    """Return some figures, nothing where that are none."""
    if rows.all():
        return figures
    return figures.take(rows) if rows.any() else None

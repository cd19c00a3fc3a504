"""A local copy of what another service owns, for reads that may not cost an RPC a message.

The rules are pure and without I/O: a snapshot with a revision, then changes in order of revision. An older revision is
ignored, a gap asks for a new snapshot, changes that arrive before the snapshot are kept for it. The owner says its last
revision every second; how long ago we last held it is the age of the confirmation. Where doubt must close a gate
(consent), ``confirm_within_s`` limits that age. ``Synchroniser`` beside it does the waiting.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from maasloop.core.clock import Clock

PENDING_MESSAGES_MAX = 1_000
BEHIND_MAX_S = 2.0
REGRESSED_MAX_S = 5.0


class State(Enum):
    """What a projection may be used for."""

    CLOSED = "closed"
    """Nothing is known yet."""
    SYNCING = "syncing"
    """A snapshot is under way; what is held may be stale."""
    LIVE = "live"
    """Snapshot and all changes since."""


class Change[T](NamedTuple):
    """Items by key after one change; ``None`` means deleted."""

    previous_revision: int
    revision: int
    items: Mapping[str, T | None]


type Listener[T] = Callable[[Mapping[str, T | None]], None]
"""Hears what changed, after it is in force; must not raise."""


class _Doubt(NamedTuple):
    held: int
    said: int | None
    since_s: float


class Projection[T]:
    """Items of an owner by key."""

    def __init__(self, name: str, clock: Clock, *, confirm_within_s: float | None = None) -> None:
        self.name = name
        self.state = State.CLOSED
        self.revision = 0
        self._clock = clock
        self._confirm_within_s = confirm_within_s
        self._items: dict[str, T] = {}
        self._pending: list[Change[T]] = []
        self._listeners: list[Listener[T]] = []
        self._on_gap: Callable[[str], None] = lambda _reason: None
        self._confirmed_s: float | None = None
        self._doubt: _Doubt | None = None

    @property
    def items(self) -> Mapping[str, T]:
        """All items, as a view that must not outlive an await."""
        return MappingProxyType(self._items)

    def get(self, key: str) -> T | None:
        """Return an item, however old; a gate asks ``open`` first."""
        return self._items.get(key)

    @property
    def open(self) -> bool:
        """Tell whether what is held is complete, and confirmed recently enough where that is asked for."""
        if self.state is not State.LIVE:
            return False
        return self._confirm_within_s is None or self.confirmed_age_s() <= self._confirm_within_s

    def confirmed_age_s(self) -> float:
        """Return how long ago we were last known to hold the owner's last revision; infinite if never."""
        return float("inf") if self._confirmed_s is None else self._clock.monotonic_s() - self._confirmed_s

    def listen(self, listener: Listener[T]) -> None:
        """Call the listener at every change from now on."""
        self._listeners.append(listener)

    def on_gap(self, ask: Callable[[str], None]) -> None:
        """Call ``ask`` with a reason whenever a new snapshot is needed."""
        self._on_gap = ask

    def begin(self) -> None:
        """Say that a snapshot is being fetched: changes are kept for it from here on."""
        self.state = State.SYNCING

    def snapshot(self, revision: int, items: Mapping[str, T]) -> None:
        """Replace everything by the owner's state at ``revision``, then apply the changes kept meanwhile.

        A lower revision than the one held is accepted: the owner may have been restored from a backup.
        """
        gone: dict[str, T | None] = dict.fromkeys(self._items.keys() - items.keys())
        changed = {key: item for key, item in items.items() if self._items.get(key) != item}
        self._items = dict(items)
        self.revision = revision
        self.state = State.LIVE
        self._tell({**gone, **changed})
        pending, self._pending = sorted(self._pending, key=lambda change: change.revision), []
        for change in pending:
            self.apply(change)

    def apply(self, change: Change[T]) -> None:
        """Take a change over, ignore it if it is older than what is held, keep it if a snapshot is under way."""
        if self.state is State.CLOSED:
            return
        if self.state is State.SYNCING:
            if len(self._pending) < PENDING_MESSAGES_MAX:
                # What finds no room shows as a gap after the snapshot.
                self._pending.append(change)
            return
        if change.revision <= self.revision:
            return
        if change.previous_revision > self.revision:
            self._pending.append(change)
            self._lose(f"revision {self.revision} is held and {change.previous_revision} was missed")
            return
        for key, item in change.items.items():
            if item is None:
                self._items.pop(key, None)
            else:
                self._items[key] = item
        self.revision = change.revision
        self._tell(change.items)

    def confirm(self, revision: int, age_s: float = 0.0) -> None:
        """Hear the owner's last revision, said ``age_s`` ago.

        Holding it confirms us. Lacking it for ``BEHIND_MAX_S`` without any progress means that a change was lost; being
        ahead of it for ``REGRESSED_MAX_S`` without any progress means that the owner went back.
        """
        if self.state is not State.LIVE:
            return
        now_s = self._clock.monotonic_s()
        if revision <= self.revision:
            self._confirmed_s = max(self._confirmed_s or float("-inf"), now_s - age_s)
        if revision == self.revision:
            self._doubt = None
            return
        behind = revision > self.revision
        # Progress is a change of what we hold and, where the owner lies behind us, of what it says.
        doubt = _Doubt(self.revision, None if behind else revision, now_s)
        if self._doubt is None or self._doubt[:2] != doubt[:2]:
            self._doubt = doubt
        if now_s - self._doubt.since_s >= (BEHIND_MAX_S if behind else REGRESSED_MAX_S):
            self._lose(f"revision {self.revision} is held and the owner says {revision}")

    def _lose(self, reason: str) -> None:
        self._doubt = None
        self.state = State.SYNCING
        self._on_gap(reason)

    def _tell(self, items: Mapping[str, T | None]) -> None:
        if items:
            for listener in self._listeners:
                listener(items)


class Snapshot[T](NamedTuple):
    """The owner's items at a revision."""

    revision: int
    items: Mapping[str, T]


type Fetch[T] = Callable[[], Awaitable[Snapshot[T]]]
"""Reads a snapshot from the owner, or raises; it is then tried again."""

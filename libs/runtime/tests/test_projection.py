"""A projection equals its owner whatever is lost, repeated or late, and closes when in doubt."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from maasloop.core.clock import FakeClock
from maasloop.core.errors import Unavailable
from maasloop.runtime.projection import BEHIND_MAX_S, REGRESSED_MAX_S, Change, Projection, Snapshot, State
from maasloop.runtime.synchroniser import Synchroniser

KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(st.none(), st.integers(0, 5))


@dataclass
class Owner:
    """Draws revisions and remembers every change."""

    revision: int = 0
    items: dict[str, int] = field(default_factory=dict)

    def change(self, items: Mapping[str, int | None], draws: int = 1) -> Change[int]:
        """Change items under the next revision."""
        previous, self.revision = self.revision, self.revision + draws
        for key, value in items.items():
            if value is None:
                self.items.pop(key, None)
            else:
                self.items[key] = value
        return Change(previous, self.revision, dict(items))


class LossyBus(RuleBasedStateMachine):
    """Changes are delivered, lost, repeated or kept back; snapshots come when asked for."""

    @initialize()
    def start(self) -> None:
        """Owner and projection begin empty and equal."""
        self.owner = Owner()
        self.clock = FakeClock()
        self.projection: Projection[int] = Projection("devices", self.clock)
        self.asked = 0
        self.projection.on_gap(self._ask)
        self.heard: dict[str, int] = {}
        self.projection.listen(self._hear)
        self.kept: list[Change[int]] = []
        self.sent: list[Change[int]] = []
        self.projection.begin()
        self.projection.snapshot(0, {})

    def _ask(self, _reason: str) -> None:
        self.asked += 1

    def _hear(self, items: Mapping[str, int | None]) -> None:
        for key, value in items.items():
            if value is None:
                self.heard.pop(key, None)
            else:
                self.heard[key] = value

    @rule(items=st.dictionaries(KEYS, VALUES, min_size=1), draws=st.integers(1, 3), lost=st.booleans())
    def change(self, items: dict[str, int | None], draws: int, lost: bool) -> None:
        """The owner changes something and the bus delivers or loses it."""
        change = self.owner.change(items, draws)
        self.sent.append(change)
        if not lost:
            self.projection.apply(change)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """An old change comes again."""
        if self.sent:
            self.projection.apply(data.draw(st.sampled_from(self.sent)))

    @rule()
    def resynchronise(self) -> None:
        """A snapshot of the present state arrives if one was asked for."""
        if self.projection.state is State.SYNCING:
            self.projection.snapshot(self.owner.revision, self.owner.items)

    @rule()
    def confirm(self) -> None:
        """The owner says its revision for as long as the projection tolerates."""
        self.projection.confirm(self.owner.revision)
        asyncio.run(self.clock.advance(BEHIND_MAX_S))
        self.projection.confirm(self.owner.revision)
        assert self.projection.state is State.SYNCING or self.projection.items == self.owner.items

    @invariant()
    def what_is_held_is_a_state_the_owner_had(self) -> None:
        """At its revision the projection holds exactly what the owner held then."""
        if not hasattr(self, "owner"):
            return
        replayed: dict[str, int] = {}
        for change in self.sent:
            if change.revision > self.projection.revision:
                break
            for key, value in change.items.items():
                if value is None:
                    replayed.pop(key, None)
                else:
                    replayed[key] = value
        assert self.projection.items == replayed

    @invariant()
    def listeners_hear_everything(self) -> None:
        """Whoever only listens holds the same items."""
        if hasattr(self, "owner"):
            assert self.heard == self.projection.items

    @invariant()
    def a_gap_is_asked_about(self) -> None:
        """Whenever it is not live, somebody was asked for a snapshot."""
        if hasattr(self, "owner") and self.projection.state is State.SYNCING:
            assert self.asked > 0


test_a_projection_over_a_lossy_bus = LossyBus.TestCase


def _live(clock: FakeClock, **kwargs: float) -> Projection[int]:
    projection: Projection[int] = Projection("consent", clock, **kwargs)
    projection.begin()
    projection.snapshot(3, {"a": 1})
    return projection


def test_changes_during_a_snapshot_are_applied_after_it() -> None:
    """What arrives early, in any order, is neither lost nor applied twice."""
    projection: Projection[int] = Projection("devices", FakeClock())
    projection.apply(Change(0, 1, {"a": 0}))
    projection.begin()
    projection.apply(Change(4, 5, {"a": 5}))
    projection.apply(Change(3, 4, {"b": 4}))
    projection.apply(Change(2, 3, {"a": 3}))

    projection.snapshot(3, {"a": 3})

    assert (projection.state, projection.revision, dict(projection.items)) == (State.LIVE, 5, {"a": 5, "b": 4})


def test_a_lower_snapshot_is_accepted() -> None:
    """An owner restored from a backup is followed."""
    projection = _live(FakeClock())
    projection.begin()

    projection.snapshot(1, {"z": 9})

    assert (projection.revision, dict(projection.items)) == (1, {"z": 9})


async def test_a_gate_is_open_only_while_confirmed() -> None:
    """Before the first confirmation and after the limit the projection is closed, a word of the owner opens it."""
    clock = FakeClock()
    projection = _live(clock, confirm_within_s=3.0)
    assert not projection.open

    projection.confirm(3)
    await clock.advance(3.0)
    assert projection.open
    await clock.advance(0.1)
    assert not projection.open

    projection.confirm(3)
    assert projection.open


async def test_a_gate_is_not_confirmed_by_a_revision_it_lacks() -> None:
    """A newer revision of the owner confirms nothing, and asks for a snapshot when it stays missing."""
    clock = FakeClock()
    projection = _live(clock, confirm_within_s=3.0)
    reasons: list[str] = []
    projection.on_gap(reasons.append)

    projection.confirm(4)
    assert projection.confirmed_age_s() == float("inf")
    await clock.advance(BEHIND_MAX_S)
    projection.confirm(5)

    assert projection.state is State.SYNCING
    assert reasons == ["revision 3 is held and the owner says 5"]
    assert not projection.open


async def test_an_old_word_confirms_only_its_own_moment() -> None:
    """A heartbeat that travelled long counts from when it was said."""
    clock = FakeClock()
    projection = _live(clock, confirm_within_s=3.0)

    projection.confirm(3, age_s=2.9)

    assert projection.open
    await clock.advance(0.2)
    assert not projection.open


async def test_an_owner_that_went_back_is_noticed() -> None:
    """A lower revision said again and again asks for a snapshot; one that was merely overtaken does not."""
    clock = FakeClock()
    projection = _live(clock)
    reasons: list[str] = []
    projection.on_gap(reasons.append)

    projection.confirm(1)
    await clock.advance(REGRESSED_MAX_S)
    projection.confirm(2)
    assert reasons == []
    await clock.advance(REGRESSED_MAX_S)
    projection.confirm(2)

    assert reasons == ["revision 3 is held and the owner says 2"]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_any_order_of_delivery_ends_at_the_owner_s_state(order: list[int]) -> None:
    """However changes are shuffled, a final snapshot makes both equal."""
    owner = Owner()
    changes = [owner.change({str(number % 3): number}) for number in range(1, 51)]
    projection: Projection[int] = Projection("devices", FakeClock())
    projection.begin()
    projection.snapshot(0, {})
    for number in order:
        projection.apply(changes[number - 1])

    if projection.state is State.SYNCING:
        projection.snapshot(owner.revision, owner.items)
        assert projection.items == owner.items
    assert projection.state is State.LIVE


async def test_a_synchroniser_fetches_first_after_gaps_and_in_spite_of_failures() -> None:
    """It waits for an owner that does not answer, is not ready before, and comes back after a gap."""
    clock = FakeClock()
    projection: Projection[int] = Projection("devices", clock)
    answers: list[Snapshot[int] | Exception] = [
        Unavailable("NEIGHBOUR_UNAVAILABLE", "not yet"),
        ValueError("broken"),
        Snapshot(1, {"a": 1}),
        Snapshot(7, {"a": 7}),
    ]

    async def fetch() -> Snapshot[int]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    synchroniser = Synchroniser(projection, fetch, clock)
    running = asyncio.create_task(synchroniser.run())
    await asyncio.sleep(0)
    assert await synchroniser.check() == "no snapshot of the owner yet"
    while projection.state is not State.LIVE:
        await clock.advance(1.0)
    assert await synchroniser.check() is None

    projection.apply(Change(5, 6, {"a": 6}))
    while projection.state is not State.LIVE:
        await clock.advance(1.0)

    assert (projection.revision, dict(projection.items)) == (7, {"a": 7})
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

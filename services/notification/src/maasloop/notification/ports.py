"""What the handlers need of the world."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from maasloop.core.requests import Page, Request

from .domain.alert import Alert, AlertKey, AlertState, Announcement, Standing
from .domain.delivery import Attempt, Claim, Delivery, DeliveryState
from .domain.rule import AlertRule
from .domain.subscription import Subscription


class TimedPosition(NamedTuple):
    """Where a list that begins with the newest continues."""

    time_us: int
    id: str


class StateReading(NamedTuple):
    """A reading whose result is a word."""

    device_index: int
    property_index: int
    event_us: int
    state: str


@dataclass(frozen=True)
class Names:
    """The dictionary of a batch, parsed once for all batches that repeat it."""

    devices: Sequence[str]
    properties: Sequence[str]

    @cached_property
    def device_indexes(self) -> Mapping[str, int]:
        """Position of each device in ``devices``; made when a rule first looks."""
        return {device: index for index, device in enumerate(self.devices)}


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Readings of one district as columns; row ``i`` is the i-th entry of each array."""

    district: str
    names: Names
    device_index: NDArray[np.uint32]
    property_index: NDArray[np.uint32]
    event_us: NDArray[np.int64]
    value: NDArray[np.float64]
    states: Sequence[StateReading]


class CommandOutcome(NamedTuple):
    """A command that reached a terminal state."""

    district: str
    device: str
    state: str
    reason: str
    issuer: str
    settle_us: int


class Conditions(Protocol):
    """Evaluates expressions of rules; a failing evaluation counts as false and is counted."""

    def require_valid(self, rule: AlertRule) -> None:
        """Refuse a rule (POLICY_INVALID) whose expressions do not compile to a condition over its variables."""
        ...

    def hold(
        self, expression: str, value: NDArray[np.float64], device_index: NDArray[np.uint32], devices: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Tell for every reading whether the condition holds."""
        ...

    def holds(self, expression: str, variables: Mapping[str, object]) -> bool:
        """Tell whether the condition holds for one state or one command."""
        ...


class Sighting(NamedTuple):
    """When a device last sent a reading of a property."""

    district: str
    observed_property: str
    device: str
    event_us: int


class Sightings(Protocol):
    """When devices were last heard, for what no-data rules watch."""

    def watch(self, wanted: set[tuple[str, str]]) -> None:
        """Keep these districts and properties, and forget others."""
        ...

    def note(
        self, batch: ReadingBatch, observed_property: str, device_index: NDArray[np.uint32], event_us: NDArray[np.int64]
    ) -> None:
        """Remember readings of a property."""
        ...

    def silent(self, district: str, observed_property: str, before_us: int) -> Sequence[Sighting]:
        """Return the devices whose last reading is older than a time."""
        ...

    def forget(self, sighting: Sighting) -> None:
        """Forget a device that will send no more."""
        ...


class Registry(Protocol):
    """What the owner of devices says."""

    async def retired(self, district: str, device: str) -> bool:
        """Tell whether a device is out of service for good; not where nobody can say."""
        ...


class AlertChange(Protocol):
    """A transaction over alerts; commits when its block ends without an error."""

    async def lock_rules(self, rules: Sequence[str]) -> frozenset[str]:
        """Keep others from changing alerts of these rules until the end, and return those that exist and are enabled."""
        ...

    async def standings(self, keys: Sequence[AlertKey]) -> Mapping[AlertKey, Standing]:
        """Return what is known of rules and devices; nothing for those never heard of."""
        ...

    async def raised_since(self, rules: Sequence[str], since: datetime) -> Mapping[str, int]:
        """Count the alerts that each rule raised after a time."""
        ...

    async def find(self, district: str, alert: str) -> Alert | None:
        """Return an alert and keep others from changing it."""
        ...

    async def open_of(self, rule: str) -> Sequence[Alert]:
        """Return the open alerts of a rule, locked."""
        ...

    async def delete_rule(self, rule: str) -> bool:
        """Delete a rule, and tell whether it existed."""
        ...

    async def save(self, alerts: Sequence[Alert], announcements: Sequence[Announcement]) -> None:
        """Store alerts, an event for each announcement, and a delivery of it for each subscription that wants it."""
        ...


class Alerts(Protocol):
    """All alerts, durable."""

    def change(self) -> AbstractAsyncContextManager[AlertChange]:
        """Begin a change; deliveries are looked for at once after it."""
        ...

    async def page(
        self, district: str, state: AlertState | None, *, after: TimedPosition | None, limit: int
    ) -> Page[Alert]:
        """Return alerts of a district, newest first."""
        ...


class Rules(Protocol):
    """All alert rules, durable."""

    async def add(self, rule: AlertRule, request: Request) -> AlertRule:
        """Store a new rule, or return what the same request was answered; refuses an id that is taken."""
        ...

    async def page(self, district: str, *, after: str, limit: int) -> Page[AlertRule]:
        """Return rules of a district (empty = all) ordered by id."""
        ...

    async def get(self, rule: str) -> AlertRule | None:
        """Return a rule."""
        ...

    async def enable(self, rule: AlertRule) -> bool:
        """Enable a rule that is disabled, with who agreed; tell whether it was."""
        ...

    async def audience(self, district: str, category: str) -> int:
        """Return how many subscriptions an alert of a category tells."""
        ...


class Subscriptions(Protocol):
    """All subscriptions, durable."""

    async def add(self, subscription: Subscription, request: Request) -> Subscription:
        """Store a new one, or return what the same request was answered; refuses an id that is taken."""
        ...

    async def page(self, district: str, *, after: str, limit: int) -> Page[Subscription]:
        """Return subscriptions of a district ordered by id."""
        ...

    async def delete(self, district: str, subscription: str) -> bool:
        """Delete a subscription and fail its pending deliveries; tell whether it existed."""
        ...


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries are listed; what is unset does not matter."""

    district: str
    state: DeliveryState | None = None
    alert: str | None = None


class Deliveries(Protocol):
    """All deliveries, durable."""

    async def claim(self, limit: int, busy: Sequence[tuple[str, str]], lease_s: float) -> Sequence[Claim]:
        """Lend due deliveries to this process for ``lease_s``, counting the attempt; none of busy subscriptions."""
        ...

    async def record(self, delivery: Delivery) -> bool:
        """Store the outcome of an attempt, unless the lease ended and somebody else tried; tell whether it did."""
        ...

    async def page(self, wanted: DeliveryFilter, *, after: TimedPosition | None, limit: int) -> Page[Delivery]:
        """Return deliveries, newest first."""
        ...


class Channel(Protocol):
    """A way to people."""

    async def send(self, claim: Claim) -> Attempt:
        """Try once; raises nothing that the other side could cause."""
        ...


class WatchSource(Protocol):
    """Reads what the watchlist copies."""

    async def all_rules(self) -> Sequence[AlertRule]:
        """Return every rule."""
        ...

    async def open_keys(self) -> Sequence[AlertKey]:
        """Return what an alert is open for."""
        ...

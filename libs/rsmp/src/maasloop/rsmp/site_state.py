"""What a site keeps between its links: alarms, aggregated statuses, subscriptions, and what could not be sent."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from .dialect import Dialect
from .events import Reading
from .exchange_list import CONTROLLER, ExchangeList
from .messages import (
    Address,
    AggregatedStatus,
    AlarmAct,
    AlarmReport,
    Quality,
    StatusName,
    StatusUpdate,
    StatusValue,
    Subscription,
    Value,
)
from .session import Instant

BUFFERED_MAX = 10_000
"""Messages kept while no link is ready (core, "Communication disruption"); the oldest give way."""

type Buffered = AggregatedStatus | AlarmReport | StatusUpdate


class Verdict(NamedTuple):
    """What a controller does with a command."""

    taken: bool
    """It has implemented the command and carries it out."""
    objection: str = ""
    """Why the message is refused, for example a wrong security code; empty: it is not."""


class Controller(Protocol):
    """What the session of a site needs of the site's equipment; it answers at once."""

    def components(self) -> Mapping[str, str]:
        """Return the kind of each component by its id, as ``exchange_list`` names kinds."""
        ...

    def read(self, component: str, name: StatusName) -> Reading:
        """Return a value now; quality ``unknown`` if this equipment has none."""
        ...

    def judge(self, component: str, code: str, values: Mapping[str, Value]) -> Verdict:
        """Say whether a command, valid by the list, will be carried out; nothing changes yet."""
        ...

    def execute(self, component: str, code: str, values: Mapping[str, Value]) -> None:
        """Carry out a command that was judged."""
        ...


@dataclass(slots=True)
class _Subscribed:
    wanted: Subscription
    next_s: float | None
    last: StatusValue


@dataclass(slots=True)
class SiteState:
    """The memory of a site for one supervisor."""

    controller: Controller
    exchange_list: ExchangeList
    buffered_statuses: frozenset[StatusName] = frozenset()
    """Statuses whose subscriptions go on without a link, and whose updates are kept."""
    alarms: dict[tuple[str, str], AlarmReport] = field(default_factory=dict)
    """The last state of each alarm by component and code, with an empty message id."""
    aggregated: dict[str, AggregatedStatus] = field(default_factory=dict)
    """By component, with an empty message id."""
    buffer: deque[Buffered] = field(default_factory=lambda: deque(maxlen=BUFFERED_MAX))
    dropped: int = 0
    """Messages that gave way to newer ones in a full buffer."""
    _subscribed: dict[str, dict[StatusName, _Subscribed]] = field(default_factory=dict)

    def keep(self, message: Buffered) -> None:
        """Keep a message for the next link."""
        if isinstance(message, StatusUpdate):
            values = tuple(
                each for each in message.values if StatusName(each.code, each.name) in self.buffered_statuses
            )
            if not values:
                return
            message = replace(message, values=values)
        self.dropped += len(self.buffer) == self.buffer.maxlen
        self.buffer.append(message)

    def take_buffer(self, dialect: Dialect) -> Iterator[Buffered]:
        """Yield what was kept, oldest first, each once; what says no more than the last state is left out."""
        told = set(map(_event, self.alarms.values()))
        while self.buffer:
            message = self.buffer.popleft()
            if isinstance(message, StatusUpdate) and dialect.buffered_is_old:
                values = (
                    each if each.quality.valueless else replace(each, quality=Quality.OLD) for each in message.values
                )
                yield replace(message, values=tuple(values))
            elif isinstance(message, AlarmReport):
                if _event(message) not in told:
                    yield message
            elif message not in self.aggregated.values():
                yield message

    def all_alarms(self, now: Instant) -> list[AlarmReport]:
        """Return the state of every alarm that the list has for the components of this site."""
        for component, kind in self.controller.components().items():
            for code, entry in self.exchange_list.alarms.items():
                if entry.component == kind:
                    self.alarm(component, code, now)
        return [replace(each, act=AlarmAct.ISSUE) for each in self.alarms.values()]

    def alarm(self, component: str, code: str, now: Instant) -> AlarmReport:
        """Return the state of an alarm; one that never was active is inactive from now."""
        if (component, code) not in self.alarms:
            entry = self.exchange_list.alarms[code]
            self.alarms[component, code] = AlarmReport(
                message_id="",
                address=Address(component),
                code=code,
                act=AlarmAct.ISSUE,
                active=False,
                acknowledged=False,
                suspended=False,
                time=now.utc,
                category=entry.category,
                priority=entry.priority,
            )
        return self.alarms[component, code]

    def set_alarm(
        self, component: str, code: str, values: tuple[tuple[str, str], ...], now: Instant, *, active: bool
    ) -> AlarmReport | None:
        """Change an alarm, and return what is to be told; an alarm that becomes active is not acknowledged."""
        last = self.alarm(component, code, now)
        if last.active is active:
            return None
        changed = replace(
            last,
            act=AlarmAct.ISSUE,
            active=active,
            acknowledged=last.acknowledged and not active,
            time=now.utc,
            values=values,
        )
        self.alarms[component, code] = changed
        return None if changed.suspended else changed

    def order_alarm(self, component: str, code: str, act: AlarmAct, now: Instant) -> AlarmReport | None:
        """Do what a supervisor orders, and return what is to be told: what was requested, or a change.

        A resumed alarm is told as Suspend.
        """
        last = self.alarm(component, code, now)
        changes = {
            AlarmAct.ACKNOWLEDGE: replace(last, act=act, acknowledged=True, time=now.utc),
            AlarmAct.SUSPEND: replace(last, act=act, suspended=True, time=now.utc),
            AlarmAct.RESUME: replace(last, act=AlarmAct.SUSPEND, suspended=False, time=now.utc),
        }
        changed = changes.get(act)
        if changed is None:
            return replace(last, act=AlarmAct.ISSUE)
        if (changed.acknowledged, changed.suspended) == (last.acknowledged, last.suspended):
            return None
        self.alarms[component, code] = changed
        return changed

    def subscribe(self, component: str, wanted: Iterable[Subscription], now: Instant) -> StatusUpdate:
        """Begin or change subscriptions, and return the first values; what has no value is not subscribed."""
        values = []
        for each in wanted:
            name = StatusName(each.code, each.name)
            value = self.value(component, name)
            values.append(value)
            if not value.quality.valueless:
                next_s = now.at_s + each.interval_ms / 1000 if each.interval_ms else None
                self._subscribed.setdefault(component, {})[name] = _Subscribed(each, next_s, value)
        return StatusUpdate("", Address(component), now.utc, tuple(values))

    def unsubscribe(self, component: str, names: Iterable[StatusName]) -> None:
        """End subscriptions."""
        for name in names:
            self._subscribed.get(component, {}).pop(name, None)

    def link_lost(self) -> None:
        """End the subscriptions that do not outlive a link."""
        for subscribed in self._subscribed.values():
            for name in subscribed.keys() - self.buffered_statuses:
                del subscribed[name]

    def updates(self, now: Instant) -> Iterator[StatusUpdate]:
        """Yield what subscriptions demand: values that changed, and those whose interval is over."""
        for component, subscribed in self._subscribed.items():
            due = []
            for name, each in subscribed.items():
                value = self.value(component, name)
                late = each.next_s is not None and now.at_s >= each.next_s
                if late or (each.wanted.on_change and value != each.last):
                    each.last = value
                    each.next_s = now.at_s + each.wanted.interval_ms / 1000 if each.wanted.interval_ms else None
                    due.append(value)
            if due:
                yield StatusUpdate("", Address(component), now.utc, tuple(due))

    @property
    def next_s(self) -> float | None:
        """When the next interval is over, in monotonic seconds."""
        times = (each.next_s for subscribed in self._subscribed.values() for each in subscribed.values())
        return min((each for each in times if each is not None), default=None)

    def value(self, component: str, name: StatusName) -> StatusValue:
        """Return a value now; ``undefined`` without the component."""
        if component not in self.controller.components():
            return StatusValue(name.code, name.name, None, Quality.UNDEFINED)
        found = self.controller.read(component, name)
        quality = Quality.UNKNOWN if found.value is None else found.quality
        return StatusValue(name.code, name.name, None if quality.valueless else found.value, quality)

    def kind_problem(self, component: str, kind: str) -> str:
        """Return why a component cannot have what belongs to a kind, or an empty text; unknown ones are not judged."""
        found = self.controller.components().get(component, kind)
        return "" if found == kind else f"component {component[:80]} is a {found}, not a {kind}"

    @property
    def main_components(self) -> list[str]:
        """Ids of the components that have an aggregated status."""
        return [id_ for id_, kind in self.controller.components().items() if kind == CONTROLLER]


def _event(report: AlarmReport) -> tuple[object, ...]:
    return report.address, report.code, report.act, report.time

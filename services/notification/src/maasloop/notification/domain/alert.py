"""Alerts: raised, acknowledged, resolved; one open at a time for a rule and a device.

Everything that happens to an alert has an event time, and what is not newer than the last one is not heard: a message
that the broker delivers again, or a reading that comes late, changes nothing and counts nothing twice.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from maasloop.core.clock import from_us
from maasloop.core.errors import FailedPrecondition
from maasloop.core.reasons import Reason

from .rule import AlertRule
from .text import BODY_RENDERED_MAX, TITLE_RENDERED_MAX, Shown, rendered


class AlertState(StrEnum):
    """Where an alert stands."""

    RAISED = "RAISED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"


class Occasion(StrEnum):
    """What a change of an alert tells."""

    RAISED = "raised"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class AlertKey(NamedTuple):
    """What one alert at a time is open for."""

    rule: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that people should know."""

    district: str
    id: str
    rule: str
    category: str
    device: str
    state: AlertState
    title: dict[str, str]
    body: dict[str, str]
    occurrence_count: int
    raise_time: datetime
    event_us: int
    """Event time of the last thing that was heard."""
    acknowledge_time: datetime | None = None
    acknowledger: str = ""
    resolve_time: datetime | None = None

    @property
    def key(self) -> AlertKey:
        """Return what it is open for."""
        return AlertKey(self.rule, self.device)

    @property
    def open(self) -> bool:
        """Tell whether it is not resolved."""
        return self.state is not AlertState.RESOLVED


@dataclass(frozen=True, slots=True)
class Signal:
    """A rule's condition holds for a device, or is over."""

    rule: AlertRule
    device: str
    event_us: int
    raises: bool
    shown: Shown

    @property
    def key(self) -> AlertKey:
        """Return which alert it is about."""
        return AlertKey(self.rule.id, self.device)


class Standing(NamedTuple):
    """What is known of a rule and a device: the open alert, and the event time of the last thing heard."""

    open: Alert | None = None
    event_us: int = -1


class Announcement(NamedTuple):
    """An alert after a change of its state, and what that tells."""

    alert: Alert
    occasion: Occasion


class Step(NamedTuple):
    """What a signal makes of an alert."""

    alert: Alert
    occasion: Occasion | None
    """Nothing to tell where the alert only occurred again."""


def heard(standing: Standing, signal: Signal, *, now: datetime, new_id: str) -> Step | None:
    """Return what the signal makes of the standing; nothing where it is old news."""
    if signal.event_us <= standing.event_us:
        return None
    alert = standing.open
    if alert is None:
        return Step(_raised(signal, now, new_id), Occasion.RAISED) if signal.raises else None
    if signal.raises:
        count = alert.occurrence_count + 1
        return Step(replace(alert, occurrence_count=count, event_us=signal.event_us), None)
    return Step(replace(resolved(alert, now), event_us=signal.event_us), Occasion.RESOLVED)


def _raised(signal: Signal, now: datetime, new_id: str) -> Alert:
    rule, time = signal.rule, from_us(signal.event_us)

    def said(templates: dict[str, str], length_max: int) -> dict[str, str]:
        return rendered(templates, device=signal.device, shown=signal.shown, time=time, length_max=length_max)

    return Alert(
        district=rule.district,
        id=new_id,
        rule=rule.id,
        category=rule.category,
        device=signal.device,
        state=AlertState.RAISED,
        title=said(dict(rule.title), TITLE_RENDERED_MAX),
        body=said(dict(rule.body), BODY_RENDERED_MAX),
        occurrence_count=1,
        raise_time=now,
        event_us=signal.event_us,
    )


def acknowledged(alert: Alert, acknowledger: str, now: datetime) -> Alert:
    """Return the alert taken by somebody; one that is taken already stays as it is, one that is over is refused."""
    if alert.state is AlertState.RESOLVED:
        message = "the alert is resolved: there is nothing left to take"
        raise FailedPrecondition(Reason.ALERT_STATE_FORBIDS, message, {"state": alert.state})
    if alert.state is AlertState.ACKNOWLEDGED:
        return alert
    return replace(alert, state=AlertState.ACKNOWLEDGED, acknowledge_time=now, acknowledger=acknowledger)


def resolved(alert: Alert, now: datetime) -> Alert:
    """Return the alert as over; one that is over stays as it is."""
    if alert.state is AlertState.RESOLVED:
        return alert
    return replace(alert, state=AlertState.RESOLVED, resolve_time=now)

"""What happens on a link of RSMP, as plain data to print; no argument of a command is among it."""

from functools import singledispatch

from maasloop.rsmp.events import (
    AggregatedStatusReported,
    AlarmReported,
    Closed,
    CommandAccepted,
    CommandEnded,
    Established,
    Event,
    PeerMistaken,
    PeerSilent,
    Reading,
    Refused,
    StatusReported,
)

type Shown = dict[str, object]

BITS = ("local", "no-communication", "high", "medium", "low", "in-use", "idle", "not-connected")
"""The bits of an aggregated status, shortest."""


def shown(event: Event) -> Shown:
    """Return the kind of an event and what it tells."""
    return _shown(event)


@singledispatch
def _shown(event: object) -> Shown:
    return {"event": type(event).__name__}


@_shown.register
def _(event: Established) -> Shown:
    return {"event": "established", "core": str(event.core), "list": str(event.exchange_list)}


@_shown.register
def _(event: Closed) -> Shown:
    return {"event": "closed", "reason": event.reason}


@_shown.register
def _(event: PeerSilent) -> Shown:
    return {"event": "silent", "silence_s": event.silence_s}


@_shown.register
def _(event: PeerMistaken) -> Shown:
    return {"event": "mistaken", "reason": event.reason}


@_shown.register
def _(event: Refused) -> Shown:
    return {"event": "refused", "message": type(event.message).__name__, "reason": event.reason}


@_shown.register
def _(event: AggregatedStatusReported) -> Shown:
    state = [name for name, bit in zip(BITS, event.status.bits, strict=True) if bit]
    return {"event": "aggregated-status", "component": event.status.address.component, "state": state}


@_shown.register
def _(event: AlarmReported) -> Shown:
    report = event.report
    return {
        "event": "alarm",
        "component": report.address.component,
        "code": report.code,
        "title": event.title,
        "about": report.act.value,
        "active": report.active,
        "acknowledged": report.acknowledged,
        "suspended": report.suspended,
        "priority": report.priority,
    }


@_shown.register
def _(event: StatusReported) -> Shown:
    values = {f"{each.code}.{each.name}": _told(each) for each in event.readings}
    return {"event": "status", "component": event.component, "taken": event.time.isoformat(), "values": values}


def _told(reading: Reading) -> object:
    if reading.problem:
        return reading.problem
    return reading.quality.value if reading.value is None else reading.value


@_shown.register
def _(event: CommandAccepted) -> Shown:
    return {"event": "command-accepted", "command": event.command_id}


@_shown.register
def _(event: CommandEnded) -> Shown:
    return {
        "event": "command-ended",
        "component": event.component,
        "code": event.code,
        "outcome": event.outcome.value,
        "detail": event.detail,
    }

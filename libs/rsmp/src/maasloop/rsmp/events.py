"""What a session tells its owner."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .dialect import Release
from .messages import AggregatedStatus, AlarmReport, Numbered, Quality, Value


class Outcome(StrEnum):
    """What became of a command."""

    CONFIRMED = "confirmed"
    """A status shows that it is carried out."""
    ACCEPTED = "accepted"
    """The site took it, and it tells no status that could show more."""
    NOT_CONFIRMED = "not confirmed"
    """The site took it, and no status showed it in time."""
    SUPERSEDED = "superseded"
    """Another command of the same code for the same component was sent before it was confirmed."""
    REFUSED = "refused"
    """The site refused it, or answered with other values."""
    UNDEFINED = "undefined"
    """The site has no such component."""
    UNKNOWN = "unknown"
    """The site has not implemented it."""
    UNANSWERED = "unanswered"
    """The site acknowledged the message and did not answer in time."""
    LINK_LOST = "link lost"
    """The link ended first; whether it is carried out is not known. Commands are never sent again by themselves."""


@dataclass(frozen=True, slots=True)
class Established:
    """The handshake is complete; requests and commands can be sent."""

    site_ids: tuple[str, ...]
    core: Release
    exchange_list: Release


@dataclass(frozen=True, slots=True)
class Closed:
    """The link ended, or must be ended by who carries its bytes, after what is still to be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Nothing was heard for long. The standard forbids to close the link for it; values may be out of date."""

    silence_s: float


@dataclass(frozen=True, slots=True)
class PeerMistaken:
    """The peer sent what was refused or passed over."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer refused a message of ours."""

    message: Numbered
    reason: str


@dataclass(frozen=True, slots=True)
class AggregatedStatusReported:
    """A site told its state at a glance."""

    status: AggregatedStatus


@dataclass(frozen=True, slots=True)
class AlarmReported:
    """A site told the state of an alarm."""

    report: AlarmReport
    title: str
    problem: str = ""
    """What is wrong with its values, by the exchange list."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value of a status; one with a problem has no value."""

    code: str
    name: str
    value: Value
    quality: Quality
    problem: str = ""


@dataclass(frozen=True, slots=True)
class StatusReported:
    """A site told values, by request or subscription."""

    component: str
    time: datetime
    """When the site took them."""
    readings: tuple[Reading, ...]
    requested: bool


@dataclass(frozen=True, slots=True)
class CommandAccepted:
    """A site answered that it took a command; whether it is carried out, a status has yet to show."""

    command_id: str


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """The last word on a command."""

    command_id: str
    component: str
    code: str
    outcome: Outcome
    detail: str = ""
    evidence: tuple[Reading, ...] = ()
    """What showed it: the values of the status that it was confirmed by."""
    seen: datetime | None = None
    """When the site took the last of them."""


@dataclass(frozen=True, slots=True)
class CommandTaken:
    """A site took a command of its supervisor."""

    component: str
    code: str
    values: Mapping[str, Value] = field(repr=False)
    """By name; among them may be a security code."""


@dataclass(frozen=True, slots=True)
class ClockTold:
    """The supervisor told its time by a watchdog; a site may set its clock by it."""

    time: datetime


type Event = (
    Established
    | Closed
    | PeerSilent
    | PeerMistaken
    | Refused
    | AggregatedStatusReported
    | AlarmReported
    | StatusReported
    | CommandAccepted
    | CommandEnded
    | CommandTaken
    | ClockTold
)

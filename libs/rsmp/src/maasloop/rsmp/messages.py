"""The messages of RSMP, as values.

Names are words where the wire has abbreviations; each field says its element. Times are aware and in UTC, to the
millisecond. A value is text, as nearly everything is on this wire, or an array of rows for the few statuses that are
lists (core 3.2 and newer), or None where there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

type Rows = tuple[Mapping[str, str], ...]
type Value = str | Rows | None

STATE_BITS: Final = 8


class Quality(StrEnum):
    """How good a value is (``q``, ``age``)."""

    RECENT = "recent"
    OLD = "old"
    """Kept while the link was down."""
    UNDEFINED = "undefined"
    """The component does not exist; there is no value."""
    UNKNOWN = "unknown"
    """The site has no value, or has not implemented this; there is none."""

    @property
    def valueless(self) -> bool:
        """Whether there is no value."""
        return self in {Quality.UNDEFINED, Quality.UNKNOWN}


class AlarmAct(StrEnum):
    """What an alarm message is about (``aSp``)."""

    ISSUE = "Issue"
    REQUEST = "Request"
    ACKNOWLEDGE = "Acknowledge"
    SUSPEND = "Suspend"
    RESUME = "Resume"


@dataclass(frozen=True, slots=True)
class Address:
    """Which part of a site a message is about."""

    component: str
    """Component id (``cId``)."""
    nts_object: str = ""
    """Id of the object in the national system (``ntsOId``); empty for most components."""
    external: str = ""
    """Id in an external system (``xNId``)."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a side speaks; the first message of a link."""

    message_id: str
    core_versions: tuple[str, ...]
    """As spelled by the sender (``RSMP``)."""
    site_ids: tuple[str, ...]
    list_version: str
    """Version of the exchange list (``SXL``)."""


@dataclass(frozen=True, slots=True)
class Watchdog:
    """A sign of life."""

    message_id: str
    time: datetime


@dataclass(frozen=True, slots=True)
class MessageAck:
    """The message was understood; it says nothing about what became of it."""

    of: str
    """Id of that message (``oMId``)."""


@dataclass(frozen=True, slots=True)
class MessageNotAck:
    """The message was refused."""

    of: str
    reason: str


@dataclass(frozen=True, slots=True)
class AggregatedStatus:
    """The state of a site at a glance."""

    message_id: str
    address: Address
    time: datetime
    bits: tuple[bool, ...]
    """Eight: local mode, no communication, fault of high, medium, low priority, in use, idle, not connected (``se``)."""
    functional_position: str | None = None
    functional_state: str | None = None


@dataclass(frozen=True, slots=True)
class AggregatedStatusRequest:
    """Asks for the aggregated status of a component."""

    message_id: str
    address: Address


@dataclass(frozen=True, slots=True)
class AlarmOrder:
    """What a supervisor wants of an alarm: request, acknowledge, suspend or resume it."""

    message_id: str
    address: Address
    code: str
    act: AlarmAct
    time: datetime | None = None
    """Only with an acknowledgement."""


@dataclass(frozen=True, slots=True)
class AlarmReport:
    """The state of an alarm, sent by a site because it was issued, acknowledged, suspended or resumed.

    A site says Suspend for a resumed alarm too; ``suspended`` tells which.
    """

    message_id: str
    address: Address
    code: str
    act: AlarmAct
    active: bool
    acknowledged: bool
    suspended: bool
    time: datetime
    """When that happened which ``act`` names."""
    category: str
    """``T`` for traffic, ``D`` for the device."""
    priority: int
    """1 highest, 2 medium, 3 lowest."""
    values: tuple[tuple[str, str], ...] = ()
    """Name and value of what else the exchange list defines."""
    external_code: str = ""
    external_nts_code: str = ""


@dataclass(frozen=True, slots=True)
class StatusName:
    """One value of a status."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Asks for values once."""

    message_id: str
    address: Address
    names: tuple[StatusName, ...]


@dataclass(frozen=True, slots=True)
class Subscription:
    """How often a value is wanted."""

    code: str
    name: str
    interval_ms: int
    """0: not at intervals (``uRt``)."""
    on_change: bool
    """Each change is wanted."""


@dataclass(frozen=True, slots=True)
class StatusSubscribe:
    """Asks for values from now on; the first at once. It replaces what was asked for the same values before."""

    message_id: str
    address: Address
    subscriptions: tuple[Subscription, ...]


@dataclass(frozen=True, slots=True)
class StatusUnsubscribe:
    """Ends subscriptions."""

    message_id: str
    address: Address
    names: tuple[StatusName, ...]


@dataclass(frozen=True, slots=True)
class StatusValue:
    """A value with its quality."""

    code: str
    name: str
    value: Value
    quality: Quality


@dataclass(frozen=True, slots=True)
class StatusResponse:
    """Answers a StatusRequest."""

    message_id: str
    address: Address
    time: datetime
    values: tuple[StatusValue, ...]


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """Answers a subscription."""

    message_id: str
    address: Address
    time: datetime
    values: tuple[StatusValue, ...]


@dataclass(frozen=True, slots=True)
class CommandArgument:
    """One argument of a command; its value is not shown in logs, for it may be a security code."""

    code: str
    name: str
    order: str
    """What the exchange list calls the command (``cO``)."""
    value: Value = field(repr=False)


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """Orders something; every argument of the command is there."""

    message_id: str
    address: Address
    arguments: tuple[CommandArgument, ...]


@dataclass(frozen=True, slots=True)
class CommandValue:
    """What became of an argument; its value is not shown in logs."""

    code: str
    name: str
    value: Value = field(repr=False)
    age: Quality


@dataclass(frozen=True, slots=True)
class CommandResponse:
    """Answers a CommandRequest; equal values mean that the site took the command, not that it is carried out."""

    message_id: str
    address: Address
    time: datetime
    values: tuple[CommandValue, ...]


type Acknowledgement = MessageAck | MessageNotAck
type Numbered = (
    Version
    | Watchdog
    | AggregatedStatus
    | AggregatedStatusRequest
    | AlarmOrder
    | AlarmReport
    | StatusRequest
    | StatusSubscribe
    | StatusUnsubscribe
    | StatusResponse
    | StatusUpdate
    | CommandRequest
    | CommandResponse
)
"""Messages with an id of their own; each is acknowledged or refused."""
type Message = Numbered | Acknowledgement

"""From a message to the bytes of a packet, spelled exactly as the core version wants it."""

import json
from datetime import UTC, datetime
from functools import singledispatch

from .dialect import Dialect, OnChange
from .errors import NotSendable
from .framing import FORM_FEED
from .messages import (
    STATE_BITS,
    Address,
    AggregatedStatus,
    AggregatedStatusRequest,
    AlarmAct,
    AlarmOrder,
    AlarmReport,
    CommandRequest,
    CommandResponse,
    Message,
    MessageAck,
    MessageNotAck,
    Quality,
    StatusName,
    StatusRequest,
    StatusResponse,
    StatusSubscribe,
    StatusUnsubscribe,
    StatusUpdate,
    StatusValue,
    Subscription,
    Value,
    Version,
    Watchdog,
)

type Elements = dict[str, object]


def encode(message: Message, dialect: Dialect) -> bytes:
    """Return the packet of a message, with the form feed that ends it.

    Raises:
        NotSendable: this core version has no such message, or no such value.
    """
    elements = {"mType": "rSMsg", **_elements(message, dialect)}
    return json.dumps(elements, separators=(",", ":")).encode() + FORM_FEED


def time_text(moment: datetime) -> str:
    """Return a time as RSMP writes it: UTC, three decimals; what is finer is cut off."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z".rjust(24, "0")


@singledispatch
def _elements(message: object, _dialect: Dialect) -> Elements:
    raise NotSendable(f"{type(message).__name__} is no message")


@_elements.register
def _acknowledgement(message: MessageAck, _dialect: Dialect) -> Elements:
    return {"type": "MessageAck", "oMId": message.of}


@_elements.register
def _refusal(message: MessageNotAck, _dialect: Dialect) -> Elements:
    return {"type": "MessageNotAck", "oMId": message.of, "rea": message.reason}


@_elements.register
def _version(message: Version, _dialect: Dialect) -> Elements:
    return {
        "type": "Version",
        "mId": message.message_id,
        "RSMP": [{"vers": each} for each in message.core_versions],
        "siteId": [{"sId": each} for each in message.site_ids],
        "SXL": message.list_version,
    }


@_elements.register
def _watchdog(message: Watchdog, _dialect: Dialect) -> Elements:
    return {"type": "Watchdog", "mId": message.message_id, "wTs": time_text(message.time)}


@_elements.register
def _aggregated_status(message: AggregatedStatus, dialect: Dialect) -> Elements:
    if len(message.bits) != STATE_BITS:
        raise NotSendable(f"an aggregated status has {STATE_BITS} bits, not {len(message.bits)}")
    bits: list[object] = list(message.bits)
    if dialect.state_bits_as_text:
        bits = ["true" if bit else "false" for bit in message.bits]
    return {
        **_head("AggregatedStatus", message.message_id, message.address),
        "aSTS": time_text(message.time),
        "fP": message.functional_position,
        "fS": message.functional_state,
        "se": bits,
    }


@_elements.register
def _aggregated_status_request(message: AggregatedStatusRequest, dialect: Dialect) -> Elements:
    if not dialect.requests_state:
        raise NotSendable(f"core {dialect.release} has no AggregatedStatusRequest")
    return _head("AggregatedStatusRequest", message.message_id, message.address)


@_elements.register
def _alarm_order(message: AlarmOrder, dialect: Dialect) -> Elements:
    if message.act is AlarmAct.ISSUE:
        raise NotSendable("an alarm is issued by its site, not by an order")
    if message.act is AlarmAct.REQUEST and not dialect.requests_state:
        raise NotSendable(f"core {dialect.release} has no request of alarms")
    if (message.act is AlarmAct.ACKNOWLEDGE) is (message.time is None):
        raise NotSendable("an acknowledgement of an alarm, and only that, has a time")
    return {
        **_alarm_head(message.message_id, message.address, message.code, message.act),
        **({"aTs": time_text(message.time)} if message.time else {}),
    }


@_elements.register
def _alarm_report(message: AlarmReport, dialect: Dialect) -> Elements:
    # The schemas of core 3.2 still want the older word of an issued alarm.
    older = dialect.suspended_in_lower_case or message.act is AlarmAct.ISSUE
    suspended = "suspended" if older else "Suspended"
    return {
        **_alarm_head(message.message_id, message.address, message.code, message.act),
        "xACId": message.external_code,
        "xNACId": message.external_nts_code,
        "ack": "Acknowledged" if message.acknowledged else "notAcknowledged",
        "aS": "Active" if message.active else "inActive",
        "sS": suspended if message.suspended else "notSuspended",
        "aTs": time_text(message.time),
        "cat": message.category,
        "pri": str(message.priority),
        "rvs": [{"n": name, "v": value} for name, value in message.values],
    }


@_elements.register
def _status_request(message: StatusRequest, _dialect: Dialect) -> Elements:
    return {**_head("StatusRequest", message.message_id, message.address), "sS": _names(message.names)}


@_elements.register
def _status_unsubscribe(message: StatusUnsubscribe, _dialect: Dialect) -> Elements:
    return {**_head("StatusUnsubscribe", message.message_id, message.address), "sS": _names(message.names)}


@_elements.register
def _status_subscribe(message: StatusSubscribe, dialect: Dialect) -> Elements:
    wanted = [_subscription(each, dialect) for each in message.subscriptions]
    return {**_head("StatusSubscribe", message.message_id, message.address), "sS": wanted}


@_elements.register
def _status_response(message: StatusResponse, dialect: Dialect) -> Elements:
    return {
        **_head("StatusResponse", message.message_id, message.address),
        "sTs": time_text(message.time),
        "sS": [_status_value(each, dialect) for each in message.values],
    }


@_elements.register
def _status_update(message: StatusUpdate, dialect: Dialect) -> Elements:
    return {
        **_head("StatusUpdate", message.message_id, message.address),
        "sTs": time_text(message.time),
        "sS": [_status_value(each, dialect) for each in message.values],
    }


@_elements.register
def _command_request(message: CommandRequest, dialect: Dialect) -> Elements:
    arguments = [
        {"cCI": each.code, "n": each.name, "cO": each.order, "v": _value(each.value, dialect)}
        for each in message.arguments
    ]
    return {**_head("CommandRequest", message.message_id, message.address), "arg": arguments}


@_elements.register
def _command_response(message: CommandResponse, dialect: Dialect) -> Elements:
    values = [
        {"cCI": each.code, "n": each.name, "v": _value(each.value, dialect), "age": each.age.value}
        for each in message.values
    ]
    return {
        **_head("CommandResponse", message.message_id, message.address),
        "cTS": time_text(message.time),
        "rvs": values,
    }


def _head(kind: str, message_id: str, address: Address) -> Elements:
    return {
        "type": kind,
        "mId": message_id,
        "ntsOId": address.nts_object,
        "xNId": address.external,
        "cId": address.component,
    }


def _alarm_head(message_id: str, address: Address, code: str, act: AlarmAct) -> Elements:
    return {**_head("Alarm", message_id, address), "aCId": code, "xACId": "", "xNACId": "", "aSp": act.value}


def _names(names: tuple[StatusName, ...]) -> list[Elements]:
    return [{"sCI": each.code, "n": each.name} for each in names]


def _subscription(wanted: Subscription, dialect: Dialect) -> Elements:
    if not wanted.on_change and wanted.interval_ms <= 0:
        raise NotSendable("a subscription without interval and not on change asks for nothing")
    # Where there is no sOc, an interval of 0 means on change, and both at once cannot be said: changes come first.
    omitted = dialect.on_change is OnChange.OMITTED
    seconds, ms = divmod(0 if omitted and wanted.on_change else wanted.interval_ms, 1000)
    interval = f"{seconds}.{ms:03}".rstrip("0") if ms else str(seconds)
    elements: Elements = {"sCI": wanted.code, "n": wanted.name, "uRt": interval}
    if dialect.on_change is OnChange.BOOLEAN:
        elements["sOc"] = wanted.on_change
    elif dialect.on_change is OnChange.TEXT:
        elements["sOc"] = "True" if wanted.on_change else "False"
    return elements


def _status_value(found: StatusValue, dialect: Dialect) -> Elements:
    quality, value = found.quality, _value(found.value, dialect)
    if quality.valueless and value is not None:
        raise NotSendable(f"{found.code} {found.name} has a value of quality {quality}")
    if value is None and not quality.valueless:
        raise NotSendable(f"{found.code} {found.name} has no value and quality {quality}")
    if quality.valueless and not dialect.values_may_be_null:
        quality, value = Quality.UNKNOWN, ""
    return {"sCI": found.code, "n": found.name, "s": value, "q": quality.value}


def _value(value: Value, dialect: Dialect) -> object:
    if value is None or isinstance(value, str):
        return value
    if not dialect.arrays:
        raise NotSendable(f"core {dialect.release} has no arrays as values")
    return [dict(row) for row in value]

"""From the bytes of a packet to a message."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from .dialect import Dialect, OnChange, Release
from .errors import MessageInvalid
from .messages import (
    STATE_BITS,
    Address,
    AggregatedStatus,
    AggregatedStatusRequest,
    AlarmAct,
    AlarmOrder,
    AlarmReport,
    CommandArgument,
    CommandRequest,
    CommandResponse,
    CommandValue,
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
from .reading import Reader

DEPTH_MAX = 8
"""Deepest nesting of arrays and objects in a packet; an array as the value of a status needs five."""

ID_CHARACTERS_MAX = 64
"""Longest id by which a message is refused; a UUID has 36."""

ACKNOWLEDGED: Final = {"Acknowledged": True, "notAcknowledged": False}
ACTIVE: Final = {"Active": True, "inActive": False}
# The text of core 3.2 has capitals, the schemas of an issued alarm have none: both are read.
SUSPENDED: Final = {"Suspended": True, "suspended": True, "notSuspended": False}

_CODES = {letter: re.compile(rf"{letter}[0-9A-Za-z]{{1,15}}") for letter in "AMS"}
_CLAIMED_ID = re.compile(rb'"mId"\s*:\s*"([0-9a-fA-F-]{36})"')
_INTERVAL = re.compile(r"([0-9]{1,7})(?:\.([0-9]{1,3}))?")
_CATEGORY = re.compile(r"[TD]")
_PRIORITY = re.compile(r"[123]")
# An unterminated text counts to the end, so that no byte is looked at twice.
_NESTING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


def decode(packet: bytes, dialect: Dialect) -> Message:
    """Read the message of a packet; elements that the standard does not name are ignored.

    Raises:
        MessageInvalid: the packet is no message of this dialect; the error says which element is wrong.
    """
    try:
        elements = _parse(packet)
    except MessageInvalid as invalid:
        raise MessageInvalid(invalid.reason, claimed_id(packet)) from None
    reader, kind = Reader(elements), ""
    try:
        if (mark := reader.text("mType")) != "rSMsg":
            message = f"mType: rSMsg is expected, got {mark[:40]!r}"
            raise MessageInvalid(message)
        kind = reader.text("type")
        return _KINDS.get(kind, _unknown)(reader, dialect)
    except MessageInvalid as invalid:
        reason = f"{kind[:40]}: {invalid.reason}" if kind else invalid.reason
        raise MessageInvalid(reason, _id_of(elements), kind) from None


def claimed_id(packet: bytes) -> str:
    """Return the message id that a packet claims which cannot be read whole; empty if it claims none."""
    found = _CLAIMED_ID.search(packet)
    return found[1].decode() if found else ""


def _id_of(elements: Mapping[str, object]) -> str:
    """Return the id by which a message is refused: also one that is no UUID, for its sender knows it."""
    found = elements.get("mId")
    return found if isinstance(found, str) and len(found) <= ID_CHARACTERS_MAX else ""


def _parse(packet: bytes) -> Mapping[str, object]:
    depth = 0
    for token in _NESTING.finditer(packet):
        mark = packet[token.start()]
        depth += (mark in b"[{") - (mark in b"]}")
        if depth > DEPTH_MAX:
            message = f"arrays and objects are nested deeper than {DEPTH_MAX}"
            raise MessageInvalid(message)
    try:
        found = json.loads(packet.decode(), parse_constant=_no_number)
        if b"\\u" in packet:
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        message = f"the packet is not JSON in UTF-8: {type(error).__name__}"
        raise MessageInvalid(message) from None
    if not isinstance(found, dict):
        raise MessageInvalid("the packet is not a JSON object")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _unknown(_reader: Reader, dialect: Dialect) -> NoReturn:
    message = f"core {dialect.release} has no such message"
    raise MessageInvalid(message)


def _address(reader: Reader) -> Address:
    return Address(reader.text("cId"), reader.text_or("ntsOId", ""), reader.text_or("xNId", ""))


def _code(reader: Reader, name: str, letter: str) -> str:
    return reader.matching(name, _CODES[letter], f"a code like {letter}0001")


def _acknowledged(reader: Reader, _dialect: Dialect) -> MessageAck:
    return MessageAck(reader.message_id("oMId"))


def _refused(reader: Reader, _dialect: Dialect) -> MessageNotAck:
    return MessageNotAck(reader.message_id("oMId"), reader.text_or("rea", ""))


def _version(reader: Reader, _dialect: Dialect) -> Version:
    versions = tuple(each.text("vers") for each in reader.objects("RSMP"))
    site_ids = tuple(each.text("sId") for each in reader.objects("siteId"))
    if not all(site_ids):
        raise MessageInvalid("siteId: an empty id")
    list_version = reader.text("SXL")
    Release.parse(list_version)
    return Version(reader.message_id("mId"), versions, site_ids, list_version)


def _watchdog(reader: Reader, _dialect: Dialect) -> Watchdog:
    return Watchdog(reader.message_id("mId"), reader.time("wTs"))


def _aggregated_status(reader: Reader, dialect: Dialect) -> AggregatedStatus:
    bits = reader.array("se")
    if len(bits) != STATE_BITS:
        message = f"se has {len(bits)} items, {STATE_BITS} are expected"
        raise MessageInvalid(message)
    words: Mapping[object, bool] = {"true": True, "false": False} if dialect.state_bits_as_text else {}
    states = []
    for bit in bits:
        state = bit if isinstance(bit, bool) else words.get(bit.casefold()) if isinstance(bit, str) else None
        if state is None:
            raise reader.wrong("se", "booleans", bit)
        states.append(state)
    return AggregatedStatus(
        reader.message_id("mId"),
        # cId is missing in the schemas, never in the standard's text.
        Address(reader.text_or("cId", ""), reader.text_or("ntsOId", ""), reader.text_or("xNId", "")),
        reader.time("aSTS"),
        tuple(states),
        reader.text_or_null("fP"),
        reader.text_or_null("fS"),
    )


def _aggregated_status_request(reader: Reader, dialect: Dialect) -> AggregatedStatusRequest:
    if not dialect.requests_state:
        _unknown(reader, dialect)
    return AggregatedStatusRequest(reader.message_id("mId"), _address(reader))


def _alarm(reader: Reader, dialect: Dialect) -> AlarmOrder | AlarmReport:
    act = reader.word("aSp", AlarmAct, exact=dialect.case_sensitive)
    if act is AlarmAct.REQUEST and not dialect.requests_state:
        message = f"aSp: core {dialect.release} has no Request"
        raise MessageInvalid(message)
    # Orders may name the state they want by ack or sS; only reports say whether the alarm is active.
    if act is AlarmAct.ISSUE or (act is not AlarmAct.REQUEST and reader.has("aS")):
        return _alarm_report(reader, dialect, act)
    time = reader.time("aTs") if act is AlarmAct.ACKNOWLEDGE and reader.has("aTs") else None
    return AlarmOrder(reader.message_id("mId"), _address(reader), _code(reader, "aCId", "A"), act, time)


def _alarm_report(reader: Reader, dialect: Dialect, act: AlarmAct) -> AlarmReport:
    exact = dialect.case_sensitive
    return AlarmReport(
        message_id=reader.message_id("mId"),
        address=_address(reader),
        code=_code(reader, "aCId", "A"),
        act=act,
        active=reader.choice("aS", ACTIVE, exact=exact),
        acknowledged=reader.choice("ack", ACKNOWLEDGED, exact=exact),
        suspended=reader.choice("sS", SUSPENDED, exact=exact),
        time=reader.time("aTs"),
        category=reader.matching("cat", _CATEGORY, "T or D"),
        priority=int(reader.matching("pri", _PRIORITY, "1, 2 or 3")),
        values=tuple((each.text("n"), each.text("v")) for each in reader.objects("rvs", items_min=0)),
        external_code=reader.text_or("xACId", ""),
        external_nts_code=reader.text_or("xNACId", ""),
    )


def _names(reader: Reader) -> tuple[StatusName, ...]:
    return tuple(StatusName(_code(each, "sCI", "S"), each.text("n")) for each in reader.objects("sS"))


def _status_request(reader: Reader, _dialect: Dialect) -> StatusRequest:
    return StatusRequest(reader.message_id("mId"), _address(reader), _names(reader))


def _status_unsubscribe(reader: Reader, _dialect: Dialect) -> StatusUnsubscribe:
    return StatusUnsubscribe(reader.message_id("mId"), _address(reader), _names(reader))


def _status_subscribe(reader: Reader, dialect: Dialect) -> StatusSubscribe:
    wanted = tuple(_subscription(each, dialect) for each in reader.objects("sS"))
    return StatusSubscribe(reader.message_id("mId"), _address(reader), wanted)


def _subscription(reader: Reader, dialect: Dialect) -> Subscription:
    found = _INTERVAL.fullmatch(reader.text("uRt"))
    if found is None:
        raise reader.wrong("uRt", "a number of seconds", reader.text("uRt"))
    interval_ms = int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0"))
    on_change = False
    if dialect.on_change is not OnChange.OMITTED or reader.has("sOc"):
        raw = reader.raw("sOc")
        on_change = raw if isinstance(raw, bool) else reader.choice("sOc", {"True": True, "False": False}, exact=False)
    # An interval of 0 meant on change before there was sOc; some supervisors still mean it, with an sOc of false.
    on_change = on_change or interval_ms == 0
    return Subscription(_code(reader, "sCI", "S"), reader.text("n"), interval_ms, on_change)


def _value(reader: Reader, name: str, quality: Quality, dialect: Dialect) -> Value:
    found = reader.raw(name)
    if quality.valueless and (found is None or not dialect.values_may_be_null):
        return None
    if isinstance(found, list) and dialect.arrays:
        return reader.rows(name)
    return reader.text(name)


def _status_values(reader: Reader, dialect: Dialect) -> tuple[StatusValue, ...]:
    return tuple(_status_value(each, dialect) for each in reader.objects("sS"))


def _status_value(reader: Reader, dialect: Dialect) -> StatusValue:
    quality = reader.word("q", Quality, exact=dialect.case_sensitive)
    value = _value(reader, "s", quality, dialect)
    return StatusValue(_code(reader, "sCI", "S"), reader.text("n"), value, quality)


def _status_response(reader: Reader, dialect: Dialect) -> StatusResponse:
    values = _status_values(reader, dialect)
    return StatusResponse(reader.message_id("mId"), _address(reader), reader.time("sTs"), values)


def _status_update(reader: Reader, dialect: Dialect) -> StatusUpdate:
    values = _status_values(reader, dialect)
    return StatusUpdate(reader.message_id("mId"), _address(reader), reader.time("sTs"), values)


def _command_request(reader: Reader, dialect: Dialect) -> CommandRequest:
    arguments = tuple(
        CommandArgument(
            _code(each, "cCI", "M"), each.text("n"), each.text("cO"), _value(each, "v", Quality.RECENT, dialect)
        )
        for each in reader.objects("arg")
    )
    return CommandRequest(reader.message_id("mId"), _address(reader), arguments)


def _command_response(reader: Reader, dialect: Dialect) -> CommandResponse:
    values = tuple(_command_value(each, dialect) for each in reader.objects("rvs", items_min=0))
    return CommandResponse(reader.message_id("mId"), _address(reader), reader.time("cTS"), values)


def _command_value(reader: Reader, dialect: Dialect) -> CommandValue:
    age = reader.word("age", Quality, exact=dialect.case_sensitive)
    value = None if age.valueless and reader.raw("v") is None else _value(reader, "v", Quality.RECENT, dialect)
    return CommandValue(_code(reader, "cCI", "M"), reader.text("n"), value, age)


type _Read = Callable[[Reader, Dialect], Message]

_KINDS: Final[Mapping[str, _Read]] = {
    "MessageAck": _acknowledged,
    "MessageNotAck": _refused,
    "Version": _version,
    "Watchdog": _watchdog,
    "AggregatedStatus": _aggregated_status,
    "AggregatedStatusRequest": _aggregated_status_request,
    "Alarm": _alarm,
    "StatusRequest": _status_request,
    "StatusSubscribe": _status_subscribe,
    "StatusUnsubscribe": _status_unsubscribe,
    "StatusResponse": _status_response,
    "StatusUpdate": _status_update,
    "CommandRequest": _command_request,
    "CommandResponse": _command_response,
}

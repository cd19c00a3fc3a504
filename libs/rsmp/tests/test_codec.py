"""Messages survive the wire in every core version, and no bytes do harm."""

import dataclasses
import json
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from maasloop.rsmp.decoding import DEPTH_MAX, decode
from maasloop.rsmp.dialect import DIALECTS, Dialect, OnChange, Release, common_dialect
from maasloop.rsmp.encoding import encode
from maasloop.rsmp.errors import MessageInvalid, NotSendable
from maasloop.rsmp.framing import FORM_FEED, Oversized, PacketBuffer
from maasloop.rsmp.messages import (
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
    Version,
    Watchdog,
)
from maasloop.rsmp.reading import ITEMS_MAX

ID = "d2e9a9a1-a082-44f5-b4e0-6c9233a204c0"
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Nothing is said here about time."""

NEWEST = DIALECTS[Release(3, 2, 2)]
OLDEST = DIALECTS[Release(3, 1, 2)]
WATCHDOG = {"mType": "rSMsg", "type": "Watchdog", "mId": ID, "wTs": "2026-01-01T00:00:00.000Z"}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MESSAGE_ID = st.uuids(version=4).map(str)
ADDRESS = st.builds(Address, TEXT, TEXT, TEXT)
TIME = st.datetimes(timezones=st.just(UTC)).map(lambda each: each.replace(microsecond=each.microsecond // 1000 * 1000))
ROWS = st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=3).map(tuple)


def _code(letter: str) -> st.SearchStrategy[str]:
    return st.integers(0, 9999).map(lambda each: f"{letter}{each:04}")


def _tuples(each: st.SearchStrategy[Any], least: int = 1) -> st.SearchStrategy[Any]:
    return st.lists(each, min_size=least, max_size=3).map(tuple)


@cache
def _messages(dialect: Dialect) -> st.SearchStrategy[Message]:
    """Everything that this dialect can say."""
    value = st.one_of(TEXT, ROWS) if dialect.arrays else TEXT
    missing = [Quality.UNKNOWN, Quality.UNDEFINED] if dialect.values_may_be_null else [Quality.UNKNOWN]
    there = st.sampled_from([Quality.RECENT, Quality.OLD])
    status = st.one_of(
        st.builds(StatusValue, _code("S"), TEXT, value, there),
        st.builds(StatusValue, _code("S"), TEXT, st.none(), st.sampled_from(missing)),
    )
    answer = st.one_of(
        st.builds(CommandValue, _code("M"), TEXT, value, there),
        st.builds(CommandValue, _code("M"), TEXT, st.none(), st.sampled_from([Quality.UNKNOWN, Quality.UNDEFINED])),
    )
    acts = [AlarmAct.SUSPEND, AlarmAct.RESUME, *([AlarmAct.REQUEST] if dialect.requests_state else [])]
    name = st.builds(StatusName, _code("S"), TEXT)
    rate = st.tuples(st.integers(0, 9_999_999_999), st.booleans()).filter(lambda each: each[0] > 0 or each[1])
    if dialect.on_change is OnChange.OMITTED:
        rate = rate.map(lambda each: (0, True) if each[1] else each)
    wanted = st.builds(lambda code, text, each: Subscription(code, text, *each), _code("S"), TEXT, rate)
    site = st.text(min_size=1, max_size=9)
    report = st.builds(
        AlarmReport,
        message_id=MESSAGE_ID,
        address=ADDRESS,
        code=_code("A"),
        act=st.sampled_from([AlarmAct.ISSUE, AlarmAct.ACKNOWLEDGE, AlarmAct.SUSPEND, AlarmAct.RESUME]),
        time=TIME,
        category=st.sampled_from("TD"),
        priority=st.integers(1, 3),
        values=_tuples(st.tuples(TEXT, TEXT), 0),
        external_code=TEXT,
        external_nts_code=TEXT,
    )
    state_requests = [st.builds(AggregatedStatusRequest, MESSAGE_ID, ADDRESS)] if dialect.requests_state else []
    return st.one_of(
        st.builds(Version, MESSAGE_ID, _tuples(TEXT), _tuples(site), st.sampled_from(["1.1", "1.0.15"])),
        st.builds(Watchdog, MESSAGE_ID, TIME),
        st.builds(MessageAck, MESSAGE_ID),
        st.builds(MessageNotAck, MESSAGE_ID, TEXT),
        st.builds(AggregatedStatus, MESSAGE_ID, ADDRESS, TIME, st.tuples(*[st.booleans()] * 8), st.none() | TEXT),
        st.builds(AlarmOrder, MESSAGE_ID, ADDRESS, _code("A"), st.sampled_from(acts)),
        st.builds(AlarmOrder, MESSAGE_ID, ADDRESS, _code("A"), st.just(AlarmAct.ACKNOWLEDGE), TIME),
        report,
        st.builds(StatusRequest, MESSAGE_ID, ADDRESS, _tuples(name)),
        st.builds(StatusUnsubscribe, MESSAGE_ID, ADDRESS, _tuples(name)),
        st.builds(StatusSubscribe, MESSAGE_ID, ADDRESS, _tuples(wanted)),
        st.builds(StatusResponse, MESSAGE_ID, ADDRESS, TIME, _tuples(status)),
        st.builds(StatusUpdate, MESSAGE_ID, ADDRESS, TIME, _tuples(status)),
        st.builds(
            CommandRequest, MESSAGE_ID, ADDRESS, _tuples(st.builds(CommandArgument, _code("M"), TEXT, TEXT, value))
        ),
        st.builds(CommandResponse, MESSAGE_ID, ADDRESS, TIME, _tuples(answer, 0)),
        *state_requests,
    )


SAID = st.sampled_from(list(DIALECTS.values())).flatmap(lambda each: st.tuples(st.just(each), _messages(each)))


def _packet(**changes: object) -> bytes:
    return json.dumps(WATCHDOG | changes).encode()


@PATIENT
@given(SAID)
def test_a_message_survives_the_wire(said: tuple[Dialect, Message]) -> None:
    """Decoding what was encoded gives the message back, in every core version, and a packet holds no form feed."""
    dialect, message = said
    packet = encode(message, dialect)

    assert packet.index(FORM_FEED) == len(packet) - 1
    assert decode(packet[:-1], dialect) == message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@PATIENT
@given(
    st.sampled_from(list(DIALECTS.values())), st.binary(max_size=200) | JSON.map(lambda each: json.dumps(each).encode())
)
@example(NEWEST, b"[" * 500_000)
@example(NEWEST, b'{"a":' * 200_000)
@example(NEWEST, b'"' + b'\\"' * 500_000)
@example(NEWEST, b"1" * 100_000)
@example(NEWEST, b'{"mType":"\\ud800"}')
@example(NEWEST, b'{"mType":NaN}')
@example(NEWEST, b'\xff{"mType":"rSMsg"}')
def test_any_bytes_are_a_message_or_a_named_error(dialect: Dialect, packet: bytes) -> None:
    """Whatever arrives, decoding ends with a message or a MessageInvalid."""
    with suppress(MessageInvalid):
        decode(packet, dialect)


@PATIENT
@given(SAID, st.data())
def test_a_damaged_message_is_a_message_or_a_named_error(said: tuple[Dialect, Message], data: st.DataObject) -> None:
    """A message of which one element was lost, renamed or changed is read, or refused by a reason."""
    dialect, message = said
    elements = json.loads(encode(message, dialect)[:-1])
    name = data.draw(st.sampled_from(sorted(elements)))
    elements[name] = data.draw(JSON)
    if data.draw(st.booleans()):
        del elements[name]

    with suppress(MessageInvalid):
        decode(json.dumps(elements).encode(), dialect)


@PATIENT
@given(st.lists(st.binary(max_size=8).map(lambda each: each.replace(FORM_FEED, b"")), max_size=6), st.integers(1, 5))
def test_packets_are_cut_wherever_the_stream_is_cut(packets: list[bytes], size: int) -> None:
    """However the bytes arrive, the same packets come out, and empty ones never."""
    stream = FORM_FEED + b"".join(packet + FORM_FEED for packet in packets)
    buffer = PacketBuffer()

    found = [each for at in range(0, len(stream), size) for each in buffer.feed(stream[at : at + size])]

    assert found == [packet for packet in packets if packet.strip()]


@pytest.mark.parametrize("size", [1, 3, 20])
def test_a_packet_over_the_limit_is_passed_over(size: int) -> None:
    """It is told once, and what follows its form feed is read, however the bytes arrive."""
    stream, buffer = b"1\f1234567\f22\f\f12345", PacketBuffer(4)

    found = [each for at in range(0, len(stream), size) for each in buffer.feed(stream[at : at + size])]

    told = [each.head[:5] if isinstance(each, Oversized) else each for each in found]
    assert told == [b"1", b"12345", b"22", b"12345"]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"[]", "the packet is not a JSON object"),
        (b"{", "the packet is not JSON in UTF-8"),
        (_packet(mType="other"), "mType: rSMsg is expected, got 'other'"),
        (_packet(mId="1"), "mId: a UUID of version 4 is expected, got '1'"),
        (_packet(type="Watchdddog"), "Watchdddog: core 3.2.2 has no such message"),
        (_packet(wTs="2026-13-01T00:00:00.000Z"), "Watchdog: wTs: a time of the calendar is expected"),
        (_packet(wTs=None), "Watchdog: wTs: a time like .* is expected|Watchdog: wTs: text is expected, got null"),
        (_packet(type="StatusRequest", cId="x", sS=[]), "StatusRequest: sS has 0 items"),
        (_packet(type="StatusRequest", cId="x", sS=[{}] * (ITEMS_MAX + 1)), "StatusRequest: sS has 1001 items"),
        (_packet(type="StatusRequest", cId="x", sS=[{"sCI": "S0001"}]), r"StatusRequest: sS\[0\]\.n is missing"),
        (_packet(extra=[[[[[[[[]]]]]]]]), f"arrays and objects are nested deeper than {DEPTH_MAX}"),
    ],
)
def test_a_reason_says_what_is_wrong(packet: bytes, reason: str) -> None:
    """The error names the element, what it should be and the start of what it is."""
    with pytest.raises(MessageInvalid, match=reason):
        decode(packet, NEWEST)


@pytest.mark.parametrize(
    ("packet", "message_id"),
    [
        (_packet(wTs="now"), ID),
        (_packet(mType="other"), ID),
        (_packet()[:-1], ID),
        (_packet(mId="7"), "7"),
        (_packet(mId=7), ""),
        (_packet(mId="7" * 65), ""),
        (b'{"oMId": "' + ID.encode(), ""),
    ],
)
def test_a_refusable_message_has_its_id(packet: bytes, message_id: str) -> None:
    """Whatever is wrong with a message, it is refused by the id that its sender gave it."""
    with pytest.raises(MessageInvalid) as refused:
        decode(packet, NEWEST)

    assert refused.value.message_id == message_id


def test_capitals_count_from_3_2_on() -> None:
    """Core 3.2 spells words exactly; before, peers differed in their capitals."""
    report = AlarmReport(
        ID, Address("c"), "A0001", AlarmAct.ISSUE, True, False, False, datetime(2026, 1, 1, tzinfo=UTC), "D", 2
    )
    lower = encode(report, NEWEST)[:-1].replace(b'"Active"', b'"active"')

    assert decode(lower, DIALECTS[Release(3, 1, 5)]) == report
    with pytest.raises(MessageInvalid, match="aS: one of Active, inActive is expected, got 'active'"):
        decode(lower, NEWEST)


@pytest.mark.parametrize(
    ("release", "on_change", "written"),
    [
        (Release(3, 1, 4), OnChange.OMITTED, {"uRt": "0"}),
        (Release(3, 1, 5), OnChange.BOOLEAN, {"uRt": "2.5", "sOc": True}),
        (Release(3, 2, 0), OnChange.TEXT, {"uRt": "2.5", "sOc": "True"}),
    ],
)
def test_on_change_is_said_as_each_site_wants_it(
    release: Release, on_change: OnChange, written: dict[str, object]
) -> None:
    """Older versions have no sOc, newer ones a boolean, and some sites a text against the standard."""
    dialect = dataclasses.replace(DIALECTS[release], on_change=on_change)
    wanted = Subscription("S0001", "stage", 2500, on_change=True)

    (found,) = json.loads(encode(StatusSubscribe(ID, Address("c"), (wanted,)), dialect)[:-1])["sS"]

    assert found == {"sCI": "S0001", "n": "stage"} | written


@pytest.mark.parametrize("wanted", [{}, {"ack": "Acknowledged"}, {"aTs": "2026-01-01T00:00:00.000Z"}])
def test_an_order_may_name_the_state_it_wants(wanted: dict[str, object]) -> None:
    """Some supervisors say ``ack`` in an acknowledgement; only a report says whether the alarm is active."""
    found = decode(_packet(type="Alarm", cId="c", aCId="A0302", aSp="Acknowledge", **wanted), NEWEST)

    assert isinstance(found, AlarmOrder)
    assert found.act is AlarmAct.ACKNOWLEDGE


def test_an_interval_of_0_means_on_change() -> None:
    """It did before there was sOc, and some supervisors still mean it whatever they say there."""
    wanted = {"sCI": "S0001", "n": "stage", "uRt": "0", "sOc": "False"}
    found = decode(_packet(type="StatusSubscribe", cId="c", sS=[wanted]), NEWEST)

    assert isinstance(found, StatusSubscribe)
    assert found.subscriptions == (Subscription("S0001", "stage", 0, on_change=True),)


@pytest.mark.parametrize(
    "message",
    [
        AggregatedStatusRequest(ID, Address("c")),
        AlarmOrder(ID, Address("c"), "A0001", AlarmAct.REQUEST),
        CommandRequest(ID, Address("c"), (CommandArgument("M0001", "status", "setValue", ({"a": "b"},)),)),
        StatusSubscribe(ID, Address("c"), (Subscription("S0001", "stage", 0, on_change=False),)),
        AggregatedStatus(ID, Address("c"), datetime(2026, 1, 1, tzinfo=UTC), (True,)),
    ],
)
def test_what_a_version_cannot_say_is_not_sent(message: Message) -> None:
    """Requests of state, arrays and empty subscriptions are no part of core 3.1.2."""
    with pytest.raises(NotSendable):
        encode(message, OLDEST)


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (["3.1.2", "3.1.5"], "3.1.5"),
        (["3.2", "3.1.5"], "3.2.0"),
        (["3.3.0", "3.2.2", "4", "newest"], "3.2.2"),
        (["3.3.0"], None),
        ([], None),
    ],
)
def test_the_newest_common_version_is_agreed(offered: list[str], agreed: str | None) -> None:
    """3.2 and 3.2.0 are one version, drafts and nonsense are passed over, and nothing common means no link."""
    found = common_dialect(offered, DIALECTS)

    assert (found and str(found.release)) == agreed


def test_values_of_commands_are_not_shown() -> None:
    """A security code does not reach a log through the text of a message."""
    shown = repr(CommandArgument("M0001", "securityCode", "setValue", "2222"))

    assert "2222" not in shown

"""Supervisor and site agree, report, subscribe, command and break off as the standard wants it."""

import json
from datetime import timedelta

import pytest

from maasloop.rsmp.dialect import DIALECTS, OnChange, Release
from maasloop.rsmp.encoding import encode
from maasloop.rsmp.events import (
    AggregatedStatusReported,
    AlarmReported,
    ClockTold,
    Closed,
    Established,
    PeerMistaken,
    PeerSilent,
    Refused,
    StatusReported,
)
from maasloop.rsmp.exchange_list import TLC_RELEASES
from maasloop.rsmp.framing import VERSION_BYTES_MAX
from maasloop.rsmp.messages import (
    AlarmAct,
    Quality,
    StatusName,
    Subscription,
    Watchdog,
)
from maasloop.rsmp.session import UNACKNOWLEDGED_MAX, Instant, LinkSettings, Phase
from maasloop.rsmp.site import SiteIdentity
from maasloop.rsmp.supervisor import KnownSite
from rsmp_link import CONTROLLER, DETECTOR, GROUP, NEWEST, PLAN, SITE, START, Link

HANDSHAKE = [
    "site: Version",
    "supervisor: MessageAck",
    "supervisor: Version",
    "site: MessageAck",
    "site: Watchdog",
    "supervisor: MessageAck",
    "supervisor: Watchdog",
    "site: MessageAck",
    "site: AggregatedStatus",
]
ON_CHANGE = Subscription("S0014", "status", 0, on_change=True)


def _kinds(link: Link) -> list[str]:
    return [f"{name}: {json.loads(packet)['type']}" for name, packet in link.said]


@pytest.mark.parametrize("core", DIALECTS, ids=str)
def test_the_handshake_has_its_order(core: Release) -> None:
    """Versions, then watchdogs, then the aggregated status and every alarm: nothing else in between."""
    link = Link(core=core).ready()

    assert _kinds(link)[: len(HANDSHAKE)] == HANDSHAKE
    assert link.heard(Established) == [Established((SITE,), core, TLC_RELEASES[-1])]
    assert [each.status.bits.index(True) for each in link.heard(AggregatedStatusReported)] == [5]
    alarms = {(each.report.address.component, each.report.code) for each in link.heard(AlarmReported)}
    assert {(CONTROLLER, "A0001"), (GROUP, "A0201"), (DETECTOR, "A0301")} < alarms
    assert not any(each.report.active for each in link.heard(AlarmReported))
    assert ClockTold(START) in link.site_told


@pytest.mark.parametrize(
    ("known", "identity", "reason"),
    [
        (KnownSite(CONTROLLER), SiteIdentity(("other",), "1.2.1"), "site id 'other' is not known"),
        (
            KnownSite(CONTROLLER, list_releases=frozenset([Release(1, 0, 15)])),
            SiteIdentity((SITE,), "1.2.1"),
            r"SXL 1.2.1 requested, but only [1.0.15] supported",
        ),
        (
            KnownSite(CONTROLLER, core_releases=frozenset([Release(3, 1, 5)])),
            SiteIdentity((SITE,), "1.2.1", ("3.1.2",)),
            "RSMP versions [3.1.2] requested, but only [3.1.5] supported",
        ),
    ],
)
def test_what_does_not_fit_is_rejected_with_its_reason(known: KnownSite, identity: SiteIdentity, reason: str) -> None:
    """A foreign site, list or core version is refused by MessageNotAck, and the link ends on both sides."""
    link = Link(known=known, identity=identity)
    link.pump()

    assert json.loads(link.said[-1][1])["rea"] == reason
    assert link.heard(Closed) == [Closed(reason)]
    assert link.site.phase is Phase.CLOSED


def test_versions_are_numbers_and_their_spelling_is_the_peer_s() -> None:
    """3.2 and 1.1 are understood as 3.2.0 and 1.1.0, and answered as the site spells them."""
    link = Link(identity=SiteIdentity((SITE,), "1.1", ("3.1.5", "3.2"))).ready()

    version = json.loads(link.said[2][1])
    assert version["SXL"] == "1.1"
    assert {"vers": "3.2"} in version["RSMP"]
    assert link.heard(Established)[0].core == Release(3, 2, 0)


def test_nothing_is_answered_before_the_versions() -> None:
    """A message before Version stays without an answer, so that the peer begins again."""
    link = Link()
    link.supervisor.receive(encode(Watchdog(link.new_id(), START), DIALECTS[NEWEST]), link.now)

    assert link.supervisor.take_output() == b""
    assert link.supervisor.phase is Phase.VERSIONS


def test_a_stranger_fills_little_memory() -> None:
    """Before the versions are agreed a packet is short, afterwards it may hold a whole configuration."""
    stranger, friend = Link(), Link().ready()
    stranger.supervisor.receive(b" " * (VERSION_BYTES_MAX + 1), stranger.now)
    friend.supervisor.receive(b" " * (VERSION_BYTES_MAX + 1), friend.now)

    assert (stranger.supervisor.phase, friend.supervisor.phase) == (Phase.CLOSED, Phase.READY)


def test_an_older_supervisor_may_speak_first() -> None:
    """Before core 3.1.4 both sides sent their versions at once."""
    link = Link(core=Release(3, 1, 3))
    hasty = Link(core=Release(3, 1, 3))
    hasty.supervisor.receive(link.site.take_output(), link.now)
    acknowledgement, version, _ = hasty.supervisor.take_output().split(b"\f")

    link.site.receive(version + b"\f", link.now)
    link.site.receive(acknowledgement + b"\f", link.now)

    assert link.site.phase is Phase.WATCHDOGS


def test_watchdogs_go_both_ways() -> None:
    """Each side sends one at the handshake and one a minute."""
    link = Link().ready()
    link.advance(121)
    assert _kinds(link).count("site: Watchdog") == _kinds(link).count("supervisor: Watchdog") == 3


def test_a_handshake_has_one_watchdog_of_each_side() -> None:
    """However long it takes, the second one comes when the link is ready."""
    link = Link(settings=LinkSettings(watchdog_interval_s=1))
    link.supervisor.receive(link.site.take_output(), link.now)
    link.site.receive(link.supervisor.take_output(), link.now)
    first = link.site.take_output()
    later = Instant(link.now.at_s + 5, link.now.utc)
    link.site.tick(later)

    assert first.count(b'"type":"Watchdog"') == 1
    assert not link.site.take_output()
    link.supervisor.receive(first, later)
    link.site.receive(link.supervisor.take_output(), later)
    link.site.tick(later)
    assert link.site.phase is Phase.READY
    assert b'"type":"Watchdog"' in link.site.take_output()


def test_a_missing_acknowledgement_ends_the_link() -> None:
    """After 30 s without one the link is lost."""
    link = Link().ready()
    link.supervisor.request_status(CONTROLLER, [PLAN], link.now)
    link.supervisor.take_output()
    link.supervisor.tick(Instant(29.9, START))
    assert link.supervisor.phase is Phase.READY

    link.supervisor.tick(Instant(30.0, START))

    assert link.supervisor.take_events() == [Closed("no acknowledgement of StatusRequest within 30 s")]
    assert link.supervisor.deadline_s == float("inf")


def test_silence_is_told_once() -> None:
    """A peer that sends nothing for three minutes is told of, once; the standard forbids to close the link for it."""
    link = Link().ready()
    link.supervisor._watchdog_due_s = None
    for at_s in (179.0, 180.0, 181.0):
        link.supervisor.tick(Instant(at_s, START))

    assert link.supervisor.take_events() == [PeerSilent(180.0)]
    assert link.supervisor.phase is Phase.READY


def test_a_handshake_has_a_limit() -> None:
    """A peer that says nothing does not keep a link for ever."""
    link = Link()
    link.supervisor.tick(Instant(60.0, START))

    assert link.supervisor.take_events() == [Closed("no handshake within 60 s")]


def test_subscriptions_follow_the_first_report_and_each_new_link() -> None:
    """They are sent after the aggregated status, and again when the link was lost, without being asked for again."""
    link = Link().ready()
    link.supervisor.subscribe(CONTROLLER, [ON_CHANGE], link.now)
    link.pump()
    link.cabinet.set("S0014", "status", "2")
    link.advance(1)
    assert [each.readings[0].value for each in link.heard(StatusReported)] == ["1", "2"]

    link.break_off()
    link.join()
    link.ready()
    link.cabinet.set("S0014", "status", "5")
    link.advance(1)

    assert [each.readings[0].value for each in link.heard(StatusReported)] == ["1", "2", "2", "5"]


def test_a_subscription_ends_with_its_link() -> None:
    """A site keeps only the subscriptions of statuses that it buffers; others must be made again."""
    link = Link().ready()
    link.supervisor.subscribe(CONTROLLER, [ON_CHANGE], link.now)
    link.pump()
    link.break_off()
    link.known.wanted.clear()
    link.join()
    link.ready()
    link.told.clear()
    link.cabinet.set("S0014", "status", "5")
    link.advance(2)

    assert not link.heard(StatusReported)


def test_an_interval_starts_again_at_each_change() -> None:
    """Values come at intervals, and at once when they change; unsubscribed ones come no more."""
    link = Link().ready()
    wanted = Subscription("S0014", "status", 5000, on_change=True)
    link.supervisor.subscribe(CONTROLLER, [wanted], link.now)
    link.pump()
    link.advance(3)
    link.cabinet.set("S0014", "status", "2")
    link.advance(7)
    assert [(each.time - START).total_seconds() for each in link.heard(StatusReported)] == [0, 4, 9]

    link.supervisor.unsubscribe(CONTROLLER, [PLAN], link.now)
    link.pump()
    link.advance(20)
    assert len(link.heard(StatusReported)) == 3


def test_what_is_buffered_comes_after_the_alarms_and_is_old() -> None:
    """While the link is down alarms, aggregated statuses and chosen statuses are kept with their times."""
    link = Link(buffered=frozenset([PLAN])).ready()
    stage = Subscription("S0001", "stage", 1000, on_change=False)
    link.supervisor.subscribe(CONTROLLER, [ON_CHANGE, stage], link.now)
    link.pump()
    link.break_off()
    link.told.clear()

    link.now = Instant(10.0, START + timedelta(seconds=10))
    link.cabinet.set("S0014", "status", "7")
    link.site.refresh(link.now)
    link.site.set_alarm(DETECTOR, "A0301", (), link.now, active=True)
    link.now = Instant(20.0, START + timedelta(seconds=20))
    link.site.set_alarm(DETECTOR, "A0301", (), link.now, active=False)
    link.join()
    link.ready()

    (old,) = (each for each in link.heard(StatusReported) if each.readings[0].quality is Quality.OLD)
    assert (old.readings[0].value, old.time) == ("7", START + timedelta(seconds=10))
    alarms = [each.report for each in link.heard(AlarmReported) if each.report.code == "A0301"]
    assert [(each.active, each.time) for each in alarms] == [
        (False, START + timedelta(seconds=20)),
        (True, START + timedelta(seconds=10)),
    ]


def test_what_was_not_acknowledged_is_told_again() -> None:
    """A report that was under way, or still waited, when the link broke comes with the next link."""
    link = Link(buffered=frozenset([PLAN])).ready()
    link.supervisor.subscribe(CONTROLLER, [ON_CHANGE], link.now)
    link.pump()
    changes = UNACKNOWLEDGED_MAX + 5
    for number in range(changes):
        link.now = Instant(number + 1.0, START + timedelta(seconds=number + 1))
        link.cabinet.set("S0014", "status", str(number + 2))
        link.site.refresh(link.now)
    link.break_off()
    link.told.clear()
    link.join()
    link.ready()

    old = [each for each in link.heard(StatusReported) if each.readings[0].quality is Quality.OLD]
    assert [each.readings[0].value for each in old] == [str(number + 2) for number in range(changes)]
    assert not link.state.buffer


def test_an_alarm_is_issued_acknowledged_suspended_and_resumed() -> None:
    """Each step is told with the whole state; a suspended alarm is silent, and no change is not told."""
    link = Link().ready()
    link.told.clear()

    def step(active: bool | None = None, act: AlarmAct | None = None) -> None:
        if active is not None:
            link.site.set_alarm(GROUP, "A0201", (("color", "red"),), link.now, active=active)
        if act is not None:
            link.supervisor.order_alarm(GROUP, "A0201", act, link.now)
        link.advance(1)

    step(active=True)
    step(act=AlarmAct.ACKNOWLEDGE)
    step(act=AlarmAct.SUSPEND)
    step(active=False)
    step(active=True)
    step(act=AlarmAct.RESUME)
    step(act=AlarmAct.RESUME)
    step(act=AlarmAct.REQUEST)

    found = [each.report for each in link.heard(AlarmReported)]
    assert [(each.act.value, each.active, each.acknowledged, each.suspended) for each in found] == [
        ("Issue", True, False, False),
        ("Acknowledge", True, True, False),
        ("Suspend", True, True, True),
        ("Suspend", True, False, False),
        ("Issue", True, False, False),
    ]
    assert found[0].values == (("color", "red"),)


def test_a_value_out_of_range_is_told_without_the_value() -> None:
    """What a site says against its list is no reason to refuse the rest of its message, and is not used."""
    link = Link().ready()
    link.cabinet.set("S0014", "status", "999")
    link.supervisor.request_status(CONTROLLER, [PLAN, StatusName("S0014", "source")], link.now)
    link.pump()

    (told,) = link.heard(StatusReported)
    assert [(each.value, bool(each.problem)) for each in told.readings] == [(None, True), ("calendar_clock", False)]
    assert not link.heard(Refused)


def test_damaged_bytes_are_refused_and_the_link_goes_on() -> None:
    """A message that cannot be read is refused by its id; one without an id is passed over."""
    link = Link().ready()
    answer = {"mType": "rSMsg", "type": "Watchdog", "mId": link.new_id()}
    link.supervisor.receive(json.dumps(answer).encode() + b"\f{\f", link.now)
    link.pump()

    assert json.loads(link.said[-1][1])["rea"] == "Watchdog: wTs is missing"
    assert len(link.heard(PeerMistaken)) == 2
    assert link.supervisor.phase is Phase.READY


def test_a_site_s_quirk_is_kept_on_its_links() -> None:
    """A site that wants sOc as text is given text."""
    link = Link(known=KnownSite(CONTROLLER, on_change=OnChange.TEXT)).ready()
    link.supervisor.subscribe(CONTROLLER, [ON_CHANGE], link.now)
    link.pump()

    assert b'"sOc":"True"' in b"".join(packet for _, packet in link.said)


def test_few_messages_are_under_way_and_a_watchdog_waits_for_none() -> None:
    """Further messages wait for acknowledgements, and their time-out begins when they are sent; a sign of life goes at once."""
    link = Link(settings=LinkSettings(unacknowledged_max=2, watchdog_interval_s=5, acknowledgement_timeout_s=8)).ready()
    for active in (True, False, True, False):
        link.site.set_alarm(GROUP, "A0201", (("color", "red"),), link.now, active=active)
    first = link.site.take_output()
    later = Instant(link.now.at_s + 6, link.now.utc)
    link.site.tick(later)
    second = link.site.take_output()
    link.supervisor.receive(first, later)
    link.site.receive(link.supervisor.take_output(), later)

    assert first.count(b'"type":"Alarm"') == 2
    assert (second.count(b'"type":"Alarm"'), second.count(b'"type":"Watchdog"')) == (0, 1)
    assert link.site.take_output().count(b'"type":"Alarm"') == 1
    link.site.tick(Instant(later.at_s + 7.9, later.utc))
    assert link.site.phase is Phase.READY


@pytest.mark.parametrize(("quirk", "word"), [(False, b'"sS":"Suspended"'), (True, b'"sS":"suspended"')])
def test_a_supervisor_may_want_the_older_word_of_a_suspended_alarm(quirk: bool, word: bytes) -> None:
    """Core 3.2 writes it with a capital, unless the site was told that its supervisor does not read that."""
    link = Link(identity=SiteIdentity((SITE,), "1.2.1", (str(NEWEST),), suspended_in_lower_case=quirk)).ready()
    link.supervisor.order_alarm(GROUP, "A0201", AlarmAct.SUSPEND, link.now)
    link.pump()

    assert word in b"".join(packet for _, packet in link.said)

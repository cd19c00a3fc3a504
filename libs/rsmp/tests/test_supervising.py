"""One supervisor of many sites over real sockets: it subscribes, orders, and refuses whatever it cannot understand."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from maasloop.core.clock import SystemClock
from maasloop.rsmp.commanding import CommandTimes
from maasloop.rsmp.errors import NotSendable, SheetInvalid
from maasloop.rsmp.events import AlarmReported, Closed, CommandEnded, Established, Event, Outcome, StatusReported
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.messages import AlarmAct, AlarmReport
from maasloop.rsmp.session import LinkSettings
from maasloop.rsmp.site import SiteIdentity
from maasloop.rsmp.site_state import SiteState
from maasloop.rsmp.supervised import SupervisedSite
from maasloop.rsmp.supervising import Supervision
from maasloop.rsmp.transport import SiteClient, TransportSettings
from rsmp_link import CONTROLLER, GROUP, SITE, Cabinet

CODES = {"env:LEVEL_2": "2222", "env:TELLING": "the code of today", "env:NEXT": "the code of tomorrow"}
"""Digits may be in any random id: a code that nothing else can hold shows whether it was told."""
ID = "3f2b1c9e-8d4a-4c6b-9a01-0123456789ab"
PACKET_BYTES_MAX = 4096


@dataclass
class Desk:
    """A supervision, what it told, and the sites that a test adds."""

    supervision: Supervision
    told: list[tuple[SupervisedSite | None, Event]] = field(default_factory=list)
    address: tuple[str, int] = ("", 0)
    clients: list[asyncio.Task[None]] = field(default_factory=list)

    def connect(self, site_id: str = SITE, cabinet: Cabinet | None = None) -> SiteClient:
        """Connect a site."""
        state = SiteState(cabinet or Cabinet(), tlc(TLC_RELEASES[-1]))
        settings = TransportSettings(reconnect_s=0.05)
        client = SiteClient(SiteIdentity((site_id,), "1.2.1"), state, lambda _: None, SystemClock(), settings)
        self.clients.append(asyncio.create_task(client.run(*self.address)))
        return client

    async def until[T: Event](self, kind: type[T], count: int = 1) -> list[T]:
        """Wait for events of a kind."""
        async with asyncio.timeout(50):
            while True:
                found: list[T] = [each for _, each in self.told if isinstance(each, kind)]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.01)

    async def until_alarm(self, holds: Callable[[AlarmReport], bool]) -> AlarmReport:
        """Wait for a report of an alarm for which something holds."""
        count = 1
        while True:
            told = await self.until(AlarmReported, count)
            if found := next((each.report for each in told if holds(each.report)), None):
                return found
            count = len(told) + 1


def _secret(reference: str) -> str:
    if reference not in CODES:
        raise SheetInvalid(f"security_codes: {reference} is not set")
    return CODES[reference]


def _site(site_id: str = SITE, code: str = "env:LEVEL_2") -> SupervisedSite:
    return SupervisedSite((site_id,), CONTROLLER, security_codes={2: code})


@asynccontextmanager
async def _desk(*sites: SupervisedSite) -> AsyncIterator[Desk]:
    told: list[tuple[SupervisedSite | None, Event]] = []
    settings = TransportSettings(
        commands=CommandTimes(read_back_interval_s=0.05), link=LinkSettings(packet_bytes_max=PACKET_BYTES_MAX)
    )
    supervision = Supervision(lambda *each: told.append(each), SystemClock(), settings, _secret)
    for site in sites or (_site(),):
        supervision.put(site)
    desk = Desk(supervision, told)
    desk.address = await supervision.start("127.0.0.1", 0)
    try:
        yield desk
    finally:
        for client in desk.clients:
            client.cancel()
        await asyncio.gather(*desk.clients, return_exceptions=True)
        await supervision.close()


async def test_sites_are_kept_apart() -> None:
    """Each site is subscribed to by itself, and what it tells comes with its description."""
    async with _desk(_site("A"), _site("B")) as desk:
        desk.connect("A")
        desk.connect("B")
        await desk.until(Established, 2)
        await desk.until(StatusReported, 8)

        assert desk.supervision.linked == {"A", "B"}
        assert {site.site_ids[0] for site, event in desk.told if site and isinstance(event, StatusReported)} == {
            "A",
            "B",
        }


async def test_a_command_carries_the_code_of_its_level_and_no_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    """The security code comes from its reference when it is needed, and is in nothing that is written or told."""
    caplog.set_level(logging.DEBUG)
    async with _desk(_site(code="env:TELLING")) as desk:
        cabinet = Cabinet(security_code=CODES["env:TELLING"])
        desk.connect(cabinet=cabinet)
        await desk.until(Established)
        desk.supervision.command(SITE, CONTROLLER, "M0002", {"status": "True", "timeplan": "3"})
        (ended,) = await desk.until(CommandEnded)

        assert ended.outcome is Outcome.CONFIRMED
        assert cabinet.executed == [(CONTROLLER, "M0002")]
        assert CODES["env:TELLING"] not in caplog.text + repr(desk.told)


async def test_a_code_gives_way_to_the_next_and_no_log_has_either(caplog: pytest.LogCaptureFixture) -> None:
    """Both codes of M0103 come from their references; without a next one nothing is sent."""
    caplog.set_level(logging.DEBUG)
    today, tomorrow = CODES["env:TELLING"], CODES["env:NEXT"]
    async with _desk(replace(_site(code="env:TELLING"), next_security_codes={2: "env:NEXT"})) as desk:
        cabinet = Cabinet(security_code=today)
        desk.connect(cabinet=cabinet)
        await desk.until(Established)
        with pytest.raises(NotSendable, match="level 1"):
            desk.supervision.command(SITE, CONTROLLER, "M0103", {"status": "Level1"})
        desk.supervision.command(SITE, CONTROLLER, "M0103", {"status": "Level2"})
        (ended,) = await desk.until(CommandEnded)

        assert (ended.outcome, cabinet.executed) == (Outcome.ACCEPTED, [(CONTROLLER, "M0103")])
        assert cabinet.security_code == tomorrow
        assert not [code for code in (today, tomorrow) if code in caplog.text + repr(desk.told)]


async def test_a_wrong_code_is_the_sites_refusal() -> None:
    """The site's reason comes back, without the code."""
    CODES["env:WRONG"] = "9999"
    async with _desk(_site(code="env:WRONG")) as desk:
        desk.connect()
        await desk.until(Established)
        desk.supervision.command(SITE, CONTROLLER, "M0002", {"status": "True", "timeplan": "3"})
        (ended,) = await desk.until(CommandEnded)

    assert (ended.outcome, ended.detail) == (Outcome.REFUSED, "wrong security code")


async def test_what_cannot_be_sent_says_why() -> None:
    """Without a link, a code, or such a command nothing is sent; commands that the list reserves never are."""
    async with _desk(_site(code="env:MISSING")) as desk:
        plan = {"status": "True", "timeplan": "3"}
        with pytest.raises(NotSendable, match="no link"):
            desk.supervision.command(SITE, CONTROLLER, "M0002", plan)
        desk.connect()
        await desk.until(Established)
        with pytest.raises(SheetInvalid, match="env:MISSING is not set"):
            desk.supervision.command(SITE, CONTROLLER, "M0002", plan)
        with pytest.raises(NotSendable, match="M9999"):
            desk.supervision.command(SITE, CONTROLLER, "M9999", plan)
        with pytest.raises(NotSendable, match="level 1"):
            desk.supervision.command(SITE, CONTROLLER, "M0104", {})


async def test_alarms_are_acknowledged_and_suspended() -> None:
    """An alarm is told, and what is ordered about it comes back as its state."""
    async with _desk() as desk:
        client = desk.connect()
        await desk.until(Established)
        client.do(lambda session, now: session.set_alarm(GROUP, "A0008", (), now, active=True))
        await desk.until_alarm(lambda report: report.active)
        desk.supervision.order_alarm(SITE, GROUP, "A0008", AlarmAct.ACKNOWLEDGE)
        desk.supervision.order_alarm(SITE, GROUP, "A0008", AlarmAct.SUSPEND)
        last = await desk.until_alarm(lambda report: report.suspended)

    assert (last.active, last.acknowledged, last.suspended) == (True, True, True)


async def test_a_changed_description_makes_the_link_anew() -> None:
    """The same description changes nothing; another one ends the link, and the site comes back."""
    async with _desk() as desk:
        desk.connect()
        await desk.until(Established)
        desk.supervision.put(_site())
        assert desk.supervision.linked == {SITE}

        desk.supervision.put(SupervisedSite((SITE,), CONTROLLER, status_interval_s=5))
        assert await desk.until(Closed) == [Closed("the site's description changed")]
        await desk.until(Established, 2)


@dataclass
class Peer:
    """A site made of packets that a test writes itself."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, body: dict[str, object] | bytes) -> None:
        """Send a packet."""
        text = body if isinstance(body, bytes) else json.dumps({"mType": "rSMsg", **body}).encode()
        self.writer.write(text + b"\f")
        await self.writer.drain()

    async def hear(self, kind: str) -> dict[str, str]:
        """Return the next message of a kind."""
        async with asyncio.timeout(50):
            while True:
                found: dict[str, str] = json.loads((await self.reader.readuntil(b"\f"))[:-1])
                if found["type"] == kind:
                    return found

    async def shake_hands(self) -> None:
        """Agree on core 3.2.2 and list 1.2.1."""
        await self.say(_version())
        version = await self.hear("Version")
        await self.say({"type": "MessageAck", "oMId": version["mId"]})
        await self.say({"type": "Watchdog", "mId": ID, "wTs": "2026-01-01T00:00:00.000Z"})
        watchdog = await self.hear("Watchdog")
        await self.say({"type": "MessageAck", "oMId": watchdog["mId"]})


def _version(site_id: str = SITE, listed: str = "1.2.1", core: str = "3.2.2") -> dict[str, object]:
    return {"type": "Version", "mId": ID, "RSMP": [{"vers": core}], "siteId": [{"sId": site_id}], "SXL": listed}


def _head(kind: str) -> dict[str, object]:
    return {"type": kind, "mId": ID, "ntsOId": "", "xNId": "", "cId": CONTROLLER}


@asynccontextmanager
async def _peer(desk: Desk) -> AsyncIterator[Peer]:
    peer = Peer(*await asyncio.open_connection(*desk.address))
    try:
        yield peer
    finally:
        peer.writer.close()


REFUSED: tuple[tuple[dict[str, object] | bytes, str], ...] = (
    (f'{{"mType": "rSMsg", "type": "Watchdog", "mId": "{ID}", "wTs":'.encode(), "JSON"),
    ({"mType": "other", "type": "Watchdog", "mId": ID}, "mType"),
    ({"mId": ID}, "type is missing"),
    ({"type": "Nonsense", "mId": ID}, "Nonsense"),
    ({"type": "Watchdog", "mId": ID, "wTs": "yesterday"}, "wTs"),
    ({**_head("StatusUpdate"), "sTs": "2026-01-01T00:00:00.000Z", "sS": "all"}, "sS"),
    (
        {
            **_head("StatusUpdate"),
            "sTs": "2026-01-01T00:00:00.000Z",
            "sS": [{"sCI": "S9999", "n": "x", "s": "1", "q": "recent"}],
        },
        "S9999",
    ),
    (
        {
            **_head("CommandResponse"),
            "cTS": "2026-01-01T00:00:00.000Z",
            "rvs": [{"cCI": "M9999", "n": "x", "v": "1", "age": "recent"}],
        },
        "M9999",
    ),
    ({**_head("CommandRequest"), "arg": [{"cCI": "M0002", "n": "status", "cO": "setPlan", "v": "True"}]}, "supervisor"),
    (_version(), "already"),
)


@pytest.mark.parametrize(("message", "reason"), REFUSED)
async def test_what_is_not_understood_is_refused_with_its_reason(
    message: dict[str, object] | bytes, reason: str
) -> None:
    """Malformed, unknown, out of order: MessageNotAck, and the link goes on."""
    async with _desk() as desk, _peer(desk) as peer:
        await peer.shake_hands()
        await peer.say(message)
        refused = await peer.hear("MessageNotAck")
        await peer.say(
            {**_head("AggregatedStatus"), "aSTS": "2026-01-01T00:00:00.000Z", "fP": None, "fS": None, "se": [False] * 8}
        )

        assert refused["oMId"] == ID
        assert reason in refused["rea"]
        assert (await peer.hear("MessageAck"))["oMId"] == ID


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (_version(site_id="RN+SI0002"), "RN+SI0002"),
        (_version(listed="1.0.13"), "1.0.13"),
        (_version(core="2.0.0"), "2.0.0"),
        (_version(listed="newest"), "newest"),
        ({**_version(), "siteId": []}, "siteId"),
    ],
)
async def test_a_version_that_does_not_fit_is_refused_and_the_link_closed(
    version: dict[str, object], reason: str
) -> None:
    """Foreign ids, lists and core versions, or none, get their reason, and the connection ends."""
    async with _desk() as desk, _peer(desk) as peer:
        await peer.say(version)
        assert reason in (await peer.hear("MessageNotAck"))["rea"]
        async with asyncio.timeout(50):
            assert await peer.reader.read() == b""


async def test_nothing_before_the_version_is_answered() -> None:
    """A message before the versions gets no acknowledgement, nor do bytes that are no message; a version still does."""
    async with _desk() as desk, _peer(desk) as peer:
        await peer.say({"type": "Watchdog", "mId": ID, "wTs": "2026-01-01T00:00:00.000Z"})
        await peer.say(b"\xff{")
        await peer.say(_version())
        first = json.loads((await peer.reader.readuntil(b"\f"))[:-1])

    assert (first["type"], first["oMId"]) == ("MessageAck", ID)


async def test_a_packet_over_the_limit_is_refused_and_the_link_goes_on() -> None:
    """It gets its reason, and what follows it an answer."""
    async with _desk() as desk, _peer(desk) as peer:
        await peer.shake_hands()
        await peer.say({"type": "Watchdog", "mId": ID, "wTs": "x" * PACKET_BYTES_MAX})
        assert "exceeds 4096 bytes" in (await peer.hear("MessageNotAck"))["rea"]
        await peer.say({"type": "Watchdog", "mId": ID, "wTs": "2026-01-01T00:00:00.000Z"})
        assert (await peer.hear("MessageAck"))["oMId"] == ID

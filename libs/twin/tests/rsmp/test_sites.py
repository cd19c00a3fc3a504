"""The junctions of a play that speak RSMP, and their supervisor, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from maasloop.core.clock import SystemClock
from maasloop.rsmp.events import CommandAccepted, Event, StatusReported
from maasloop.rsmp.supervised import read_site as read_supervised
from maasloop.rsmp.transport import SupervisorServer
from maasloop.twin.play.cast import every_second
from maasloop.twin.play.sites import Sites, Supervision
from maasloop.twin.rsmp.registered import registered
from maasloop.twin.rsmp.street_cabinet import COMPONENT
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import Junction, read_site

BEGIN = 1_767_225_600
CODE = "2222"
WAIT_S = 50


@dataclass
class Street:
    """Some junctions with their links up, and what their supervisor heard."""

    junctions: list[Junction]
    server: SupervisorServer
    sites: Sites
    heard: list[Event]
    arrived: list[int]
    news: asyncio.Event
    second: int = BEGIN
    loops: dict[str, LoopReading] = field(default_factory=dict)

    def live(self) -> int:
        """Let a second pass; return how many states of signals are on their way."""
        self.second += 1
        self.sites.show(self.second)
        return self.sites.tell(self.second, self.loops)

    def order(self, code: str, **values: str) -> None:
        """Send an order to the first site."""
        link = self.server.link(self.junctions[0].id)
        assert link is not None
        wanted = {"securityCode": CODE, **values}
        link.do(lambda session, now: session.command(COMPONENT, code, wanted, now))

    def shown_at(self) -> list[float]:
        """Return the times of the signal states that the supervisor heard, all sites together."""
        told = [each for each in self.heard if isinstance(each, StatusReported)]
        return [each.time.timestamp() for each in told if any(one.name == "signalgroupstatus" for one in each.readings)]

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for something that comes over a socket."""
        async with asyncio.timeout(WAIT_S):
            while not done():
                self.news.clear()
                await self.news.wait()


@pytest.fixture(scope="module", name="junctions")
def _junctions() -> list[Junction]:
    site = read_site(load_scenario("cologne8"))
    by_bands = every_second(site)
    return [junction for junction in site.junctions if junction.id in by_bands]


@asynccontextmanager
async def linked(junctions: list[Junction]) -> AsyncIterator[Street]:
    """Let junctions be sites of a supervisor."""
    known = {each.id: read_supervised(registered(each, each.id, "env:CODE")["rsmp"]).known() for each in junctions}
    heard: list[Event] = []
    arrived: list[int] = []
    news = asyncio.Event()

    def hear(_: object, event: Event) -> None:
        heard.append(event)
        news.set()

    server = SupervisorServer(known.get, hear, SystemClock())
    host, port = await server.start("127.0.0.1", 0)
    sites = Sites(Supervision(host, port, CODE, "env:CODE"), SystemClock(), lambda: arrived.append(1))
    for junction in junctions:
        sites.add(junction, junction.id, BEGIN)
    loops = {loop.id: LoopReading(0, 0.0) for junction in junctions for loop in junction.loops}
    street = Street(junctions, server, sites, heard, arrived, news, loops=loops)
    try:
        async with sites.linked():
            await street.until(lambda: len(street.shown_at()) == len(junctions))
            yield street
    finally:
        await server.close()


async def test_each_site_tells_its_signals_once_a_second_of_the_street(junctions: list[Junction]) -> None:
    """Seconds of the street may be short or long: each has one state a site, at its very beginning."""
    async with linked(junctions) as street:
        told = [street.live() for _ in range(5)]
        await street.until(lambda: len(street.shown_at()) >= len(junctions) * 6)

    assert told == [len(junctions)] * 5
    each = [BEGIN + 1 + number for number in range(5) for _ in junctions]
    assert sorted(street.shown_at())[len(junctions) :] == each


async def test_a_plan_with_bands_is_one_command_and_so_is_a_row_of_inputs(junctions: list[Junction]) -> None:
    """What has arrived is counted as the platform counts its commands."""
    async with linked(junctions) as street:
        for _ in range(2):
            street.order("M0002", status="True", timeplan="2")
            street.order("M0023", status="2")
            street.order("M0014", plan="2", status="1-5,2-5")
            street.order("M0019", status="True", input="1", inputValue="True")
            street.order("M0019", status="True", input="2", inputValue="False")
            street.live()
        await street.until(lambda: sum(isinstance(each, CommandAccepted) for each in street.heard) == 10)

    assert len(street.arrived) == 4
    assert street.sites.by_id[junctions[0].id].cabinet.device.plan == 2


async def test_without_links_nothing_is_on_its_way(junctions: list[Junction]) -> None:
    """Nobody is to wait for what no link carries."""
    sites = Sites(Supervision("127.0.0.1", 9, CODE, "env:CODE"), SystemClock())
    sites.add(junctions[0], junctions[0].id, BEGIN)
    loops = {loop.id: LoopReading(0, 0.0) for loop in junctions[0].loops}
    sites.show(BEGIN + 1)

    assert sites.tell(BEGIN + 1, loops) == 0


def test_the_registry_is_told_all_that_the_free_plan_leaves_open(junctions: list[Junction]) -> None:
    """Bands and inputs of the section for the platform are those of the data sheet."""
    for junction in junctions:
        config = registered(junction, junction.id, "env:CODE")
        stages = config["bands"]["stages"]
        plans = {plan["id"]: plan["bands"] for plan in config["controls"]["plans"]}

        assert plans[2] == [[number, stage["band_max_s"]] for number, stage in enumerate(stages, start=1)]
        inputs = [stage[name] for stage in stages for name in ("call_input", "hold_input")]
        assert config["controls"]["inputs"] == inputs

"""A junction of the street and a supervisor, over a real socket."""

import asyncio
from contextlib import suppress

from maasloop.core.clock import SystemClock
from maasloop.rsmp.commanding import CommandTimes
from maasloop.rsmp.events import CommandEnded, Established, Event, Outcome, StatusReported
from maasloop.rsmp.supervised import read_site as read_supervised
from maasloop.rsmp.transport import SupervisorServer, TransportSettings
from maasloop.twin.rsmp.secret import SecurityCodes
from maasloop.twin.rsmp.street_cabinet import COMPONENT
from maasloop.twin.rsmp.street_site import StreetSite
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import read_site

PLAN_2 = {"status": "True", "securityCode": "2222", "timeplan": "2"}
BEGIN = 1_767_225_600


async def test_a_junction_tells_its_seconds_and_takes_a_plan() -> None:
    """Signal states come with the time of the street, and a command is confirmed by what the junction tells."""
    junction = max(read_site(load_scenario("cologne3")).junctions, key=lambda each: len(each.local.steps))
    site = StreetSite(junction, SecurityCodes({1: "1111", 2: "2222"}), SystemClock(), lambda _: None)
    known = read_supervised(site.cabinet.description(junction.id, {1: "env:A", 2: "env:B"})).known()
    heard: list[Event] = []
    settings = TransportSettings(commands=CommandTimes(read_back_interval_s=0.05))
    server = SupervisorServer({junction.id: known}.get, lambda _, event: heard.append(event), SystemClock(), settings)
    host, port = await server.start("127.0.0.1", 0)
    running = asyncio.create_task(site.run(host, port))
    second = BEGIN
    try:
        async with asyncio.timeout(50):
            while not any(isinstance(each, CommandEnded) for each in heard):
                second += 1
                site.show(second)
                site.tell(second, dict.fromkeys((loop.id for loop in junction.loops), LoopReading(0, 0.0)))
                link = server.link(junction.id)
                if link is not None and second == BEGIN + 100:
                    link.do(lambda session, now: session.command(COMPONENT, "M0002", PLAN_2, now))
                if link is None and second == BEGIN + 99:
                    second -= 1
                await asyncio.sleep(0.005)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await server.close()

    ended = next(each for each in heard if isinstance(each, CommandEnded))
    told = [each for each in heard if isinstance(each, StatusReported) and each.readings[0].code == "S0001"]
    assert any(isinstance(each, Established) for each in heard)
    assert ended.outcome is Outcome.CONFIRMED
    assert site.cabinet.device.plan == 2
    assert all(BEGIN <= each.time.timestamp() < second + 1 for each in told)
    assert told

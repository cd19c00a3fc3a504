"""While every service is restarted in turn, as an upgrade replaces pods, a junction is led, and no command is forgotten."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.e2e.crossing import Field, register

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.stack.servers.databases import SERVICES
from maasloop.twin.street.judge import judge_states
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.site import read_site

if TYPE_CHECKING:
    from tests.e2e.conftest import Town

    from maasloop.stack.local import LocalStack

IN_TURN = (("notification", "consent", "ingest"), ("device-registry", "timeseries"), ("actuation",))
"""All services; the loop is seen to go on after each part."""
LED_TIMEOUT_S = 150
OUTCOME_TIMEOUT_S = 120
OPEN = {Command.STATE_ACCEPTED, Command.STATE_DISPATCHED, Command.STATE_ACKNOWLEDGED}


@pytest.mark.timeout(900)
async def test_a_junction_is_led_through_an_upgrade(town: "Town", shared_stack: "LocalStack") -> None:
    """It is left to its own programme for a cycle at most, shows nothing forbidden, and each command has an outcome."""
    site = read_site(load_scenario("cologne1"))
    junction = site.junctions[0]
    await register(town, junction)
    upgraded = asyncio.Event()
    async with town.link(junction.id) as link:
        field = Field(link, junction, again=True)
        living = asyncio.create_task(field.live(town, lambda _: upgraded.is_set()))
        try:
            await _led(town, field)
            began_s = field.shown[-1][0]
            for services in IN_TURN:
                for service in services:
                    await asyncio.to_thread(shared_stack.services[service].stop)
                    shared_stack.services[service].start()
                    await shared_stack.wait_ready(service)
                await _led(town, field)
            ends_s = field.shown[-1][0]
            issued = {one.name for one in await town.commands(junction.id)}
            forgotten = await _without_outcome(town, junction.id, issued)
        finally:
            upgraded.set()
            await living

    alone = [second for second in field.left_alone if began_s < second <= ends_s]
    assert _longest(alone) <= junction.local.cycle_s
    assert len(issued) > len(IN_TURN)
    assert forgotten == set()
    assert judge_states(site.scenario.net, junction.tls, field.shown) == []
    assert field.device.conflicts_seen == 0


def test_every_service_is_restarted() -> None:
    """The parts are all services, each once."""
    assert sorted(each for part in IN_TURN for each in part) == sorted(SERVICES)


def test_the_longest_time_alone_is_found() -> None:
    """Seconds that follow each other count together, and led ones between them end a run."""
    assert [_longest([]), _longest([5]), _longest([1, 2, 3, 7, 8])] == [0, 1, 3]


async def _led(town: "Town", field: Field) -> None:
    """Return when the junction has taken another sequence and plays what it was told."""
    before = len(field.ends)

    async def led() -> bool:
        return field.device.remote and len(field.ends) > before

    await town.until(led, timeout_s=LED_TIMEOUT_S)


async def _without_outcome(town: "Town", junction: str, issued: set[str]) -> set[str]:
    """Return which of these commands have no outcome when each should have one."""
    open_ones = set(issued)

    async def settled() -> bool:
        found = {one.name for one in await town.commands(junction) if one.state not in OPEN}
        open_ones.difference_update(found)
        return not open_ones

    try:
        await town.until(settled, timeout_s=OUTCOME_TIMEOUT_S)
    except TimeoutError:
        return open_ones
    return set()


def _longest(seconds: list[int]) -> int:
    """Return the length of the longest run of seconds that follow each other."""
    longest = run = 0
    for before, second in zip([None, *seconds], seconds, strict=False):
        run = run + 1 if before is not None and second == before + 1 else 1
        longest = max(longest, run)
    return longest

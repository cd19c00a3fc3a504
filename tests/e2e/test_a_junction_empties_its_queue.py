"""A junction empties its queue: who waits at red is given green by a sequence that the field plays and a reading proves."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.e2e.crossing import Field, register

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.twin.street.judge import judge_states
from maasloop.twin.street.network import GREEN, WAIT_MAX_S
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.site import read_site

if TYPE_CHECKING:
    from tests.e2e.conftest import Town


@pytest.mark.timeout(240)
async def test_a_junction_empties_its_queue(town: "Town") -> None:
    """A queue at red gets green within the maximum wait, by a sequence that ends verified, and no rule is broken."""
    site = read_site(load_scenario("cologne1"))
    junction = site.junctions[0]
    await register(town, junction)
    async with town.link(junction.id) as link:
        field = Field(link, junction)
        async with asyncio.timeout(WAIT_MAX_S + 60):
            await field.empty(town)

        async def verified() -> list[Command]:
            return [
                one
                for one in await town.commands(junction.id)
                if one.state == Command.STATE_VERIFIED
                and field.ends.get(one.name.rsplit("/", 1)[-1], "r" * 99)[field.group] in GREEN
            ]

        found = await town.until(verified)

    assert field.moving_from_s - field.since_s <= WAIT_MAX_S
    assert {one.reason for one in found} == {"EFFECT_OBSERVED"}
    assert found[0].issuer.startswith("controllers/")
    assert judge_states(site.scenario.net, junction.tls, field.shown) == []
    assert field.device.conflicts_seen == 0

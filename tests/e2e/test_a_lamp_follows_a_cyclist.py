"""A lamp follows a cyclist: three lamps light up one after the other, and each goes back to its floor."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.e2e.cabinet import FACTS, LAMPS, Cabinet, follow, register, verified

from maasloop.twin.devices.readings import Reading

if TYPE_CHECKING:
    from tests.e2e.conftest import Town


@pytest.mark.timeout(180)
async def test_a_lamp_follows_a_cyclist(town: "Town") -> None:
    """Each lamp that the cyclist reaches is raised in turn, dimmed after the hold, and both are proven by its meter."""
    await register(town)
    await follow(town)
    floor, bright = FACTS.floor_percent, FACTS.class_level_percent
    async with town.link("cabinet", *LAMPS) as link:
        cabinet = Cabinet(link)
        living = [asyncio.create_task(cabinet.obey()), asyncio.create_task(cabinet.tick(town))]
        await town.record(Reading("dusk", "illuminance", town.now_us(), 2.0))
        for lamp in LAMPS:
            await cabinet.see(town, lamp, 0.0)
        for lamp in LAMPS:
            await verified(town, lamp, floor, 1)

        for lamp in LAMPS:
            await cabinet.see(town, lamp, 1.0)
            await verified(town, lamp, bright, 1)
            await cabinet.see(town, lamp, 0.0)
        for lamp in LAMPS:
            await verified(town, lamp, floor, 2)

        async def dimmed() -> bool:
            return all(lamp.level_percent == floor for lamp in cabinet.lamps.values())

        await town.until(dimmed)
        faults = [lamp.floor_violations + lamp.ramp_violations for lamp in cabinet.lamps.values()]
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)

    raised = [device for device, level in cabinet.targets if level == bright]
    assert raised == list(LAMPS)
    assert faults == [0] * len(LAMPS)
    for lamp in LAMPS:
        found = await town.commands(lamp)
        assert {one.reason for one in found} == {"EFFECT_OBSERVED"}
        assert {one.issuer for one in found} == {"policies/follow"}
        raising = [one for one in found if one.setpoint.light_level.level_percent == bright]
        assert all(one.cause.startswith(f"{lamp}/presence@") for one in raising)

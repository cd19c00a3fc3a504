"""Overrides at work: they hold what they hold, and give way to who asks later with the same right."""

from dataclasses import replace

import pytest

from maasloop.actuation.domain import holding
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.facts import Capability, Device
from maasloop.actuation.domain.issuing import Request, issue
from maasloop.actuation.domain.lamps.lamp import Lamp
from maasloop.actuation.domain.override import Override
from maasloop.actuation.domain.reading import SECOND_US
from maasloop.actuation.domain.setpoint import LightLevel

BEGIN = 900
LASTS_S = 100


@pytest.fixture
def city() -> City:
    """Return a city with one lamp."""
    city = City()
    city.capabilities["streetlight"] = frozenset({Capability.LIGHT_LEVEL})
    lamp = Lamp(100.0, 2.0, 80.0, 20.0)
    city.district("noord").facts.put(Device("lamp-1", "streetlight", (), active=True, lamp=lamp))
    return city


def _prove(district: District, command: Command) -> None:
    district.keep(replace(command, state=State.VERIFIED, reason="EFFECT_OBSERVED"))


def test_a_newer_command_of_the_same_rank_lasts_until_it_expires(city: City) -> None:
    """An override does not take back at once what another operator asked for after it, but when that is over."""
    district = city.district("noord")
    override = Override(
        id="o",
        district="noord",
        device="lamp-1",
        setpoint=LightLevel(40.0, 0.0),
        authority=Authority.OPERATOR,
        end_us=(BEGIN + 3_600) * SECOND_US,
        justification="test",
        create_time_us=1,
    )
    district.overrides[override.id] = override
    _prove(district, holding.begin(city, district, override, Moment(BEGIN * SECOND_US, 1)).commands[-1])
    request = Request(
        device="lamp-1",
        setpoint=LightLevel(90.0, 0.0),
        authority=Authority.OPERATOR,
        issuer="callers/unidentified",
        cause="test",
        seed="newer",
        expire_us=(BEGIN + LASTS_S) * SECOND_US,
    )
    moment = Moment(BEGIN * SECOND_US + 1, 2)
    _prove(district, issue(district, city.capabilities["streetlight"], request, moment).commands[-1])

    taken = [
        second
        for second in range(BEGIN + 1, BEGIN + 2 * LASTS_S)
        for command in holding.refresh(city, district, Moment(second * SECOND_US, 3)).commands
        if command.issuer == override.issuer
    ]

    assert min(taken) >= BEGIN + LASTS_S

"""The lamp: ramps, power, fail-on, and a record that no command can improve."""

import pytest

from maasloop.twin.devices.lamp import Lamp, LampFacts, LightCommand

FACTS = LampFacts(
    installed_power_w=40.0, standby_power_w=1.0, lighting_class="P4", class_level_percent=80.0, floor_percent=30.0
)


def command(
    level_percent: float, *, ramp_s: float = 0.0, at: float = 1, expires: float = 1000, name: str = "c1"
) -> LightCommand:
    """Return a command for the lamp."""
    return LightCommand(name, level_percent, ramp_s, at, expires)


def run(lamp: Lamp, first: int, last: int) -> list[float]:
    """Let seconds pass and return the level in each."""
    levels = []
    for second in range(first, last + 1):
        lamp.tick(second)
        levels.append(lamp.level_percent)
    return levels


def test_a_lamp_without_a_command_burns_at_its_class_level() -> None:
    """Nobody speaks to it, so it gives the light that its class asks for."""
    lamp = Lamp(FACTS)

    assert run(lamp, 1, 3) == [80.0, 80.0, 80.0]
    assert not lamp.commanded


def test_a_ramp_is_played_in_street_seconds() -> None:
    """A descent of 50 % in 50 s takes 1 % a second and ends exactly at the target."""
    lamp = Lamp(FACTS)
    lamp.take(command(30.0, ramp_s=50.0))
    levels = run(lamp, 1, 51)

    assert pytest.approx(levels[0]) == 79.0
    assert pytest.approx(levels[24]) == 55.0
    assert 30.0 == levels[49] == levels[50]
    assert 0 == lamp.floor_violations == lamp.ramp_violations


def test_a_command_waits_for_its_time() -> None:
    """Nothing moves before ``not_before``."""
    lamp = Lamp(FACTS)
    lamp.take(command(30.0, at=5))

    assert run(lamp, 1, 5) == [80.0] * 4 + [30.0]


def test_a_known_id_is_dropped() -> None:
    """The same command sent again changes nothing."""
    lamp = Lamp(FACTS)

    assert lamp.take(command(30.0))
    run(lamp, 1, 1)
    lamp.take(command(80.0, name="c2", at=2))
    run(lamp, 2, 2)
    assert not lamp.take(command(30.0))
    assert run(lamp, 3, 3) == [80.0]


def test_an_expired_command_leaves_the_lamp_at_its_class_level() -> None:
    """Silence of the platform makes light (fail-on), over two seconds."""
    lamp = Lamp(FACTS)
    lamp.take(command(30.0, expires=10))
    run(lamp, 1, 9)

    assert run(lamp, 10, 12) == [55.0, 80.0, 80.0]
    assert not lamp.commanded


def test_a_released_lamp_returns_to_its_class_level() -> None:
    """Local control is the class level."""
    lamp = Lamp(FACTS)
    lamp.take(command(30.0))
    run(lamp, 1, 2)
    lamp.release(3)

    assert run(lamp, 3, 4) == [55.0, 80.0]


def test_power_follows_the_level() -> None:
    """Standby and the share of the rest."""
    lamp = Lamp(FACTS)
    lamp.take(command(50.0))
    run(lamp, 1, 1)

    assert lamp.power_w == 20.5


def test_the_lamp_records_what_a_kernel_should_have_refused() -> None:
    """A level under the floor and a sudden descent are counted by the lamp itself."""
    lamp = Lamp(FACTS)
    lamp.take(command(10.0))
    run(lamp, 1, 5)

    assert lamp.floor_violations == 5
    assert lamp.ramp_violations == 1


def test_energy_is_metered_against_the_class_level() -> None:
    """An hour at the floor uses what the floor uses."""
    lamp = Lamp(FACTS)
    lamp.take(command(30.0, expires=10_000))
    run(lamp, 1, 3600)

    assert FACTS.power_w(30.0) == pytest.approx(lamp.used_wh)
    assert FACTS.power_w(80.0) == pytest.approx(lamp.class_wh)

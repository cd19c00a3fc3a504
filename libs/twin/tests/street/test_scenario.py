"""Which scenarios are there by name, and what is said of one that is not whole."""

from pathlib import Path

import pytest

from maasloop.twin.street.scenario import load_scenario, scenario_names
from maasloop.twin.street.site import read_site


@pytest.mark.parametrize("name", ["2x2grid", "3x3grid", "4x4-Lucas", "Nguyen", "double", "grid4x4", "ingolstadt21"])
def test_each_directory_of_the_wheel_is_a_scenario(name: str) -> None:
    """Its directory names it, wherever that lies and with or without a configuration, and its junctions have data sheets."""
    assert name in scenario_names()
    assert read_site(load_scenario(name)).junctions


def test_the_configuration_named_like_its_directory_comes_first() -> None:
    """The directory ``simple`` has one for another program beside its own."""
    assert load_scenario("simple").name == "simple"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A scenario without its network or its demand is refused with the file, before anything is started."""
    config = tmp_path / "other.sumocfg"
    config.write_text('<configuration><input><net-file value="nowhere.net.xml"/></input></configuration>')
    with pytest.raises(LookupError, match=r"nowhere\.net\.xml, which does not exist"):
        load_scenario(str(config))
    net = load_scenario("cologne1").net
    files = f'<net-file value="{net}"/><route-files value="nowhere.rou.xml"/>'
    config.write_text(f"<configuration><input>{files}</input></configuration>")
    with pytest.raises(LookupError, match=r"nowhere\.rou\.xml, which does not exist"):
        load_scenario(str(config))


@pytest.mark.parametrize(
    ("begin", "end", "seconds"),
    [
        ("25200", "28800.00", (25200, 28800)),
        ("15:0:0", "16:30:00", (54000, 59400)),
        ("1:0:0:0", "1:01:00:00", (86400, 90000)),
    ],
)
def test_times_are_read_as_sumo_writes_them(tmp_path: Path, begin: str, end: str, seconds: tuple[int, int]) -> None:
    """Seconds, hours with minutes and seconds, and days before them."""
    config = tmp_path / "other.sumocfg"
    net = load_scenario("cologne1").net
    times = f'<begin value="{begin}"/><end value="{end}"/>'
    config.write_text(f'<configuration><net-file value="{net}"/>{times}</configuration>')
    scenario = load_scenario(str(config))
    assert (scenario.begin_s, scenario.end_s) == seconds


def test_a_time_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It is refused with what is written there."""
    config = tmp_path / "other.sumocfg"
    net = load_scenario("cologne1").net
    config.write_text(f'<configuration><net-file value="{net}"/><begin value="noon"/></configuration>')
    with pytest.raises(LookupError, match="begin='noon'"):
        load_scenario(str(config))

"""The living picture: drawn in a terminal, told in lines elsewhere."""

import io
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from maasloop.core.clock import FakeClock
from maasloop.twin.demo.picture import LINE_EVERY_S, Picture, Scene
from maasloop.twin.demo.watching import Watching
from maasloop.twin.devices.controller import SignalController
from maasloop.twin.play.baseline import Baseline
from maasloop.twin.play.delay_so_far import DelayMeter
from maasloop.twin.play.run import Play
from maasloop.twin.play.sites import Sites, Supervision
from maasloop.twin.play.tally import Tally
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.site import read_site


@pytest.fixture(name="scene")
def _scene() -> Scene:
    """A scene as it is after some seconds."""
    junction = read_site(load_scenario("cologne1")).junctions[0]
    controller = SignalController(junction)
    controller.show(1)
    lamps = [SimpleNamespace(lamp=SimpleNamespace(level_percent=level)) for level in (30.0, 30.0, 80.0)]
    other = read_site(load_scenario("cologne3")).junctions[0]
    sites = Sites(Supervision("127.0.0.1", 9, "2222", "env:CODE"), FakeClock())
    sites.add(other, other.id, 1)
    sites.by_id[other.id].cabinet.device.select_plan(2)
    queues = {junction.id: 3}
    street = SimpleNamespace(controllers={junction.id: controller}, sites=sites, queues=queues, lamps=lamps)
    tally = Tally(readings_sent=4_000)
    tally.latencies_ms.append(25.0)
    play = SimpleNamespace(street=street, tally=tally, duration_s=600)
    watching = SimpleNamespace(
        balance=SimpleNamespace(stored_count=3_990), commands_by_state={"VERIFIED": 7, "DISPATCHED": 2}
    )
    baseline = Baseline()
    baseline._hear({"second": 20, "delay_s": 12.0})
    return Scene(cast("Play", play), cast("Watching", watching), baseline, DelayMeter())


async def test_without_a_terminal_there_is_a_line_now_and_then(scene: Scene) -> None:
    """Two lines for two moments five seconds apart, none in between."""
    clock, text = FakeClock(), io.StringIO()
    await clock.advance(LINE_EVERY_S)
    with Picture(scene, Console(file=text, width=300), clock) as picture:
        picture.show(20)
        await clock.advance(LINE_EVERY_S / 2)
        picture.show(21)
        await clock.advance(LINE_EVERY_S / 2)
        picture.show(29)
    lines = text.getvalue().splitlines()

    assert len(lines) == 2
    assert "3990 rows" in lines[0]
    assert "verified 7" in lines[0]
    assert "fixed plan 12.0 s" in lines[0]


async def test_in_a_terminal_the_city_is_drawn(scene: Scene) -> None:
    """Junctions with queue, hand and signals, lamps by level, commands by state, and the loop."""
    clock, text = FakeClock(), io.StringIO()
    await clock.advance(1)
    console = Console(file=text, width=160, height=50, force_terminal=True, color_system=None)
    with Picture(scene, console, clock) as picture:
        picture.show(20)
    drawn = text.getvalue()

    for expected in ("3 waiting", "●", "30 %", "█", "verified", "25 ms", "local", "bands", "3,990"):
        assert expected in drawn

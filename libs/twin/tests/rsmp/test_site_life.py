"""How a site behaves over time: positions, plans, bands, priority, traffic."""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from maasloop.rsmp.messages import Rows
from maasloop.twin.rsmp.plans import stage_at, stage_lengths
from rsmp_site import Site

ON, OFF = {"status": "True"}, {"status": "False"}


def _signals(site: Site) -> str:
    return str(site.read("S0001", "signalgroupstatus"))


def _positioned(status: str, minutes: int = 0) -> dict[str, str]:
    return {"status": status, "timeout": str(minutes), "intersection": "0"}


def _request(id_: str, group: str, level: int = 7) -> dict[str, str]:
    return {"requestId": id_, "type": "new", "level": str(level), "signalGroupId": group}


def _state(site: Site, id_: str) -> str:
    return next((row["s"] for row in _rows(site, "S0033", "status") if row["r"] == id_), "")


def _rows(site: Site, code: str, name: str) -> Rows:
    found = site.read(code, name)
    return found if isinstance(found, tuple) else ()


@pytest.mark.parametrize(
    ("wanted", "least", "cycle", "lengths"),
    [
        ((20, 15, 10), (9, 9, 9), 45, [20, 15, 10]),
        ((32, 15, 10), (9, 9, 9), 45, [25, 11, 9]),
        ((20, 15, 10), (9, 9, 9), 90, [40, 30, 20]),
        ((20, 15, 10), (9, 9, 9), 5, [9, 9, 9]),
        ((0, 0), (3, 3), 10, [5, 5]),
    ],
)
def test_a_cycle_is_shared_among_its_stages(
    wanted: tuple[int, ...], least: tuple[int, ...], cycle: int, lengths: list[int]
) -> None:
    """In proportion, in whole seconds, none below its least; the cycle grows only where that is not enough."""
    assert stage_lengths(wanted, least, cycle) == lengths
    assert stage_at(lengths, lengths[0] + 0.5) == (1, 0.5)


@pytest.mark.parametrize(("status", "shown", "on", "flash"), [("YellowFlash", "cccc", "True", "True"), ("Dark", "bbbb", "False", "False")])  # fmt: skip
def test_flash_and_dark_begin_at_once_and_end_by_the_start_up(
    site: Site, status: str, shown: str, on: str, flash: str
) -> None:
    """Yellow flash and dark are shown without delay; normal control begins with each interval of the start-up."""
    site.order("M0001", _positioned(status))
    assert (_signals(site), site.read("S0007"), site.read("S0011")) == (shown, on, flash)
    assert site.read("S0020", "controlmode") == "standby"
    assert site.cabinet.aggregated()[5:7] == (False, True)

    site.order("M0001", _positioned("NormalControl"))
    seen = [_signals(site)]
    site.each_step = lambda: seen.append(_signals(site))
    site.wait(2)

    assert [each for i, each in enumerate(seen) if i == 0 or each != seen[i - 1]][:3] == ["eeee", "ffff", "gggg"]
    assert site.read("S0020", "controlmode") == "control"


def test_a_position_with_a_time_out_returns(site: Site) -> None:
    """After a minute the position before it is there again."""
    site.order("M0001", _positioned("YellowFlash", 1))
    site.wait(59.8)
    assert site.read("S0011") == "True"

    site.wait(0.4)

    assert (site.read("S0011"), site.read("S0005"), site.read("S0007", "source")) == ("False", "True", "calendar_clock")


def test_a_position_ordered_again_returns_to_the_one_before(site: Site) -> None:
    """Who prolongs yellow flash does not make it what the controller returns to."""
    for _ in range(2):
        site.order("M0001", _positioned("YellowFlash", 1))
        site.wait(30)
    assert site.read("S0011") == "True"

    site.wait(30.4)

    assert (site.read("S0011"), site.read("S0005")) == ("False", "True")


def test_the_cycle_counter_follows_the_clock(site: Site) -> None:
    """Where plans are coordinated c = (b + o) mod t; setting the clock moves both."""
    site.order("M0015", {"plan": "1", "status": "10"})
    site.order("M0104", {"securityCode": "1111", "year": "2026", "month": "1", "day": "5", "hour": "0", "minute": "0", "second": "40"})  # fmt: skip
    base = (1767571240) % 45

    assert site.read("S0001", "basecyclecounter") == str(base)
    assert site.read("S0001", "cyclecounter") == str((base + 10) % 45)
    assert (site.read("S0010"), site.read("S0032")) == ("False", "centralized")


def _greens(site: Site, place: int, seconds: float) -> float:
    shown = []
    site.each_step = lambda: shown.append(_signals(site)[place] in "1234")
    site.wait(seconds)
    return sum(shown) / 10


def test_a_band_gives_its_stage_more_of_the_cycle(site: Site) -> None:
    """Band 2 makes the side road's green longer, and the cycle stays."""
    site.wait(90)
    before = _greens(site, 3, 90)

    site.order("M0014", {"plan": "1", "status": "2-20"})
    site.wait(90)

    assert _greens(site, 3, 90) >= before + 8
    assert site.cabinet.programme.cycle_s == 45


def test_bands_time_out_without_a_supervisor(site: Site) -> None:
    """A minute after the link is lost the designated plan is in use without bands; a link that returns in time prevents it."""
    site.order("M0023", {"status": "1"})
    site.order("M0002", ON | {"timeplan": "2"})
    site.order("M0014", {"plan": "1", "status": "1-12"})
    site.cabinet.linked = False
    site.wait(50)
    site.cabinet.linked = True
    site.wait(20)
    assert (site.read("S0014"), site.read("S0023")) == ("2", "1-1-12,1-2-0,1-3-0,2-1-0,2-2-0")

    site.cabinet.linked = False
    site.wait(61)

    assert (site.read("S0014"), site.read("S0014", "source")) == ("1", "other")
    assert site.read("S0023") == "1-1-0,1-2-0,1-3-0,2-1-0,2-2-0"
    assert site.read("S0034") == "1"


def test_vehicles_hold_an_isolated_stage_up_to_its_extension(
    new_site: Callable[..., Site], example: dict[str, Any]
) -> None:
    """With a vehicle always there the main road keeps its stage 35 s, at fixed times its share of the cycle; and 3 is shown."""
    empty = {name: each | {"vehicles_per_hour": 0} for name, each in example["detector_logics"].items()}
    site = new_site(default_plan=2, detector_logics=empty)
    site.wait(3)
    site.order("M0008", ON | {"mode": "True"}, "DL1")
    site.order("M0008", ON | {"mode": "True"}, "DL2")
    stages: list[int] = []
    shown: set[str] = set()

    def look() -> None:
        stages.append(site.cabinet.due.number)
        shown.add(_signals(site)[0])

    site.each_step = look
    site.wait(114)

    assert 690 <= stages.count(1) <= 710
    assert (site.read("S0010"), site.read("S0032")) == ("True", "off")
    assert "3" in shown


def test_a_stage_on_call_is_left_out(new_site: Callable[..., Site], example: dict[str, Any]) -> None:
    """Nobody on the side road, no green there; a start order (M0010) is a call."""
    empty = {name: each | {"vehicles_per_hour": 0} for name, each in example["detector_logics"].items()}
    site = new_site(default_plan=2, detector_logics=empty)
    site.wait(3)
    assert _greens(site, 2, 120) == 0

    site.order("M0010", ON, "B1")

    assert _greens(site, 2, 60) > 4


def test_the_calendar_chooses_a_plan(new_site: Callable[..., Site]) -> None:
    """The day table of the week day is in use; an order stands above it, and its end gives it back."""
    site = new_site(week_table={0: 1})
    site.wait(4)
    assert (site.read("S0014"), site.read("S0014", "source")) == ("2", "calendar_clock")
    assert (site.read("S0026"), site.read("S0027")) == ("0-1", "1-2-0-0,1-1-6-30,1-2-21-0")

    site.order("M0002", ON | {"timeplan": "1"})
    assert (site.read("S0014"), site.read("S0014", "source")) == ("1", "forced")
    site.order("M0002", OFF | {"timeplan": "1"})
    site.order("M0017", {"status": "1-1-0-0"})

    assert (site.read("S0014"), site.read("S0014", "source")) == ("1", "calendar_clock")


def test_an_emergency_route_is_green_until_it_ends(site: Site) -> None:
    """The newest route rules; what was shown before it ends by its own clearance."""
    site.order("M0005", ON | {"emergencyroute": "1"})
    site.order("M0005", ON | {"emergencyroute": "2"})
    site.wait(30)
    assert [each["id"] for each in _rows(site, "S0035", "emergencyroutes")] == ["1", "2"]
    assert _signals(site)[2:] == "44"

    site.order("M0005", OFF | {"emergencyroute": "2"})
    site.wait(30)
    assert _signals(site)[:2] == "44"

    site.order("M0005", OFF | {"emergencyroute": "1"})
    assert (site.read("S0035", "emergencyroutes"), site.read("S0006", "emergencystage")) == ((), "0")


def test_all_red_ends_all_greens(site: Site) -> None:
    """While the input is on all groups are red by hand."""
    site.order("M0006", ON | {"input": "16"})
    site.wait(12)

    assert (_signals(site), site.read("S0012")) == ("hhhh", "True")


def test_a_priority_is_activated_and_becomes_stale(new_site: Callable[..., Site]) -> None:
    """Received, activated, stale, and then gone; a cancelled one is completed."""
    site = new_site(priority={"activated_after_s": 0.5, "stale_after_s": 1.5})
    site.wait(4)
    site.order("M0022", _request("bus", "B1"))
    site.order("M0022", _request("tram", "B1"))
    assert _state(site, "bus") == "received"
    site.wait(0.6)
    assert (_state(site, "bus"), _state(site, "tram")) == ("activated", "activated")

    site.order("M0022", {"requestId": "tram", "type": "cancel"})
    assert _state(site, "tram") == "completed"
    site.wait(1.5)
    assert (_state(site, "bus"), _state(site, "tram")) == ("stale", "")
    site.wait(0.5)

    assert site.read("S0033") == ()


def test_a_priority_makes_its_group_green(new_site: Callable[..., Site], example: dict[str, Any]) -> None:
    """The stage of the group is entered although the plan has another."""
    site = new_site(default_plan=2, priority=example["priority"] | {"stale_after_s": 60})
    site.wait(4)

    site.order("M0022", _request("bus", "B1"))
    site.wait(20)

    assert _signals(site)[2] in "1234"


def test_conflicting_priorities_wait_for_each_other(new_site: Callable[..., Site], example: dict[str, Any]) -> None:
    """The second is queued, activated after the first, and times out when that takes too long; strange groups are rejected."""
    site = new_site(priority=example["priority"] | {"stale_after_s": 5, "queued_at_most_s": 8, "cooldown_s": 30})
    site.wait(4)
    for id_, group in (("one", "A1"), ("two", "B1"), ("three", "A2"), ("four", "nowhere")):
        site.order("M0022", _request(id_, group))
    assert _state(site, "four") == "rejected"
    site.wait(1)
    assert [_state(site, each) for each in ("one", "two", "three")] == ["activated", "queued", "activated"]
    site.wait(5)
    assert _state(site, "two") == "activated"

    site.order("M0022", _request("five", "A2"))

    assert _state(site, "five") == "cooldown"


def test_the_old_ways_of_older_lists(site: Site) -> None:
    """Where a list says so, a request nobody cancels is completed, and the last emergency route stays in S0006."""
    site.cabinet.list = site.sheet.exchange_lists[3]
    site.order("M0022", _request("bus", "A1"))
    site.order("M0005", ON | {"emergencyroute": "2"})
    site.order("M0005", OFF | {"emergencyroute": "2"})
    site.wait(2.6)

    assert _state(site, "bus") == "completed"
    assert (site.read("S0006"), site.read("S0006", "emergencystage")) == ("False", "2")


def test_a_forecast_is_what_happens(site: Site) -> None:
    """At fixed times green begins, and red after yellow, within a step of the moment that S0025 tells."""
    site.wait(30)
    told = {
        name: str(site.read("S0025", name, "A1"))
        for name in ("likelyToGEstimate", "likelyToREstimate", "ToGConfidence")
    }
    shown: list[tuple[str, datetime]] = []
    site.each_step = lambda: shown.append((_signals(site)[0], site.cabinet.clock.now()))
    site.wait(90)
    begins = next(at for i, (now, at) in enumerate(shown) if i and now in "14" and shown[i - 1][0] == "0")
    ends = next(at for i, (now, at) in enumerate(shown) if i and now in "BF" and shown[i - 1][0] == "N")

    assert told["ToGConfidence"] == "100"
    assert abs(datetime.fromisoformat(told["likelyToGEstimate"]) - begins) < timedelta(seconds=0.3)
    assert abs(datetime.fromisoformat(told["likelyToREstimate"]) - ends) < timedelta(seconds=0.3)


def test_one_seed_is_one_traffic(new_site: Callable[..., Site], example: dict[str, Any]) -> None:
    """Equal seeds count alike and others do not; an hour has about the vehicles of the sheet."""
    counted = []
    for seed in (1, 1, 2):
        site = new_site(counting={"interval_s": 300, "seed": seed})
        site.wait(305)
        counted.append([site.read("S0205", "vehicles"), site.read("S0206", "speed"), site.read("S0208", "P")])
        vehicles = int(str(site.read("S0201", "vehicles", "DL1")))
        assert 20 < vehicles < 65
        assert (
            sum(int(str(site.read("S0204", kind, "DL1"))) for kind in ("P", "PS", "L", "LS", "B", "SP", "MC", "C", "F"))
            == vehicles
        )

    assert counted[0] == counted[1]
    assert counted[0] != counted[2]


def test_the_checksum_is_that_of_the_configuration(site: Site) -> None:
    """S0097 is the SHA-256 of what S0098 holds, and changes with it."""
    before = site.read("S0097", "checksum")
    site.order("M0018", {"plan": "1", "status": "60"})

    assert (
        site.read("S0097", "checksum")
        == hashlib.sha256(base64.b64decode(str(site.read("S0098", "config")))).hexdigest()
    )
    assert site.read("S0097", "checksum") != before

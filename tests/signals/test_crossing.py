"""The example with crossings, cycle signals, buses and an ambulance: everybody is told of, and nobody is in danger."""

from pathlib import Path

import pytest
from tests.signals.__main__ import outcome_of
from tests.signals.plan import Outcome, Run
from tests.signals.road_users import summary, trips_by_kind
from tests.signals.table import road_users_table

from maasloop.twin.street.scenario import load_scenario

# Processes one after the other, each of which loads SUMO, on a machine that may be busy.
pytestmark = pytest.mark.timeout(240)

CROSSING = str(Path(__file__).parents[2] / "examples" / "crossing" / "crossing.sumocfg")
COMBINED = Path(__file__).parents[2] / "libs" / "twin" / "tests" / "street" / "combined.net.xml"
SECONDS = 420


@pytest.mark.parametrize("detection", ["area", "loops"])
def test_seven_minutes_at_the_crossing_are_in_order(detection: str) -> None:
    """The reader finds nothing, the kernel refuses nothing, and nobody on foot or on a bicycle waits for 120 s."""
    outcome = outcome_of(Run(CROSSING, "maasloop", 1, SECONDS, detection))

    assert (outcome.violations, outcome.gridlock) == (0, "")
    assert all(reason.startswith("priority") for reason in outcome.refused)
    assert set(outcome.road_users) == {"bus", "cycle", "others", "vehicle", "walker"}
    assert outcome.road_users["walker"]["red_called_s"] <= 120
    assert outcome.road_users["cycle"]["red_called_s"] <= 120


@pytest.mark.parametrize("detection", ["area", "loops"])
def test_cyclists_at_the_signal_of_people_on_foot_are_served(detection: str, tmp_path: Path) -> None:
    """Where both share a signal, and some turn left in two goes, nobody on a bicycle is forgotten and no rule is broken."""
    config, routes = tmp_path / "combined.sumocfg", tmp_path / "combined.rou.xml"
    ways = {
        "bicycle": {"ns": 20, "sn": 20, "ew": 20, "we": 20, "ne": 75},
        "car": {"ns": 9, "sw": 20, "ew": 9, "wn": 20},
    }
    flows = "".join(
        f'<flow id="{kind}-{way}" type="{kind}" begin="0" end="300" period="{period}" from="{way[0]}c" to="c{way[1]}"/>'
        for kind, periods in ways.items()
        for way, period in periods.items()
    )
    types = '<vType id="car"/><vType id="bicycle" vClass="bicycle"/>'
    routes.write_text(f"<routes>{types}{flows}</routes>", encoding="utf-8")
    files = f'<net-file value="{COMBINED}"/><route-files value="{routes}"/>'
    config.write_text(f"<configuration><input>{files}</input></configuration>", encoding="utf-8")
    outcome = outcome_of(Run(str(config), "maasloop", 1, SECONDS, detection))

    assert (outcome.violations, outcome.gridlock) == (0, "")
    assert outcome.road_users["cycle"]["trips"] == 4 * 300 // 20 + 300 // 75
    assert outcome.road_users["cycle"]["max_wait_s"] <= 120


def test_the_plan_of_the_example_keeps_our_clearances() -> None:
    """The network's own plan is judged by the same rules and breaks none: what is compared has the same clearances."""
    assert outcome_of(Run(CROSSING, "fixed", 1, 120)).violations == 0


def test_a_network_without_others_has_no_table_of_road_users() -> None:
    """Where there are only cars, nothing is told of other road users."""
    outcome = outcome_of(Run("cologne1", "fixed", 1, 60))

    assert outcome.road_users == {}
    assert road_users_table([outcome]) == ""


def test_who_was_not_to_set_out_yet_is_no_trip(tmp_path: Path) -> None:
    """SUMO's record names everybody on foot of the whole demand; who has not departed is left out, a late car is not."""
    record = tmp_path / "tripinfo.xml"
    rows = (
        '<personinfo id="a" depart="3.00" type="walker" waitingTime="2.00" timeLoss="6.00"/>',
        '<personinfo id="b" depart="-1" type="walker" waitingTime="0.00" timeLoss="0.00"/>',
        '<tripinfo id="c" vType="car" depart="-1" departDelay="9.00" timeLoss="0.00"/>',
        '<tripinfo id="d" vType="cyclist" depart="4.00" departDelay="0.00" timeLoss="5.00" waitingTime="1.00"/>',
    )
    record.write_text(f"<tripinfos>{''.join(rows)}</tripinfos>", encoding="utf-8")
    trips = trips_by_kind(load_scenario(CROSSING), record)

    assert {kind: [one.delay_s for one in found.rows] for kind, found in trips.items()} == {
        "walker": [6.0],
        "vehicle": [9.0],
        "cycle": [5.0],
    }


def test_figures_of_several_runs_are_put_together() -> None:
    """Means are meant, trips are added up, and of waits the longest counts."""
    runs = [
        {"walker": {"trips": 10, "mean_wait_s": 4.0, "max_wait_s": 20.0}, "emergency": {"met_green": 1.0}},
        {"walker": {"trips": 20, "mean_wait_s": 6.0, "max_wait_s": 30.0}, "emergency": {"met_green": 0.0}},
    ]
    assert summary(runs) == {
        "walker": {"trips": 30, "mean_wait_s": 5.0, "max_wait_s": 30.0},
        "emergency": {"met_green": 0.5},
    }


def test_the_table_names_every_kind_of_road_user() -> None:
    """Each kind has a row; figures that it does not have are left open."""
    run = Run(CROSSING, "maasloop", 1)
    users = {"bus": {"trips": 3.0, "mean_delay_s": 12.0}, "walker": {"trips": 9.0, "red_called_s": 61.0}}
    outcome = Outcome(run, 16.5, 60.0, 100.0, 0.6, 2000, 1, 0, "", 80.0, 0.3, 2.0, {}, 0, 9.0, road_users=users)
    lines = road_users_table([outcome]).splitlines()

    assert [line.split()[2:4] for line in lines[1:]] == [["area", "bus"], ["area", "walker"]]
    assert "12.00" in lines[1]
    assert lines[2].split()[-3:] == ["61.00", "-", "-"]


def test_the_example_is_there() -> None:
    """Network, demand and stops lie beside the configuration."""
    scenario = load_scenario(CROSSING)

    assert all(path.is_file() for path in (scenario.net, *scenario.routes, *scenario.additional))

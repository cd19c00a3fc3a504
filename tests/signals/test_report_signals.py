"""The report of the bench of signal controllers."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from tests.signals import pictures
from tests.signals.drawing import LEFT
from tests.signals.failing import dead_detectors, killed
from tests.signals.plan import Outcome, Run
from tests.signals.report import draw, page, together
from tests.signals.table import summaries

from maasloop.twin.street.network import load_network

RING = Path("examples/ring/ring.net.xml")
SVG = "{http://www.w3.org/2000/svg}"


def test_the_report_says_what_was_measured_on_what() -> None:
    """Machine, network, controller and mean are in it; a single run has no interval."""
    run = Run("cologne1", "maasloop", 1)
    outcome = Outcome(run, 16.5, 60.0, 100.0, 0.6, 2000, 1, 0, "", 80.0, 0.3, 2.0, {}, 0, 9.0)
    told = {
        "machine": {
            "time": "now",
            "commit": "abc",
            "cores": 2,
            "processor": "some",
            "load_average_before": 1.0,
            "sumo": "1.28",
        },
        "runs": [outcome.to_json()],
        "scenarios": summaries([Outcome.from_json(outcome.to_json())]),
    }
    text = page([told])

    assert "cologne1; maasloop; area: 1 runs, now, commit `abc`" in text
    assert "2 cores, some, load before 1.0, SUMO 1.28, 3600 street seconds" in text
    assert "| cologne1 | maasloop | area | 1 | 16.5 | - |" in text
    assert "| who |" not in text


def test_the_report_tells_of_every_kind_of_road_user() -> None:
    """Where a run had others than cars there is a row for each; what a kind does not have is left open."""
    users = {"walker": {"trips": 9.0, "mean_wait_s": 6.5}}
    outcome = Outcome(
        Run("x", "maasloop", 1), 16.5, 60.0, 100.0, 0.6, 9, 1, 0, "", 80.0, 0.3, 2.0, {}, 0, 9.0, road_users=users
    )
    machine = dict.fromkeys(("time", "commit", "cores", "processor", "load_average_before", "sumo"), "")
    text = page([{"machine": machine, "runs": [outcome.to_json()], "scenarios": summaries([outcome])}])

    assert "| x | maasloop | area | walker | 9.0 | - | 6.5 | - | - | - | - |" in text


def _outcome(controller: str, seed: int, mean_s: float, gridlock: str = "") -> Outcome:
    run = Run("x", controller, seed)
    return Outcome(run, mean_s, 60.0, 100.0, 0.6, 9, 1, 0, gridlock, 80.0, 0.3, 2.0, {}, 0, 9.0)


def _two() -> list[Outcome]:
    return [_outcome("maasloop", 1, 10.0), _outcome("maasloop", 2, 20.0)]


def test_benches_become_one_table_in_which_the_later_run_counts() -> None:
    """The same run of two benches is there once; controllers stand in their order, whichever bench had them."""
    first = {"runs": [_outcome("maasloop", 1, 16.0).to_json(), _outcome("maasloop", 2, 18.0).to_json()]}
    second = {"runs": [_outcome("fixed", 1, 40.0).to_json(), _outcome("maasloop", 1, 17.0).to_json()]}

    found = together([first, second])

    assert [(one.run.controller, one.run.seed, one.mean_delay_s) for one in found] == [
        ("fixed", 1, 40.0),
        ("maasloop", 1, 17.0),
        ("maasloop", 2, 18.0),
    ]


def _titled(lines: list[str]) -> list[dict[str, str]]:
    """Read the rows of a table by the titles of its columns."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_what_dead_detectors_cost_is_told_of_the_seeds_that_ran_without() -> None:
    """Means of both are of seeds 1 and 2, as nothing is known of seed 3 with none dead; the worst run is any."""
    whole = _two()
    dead = [
        replace(one, run=replace(one.run, detectors_dead=0.2))
        for one in (*(_outcome("maasloop", seed, 18.0) for seed in (1, 2)), _outcome("maasloop", 3, 90.0, "stands"))
    ]
    (row,) = _titled(dead_detectors([*whole, *dead]))

    assert (row["detectors dead"], row["runs"], row["none dead, mean delay s"]) == ("20%", "2", "15.00")
    assert (row["mean delay s"], row["more"], row["most s"], row["gridlocks"]) == ("18.00", "+20%", "90.00", "1")
    assert dead_detectors(whole) == []


def test_dead_detectors_are_told_of_although_nothing_ran_without() -> None:
    """What they cost is left open then."""
    (row,) = _titled(dead_detectors([replace(one, run=replace(one.run, detectors_dead=0.2)) for one in _two()]))

    assert (row["runs"], row["none dead, mean delay s"], row["mean delay s"], row["more"]) == ("2", "-", "15.00", "-")


def test_who_was_killed_is_told_beside_the_local_programme_of_his_seed() -> None:
    """The share is that of each seed, not of the means; a junction that never went local is as late as can be."""
    local = [
        replace(one, run=replace(one.run, controller="local", kill_at=1200), delay_after_kill_s=delay_s)
        for one, delay_s in zip(_two(), (10.0, 100.0), strict=True)
    ]
    ours = [
        replace(one, run=replace(one.run, kill_at=1200), delay_after_kill_s=delay_s, local_after_kill_s=local_s)
        for one, delay_s, local_s in zip(_two(), (11.0, 50.0), (39, None), strict=True)
    ]
    (row,) = _titled(killed([*local, *ours]))

    assert (row["controller"], row["killed at s"], row["restarted at s"], row["all local after s"]) == (
        "maasloop",
        "1200",
        "-",
        "never",
    )
    assert (row["trips after: mean delay s"], row["of the local programme's"], row["most"]) == ("30.50", "0.80", "1.10")
    (row,) = _titled(killed([replace(ours[0], run=replace(ours[0].run, restart_at=1800), remote_after_restart_s=1)]))
    assert (row["all local after s"], row["in control again after s"]) == ("39", "1")
    assert (row["of the local programme's"], row["most"]) == ("-", "-")


def test_runs_in_which_something_failed_are_in_no_other_row() -> None:
    """The mean of a network is that of its sound runs, in the table and in the picture."""
    failed = [
        replace(_outcome("maasloop", 1, 30.0), run=Run("x", "maasloop", 1, detectors_dead=0.2)),
        replace(_outcome("maasloop", 1, 90.0), run=Run("x", "maasloop", 1, kill_at=1200)),
    ]
    runs = [one.to_json() for one in (*failed, *_two())]
    machine = dict.fromkeys(("time", "commit", "cores", "processor", "load_average_before", "sumo"), "")
    text = page([{"machine": machine, "runs": runs}])

    assert "- x; maasloop; area, 20% of the detectors dead, killed at 1200 s: 4 runs" in text
    assert "| x | maasloop | area | 2 | 15.0 |" in text
    assert "| x | maasloop | area | 20% | 1 | 10.00 | 30.00 | +200% |" in text
    assert "## The controllers are killed" in text


def test_delays_are_drawn_where_they_are_and_a_lock_is_seen() -> None:
    """A larger mean is a dot further right; a row with a run that locked has a mark and says how many."""
    runs = [_outcome("fixed", 1, 40.0), _outcome("maasloop", 1, 10.0), _outcome("maasloop", 2, 20.0, "stands")]
    root = ET.fromstring(pictures.delays(summaries(runs)))  # noqa: S314 - drawn a line above
    dots = {dot[0].text: float(dot.attrib["cx"]) for dot in root.iter(f"{SVG}circle")}

    assert sorted(dots, key=lambda told: dots[told or ""]) == [
        "x, maasloop, area: 15.0 ± 63.55 s, 1 of 2 runs locked",
        "x, fixed, area: 40.0 ± 0.0 s",
    ]
    assert [text.text for text in root.iter(f"{SVG}text")].count("x area ✕") == 1


def test_waits_are_drawn_down_to_one_trip_in_a_thousand() -> None:
    """A controller under which trips stand twice as long has its line twice as far to the right, at every share."""
    short_s = [float(number % 100) for number in range(2_000)]
    svg = pictures.waits("x", {"fixed": [2 * each for each in short_s], "maasloop": short_s})
    lines = [line.attrib["points"].split() for line in ET.fromstring(svg).iter(f"{SVG}polyline")]  # noqa: S314 - drawn a line above
    fixed, ours = ([float(point.split(",")[0]) - LEFT for point in points] for points in lines)

    assert len(ours) == 1 + len(pictures.SHARES)
    assert fixed == pytest.approx([2 * each for each in ours], abs=0.2)


def test_what_a_junction_showed_is_drawn_by_the_second() -> None:
    """A link has a bar for each stretch of one colour, as long as it was shown; what lies outside is left out."""
    states = [(second, "G" if second < 130 else "y" if second < 133 else "r") for second in range(2_000)]
    root = ET.fromstring(pictures.timeline("j", states, 100))  # noqa: S314 - drawn a line above
    bars = [(bar.attrib["fill"], float(bar.attrib["width"])) for bar in root.iter(f"{SVG}rect")][-6:-3]

    assert [color for color, _ in bars] == [pictures.ASPECTS[aspect] for aspect in "gyr"]
    assert bars[0][1] == pytest.approx(10 * bars[1][1], rel=0.02)
    assert bars[2][1] == pytest.approx(19 * bars[0][1] - bars[1][1], rel=0.02)


def test_a_corridor_is_the_busiest_way_and_shows_who_stops_on_it(tmp_path: Path) -> None:
    """Of two ways the one with more vehicles is drawn; each edge of a journey is a line from its entry to its exit."""
    net = load_network(RING)
    first = next(edge for edge in net.getEdges() if edge.getTLS())
    second = next(edge for edge, to in first.getOutgoing().items() if to[0].getTLSID())
    way_there, away = f"{first.getID()} {second.getID()}", first.getID()
    routes = tmp_path / "vehroutes.xml"
    row = '<vehicle id="v"><route edges="{}" exitTimes="{}"/></vehicle>'
    rows = [row.format(way_there, "10 20"), row.format(way_there, "20 60"), row.format(away, "5.00")]
    routes.write_text(f"<routes>{''.join(rows)}{row.format(way_there, '40.00 -1.00')}</routes>")
    journeys = pictures.read_journeys(routes)
    assert journeys[-1] == ((away,), (40.0,))

    way = pictures.corridor(net, journeys)
    assert way.edges == (first.getID(), second.getID())
    assert way.ends_m == (first.getLength(), first.getLength() + second.getLength())
    junction, link = way.signals[0]
    states = {junction: [(second, "r" * link + "G") for second in range(100)]}
    root = ET.fromstring(pictures.space_time("t", way, journeys, states, 0))  # noqa: S314 - drawn a line above

    assert len(list(root.iter(f"{SVG}polyline"))) == 2
    assert pictures.ASPECTS["g"] in [bar.attrib["fill"] for bar in root.iter(f"{SVG}rect")]


def test_without_kept_runs_only_delays_are_drawn(tmp_path: Path) -> None:
    """What needs the files of runs is left out, and the page shows the picture that there is."""
    drawn = draw([_outcome("maasloop", 1, 16.0)], tmp_path / "kept", tmp_path / "drawn")

    assert [path.name for _, path in drawn] == ["delays.svg"]

"""The report of the bench of signal controllers."""

from tests.signals.plan import Outcome, Run
from tests.signals.report import page
from tests.signals.table import summaries


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
    text = page(told)

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
    text = page({"machine": machine, "runs": [outcome.to_json()], "scenarios": summaries([outcome])})

    assert "| x | maasloop | area | walker | 9.0 | - | 6.5 | - | - | - | - |" in text

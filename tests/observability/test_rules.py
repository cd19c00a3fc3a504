"""Rules of Prometheus: they parse, ask for what is counted, ring when they should, and each alert has a runbook."""

import subprocess
from pathlib import Path

import pytest
from tests.observability.queries import RULES, RUNBOOKS, rules, unknown_names
from tests.observability.tools import binary

SCENES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
TIMEOUT_S = 60.0
HEADINGS = ["## What it means", "## How to look", "## What to do"]


def _promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [binary("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)


@pytest.mark.timeout(180)
def test_the_rules_parse() -> None:
    """The tool of Prometheus itself finds nothing wrong."""
    checked = _promtool("check", "rules", "--lint-fatal", *RULES)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_tool_finds_sabotage(tmp_path: Path) -> None:
    """A rule with a bracket too few is refused."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("groups: [{name: a, rules: [{alert: A, expr: 'sum(x'}]}]\n")

    assert _promtool("check", "rules", broken).returncode != 0


@pytest.mark.parametrize("scene", SCENES, ids=lambda path: path.stem)
def test_alerts_ring_when_they_should(scene: Path) -> None:
    """In a scene with made-up figures just the expected alerts ring, and at the expected minute."""
    played = _promtool("test", "rules", scene)

    assert played.returncode == 0, played.stdout + played.stderr


def test_a_scene_can_fail(tmp_path: Path) -> None:
    """A scene that expects silence where an alert rings is told."""
    scene = tmp_path / "scene.yaml"
    scene.write_text(f"""
rule_files: [{", ".join(map(str, RULES))}]
tests:
  - interval: 1m
    input_series: [{{series: maasloop_timeseries_lost_readings, values: "1x10"}}]
    alert_rule_test: [{{eval_time: 5m, alertname: MaasloopReadingsLost, exp_alerts: []}}]
""")

    played = _promtool("test", "rules", scene)

    assert played.returncode != 0
    assert "MaasloopReadingsLost" in played.stdout + played.stderr


def test_every_alert_is_played() -> None:
    """Each alert rings in some scene."""
    played = "\n".join(scene.read_text() for scene in SCENES)

    assert [name for name in ALERTS if f"alertname: {name}\n" not in played] == []


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """Somebody who is woken finds a page, which says what it means, how to look and what to do."""
    pages = {path.stem: path.read_text() for path in RUNBOOKS.glob("Maasloop*.md")}

    assert pages.keys() == ALERTS.keys()
    for name, page in pages.items():
        assert page.startswith(f"# {name}"), name
        assert [line for line in page.splitlines() if line.startswith("## ")] == HEADINGS, name
        assert ALERTS[name]["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
        assert f"[{name}]({name}.md)" in (RUNBOOKS / "README.md").read_text()


def test_alerts_say_what_and_how_bad() -> None:
    """Each alert has a summary and one of two severities."""
    for name, rule in ALERTS.items():
        assert rule["annotations"]["summary"], name
        assert rule["labels"]["severity"] in {"page", "ticket"}, name


def test_rules_ask_for_what_is_counted() -> None:
    """No rule waits for a name that no code counts under; a renamed metric would silence it."""
    unknown = {rule.get("alert") or rule["record"]: unknown_names(rule["expr"]) for rule in rules()}

    assert {name: names for name, names in unknown.items() if names} == {}

"""Dashboards: the JSON is what the description says, every panel asks for what is counted, in a unit, with a sentence."""

import json
import subprocess
import sys
from pathlib import Path

from tests.observability.queries import DASHBOARDS, ROOT, panel_queries, unknown_names

TITLES = ["City loop", "Consent and privacy", "Data path", "Junctions", "Lights", "SLO"]


def test_drift(tmp_path: Path) -> None:
    """The files of the chart are those that the description makes."""
    script = ROOT / "scripts" / "generate_dashboards.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True, timeout=60)

    made = {path.name: path.read_text() for path in tmp_path.glob("*.json")}
    assert made == {path.name: path.read_text() for path in DASHBOARDS}


def test_the_six_are_there() -> None:
    """Each part of the city has its page."""
    found = [json.loads(path.read_text()) for path in DASHBOARDS]

    assert sorted(each["title"] for each in found) == TITLES
    assert len({each["uid"] for each in found}) == len(found)


def test_panels_ask_for_what_is_counted() -> None:
    """No query names what no code counts under and no rule records: its panel would be empty for ever."""
    unknown = {query: unknown_names(query.expression) for query in panel_queries()}

    assert {query: names for query, names in unknown.items() if names} == {}


def test_panels_are_told() -> None:
    """Each panel has a title of its own, a sentence, a unit and a source that is chosen in Grafana."""
    for path in DASHBOARDS:
        panels = json.loads(path.read_text())["panels"]
        assert len({panel["title"] for panel in panels}) == len(panels)
        for panel in panels:
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"

"""Generate the dashboards of the chart, Grafana's JSON, from ``deploy/observability/dashboards.toml``."""

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DESCRIPTION = ROOT / "deploy" / "observability" / "dashboards.toml"
FOLDER = ROOT / "deploy" / "helm" / "maasloop" / "files" / "dashboards"
SCHEMA_VERSION = 39
"""Of Grafana's dashboards; newer versions read it."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS, WIDTH, HEIGHT = 3, 8, 8
"""Panels in a row, and a panel in Grafana's grid of 24 columns."""


def main() -> None:
    """Write a file for each dashboard into ``--out``, and remove what nothing describes any more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the files")
    folder: Path = parser.parse_args().out
    made = {f"{each['uid']}.json": dashboard(each) for each in tomllib.loads(DESCRIPTION.read_text())["dashboard"]}
    for stale in {path.name for path in folder.glob("*.json")} - made.keys():
        (folder / stale).unlink()
    for name, found in made.items():
        (folder / name).write_text(json.dumps(found, indent=2) + "\n")


def dashboard(described: dict[str, Any]) -> dict[str, Any]:
    """Return a dashboard as Grafana takes it."""
    return {
        "uid": described["uid"],
        "title": described["title"],
        "description": described["description"],
        "tags": ["maasloop"],
        "timezone": "utc",
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": [_panel(place, each) for place, each in enumerate(described["panel"])],
    }


def _panel(place: int, described: dict[str, Any]) -> dict[str, Any]:
    row, column = divmod(place, COLUMNS)
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": described["title"],
        "description": described["description"],
        "datasource": SOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "fieldConfig": {"defaults": {"unit": described["unit"]}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for number, (legend, expression) in enumerate(described["queries"].items())
        ],
    }


if __name__ == "__main__":
    main()

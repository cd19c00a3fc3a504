"""What dashboards and rules ask for, as their files say it, and the names that the code counts under."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART_FILES = ROOT / "deploy" / "helm" / "maasloop" / "files"
RULES = sorted((CHART_FILES / "rules").glob("*.yaml"))
DASHBOARDS = sorted((CHART_FILES / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs" / "runbooks"
_NAME = re.compile(r"\bmaasloop[_:][a-z0-9_:]+")
_PARTS = re.compile(r"_(bucket|count|sum)$")


class Query(NamedTuple):
    """A query of a panel."""

    dashboard: str
    panel: str
    expression: str


def panel_queries() -> Iterator[Query]:
    """Yield all queries of all panels."""
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield Query(dashboard["title"], panel["title"], target["expr"])


def rules() -> Iterator[dict[str, Any]]:
    """Yield all rules: records and alerts."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def unknown_names(expression: str) -> set[str]:
    """Return the names in an expression that neither the code counts under nor a rule records."""
    known = counted_names() | {rule["record"] for rule in rules() if "record" in rule}
    asked = set(_NAME.findall(expression))
    return {name for name in asked if name not in known and _PARTS.sub("", name) not in known}


def counted_names() -> set[str]:
    """Return every name of a metric in the sources."""
    reference = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    return set(re.findall(r"`(maasloop_[a-z0-9_]+)`", reference))

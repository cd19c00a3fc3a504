"""Dashboards and rules: off unless asked for, whole when they are there, found by the labels that are told."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.chart.parts.rendered import CHART, MINIMAL, ChartRefused, HelmCommand, HelmLibrary, Object, at, merged

SCHEMA = yaml.safe_load((Path(__file__).parent / "schemas" / "PrometheusRule.yaml").read_text())


def _of_observability(objects: list[Object]) -> list[Object]:
    return [each for each in objects if each["metadata"]["labels"]["app.kubernetes.io/component"] == "observability"]


def test_nothing_unless_asked_for(library: HelmLibrary) -> None:
    """A cluster without Grafana and without the Prometheus operator gets neither."""
    assert _of_observability(library.render(MINIMAL)) == []


def test_grafana_finds_every_dashboard(library: HelmLibrary) -> None:
    """Each file is a ConfigMap with the label of the sidecar, and comes out as it is: braces of legends are no templates."""
    wanted = at("observability.dashboards", {"enabled": True, "labels": {"a": "b"}})
    maps = _of_observability(library.render(merged(MINIMAL, wanted)))
    held = {name: json.loads(text) for each in maps for name, text in each["data"].items()}

    files = {path.name: json.loads(path.read_text()) for path in (CHART / "files" / "dashboards").glob("*.json")}
    assert held == files
    assert {each["metadata"]["labels"]["a"] for each in maps} == {"b"}


def test_the_operator_finds_every_rule(command_with_prometheus: HelmCommand) -> None:
    """Each file of rules is a PrometheusRule of the operator's form, under the labels told."""
    wanted = at("observability.rules", {"enabled": True, "labels": {"release": "prometheus"}})
    made = _of_observability(command_with_prometheus.render(merged(MINIMAL, wanted)))

    files: list[Any] = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "files" / "rules").glob("*.yaml"))]
    assert [each["spec"] for each in made] == files
    for each in made:
        jsonschema.validate(each, SCHEMA)
        assert each["metadata"]["labels"]["release"] == "prometheus"


def test_rules_without_the_operator_are_refused(library: HelmLibrary) -> None:
    """A sentence says what is missing."""
    with pytest.raises(ChartRefused, match="no Prometheus operator"):
        library.render(merged(MINIMAL, at("observability.rules.enabled", True)))
